"""The report that ends a test."""

from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer

from wsvad_lightning.reporting.figures import optional
from wsvad_lightning.reporting.html.command import NAME, report_run


class ReportWriter(Callback):
    """Write ``report.html`` into the folder of a test, from what :class:`ScoreWriter` has written there.

    It comes after that in the list of callbacks. Where the report cannot be made, that is a note.
    """

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the report."""
        folder = Path(trainer.log_dir or ".")  # collective: every rank asks
        if trainer.is_global_zero:
            with optional(folder / NAME):
                report_run(folder, folder / NAME)
