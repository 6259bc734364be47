"""Which weights of a training are kept, and how they are written."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import Tensor

from wsvad_lightning.checkpoint import sealed
from wsvad_lightning.errors import WSVADError

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


class SealedCheckpoints(TorchCheckpointIO):
    """Write checkpoints with the checksum of each entry."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        """Write a checkpoint; see :func:`wsvad_lightning.checkpoint.sealed`."""
        super().save_checkpoint(sealed(checkpoint), path, storage_options)


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
            problem = f"the run cannot go on with its weights and states ({reason})"
            raise WSVADError("--ckpt_path", path, problem, "Give a file that `wsvad fit` wrote") from error

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


class LastCheckpoint(ModelCheckpoint):
    """Keep ``checkpoints/last.ckpt``: rewritten every hundred steps, and at the end of the training."""

    def __init__(self) -> None:
        super().__init__(filename="last", every_n_train_steps=100, enable_version_counter=False)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the final weights, whatever their step."""
        if trainer.fast_dev_run:  # type: ignore[attr-defined]  # Lightning types the trainer without it
            return
        trainer.save_checkpoint(Path(self.dirpath or ".") / "last.ckpt")


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
