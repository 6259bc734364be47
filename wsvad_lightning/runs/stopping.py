"""How a run ends on a signal: after the step in hand, with a checkpoint of it and the signal's status."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from wsvad_lightning.signals import Stopped, StopSignals
from wsvad_lightning.slurm import queue_again_if_asked


class StopAfterStep(Callback):
    """End a training after the step in which a signal arrived, on all of its processes."""

    def __init__(self, signals: StopSignals) -> None:
        self.signals = signals
        self._saved: tuple[int, Path | None] | None = (
            None  # the signal and the file, when this is to be the end
        )

    def save(self, trainer: Trainer) -> Path | None:
        """Save what was reached, and give the file; nothing here."""
        return None

    def is_due(self, trainer: Trainer) -> bool:
        """Whether to save after this step in any case; never here."""
        return False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note signals from now on."""
        self.signals.noted = True

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save if that is due, or if any process received a signal; loggers get the step afterwards."""
        if trainer.fit_loop._should_accumulate():  # a checkpoint has no gradients
            return
        signum, due = divmod(highest(trainer, 2 * self.signals.received + self.is_due(trainer)), 2)
        if signum or due:
            path = self.save(trainer)
            self._saved = (signum, path) if signum else None

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Stop before the next step."""
        self.end_if_saved(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop before the next epoch."""
        self.end_if_saved(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop before a validation, which is done when the run is continued."""
        self.end_if_saved(trainer)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Stop a single process in the middle; several ones have different numbers of videos."""
        if trainer.world_size == 1 and self.signals.received and self.signals.noted:
            self.stop(trainer, self.signals.received)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop after a validation."""
        if self.signals.noted and (signum := highest(trainer, self.signals.received)):
            self.stop(trainer, signum)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the last step, whatever its number, and stop after it."""
        path = self.save(trainer)
        if signum := highest(trainer, self.signals.received):
            self.end(trainer, signum, path)
        self.signals.noted = False

    def end_if_saved(self, trainer: Trainer) -> None:
        """Stop if the step is saved after which to stop.

        Raises:
            Stopped: if so.
        """
        if self._saved is not None:
            self.end(trainer, *self._saved)

    def stop(self, trainer: Trainer, signum: int) -> None:
        """Save, and stop.

        Raises:
            Stopped: in any case.
        """
        self.end(trainer, signum, self.save(trainer))

    def end(self, trainer: Trainer, signum: int, path: Path | None) -> None:
        """Stop after what was saved in a file; a SLURM job that asks for it is queued again.

        Raises:
            Stopped: in any case.
        """
        queue_again_if_asked(trainer, signum)
        self.signals.noted = False
        saved = "" if path is None else f"; --ckpt_path {path} continues"
        raise Stopped(signum, f" after step {trainer.global_step}{saved}", agreed=True)


def highest(trainer: Trainer, mine: int) -> int:
    """Give the highest number of all processes; called on all of them."""
    if trainer.world_size == 1:
        return mine
    number = torch.tensor(mine, device=trainer.strategy.root_device)
    return int(trainer.strategy.reduce(number, reduce_op="max"))
