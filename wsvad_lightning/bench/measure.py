"""One run of a comparison, in a process of its own: trained, tested, and its result written."""

import json
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from wsvad_lightning.bench.recipes import CHECKPOINTS
from wsvad_lightning.bench.results import Result
from wsvad_lightning.bench.workers import write_output_to
from wsvad_lightning.checkpoint import read_checkpoint, sealed
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.files import write_json, write_tensors
from wsvad_lightning.runs.run import WSVADCLI, run_trainer
from wsvad_lightning.runs.stages import train_stages

QUIET = ("--trainer.enable_progress_bar", "false")


@dataclass(frozen=True)
class Cell:
    """One training, and the test of its checkpoint.

    Attributes:
        method: name of the method.
        store: name of the store.
        selection: which checkpoint.
        split: which split.
        seed: which seed.
        folder: of its runs and its result.
        arguments: of ``wsvad fit``.
        made_from: what a result must have been made from to count.
    """

    method: str
    store: str
    selection: str
    split: int
    seed: int
    folder: Path
    arguments: list[str]
    made_from: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.method} on {self.store} split {self.split} seed {self.seed} {self.selection}"

    @property
    def pair(self) -> tuple[str, str]:
        """Method and store."""
        return self.method, self.store

    def read_result(self) -> Result | None:
        """The result that is there, unless it was made from something else."""
        try:
            result = Result(**json.loads((self.folder / "result.json").read_text("utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None
        return result if result.made_from == self.made_from else None


class WithoutPicture(WSVADCLI):
    """A test among hundreds: its scores are written, and not drawn."""

    picture = False


def train_and_test(cell: Cell) -> str:
    """Run a cell and write its result; what is printed goes to ``log.txt`` in its folder.

    Returns:
        What it reached, in a line.

    Raises:
        RuntimeError: if anything went wrong, in a line.
    """
    with in_a_line(cell.folder):
        result = measure(cell)
    write_json(asdict(result), cell.folder / "result.json")
    return str(result)


@contextmanager
def in_a_line(folder: Path) -> Iterator[None]:
    """Send what this process prints from now on to ``log.txt``, and put what goes wrong into a line.

    Args:
        folder: of the log; it is made.

    Raises:
        RuntimeError: in place of any other error.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_output_to(folder / "log.txt")
    try:
        yield
    except Exception as error:
        traceback.print_exc()
        message = str(error) if isinstance(error, WSVADError) else f"{type(error).__name__}: {error}"
        raise RuntimeError(" ".join(message.split())) from None


def measure(cell: Cell) -> Result:
    """Train all stages of a method, and test the checkpoint of the last.

    Raises:
        WSVADError: if something does not fit, or no checkpoint was chosen.
    """
    start = time.perf_counter()

    def train(stage: Sequence[str]) -> tuple[WSVADCLI, str]:
        run = run_trainer(["fit", *cell.arguments, *stage])
        return run, str(chosen(run, cell.selection))

    *_, (trained, checkpoint) = train_stages(train)
    method = trained.config.fit.model.class_path  # one of the user's own is taken from no checkpoint alone
    where = ("--output", str(cell.folder.parent), "--name", cell.folder.name)
    test = ["test", "--model", method, "--ckpt_path", checkpoint, *where, *QUIET]
    tested = run_trainer(test, WithoutPicture)
    keep_weights(Path(checkpoint))
    record = json.loads((Path(tested.trainer.log_dir or ".") / "metrics.json").read_text("utf-8"))
    return Result(
        cell.method,
        cell.store,
        cell.selection,
        cell.split,
        cell.seed,
        record["metrics"],
        cell.made_from,
        record["receipt"],
        seconds=time.perf_counter() - start,
        intervals=record["intervals"],
    )


def chosen(run: WSVADCLI, selection: str) -> Path:
    """Find the checkpoint of a finished training that represents the method.

    Raises:
        WSVADError: if none was chosen, since the training ended before the first validation.
    """
    checkpoint = Path(run.trainer.log_dir or ".") / "checkpoints" / CHECKPOINTS[selection]
    if not checkpoint.exists():
        interval = run.trainer.val_check_interval
        remedy = "Set it to at most trainer.max_steps"
        raise WSVADError("trainer.val_check_interval", interval, "the training ends before", remedy)
    return checkpoint


def keep_weights(checkpoint: Path) -> None:
    """Leave of a run's checkpoints the tested one, without the optimizer's state: a third of the size."""
    state = read_checkpoint(checkpoint)
    weights = {key: value for key, value in state.items() if key != "optimizer_states"}
    write_tensors(sealed(weights), checkpoint)
    for other in checkpoint.parent.glob("*.ckpt"):
        if other != checkpoint:
            other.unlink()
