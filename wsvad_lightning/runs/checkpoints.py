"""Which weights of a training are kept, and how they are written."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from traceback import walk_tb
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import Tensor

from wsvad_lightning.checkpoint import read_checkpoint, sealed
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.files import remove_leftovers, write_tensors
from wsvad_lightning.runs.stopping import StopAfterStep
from wsvad_lightning.shared import is_shared
from wsvad_lightning.signals import StopSignals

# What is raised where weights, states or numbers are not such as they are used.
UNSUITABLE = (
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    MemoryError,
)

RESTORING = ".checkpoint_connector"  # module of Lightning


class FirstBatch(Callback):
    """Note that a batch went through: what a checkpoint holds has then been used.

    Attributes:
        done: whether one did.
    """

    def __init__(self) -> None:
        self.done = False

    @contextmanager
    def explained(self, path: str | None) -> Iterator[None]:
        """Report what is raised before a batch went through as a fault of the checkpoint, if there is one.

        Args:
            path: of the checkpoint.

        Raises:
            WSVADError: in place of the error.
        """
        try:
            yield
        except WSVADError:
            raise
        except UNSUITABLE as error:
            if path is None or self.done:
                raise
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:100]}"
            either = "" if is_of_restoring(error) else ", or not with these settings of the trainer"
            problem = f"the run cannot go on with its weights and states{either} ({reason})"
            remedy = f"Give a file that `wsvad fit` wrote{', or other settings' if either else ''}"
            raise WSVADError("--ckpt_path", path, problem, remedy) from error

    def on_train_batch_end(self, *args: Any, **kwargs: Any) -> None:
        """Note a training batch."""
        self.done = True

    def on_validation_batch_end(self, *args: Any, **kwargs: Any) -> None:
        """Note a held-out video."""
        self.done = True

    def on_test_batch_end(self, *args: Any, **kwargs: Any) -> None:
        """Note a test video."""
        self.done = True

    def on_predict_batch_end(self, *args: Any, **kwargs: Any) -> None:
        """Note a video."""
        self.done = True


def is_of_restoring(error: Exception) -> bool:
    """Whether an error was raised while the entries of a checkpoint were taken over."""
    frames = (frame.f_globals.get("__name__", "") for frame, _ in walk_tb(error.__traceback__))
    return any(name.endswith(RESTORING) for name in frames)


class WholeCheckpoints(TorchCheckpointIO):
    """Writes checkpoints whole or not at all: a kill or a full disk leaves the one that was there.

    It also reads what :mod:`wsvad_lightning.shared` writes.

    Each has a checksum of every entry, see :func:`wsvad_lightning.checkpoint.sealed`.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint.

        Raises:
            WSVADError: if it cannot be written.
        """
        if "://" in str(path):  # on another machine, where Lightning writes
            super().save_checkpoint(sealed(checkpoint), path, storage_options)
            return
        write_tensors(sealed(checkpoint), path)

    def load_checkpoint(self, path: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Read a checkpoint, or a model that was shared."""
        return read_checkpoint(path) if is_shared(path) else super().load_checkpoint(path, *args, **kwargs)


class LastCheckpoint(StopAfterStep, ModelCheckpoint):
    """Keep ``checkpoints/last.ckpt``: saved at intervals, when a signal ends the training, and at its end.

    Args:
        signals: that end the training.
        every_steps: how many steps lie between two saves at most; None for any number.
        every_minutes: how many minutes; None for any number.

    Raises:
        WSVADError: if an interval is not positive.
    """

    def __init__(
        self, signals: StopSignals, every_steps: int | None = 100, every_minutes: float | None = 5.0
    ) -> None:
        for name, value in {"steps": every_steps, "minutes": every_minutes}.items():
            if value is not None and not value > 0:
                raise WSVADError(f"--save_every_{name}", value, "must be more than 0", "Give more, or null")
        StopAfterStep.__init__(self, signals)
        ModelCheckpoint.__init__(self, filename="last", every_n_train_steps=0, enable_version_counter=False)
        self.every_steps, self.every_minutes = every_steps, every_minutes
        self._saved_at = time.monotonic()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count the minutes from now on; clear what killed processes left of this experiment."""
        super().on_train_start(trainer, pl_module)
        self._saved_at = time.monotonic()
        of_experiment = Path(self.dirpath or ".").parent.parent.glob("version_*/checkpoints")
        resumed = [] if trainer.ckpt_path is None else [Path(trainer.ckpt_path).parent]
        for folder in (*of_experiment, *resumed) if trainer.is_global_zero else ():
            remove_leftovers(folder, "*.ckpt")

    def is_due(self, trainer: Trainer) -> bool:
        """Whether an interval has passed."""
        minutes = (time.monotonic() - self._saved_at) / 60
        by_steps = self.every_steps is not None and trainer.global_step % self.every_steps == 0
        return by_steps or (self.every_minutes is not None and minutes >= self.every_minutes)

    def save(self, trainer: Trainer) -> Path | None:
        """Save the present weights and all that the training continues from."""
        if trainer.fast_dev_run:  # type: ignore[attr-defined]  # Lightning types the trainer without it
            return None
        path = Path(self.dirpath or ".") / "last.ckpt"
        self.best_model_path = str(path)
        self._save_checkpoint(trainer, str(path))
        self._saved_at = time.monotonic()
        return path


class BestOnVal(ModelCheckpoint):
    """Keep ``checkpoints/best.ckpt``: the highest video-level AUC of held-out videos, the latest of equals.

    With few held-out videos the AUC has few values, and a hardly trained model may reach the highest.
    """

    def __init__(self) -> None:
        super().__init__(filename="best", monitor="val/video_auc", mode="max", enable_version_counter=False)

    def check_monitor_top_k(self, trainer: Trainer, current: Tensor | None = None) -> bool:
        """Whether to keep the present weights; metrics, and so the answer, are the same on all ranks."""
        best = self.best_model_score
        if current is not None and best is not None and bool(current == best):
            return True
        return super().check_monitor_top_k(trainer, current)
