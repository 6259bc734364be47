"""The report that ends a test."""

from pathlib import Path

import pytest
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger

from tests.reporting.test_events import Repeating, make_store
from wsvad_lightning.data.loading.datamodule import WSVADDataModule
from wsvad_lightning.reporting.html.callback import ReportWriter
from wsvad_lightning.reporting.scores import ScoreWriter

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning"),  # Lightning's use of torch
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:It is recommended to use .self.log"),  # the metrics gather the ranks
]


class Remover(Callback):
    """Takes away what the report is made of."""

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        Path(trainer.log_dir or ".", "videos.csv").unlink()


def run(folder: Path, *between: Callback) -> Path:
    """Test a method whose classes are known, with callbacks between its tables and its report."""
    store = make_store(folder / "s.h5", riot=("riot",))
    trainer = Trainer(
        accelerator="cpu",
        logger=CSVLogger(folder, name="test", version=0),
        callbacks=[ScoreWriter(), *between, ReportWriter()],
        enable_progress_bar=False,
    )
    trainer.test(Repeating("fall", "riot"), datamodule=WSVADDataModule(str(store)))
    return folder / "test" / "version_0"


def test_a_test_ends_with_its_report(tmp_path: Path) -> None:
    text = (run(tmp_path) / "report.html").read_text("utf-8")
    assert "3 videos (2 abnormal, 1 normal)" in text
    assert '<tr><th scope="row">riot</th><td class="number">1</td><td class="number">1</td></tr>' in text


def test_a_report_that_cannot_be_made_is_a_note(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run(tmp_path, Remover())
    assert (folder / "metrics.json").is_file()
    assert "note: without" in capsys.readouterr().err
    assert not (folder / "report.html").exists()
