"""The whole path on rendered videos: features, training, test, and what the numbers are worth."""

import os
import sys
import webbrowser
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import rich
import torch
import yaml
from lightning.pytorch import Callback
from rich.table import Table

from wsvad_lightning.configs import find_config
from wsvad_lightning.data.store import FeatureStore
from wsvad_lightning.demo.naming import find_alarms, name_videos
from wsvad_lightning.demo.render import DemoSpec, render_dataset
from wsvad_lightning.demo.script import ANOMALIES
from wsvad_lightning.extraction.command import extract
from wsvad_lightning.extraction.streams import StreamSpec
from wsvad_lightning.metrics import FrameMetrics, roc_auc
from wsvad_lightning.reporting.figures import VideoCurve, optional, report_figure
from wsvad_lightning.reporting.html.command import report_run
from wsvad_lightning.reporting.scores import ScoreWriter, video_curve
from wsvad_lightning.reporting.tables import steady_clock, write_events
from wsvad_lightning.runs.run import announce, run_trainer
from wsvad_lightning.types import Prediction

SPEC = DemoSpec(60, 75, 24, 30, difficulty="plain")  # under three minutes on two cores, with all that follows
CONFIG, FEATURES = "demo_sultani.yaml", "extract/flow.yaml"
# One step that changes nothing: the network stays as it was drawn, the features are normalised.
UNTRAINED = ["--model.optimizer.lr", "0", "--trainer.max_steps", "1"]
ENERGY = "flow_1x1", 0  # stream and channel: mean absolute difference of successive frames
KINDS = tuple(ANOMALIES)
SHOWN = {
    "auc": "AUC",
    "auc_abnormal": "AUC inside abnormal videos",
    "ap": "AP",
    "video_auc": "video AUC",
}


def demo(output: str = "runs/demo") -> None:
    """Render surveillance-like videos, extract features, train and test Sultani MIL next to two baselines.

    It ends with a report, which is opened on a terminal with a display.

    Args:
        output: folder for everything; what is already there is not made again.
    """
    tour(Path(output))


def tour(folder: Path, spec: DemoSpec | None = None, settings: Sequence[str] = ()) -> None:
    """Render videos, extract features, train and test Sultani MIL, and compare it with two baselines.

    Args:
        folder: where everything is kept; videos and features that are there already are not made again.
        spec: how many videos, and how they are rendered; ``SPEC`` unless given.
        settings: more arguments of ``wsvad fit``.
    """
    videos, store = folder / "data", folder / "store.h5"
    render_dataset(videos, spec=spec or SPEC)
    make_features(videos, store)
    untrained = train_and_test(folder, store, "untrained", UNTRAINED)
    trained = train_and_test(folder, store, "sultani", settings)
    show([trained, untrained, motion_energy(FeatureStore(store))], folder / "demo.png")
    if trained.run is not None:
        page = trained.run / "report.html"
        with optional(page):
            report_run(trained.run, page, str(videos / "videos"))
            open_page(page)


def make_features(videos: Path, store: Path) -> None:
    """Extract the features of the rendered videos."""
    table = videos / "annotations.csv"
    announce("extract", str(videos / "videos"), str(store), "--annotations", str(table), "--config", FEATURES)
    recipe = yaml.safe_load(find_config(FEATURES).read_text())
    streams = [StreamSpec(**stream) for stream in recipe.pop("streams")]
    extract(str(videos / "videos"), str(store), annotations=str(table), streams=streams, **recipe)


@dataclass(frozen=True)
class Evaluation:
    """What a scorer made of the test videos.

    Attributes:
        name: of the scorer.
        metrics: by the names of :mod:`wsvad_lightning.metrics.frame`.
        curves: scores and ground truth of every test video.
        run: folder of the run; None where nothing was run.
        classes: what each test video is taken for, by name; empty where nothing was run.
    """

    name: str
    metrics: dict[str, float]
    curves: list[VideoCurve]
    run: Path | None = None
    classes: Mapping[str, str] = field(default_factory=dict)


def train_and_test(folder: Path, store: Path, name: str, settings: Sequence[str]) -> Evaluation:
    """Run ``wsvad fit`` and ``wsvad test``, and name what happens in the test videos."""
    where = ["--output", str(folder), "--name", name]
    fit = ["fit", "--config", CONFIG, "--data.store", str(store), *where, *settings]
    announce(*fit)
    run = Path(run_trainer(fit).trainer.log_dir or folder)
    test = ["test", "--ckpt_path", str(run / "checkpoints" / "last.ckpt"), *where]
    announce(*test)
    tested = run_trainer(test)
    callbacks: list[Callback] = tested.trainer.callbacks  # type: ignore[attr-defined]  # typed without it
    (writer,) = (callback for callback in callbacks if isinstance(callback, ScoreWriter))
    run = Path(tested.trainer.log_dir or folder)
    classes = name_videos(tested.model.net, tested.datamodule)
    curves = [replace(curve, events=find_alarms(curve, classes[curve.video_id])) for curve in writer.curves]
    clocks = {video: steady_clock(tested.datamodule.store[video].fps) for video in classes}
    write_events(run / "events.csv", {curve.video_id: curve.events or () for curve in curves}, clocks)
    return Evaluation(name, tested.model.evaluation.results(), curves, run, classes)


def motion_energy(store: FeatureStore) -> Evaluation:
    """Score the test videos by how much the picture changes, which needs no training at all."""
    stream, channel = ENERGY
    source = store.provenance
    metrics = FrameMetrics(source.grid)
    curves = []
    for video_id in store:
        record = store[video_id]
        if record.annotation.split != "test":
            continue
        scores = torch.from_numpy(store.read(video_id, stream)[:, 0, channel].astype(np.float32))
        truth = torch.from_numpy(record.annotation.frame_labels(record.num_frames))
        metrics.update(video_id, scores, record.annotation.label, record.num_frames, truth)
        prediction = Prediction(video_id, scores, record.num_frames)
        curves.append(video_curve(prediction, truth, source.grid, record.annotation, record.fps))
    return Evaluation("motion energy", metrics.compute(), curves)


def show(evaluations: Sequence[Evaluation], picture: Path) -> None:
    """Print the tables of all scorers, and where the picture and the run of the first one are."""
    table = Table("scorer", *SHOWN.values(), title="Test videos, percent; last checkpoint")
    for evaluation in evaluations:
        table.add_row(evaluation.name, *(f"{100 * evaluation.metrics[name]:.1f}" for name in SHOWN))
    kinds = Table("scorer", *KINDS, title="AUC inside the abnormal videos of each kind, percent")
    for evaluation in evaluations:
        kinds.add_row(evaluation.name, *(f"{100 * inside(evaluation.curves, kind):.1f}" for kind in KINDS))
    named = Table("scorer", *KINDS, "all", title="Abnormal videos whose class is named right, percent")
    for evaluation in evaluations:
        if evaluation.classes:
            shares = (named_right(evaluation, own) for own in (*((kind,) for kind in KINDS), KINDS))
            named.add_row(evaluation.name, *(f"{100 * share:.0f}" for share in shares))
    rich.print("", table, "", kinds, "", named)
    best, *baselines = evaluations
    with optional(picture):
        report_figure(
            best.curves,
            picture,
            title="Rendered surveillance videos: scores of unseen ones",
            name=best.name,
            baselines={baseline.name: baseline.curves for baseline in baselines},
        )
    rich.get_console().print(f"picture: {picture}\nrun:     {best.run}", soft_wrap=True)


def inside(curves: Sequence[VideoCurve], kind: str) -> float:
    """Area under the ROC over the frames of the videos that show a kind of anomaly."""
    own = [(curve.scores, curve.labels) for curve in curves if kind in curve.classes]
    scores, labels = (np.concatenate(part) for part in zip(*own, strict=True))
    return roc_auc(scores, labels)


def named_right(evaluation: Evaluation, kinds: Sequence[str]) -> float:
    """Share of the videos that show some kinds of anomalies which are taken for what they show."""
    shown = {curve.video_id: curve.classes for curve in evaluation.curves if {*kinds} & {*curve.classes}}
    return float(np.mean([evaluation.classes[name] in classes for name, classes in shown.items()]))


def open_page(page: Path) -> None:
    """Print where a page is, and show it in a browser if somebody sits at a terminal with a display."""
    rich.get_console().print(f"report:  {page}", soft_wrap=True)
    screen = sys.platform in ("darwin", "win32") or {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys()
    if screen and sys.stdout.isatty():
        webbrowser.open(page.absolute().as_uri())
