"""`wsvad stages`: all stages of a method that is trained in stages, each going on from the one before."""

import json
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import rich
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser
from lightning.pytorch.utilities import rank_zero_only
from rich.table import Table

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.files import without_nan, write_json
from wsvad_lightning.methods.base.staged import stage_of
from wsvad_lightning.reporting.tables import SHOWN
from wsvad_lightning.runs.parsed import parse_fit, parser_of_fit
from wsvad_lightning.runs.run import run_trainer

RECORD = "stages.json"


@dataclass(frozen=True)
class Stage:
    """A finished stage.

    Attributes:
        number: which, from 1.
        of: how many there are.
        checkpoint: what the next stage starts from, and what was tested.
        metrics: on the test videos, by name; None where undefined.
    """

    number: int
    of: int
    checkpoint: str
    metrics: dict[str, float | None]


def run_stages(args: Sequence[str]) -> list[Stage]:
    """Train and test stage after stage, with the arguments of ``wsvad fit``.

    A stage starts from the last checkpoint of the one before, or from the one that is best on held-out
    training videos where the recipe keeps such a one; never from the best on test videos. Run again, it goes
    on where it stopped. ``runs/<name>`` gets a folder a stage, and ``stages.json``.

    Raises:
        WSVADError: if no method is named, or the folder holds stages that were trained with other arguments.
    """
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--name", default=parse_fit([*args, "--model.stage", "1"]).name)
    parser.add_argument("--output", default="runs")
    given, arguments = parser.parse_known_args(args)
    record = Path(given.output) / given.name / RECORD
    stages = read_record(record, arguments)
    while not stages or len(stages) < stages[-1].of:
        number = len(stages) + 1
        where = ["--output", given.output, "--name", f"{given.name}/stage{number}"]
        start = ["--model.previous", stages[-1].checkpoint] if stages else []
        stages.append(run_stage(number, [*arguments, *start], where, record.parent / f"stage{number}"))
        write_record(record, arguments, stages)
    show(stages, given.name)
    return stages


def run_stage(number: int, arguments: Sequence[str], where: Sequence[str], folder: Path) -> Stage:
    """Train and test a stage; where its folder holds a training that was cut short, go on with that."""
    begun = max(folder.glob("version_*/checkpoints/last.ckpt"), key=lambda p: p.stat().st_mtime, default=None)
    resume = [] if begun is None else ["--ckpt_path", str(begun)]
    trained = run_trainer(["fit", *arguments, "--model.stage", str(number), *where, *resume])
    checkpoint = chosen(trained.trainer) or str(begun)
    method = trained.config.fit.model.class_path  # one of the user's own is taken from no checkpoint alone
    tested = run_trainer(["test", "--model", method, "--ckpt_path", checkpoint, *where])
    metrics = without_nan(tested.model.evaluation.results())
    _, num_stages = stage_of(tested.model)
    return Stage(number, num_stages, checkpoint, metrics)


def chosen(trainer: Trainer) -> str | None:
    """Find the checkpoint that stands for a training; None for one that had no step left to do."""
    for callback in trainer.checkpoint_callbacks:
        assert isinstance(callback, ModelCheckpoint)
        if (callback.monitor or "").startswith("val/") and callback.best_model_path:
            return callback.best_model_path
    last = Path(trainer.log_dir or ".") / "checkpoints" / "last.ckpt"
    return str(last) if last.exists() else None


def read_record(path: Path, arguments: Sequence[str]) -> list[Stage]:
    """Read the finished stages.

    Raises:
        WSVADError: if they were trained with other arguments.
    """
    if not path.exists():
        return []
    record: dict[str, Any] = json.loads(path.read_text("utf-8"))
    if record["arguments"] != list(arguments):
        problem = f"holds stages trained with {' '.join(record['arguments'])}"
        raise WSVADError("--name", path.parent, problem, "Give the same arguments, or another --name")
    return [Stage(**stage) for stage in record["stages"]]


@rank_zero_only
def write_record(path: Path, arguments: Sequence[str], stages: Sequence[Stage]) -> None:
    """Write the finished stages."""
    record = {"arguments": list(arguments), "stages": [asdict(stage) for stage in stages]}
    write_json(record, path)


@rank_zero_only
def show(stages: Sequence[Stage], name: str) -> None:
    """Print a row a stage."""
    table = Table("stage", *SHOWN.values(), title=f"{name}: test videos, percent")
    for stage in stages:
        values = [stage.metrics.get(metric) for metric in SHOWN]
        cells = ["n/a" if value is None else f"{100 * value:.1f}" for value in values]
        table.add_row(str(stage.number), *cells)
    rich.print("", table)
    rich.print(f"the last one: {stages[-1].checkpoint}")


def parser_of(command: str) -> LightningArgumentParser:
    """Make the parser of ``wsvad stages``, which takes what ``wsvad fit`` takes."""
    return parser_of_fit()
