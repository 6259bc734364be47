"""`wsvad stages`: all stages of a method that is trained in stages, each starting from the previous one."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import rich
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser
from lightning.pytorch.utilities import rank_zero_only
from rich.table import Table

from wsvad_lightning.data.loading.catalogue import Catalogue
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.files import without_nan, write_json
from wsvad_lightning.methods.base.staged import stage_of
from wsvad_lightning.reporting.tables import SHOWN
from wsvad_lightning.runs.parsed import parse_fit, parser_of_fit
from wsvad_lightning.runs.run import WSVADCLI, run_trainer
from wsvad_lightning.signals import continuing

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


Train = Callable[[Sequence[str]], tuple[WSVADCLI, str]]


def train_stages(train: Train, first: Sequence[str] = ()) -> Iterator[tuple[WSVADCLI, str]]:
    """Train the stages of a method one after the other; most methods have one.

    Args:
        train: runs ``fit`` with arguments that say which stage it is, and gives the finished run and the
            checkpoint that represents it.
        first: those arguments for the stage to begin with; none for the one that the recipe says.

    Yields:
        What ``train`` gives, stage by stage.
    """
    stage = first
    while True:
        run, checkpoint = train(stage)
        yield run, checkpoint
        number, last = stage_of(run.model)
        if number == last:
            return
        stage = arguments_of(number + 1, checkpoint)


def arguments_of(stage: int, previous: str | None) -> list[str]:
    """The arguments of ``fit`` for a stage that starts from the checkpoint ``previous``."""
    start = [] if previous is None else ["--model.previous", previous]
    return ["--model.stage", str(stage), *start]


def run_stages(args: Sequence[str]) -> list[Stage]:
    """Train and test stage after stage, with the arguments of ``wsvad fit``.

    A stage starts from the last checkpoint of the one before, or from the one that is best on held-out
    training videos where the recipe keeps one; never from the best on test videos. Run again, it continues
    where it stopped. ``runs/<name>`` gets one folder per stage, and ``stages.json``.

    Raises:
        ArgumentError: if the arguments do not parse.
        WSVADError: if the folder holds stages that were trained with other arguments, or no video is there
            to test them with.
    """
    config = parse_fit([*args, *arguments_of(1, None)])
    data = config.data
    Catalogue(data.store, data.split, data.split_index, data.annotations).require_videos("test")
    folder = Path(config.output) / config.name
    stages = read_record(folder / RECORD, args)

    def where() -> list[str]:
        return ["--output", config.output, "--name", f"{config.name}/stage{len(stages) + 1}"]

    def train(stage: Sequence[str]) -> tuple[WSVADCLI, str]:
        begun = newest(folder / f"stage{len(stages) + 1}")
        resume = [] if begun is None else ["--ckpt_path", str(begun)]
        run = run_trainer(["fit", *args, *stage, *where(), *resume])
        return run, chosen(run.trainer) or str(begun)

    if not stages or len(stages) < stages[-1].of:
        first = arguments_of(len(stages) + 1, stages[-1].checkpoint if stages else None)
        with continuing():
            for run, checkpoint in train_stages(train, first):
                method = run.config.fit.model.class_path  # a user's own is taken from no checkpoint alone
                tested = run_trainer(["test", "--model", method, "--ckpt_path", checkpoint, *where()])
                metrics = without_nan(tested.model.evaluation.results())
                stages.append(Stage(*stage_of(run.model), checkpoint, metrics))
                write_record(folder / RECORD, args, stages)
    show(stages, config.name)
    return stages


def newest(folder: Path) -> Path | None:
    """Find the last checkpoint of a training that was cut short."""
    found = folder.glob("version_*/checkpoints/last.ckpt")
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def chosen(trainer: Trainer) -> str | None:
    """Find the checkpoint that represents a training; None for one that had no step left to do."""
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
    """Print one row per stage."""
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
