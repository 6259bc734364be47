"""The authors' weights as a checkpoint of ours."""

import importlib
import pkgutil
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import lightning
import rich

from wsvad_lightning import interop
from wsvad_lightning.carried import write_carried
from wsvad_lightning.checkpoint import CONFIG_KEY, read_official, sealed
from wsvad_lightning.errors import WSVADError, did_you_mean
from wsvad_lightning.files import write_tensors
from wsvad_lightning.interop.weights import load_official
from wsvad_lightning.methods.base.training import TrainingModule

SHARED = ("weights", "command")


def known_methods() -> list[str]:
    """List the methods whose official weights can be imported."""
    return [module.name for module in pkgutil.iter_modules(interop.__path__) if module.name not in SHARED]


def find_method(method: str) -> ModuleType:
    """Find the key table of a method.

    Raises:
        WSVADError: if there is none.
    """
    if method not in known_methods():
        known = known_methods()
        remedy = f"{did_you_mean(method, known)}Known are {', '.join(known)}"
        raise WSVADError("--method", method, "has no key table", remedy)
    return importlib.import_module(f"wsvad_lightning.interop.{method}")


def import_weights(weights: str, *, method: str, output: str) -> None:
    """Turn the authors' weights into a checkpoint for ``wsvad test`` and ``wsvad predict``.

    Sizes are read off the weights, or off the configuration in a folder. The checkpoint carries the method
    but no data: name a store with ``--data.store``.

    Args:
        weights: the authors' state dict; tensors only are read. For SVMAEPretraining also a folder as
            transformers saves it.
        method: whose weights they are, such as urdmu.
        output: checkpoint to write.

    Raises:
        WSVADError: if the file does not hold exactly the method's parameters; nothing is written then.
    """
    source = find_method(method)
    try:
        if Path(weights).is_dir() and hasattr(source, "read_folder"):
            state, init_args = source.read_folder(Path(weights))
        else:
            state = read_official(weights)
            init_args = source.init_args(state)
    except WSVADError:
        raise
    except KeyError as error:
        problem = f"lacks the parameter {error}"
        raise WSVADError("weights", weights, problem, f"Give weights of {method}") from None
    except (IndexError, ValueError):
        problem = "a parameter has another number of axes"
        raise WSVADError("weights", weights, problem, f"Give weights of {method}") from None
    module: TrainingModule = source.METHOD(**init_args)
    dropped = load_official(module.net, state, source.TABLE)
    # Some methods' checkpoints carry more than parameters.
    note = source.complete(module, state) if hasattr(source, "complete") else None
    config = {"model": {"class_path": source.METHOD.__name__, "init_args": init_args}}
    checkpoint = {
        "state_dict": module.state_dict(),
        "hyper_parameters": dict(module.hparams),
        "pytorch-lightning_version": lightning.__version__,
        "epoch": 0,
        "global_step": 0,
        CONFIG_KEY: write_carried(config, source.METHOD),
    }
    module.on_save_checkpoint(checkpoint)
    write_tensors(sealed(checkpoint), output)
    rich.print(f"{output}: {len(state) - len(dropped)} of {len(state)} tensors, as {source.METHOD.__name__}")
    if dropped:
        parts = {part: _starting(part, dropped) for part in (*source.TABLE.dropped, *source.TABLE.spare)}
        rich.print("left out: " + ", ".join(f"{part} ({count})" for part, count in parts.items() if count))
    if note:
        rich.print(note)


def _starting(part: str, names: Sequence[str]) -> int:
    return sum(name == part or name.startswith(f"{part}.") for name in names)
