"""Which run of Weights & Biases a command belongs to: its name, and the run that it continues.

A training has an id, which its checkpoints carry. What continues from a checkpoint, or measures one,
continues that run: a resumed ``fit``, a further stage, ``validate``, ``test`` and ``predict``.

A checkpoint may come from a stranger. All that is taken of it is the id, as a plain word. Where no
configuration of the user asks for Weights & Biases, a command continues a run only if ``fit`` has left
``wandb.json`` in the folder of the checkpoint's run, and only offline: nothing is sent.
"""

import json
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch.loggers import Logger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from wsvad_lightning.checkpoint import fits, read_checkpoint
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.files import write_json
from wsvad_lightning.reporting.wandb import WandbRun, finish

WANDB = "wandb_id"  # entry of a checkpoint
EXTREMES = "wandb_extremes"  # another: lowest and highest value of each metric of validation
RECORD = "wandb.json"
IDENTITY = ("project", "name", "group", "job_type", "tags")  # what a run is found by
PLAIN = re.compile(r"[\w-]{1,64}", re.ASCII)
LONGEST = 128  # characters of a name
LONGEST_TAG = 64


def tracked(loggers: list[Logger], config: Namespace, command: str) -> list[Logger]:
    """Give loggers of Weights & Biases their run, and add one where the run of a checkpoint is continued.

    Args:
        loggers: that the user asks for.
        config: of the command.
        command: its name.

    Raises:
        WSVADError: if the checkpoint that is continued from does not name a run as ``fit`` does.
    """
    asked = [logger for logger in loggers if isinstance(logger, WandbLogger)]
    if not asked and config.trainer.logger is not False:
        return [*loggers, *offline_run(config, command)]
    for logger in asked:
        start = continued_from(config)
        if start is not None and logger.version is None:
            logger._id = logger._wandb_init["id"] = id_in(start)
        own = identity(config, "fit" if is_continued(logger) else command)
        logger._wandb_init |= {key: logger._wandb_init.get(key) or value for key, value in own.items()}
        if isinstance(logger, WandbRun):
            go_on(logger, config, command)
    return loggers


def identity(config: Namespace, command: str) -> dict[str, Any]:
    """Name a run after what is trained: ``urdmu-ped2-split0-seed0``, in a group by data set and split file.

    Args:
        config: of the command.
        command: its name.
    """
    data, method = config.data, config.model.class_path.rpartition(".")[2].lower()
    source = data.get("store") or data.videos
    data_set = Path(source[0] if isinstance(source, list) else source).stem
    selection = selection_of(config)
    name = f"{method}-{data_set}-split{data.split_index}-seed{config.seed_everything}"
    streams = data.get("features") or []
    tags = [method, *([streams] if isinstance(streams, str) else streams), selection]
    return {
        "name": name if selection == "last" else f"{name}-{selection}",
        "group": "-".join([data_set, *([Path(data.split).stem] if data.split else [])]),
        "job_type": command,
        "tags": [tag[:LONGEST_TAG] for tag in tags],
    }


def selection_of(config: Namespace) -> str:
    """Name what chooses the checkpoint: ``best-on-val`` where one is kept, or measured, by validation."""
    if config.get("ckpt_path") and Path(config.ckpt_path).stem == "best":
        return "best-on-val"
    callbacks = config.trainer.callbacks or []
    kinds = [str(one.class_path) for one in (callbacks if isinstance(callbacks, list) else [callbacks])]
    return "best-on-val" if any(kind.endswith("BestOnVal") for kind in kinds) else "last"


def continued_from(config: Namespace) -> str | None:
    """Give the checkpoint that a command goes on from: its own, or that of the stage before."""
    path: str | None = config.get("ckpt_path") or config.model.init_args.get("previous")
    return path


def id_in(checkpoint: str) -> str | None:
    """Give the id of the run that a checkpoint names; None if it names none.

    Raises:
        WSVADError: if it is not such as ``fit`` writes.
    """
    found = read_checkpoint(checkpoint).get(WANDB)
    if found is None:
        return None
    if not (isinstance(found, str) and PLAIN.fullmatch(found)):
        raise _odd(checkpoint, WANDB)
    return found


def is_continued(logger: WandbLogger) -> bool:
    """Whether a logger was given the id of a run before it began."""
    return logger._wandb_init["id"] is not None


def offline_run(config: Namespace, command: str) -> list[WandbRun]:
    """Continue the run that ``wandb.json`` names next to a checkpoint, offline, below the folder of results.

    Args:
        config: of the command.
        command: its name.

    Returns:
        A logger, or none where nothing is continued.

    Raises:
        WSVADError: if that file is not such as ``fit`` writes.
    """
    start = continued_from(config)
    path = Path(start or "").parent.parent / RECORD
    if start is None or Path(start).parent.name != "checkpoints" or not path.is_file():
        return []
    try:
        known = json.loads(path.read_text("utf-8"))
        plain = isinstance(known, dict) and {*known} == {"id", *IDENTITY} and PLAIN.fullmatch(known["id"])
        words = [*(known[key] for key in IDENTITY[:-1]), *known["tags"]] if plain else [None]
    except (OSError, ValueError, TypeError):
        words = [None]
    if not all(isinstance(word, str) and 0 < len(word) <= LONGEST for word in words):
        problem = "is not what `wsvad fit` writes"
        raise WSVADError("wandb.json", path, problem, "Remove it, or give --trainer.logger false")
    logger = WandbRun(offline=True, **known)
    go_on(logger, config, command)
    return [logger]


def stage_in(config: Namespace) -> int:
    """Give the stage of a method that is trained in stages, or else 1."""
    return int(config.model.init_args.get("stage") or 1)


def go_on(logger: WandbRun, config: Namespace, command: str) -> None:
    """Fit a run to the results of a command, and to the checkpoint that it continues from.

    Args:
        logger: of the run.
        config: of the command.
        command: its name.

    Raises:
        WSVADError: if what the checkpoint says of the validation is not such as ``fit`` writes.
    """
    start = continued_from(config)
    checkpoint = {} if start is None else read_checkpoint(start)
    extremes = checkpoint.get(EXTREMES, {})
    if not fits(extremes, dict[str, list[float]]) or any(len(ends) != 2 for ends in extremes.values()):
        raise _odd(start, EXTREMES)
    step = None if command == "fit" else checkpoint.get("global_step")
    logger.belong(config.output, stage_in(config), step, extremes)


def carried(loggers: Iterable[Logger]) -> dict[str, Any]:
    """Give the entries of a checkpoint by which later commands continue the run of a training."""
    entries: dict[str, Any] = {}
    for logger in loggers:
        if isinstance(logger, WandbLogger) and logger.version is not None:
            entries[WANDB] = str(logger.version)
            if isinstance(logger, WandbRun):
                entries[EXTREMES] = logger.extremes
    return entries


def _odd(checkpoint: str | None, entry: str) -> WSVADError:
    problem = f"its entry {entry!r} is not what `wsvad fit` writes"
    return WSVADError("--ckpt_path", checkpoint, problem, "Give a file that `wsvad fit` wrote")


@contextmanager
def wandb_ended() -> Iterator[None]:
    """End the run of Weights & Biases with a command, as failed if it fails: the next one begins its own."""
    failed = True
    try:
        yield
        failed = False
    finally:
        wandb = sys.modules.get("wandb")
        if wandb is not None and wandb.run is not None:
            finish(wandb.run, exit_code=int(failed))


@rank_zero_only
def remember_run(logger: WandbLogger, folder: Path) -> None:
    """Write ``wandb.json``, by which later commands find the run of a training.

    Args:
        logger: whose run has begun.
        folder: of this run.
    """
    known = {key: logger._wandb_init[key] for key in IDENTITY}
    write_json({"id": logger.version, **known}, folder / RECORD)


@rank_zero_only
def discard_run(logger: WandbLogger) -> None:
    """End the run of a command that was refused, and remove what it has left here."""
    if logger._experiment is None:
        return
    folder = Path(logger.experiment.dir).parent
    finish(logger.experiment, exit_code=1)
    if logger._offline:
        shutil.rmtree(folder, ignore_errors=True)
