"""What the parser depends on, read before the arguments are parsed: checkpoint and methods."""

import re
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities import rank_zero_info

from wsvad_lightning.carried import (
    IDS,
    carried_seed,
    class_path_of,
    known_methods,
    located,
    named_class,
    read_carried,
)
from wsvad_lightning.checkpoint import CONFIG_KEY, OF_TRAINING, VERSION_KEY, changed_settings, read_checkpoint
from wsvad_lightning.configs import find_config, included_by, read_config
from wsvad_lightning.data.loading.datamodule import WSVADDataModule
from wsvad_lightning.errors import WSVADError, did_you_mean
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.parsing import explained


def scoring_method(name: str | None) -> type[WSVADModule] | None:
    """Import the method of the user's own that ``--model`` names; None where it names none.

    Args:
        name: id, or import path, which is looked for in the current folder as well.

    Raises:
        WSVADError: if there is none of this name, its module fails, or it scores no features.
    """
    if name is None:
        return None
    refuse_unknown(name)
    path = class_path_of(name)
    import_from_here([path])
    kind = named_class(path)
    if not issubclass(kind, WSVADModule):
        raise WSVADError("--model", name, "scores no videos", "Name a method that does")
    return kind


def refuse_unknown(name: str) -> None:
    """Validate a name that is neither an import path nor a file.

    Raises:
        WSVADError: if no method has it.
    """
    known = known_methods()
    if name.isidentifier() and name not in {*known, *IDS.values(), "null"}:
        remedy = f"{did_you_mean(name, known)}Known are {', '.join(known)}"
        raise WSVADError("--model", name, "no such class", remedy)


def peek(command: str, args: Sequence[str]) -> Namespace:
    """Read ``--ckpt_path``, ``--config`` and ``--model`` among the arguments.

    Raises:
        WSVADError: if one has no value, or a configuration is not found.
    """
    parser = ArgumentParser(f"wsvad {command}", add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--ckpt_path")
    parser.add_argument("-c", "--config", action="append", default=[])
    parser.add_argument("--model", "--model.class_path", action="append", default=[])
    with explained(parser):
        given = parser.parse_known_args(args)[0]
    given.config = [find_config(name) for name in given.config]
    return given


def named_methods(given: Namespace) -> list[str]:
    """The methods that the user names in configurations or as ``--model``; the last one is in force.

    Ids are given as what they mean.
    """
    named = [*(name for path in given.config for name in _methods_in(path)), *given.model]
    return [class_path_of(name) for name in named if isinstance(name, str)]


def data_class_of(given: Namespace, carried: Mapping[str, Any]) -> type[LightningDataModule]:
    """Give the class of the data of the method that the user names, or else the checkpoint.

    Args:
        given: as :func:`peek` reads it.
        carried: defaults that the checkpoint sets.

    Raises:
        WSVADError: if the module of the method fails.
    """
    of_checkpoint = carried.get("model", {}).get("class_path")
    named = named_methods(given) or ([of_checkpoint] if of_checkpoint else [])
    kind = located(named[-1]) if named else None
    return WSVADDataModule if kind is None else kind.data_class()  # the parser explains what is not a method


def _methods_in(path: Path) -> Iterator[object]:
    """Read which methods a configuration names, those that it includes before its own."""
    for one in (*included_by(path), path):
        config = read_config(one)
        model = config if "class_path" in config else config.get("model")
        if isinstance(model, str) and (one.parent / model).is_file():  # a configuration of the method alone
            model = read_config(one.parent / model)
        yield model.get("class_path") if isinstance(model, dict) else model


def import_from_here(class_paths: Iterable[str]) -> None:
    """Let class paths that the user names be found in the current folder, if nowhere else."""
    for path in class_paths:
        package, dot, _ = path.partition(".")
        here = Path(package).is_dir() or Path(f"{package}.py").is_file()
        if dot and package.isidentifier() and here and find_spec(package) is None:
            sys.path.append(str(Path.cwd()))


def carried_defaults(given: Namespace) -> dict[str, Any]:
    """Give the defaults that the checkpoint among the arguments sets; nothing without one.

    These are its method, data and seed, and where results go: next to the folder of its run, and otherwise
    into ``runs``, under its own name.

    Raises:
        WSVADError: if the checkpoint cannot be read, or carries a configuration that is not ours.
    """
    path = given.ckpt_path
    if path is None:
        return {}
    for name in given.model:
        refuse_unknown(name)
    checkpoint = _read(path)
    place = place_of_results(Path(path))
    if CONFIG_KEY not in checkpoint:
        return dict(place)
    return read_carried(checkpoint[CONFIG_KEY], path, named_methods(given)) | place


def place_of_results(checkpoint: Path) -> dict[str, str]:
    """Where results on a checkpoint go: a run's folder is known by what ``fit`` saves in it."""
    run = checkpoint.parent.parent
    if checkpoint.parent.name == "checkpoints" and (run / "fit.yaml").is_file():
        folder = run.parent if run.parent.name not in ("", "..") else run.parent.resolve()
        return {"output": str(folder.parent), "name": folder.name}
    return {"name": checkpoint.stem.strip(".") or "checkpoint"}


def resumed_seed(path: str | None, given: int | bool) -> int | bool:
    """Give the seed of a training, which a checkpoint, if any, is to be continued by.

    A seed that is to be drawn is that of the checkpoint: its batches go on then. A note names another one.

    Args:
        path: of the checkpoint.
        given: see :func:`wsvad_lightning.runs.seeds.seed_of_run`.

    Raises:
        WSVADError: if the checkpoint cannot be read, or holds weights only.
    """
    if path is None:
        return given
    checkpoint = _read(path)
    if missing := [name for name in OF_TRAINING if name not in checkpoint]:
        problem = f"holds weights only, not the state of a training ({missing[0]})"
        raise WSVADError("--ckpt_path", path, problem, "Test it, or train again")
    trained = carried_seed(checkpoint[CONFIG_KEY], path) if CONFIG_KEY in checkpoint else None
    if given is True and trained is not None:
        return trained
    if trained is not None and repr(trained) != repr(given):  # false is not 0 here
        rank_zero_info(f"note: {path} was trained with seed_everything={trained}, and goes on with {given}")
    return given


def _read(path: str) -> dict[str, Any]:
    """Read a checkpoint that this version of Lightning can use, and name what was changed in it."""
    checkpoint = read_checkpoint(path)
    if not re.match(r"[2-9]\d*\.", checkpoint.get(VERSION_KEY, "")):  # Lightning would rewrite what it lacks
        raise WSVADError(
            "--ckpt_path", path, "was not written by Lightning 2", "Give a file that `wsvad fit` wrote"
        )
    if changed := changed_settings(checkpoint):
        rank_zero_info(f"note: changed in {path} after it was written: {', '.join(changed)}")
    return checkpoint
