"""The authors' weights as a checkpoint of ours."""

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

import lightning
import rich
from torch import Tensor

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


def import_weights(weights: list[str], *, method: str, output: str) -> None:
    """Turn the authors' weights into a checkpoint for ``wsvad test`` and ``wsvad predict``.

    Sizes are read off the weights, or off the configuration in a folder. The checkpoint carries the method
    but no data: name a store with ``--data.store``.

    Args:
        weights: the authors' state dict; tensors only are read. Of ADPLG and SST one file for each network,
            in any order. For SVMAEPretraining also a folder as transformers saves it.
        method: whose weights they are, such as urdmu.
        output: checkpoint to write.

    Raises:
        WSVADError: if the file does not hold exactly the method's parameters; nothing is written then.
    """
    source, given = find_method(method), ", ".join(weights)
    try:
        if Path(weights[0]).is_dir() and hasattr(source, "read_folder"):
            state, init_args = source.read_folder(Path(_only(weights, method)))
        else:
            state = read_networks(weights, getattr(source, "FILES", {}), method)
            init_args = source.init_args(state)
    except WSVADError:
        raise
    except KeyError as error:
        problem = f"lacks the parameter {error}"
        raise WSVADError("weights", given, problem, f"Give weights of {method}") from None
    except (IndexError, ValueError):
        problem = "a parameter has another number of axes"
        raise WSVADError("weights", given, problem, f"Give weights of {method}") from None
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


def read_networks(
    files: Sequence[str], networks: Mapping[str, tuple[str, ...]], method: str
) -> dict[str, Tensor]:
    """Read the authors' weights, of methods with several networks from a file for each.

    Args:
        files: in any order; a single one may hold all networks, their names in front of those of parameters.
        networks: for each, the first parts of names by one of which its file is known; empty for a method
            whose weights are one file. What fits several is of the first.
        method: for messages.

    Raises:
        WSVADError: if a file cannot be read, is of no network or of that of another one, or one is missing.
    """
    if not networks:
        return read_official(_only(files, method))
    found: dict[str, dict[str, Tensor]] = {}
    for file in files:
        state = read_official(file)
        parts = {name.partition(".")[0] for name in state}
        if len(files) == 1 and parts & networks.keys():
            return state
        network = next((name for name, marks in networks.items() if not parts.isdisjoint(marks)), None)
        if network is None or network in found:
            problem = "is of none of the networks" if network is None else f"is a second file of {network}"
            remedy = f"Give a file for each network of {method}: {', '.join(networks)}"
            raise WSVADError("weights", file, problem, remedy)
        found[network] = state
    if missing := [name for name in networks if name not in found]:
        problem = f"is of {' and '.join(found)} alone"
        remedy = f"Give those of {method}'s others: {', '.join(missing)}"
        raise WSVADError("weights", ", ".join(files), problem, remedy)
    return {f"{network}.{name}": value for network, state in found.items() for name, value in state.items()}


def _only(files: Sequence[str], method: str) -> str:
    if len(files) > 1:
        raise WSVADError("weights", ", ".join(files), f"weights of {method} are one file", "Give that alone")
    return files[0]


def _starting(part: str, names: Sequence[str]) -> int:
    return sum(name == part or name.startswith(f"{part}.") for name in names)
