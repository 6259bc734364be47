"""Which weights of a training are kept, and how they are written."""

from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import Tensor

from wsvad_lightning.checkpoint import sealed


class SealedCheckpoints(TorchCheckpointIO):
    """Write checkpoints with the checksum of each entry."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        """Write a checkpoint; see :func:`wsvad_lightning.checkpoint.sealed`."""
        super().save_checkpoint(sealed(checkpoint), path, storage_options)


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
