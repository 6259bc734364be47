"""What ``test`` and ``predict`` leave of the scores: tables, metrics with a receipt, and curves."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch.distributed
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_info
from lightning_utilities.core.imports import RequirementCache
from rich.console import Console
from torch import Tensor

from wsvad_lightning.calibration import Calibration
from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.data.loading.familiarity import LIMIT
from wsvad_lightning.files import write_json
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.metrics import expand_classes, expand_maps, expand_scores, find_events
from wsvad_lightning.reporting.alarms import (
    AlarmFigures,
    alarm_figures,
    scored_video,
    spans_of,
    table_of_alarms,
    write_alarms,
)
from wsvad_lightning.reporting.figures import (
    VideoCurve,
    highest_snippet,
    log_picture,
    optional,
    report_figure,
)
from wsvad_lightning.reporting.maps import say_nothing, strongest_region, write_maps
from wsvad_lightning.reporting.receipt import receipt
from wsvad_lightning.reporting.tables import Clock, steady_clock, tables_of, write_events, write_scores
from wsvad_lightning.reporting.videos import truth_events, video_rows, write_truth, write_videos
from wsvad_lightning.timeline import Event, SnippetGrid
from wsvad_lightning.types import Prediction, WSVADBatch

NAMED = 10  # videos that are warned of one by one

Value = TypeVar("Value")


class ScoreWriter(Callback):
    """Write what ``test`` and ``predict`` computed into the run's folder, each video once.

    ``scores.csv`` has one row per snippet, ``videos.csv`` one per video, ``maps.h5`` the maps of methods that
    give any. Where the method knows classes, ``events.csv`` has one row per event. ``test`` shows the
    metrics, and adds ``truth.csv``, ``metrics.json`` with a receipt, and ``scores.png``.

    Args:
        picture: whether to draw ``scores.png``, which takes half of the time of a small test; for Weights &
            Biases it is drawn in any case.

    Attributes:
        predictions: of the videos of this rank, with their novelty.
        truths: frame labels of the test videos of this rank, None where they are unknown.
        curves: in the end, frame scores of all videos on the first rank; of a test with ground truth.
        alarms: in the end, on the first rank, what they are worth in a test of a calibrated model.
    """

    def __init__(self, picture: bool = True) -> None:
        self.picture = picture
        self.predictions: dict[str, Prediction] = {}
        self.truths: dict[str, Tensor | None] = {}
        self.curves: list[VideoCurve] = []
        self.alarms: AlarmFigures | None = None

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: WSVADBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep a test video's scores and ground truth."""
        self.on_predict_batch_end(trainer, pl_module, outputs["predictions"], batch, batch_idx)
        for video_id, truth in zip(batch.video_ids, batch.frame_labels or [], strict=True):
            self.truths[video_id] = None if truth is None else truth.cpu()

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: WSVADBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep a video's scores, and how unlike the training it is."""
        novelty = _data(trainer).novelty
        self.predictions |= {one.video_id: one._replace(novelty=novelty(one.video_id)) for one in outputs}

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write scores and events."""
        self._write_tables(trainer, pl_module)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write scores and events, metrics with a receipt, and curves."""
        self._write_tables(trainer, pl_module)
        assert isinstance(pl_module, WSVADModule)
        folder = Path(trainer.log_dir or ".")
        evaluation = pl_module.evaluation
        metrics, per_class = evaluation.results(), evaluation.per_class()  # collective
        intervals, of_classes = evaluation.intervals()  # collective
        record = {
            "metrics": metrics,
            "intervals": intervals,
            "undefined": evaluation.undefined,
            "per_class": per_class,
            "per_class_intervals": of_classes,
            "receipt": receipt(trainer),
        }
        if not trainer.is_global_zero:
            return
        Console().print(*tables_of(metrics, per_class, intervals, of_classes))
        if self.alarms is not None:
            Console().print(table_of_alarms(self.alarms))
            record["alarms"] = self.alarms._asdict()
        write_json(record, folder / "metrics.json")
        if not (self.picture or any(isinstance(logger, WandbLogger) for logger in trainer.loggers)):
            return
        if not RequirementCache("matplotlib"):
            rank_zero_info('No picture of the scores: pip install "wsvad-lightning[report]" draws one')
            return
        with optional(folder / "scores.png"):
            report_figure(self.curves, folder / "scores.png")
            log_picture(trainer, "test/scores", folder / "scores.png")

    def _write_tables(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the tables of all videos by the frame rates of the store."""
        folder, data = Path(trainer.log_dir or "."), _data(trainer)  # collective
        predictions, truths = sorted(gather(self.predictions).values()), gather(self.truths)
        if not trainer.is_global_zero:
            return
        assert isinstance(pl_module, WSVADModule)
        classes, grid = pl_module.classes, data.info.grid
        known = {name: data.annotations[name] for name, *_ in predictions} if trainer.testing else {}
        rates = {name: data.store[name].fps for name, *_ in predictions}
        clocks = {name: steady_clock(fps) for name, fps in rates.items()}
        sizes = {name: video.frame_size for name, video in known.items()}
        events = {v.video_id: video_events(v, grid, classes, sizes.get(v.video_id)) for v in predictions}
        write_tables(folder, predictions, grid, classes, clocks, events, pl_module.calibration)
        self.curves = [
            video_curve(
                video, truths.get(video.video_id), grid, known.get(video.video_id), rates[video.video_id]
            )
            for video in predictions
        ]
        novelties = {video.video_id: video.novelty for video in predictions}
        changes = {name: data.coding_change(name) for name in novelties}
        write_videos(folder / "videos.csv", video_rows(self.curves, known, rates, novelties, changes))
        name_unfamiliar(novelties)
        name_recoded(changes)
        if say_nothing(predictions):
            rank_zero_info("The maps say nothing: their score is the same everywhere, see docs/serving.md")
        if trainer.testing:
            labels = {curve.video_id: curve.labels for curve in self.curves}
            events_of = {name: truth_events(video, labels[name]) for name, video in known.items()}
            write_truth(folder / "truth.csv", events_of, clocks)
            if pl_module.calibration is not None:
                timed = [video for video in predictions if not math.isnan(rates[video.video_id])]
                self.alarms = alarm_figures(
                    {video.video_id: scored_video(video, grid, clocks[video.video_id]) for video in timed},
                    [video.video_id for video in timed if known[video.video_id].label == 0],
                    {
                        video.video_id: spans_of(events_of[video.video_id], clocks[video.video_id])
                        for video in timed
                    },
                    pl_module.calibration,
                )


def name_unfamiliar(novelties: Mapping[str, float | None]) -> None:
    """Name the videos whose features are unlike those of the training, the most unlike first.

    A model that cannot compare them says so.

    Args:
        novelties: of the videos, by name; None where nothing is known.
    """
    if novelties and all(value is None for value in novelties.values()):
        rank_zero_info(
            "Whether these videos are like those of the training is not known: the checkpoint has no "
            "statistics to compare them with, see docs/new_camera.md"
        )
    unlike = {name: value for name, value in novelties.items() if value is not None and value > LIMIT}
    if not unlike:
        return
    strangest = sorted(unlike, key=lambda name: -unlike[name])
    for name in strangest[:NAMED]:
        rank_zero_info(f"warning: {name} is unlike the training videos, novelty {unlike[name]:.1f}")
    rank_zero_info(
        f"warning: {len(unlike)} of {len(novelties)} videos exceed the usual novelty of {LIMIT}. "
        "Another camera, light, codec or extraction? See docs/new_camera.md"
    )


def name_recoded(changes: Mapping[str, str]) -> None:
    """Name the videos that are encoded otherwise than those of the training.

    Args:
        changes: how, by name of the video; empty where they are not, or nothing is known.
    """
    recoded = [name for name, change in changes.items() if change]
    for name in recoded[:NAMED]:
        rank_zero_info(f"warning: {name} is encoded otherwise than the training videos: {changes[name]}")
    if recoded:
        rank_zero_info(
            f"warning: {len(recoded)} of {len(changes)} videos are encoded otherwise. "
            "A threshold may not hold for them, see docs/new_camera.md"
        )


def write_tables(
    folder: Path,
    predictions: Sequence[Prediction],
    grid: SnippetGrid,
    classes: Sequence[str],
    clocks: Mapping[str, Clock],
    events: Mapping[str, Sequence[Event]],
    calibration: Calibration | None = None,
) -> None:
    """Write ``scores.csv``, and ``maps.h5``, ``events.csv`` and ``alarms.csv`` where there are any.

    Args:
        folder: where to write.
        predictions: of the videos.
        grid: of the snippets.
        classes: that the method knows.
        clocks: of the videos.
        events: of the videos, by name; there are some where there are classes.
        calibration: of the model, if any; scores then have a meaning, and alarms a rule.
    """
    write_scores(folder / "scores.csv", predictions, grid, classes, clocks, calibration)
    if calibration is not None:
        write_alarms(folder / "alarms.csv", predictions, grid, clocks, calibration)
    if any(video.maps is not None for video in predictions):
        write_maps(folder / "maps.h5", predictions, grid)
    if classes:
        write_events(folder / "events.csv", events, clocks)


def _data(trainer: Trainer) -> Any:
    return trainer.datamodule  # type: ignore[attr-defined]  # Lightning types the trainer without it


def gather(mine: dict[str, Value], group: Any = None) -> dict[str, Value]:
    """Join what the ranks hold, by video: nothing twice, nothing lost.

    Args:
        mine: of this rank, by video.
        group: of all ranks, for example one that waits longer than theirs.
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return mine
    parts: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(parts, mine, group)
    return {video_id: value for part in parts for video_id, value in part.items()}


def video_events(
    prediction: Prediction, grid: SnippetGrid, classes: Sequence[str], size: tuple[int, int] | None = None
) -> tuple[Event, ...]:
    """Find the events of a video by its probabilities of classes; see :func:`find_events`.

    Args:
        prediction: of the video.
        grid: of the snippets.
        classes: that the method knows; without any there are no events.
        size: width and height of the frames; with them and maps, events have regions.
    """
    if not classes:
        return ()
    video_id, _, num_frames, class_scores, maps, *_ = prediction
    assert class_scores is not None, "a method with classes gives their probabilities"
    events = tuple(find_events(expand_classes(class_scores, num_frames, grid, video_id), classes))
    if maps is None or size is None:
        return events
    runs = expand_maps(maps.numpy(), num_frames, grid, video_id)
    return tuple(e._replace(region=strongest_region(runs, e.start, e.end, size)) for e in events)


def video_curve(
    prediction: Prediction,
    truth: Tensor | None,
    grid: SnippetGrid,
    annotation: VideoAnnotation | None = None,
    fps: float = math.nan,
) -> VideoCurve:
    """Spread a video's scores over its frames, with its ground truth, the annotated classes and the time."""
    scores = expand_scores(prediction.scores.numpy(), prediction.num_frames, grid)
    labels = None if truth is None else truth.numpy()
    times = None if math.isnan(fps) else np.arange(len(scores) + 1) / fps
    peak = highest_snippet(prediction.scores.numpy(), scores, grid)
    curve = VideoCurve(prediction.video_id, scores, labels, times=times, peak=peak)
    if annotation is None:
        return curve
    return replace(curve, classes=annotation.classes, truths=own_classes(annotation))


def own_classes(annotation: VideoAnnotation) -> tuple[Event, ...]:
    """Get the intervals of a video as events, if they have classes of their own."""
    if not annotation.interval_classes:
        return ()
    everything = ", ".join(annotation.classes)
    spans = zip(annotation.intervals or (), annotation.interval_classes, strict=True)
    return tuple(Event(start, end, name or everything) for (start, end), name in spans)
