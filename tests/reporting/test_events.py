"""Events that a test and a prediction write; the features of the store are the probabilities themselves."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor

from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.data.loading.datamodule import WSVADDataModule
from wsvad_lightning.data.store import Provenance, StoreWriter
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.reporting.scores import ScoreWriter, own_classes
from wsvad_lightning.timeline import Event
from wsvad_lightning.types import WSVADBatch

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning"),  # Lightning's use of torch
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:It is recommended to use .self.log"),  # the metrics gather the ranks
]
CALM, FALL, RIOT = [0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.1, 0.3, 0.6]


class Repeating(WSVADModule):
    """Takes features for the probabilities of normal and two classes."""

    def __init__(self, *classes: str) -> None:
        super().__init__(3)
        self.classes = classes

    def score(self, batch: WSVADBatch) -> Tensor:
        return 1 - batch.features.mean(dim=1)[..., 0]

    def classify(self, batch: WSVADBatch) -> Tensor | None:
        return batch.features.mean(dim=1) if self.classes else None


def make_store(path: Path, *, riot: tuple[str, ...], interval: str | None = None) -> Path:
    """Snippets of 4 frames: a calm video, a fall that is seen, and a riot, of these classes, seen late.

    The interval of the riot may have a class.
    """
    videos = {
        VideoAnnotation("calm", 0, split="test"): [CALM] * 5,
        VideoAnnotation("fall", 1, ("fall",), intervals=((4, 8),), split="test"): [CALM, FALL, CALM],
        VideoAnnotation("riot", 1, riot, intervals=((4, 16),), split="test", interval_classes=(interval,)): [
            CALM,
            CALM,
            RIOT,
            RIOT,
        ],
    }
    with StoreWriter(path, Provenance("none", "", 4, 4)) as writer:
        for video, values in videos.items():
            features = np.array(values, np.float32)[:, None]
            writer.add(video, {"features": features}, num_frames=4 * len(values), fps=25.0)
    return path


def run(command: str, store: Path, folder: Path, *classes: str, writer: ScoreWriter | None = None) -> Path:
    logger = CSVLogger(folder, name=command)
    trainer = Trainer(
        accelerator="cpu", logger=logger, callbacks=writer or ScoreWriter(), enable_progress_bar=False
    )
    getattr(trainer, command)(Repeating(*classes), datamodule=WSVADDataModule(str(store)))
    return Path(logger.log_dir)


def test_events_and_their_metrics_are_written(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s.h5", riot=("riot",))
    tested = run("test", store, tmp_path, "fall", "riot")
    with (tested / "events.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows == [
        [
            "video",
            "start_frame",
            "end_frame",
            "start_seconds",
            "end_seconds",
            "class",
            "score",
            "x",
            "y",
            "width",
            "height",
        ],
        ["fall", "4", "8", "0.160", "0.320", "fall", "0.7", "", "", "", ""],
        ["riot", "8", "16", "0.320", "0.640", "riot", "0.6", "", "", "", ""],
    ]
    predicted = run("predict", store, tmp_path, "fall", "riot")
    assert (predicted / "events.csv").read_bytes() == (tested / "events.csv").read_bytes()
    assert "riot,unknown,,16,25" in (predicted / "videos.csv").read_text()  # labels are not read
    assert not (predicted / "truth.csv").exists()
    assert (tested / "truth.csv").read_text().splitlines()[1:] == [
        "fall,4,8,0.160,0.320,fall",
        "riot,4,16,0.160,0.640,riot",
    ]
    rows = [row[:5] for row in csv.reader((tested / "videos.csv").read_text().splitlines())]
    assert rows[1:] == [
        ["calm", "normal", "", "20", "25"],
        ["fall", "abnormal", "fall", "12", "25"],
        ["riot", "abnormal", "riot", "16", "25"],
    ]
    record = json.loads((tested / "metrics.json").read_text())
    # The riot is seen as a fall as well, less likely: a miss behind the hit.
    assert record["metrics"]["mAP@0.5"] == 1.0
    assert record["per_class"]["riot"]["AP@0.5"] == 1.0
    assert record["per_class"]["riot"]["auc"] == pytest.approx((8 * 4 + 4 * 2) / (12 * 4))
    logged = (tested / "metrics.csv").read_text().splitlines()[0]
    assert "test/mAP@0.1" in logged
    assert "test/vadclip_mAP" in logged


def test_a_stretch_of_a_video_of_several_classes_is_an_event_of_each(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s.h5", riot=("riot", "fall"))
    record = json.loads((run("test", store, tmp_path, "fall", "riot") / "metrics.json").read_text())
    assert record["metrics"]["mAP@0.5"] == 1.0  # seen as both
    assert record["per_class"]["fall"]["auc"] < 1


def test_an_interval_of_a_class_is_an_event_of_that_class_alone(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s.h5", riot=("riot", "fall"), interval="fall")
    record = json.loads((run("test", store, tmp_path, "fall", "riot") / "metrics.json").read_text())
    assert "AP@0.5" not in record["per_class"]["riot"]
    assert record["per_class"]["fall"]["AP@0.5"] == record["metrics"]["mAP@0.5"] == 1.0


def test_abnormal_videos_of_unknown_class_leave_events_unmeasured(tmp_path: Path) -> None:
    tested = run("test", make_store(tmp_path / "s.h5", riot=()), tmp_path, "fall", "riot")
    metrics = json.loads((tested / "metrics.json").read_text())["metrics"]
    assert "auc" in metrics
    assert not [name for name in metrics if "mAP" in name]
    assert (tested / "events.csv").is_file()


def test_a_method_without_classes_tells_of_no_events(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s.h5", riot=("riot",))
    tested = run("test", store, tmp_path)
    assert not (tested / "events.csv").exists()
    record = json.loads((tested / "metrics.json").read_text())
    assert "mAP" not in record["metrics"]
    assert list(record["per_class"]["riot"]) == ["auc", "ap", "auc_with_normal", "ap_with_normal"]


def test_the_curves_of_a_test_tell_what_is_annotated(tmp_path: Path) -> None:
    several = make_store(tmp_path / "s.h5", riot=("riot", "fall"), interval="fall")
    for classes in ((), ("fall", "riot")):  # a method that knows none is measured on the same videos
        writer = ScoreWriter()
        run("test", several, tmp_path, *classes, writer=writer)
        reported = {curve.video_id: (curve.classes, curve.truths, curve.events) for curve in writer.curves}
        assert reported == {
            "calm": ((), (), None),
            "fall": (("fall",), (), None),
            "riot": (("riot", "fall"), (Event(4, 16, "fall"),), None),
        }


def test_an_interval_of_all_classes_is_named_by_all() -> None:
    classes, intervals = ("riot", "fall"), ((0, 4), (6, 9))
    video = VideoAnnotation("v", 1, classes, intervals=intervals, interval_classes=(None, "fall"))
    assert own_classes(video) == (Event(0, 4, "riot, fall"), Event(6, 9, "fall"))


def test_tables_are_written_in_the_letters_of_the_names(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s.h5", riot=("Überfall",))
    tested = run("test", store, tmp_path, "fall", "Überfall")
    assert '"Überfall": {' in (tested / "metrics.json").read_text("utf-8")
    assert "Überfall" in (tested / "events.csv").read_text("utf-8")
    assert "Überfall" in (tested / "scores.csv").read_text("utf-8")
