"""Progress of a run, counted in steps, as papers count their training."""

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn


class StepProgress(ProgressBar):
    """One bar over all steps of the training, one over the videos of each evaluation and their parts."""

    def __init__(self) -> None:
        super().__init__()
        self._enabled = True
        self._progress: Progress | None = None
        self._task, self._completed = TaskID(0), 0

    def disable(self) -> None:
        """Show nothing, as Lightning asks of all ranks but the first."""
        self._enabled = False

    def enable(self) -> None:
        """Show progress."""
        self._enabled = True

    def _start(self, what: str, total: float) -> None:
        self._completed = 0
        if not self._enabled:
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, TextColumn("{task.fields[note]}"))
        self._task = self._progress.add_task(what, total=total if total != float("inf") else None, note="")
        self._progress.start()

    def show_part(self, part: float) -> None:
        """See :class:`ShowsParts`."""
        if self._progress is not None:
            self._progress.update(self._task, completed=self._completed + part)

    def _advance(self, completed: int, note: str = "") -> None:
        self._completed = completed
        if self._progress is not None:
            self._progress.update(self._task, completed=completed, note=note)

    def _stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the bar of the training."""
        steps = trainer.estimated_stepping_batches
        self._start("fit", steps)
        self._advance(trainer.global_step)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the step and show the loss."""
        loss = trainer.progress_bar_metrics.get("loss")
        self._advance(trainer.global_step, "" if loss is None else f"loss {loss:.4f}")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the bar."""
        self._stop()

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the bar of the test."""
        self._start("test", sum(trainer.num_test_batches))

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count the videos."""
        self._advance(batch_idx + 1)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the bar."""
        self._stop()

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the bar of the prediction."""
        self._start("predict", sum(trainer.num_predict_batches))

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count the videos."""
        self._advance(batch_idx + 1)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the bar."""
        self._stop()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave the terminal as it was."""
        self._stop()
