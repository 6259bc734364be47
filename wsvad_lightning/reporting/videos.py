"""Tables of the videos of a run: how each was scored, and where it is anomalous.

``videos.csv`` has one row a video, with the columns of :class:`VideoRow`, whichever command writes it.
``truth.csv``, of tests alone, has one row an annotated anomaly, with the columns of ``events.csv`` up to the
class. Together with ``scores.csv`` they are all that a report of the run reads of its videos.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.files import write_table
from wsvad_lightning.metrics import roc_auc
from wsvad_lightning.reporting.figures import VideoCurve
from wsvad_lightning.reporting.tables import SPAN, Clock, span_cells
from wsvad_lightning.timeline import Event, runs
from wsvad_lightning.types import LABELS, UNKNOWN

TRUTH = ("video", *SPAN, "class")


class VideoRow(NamedTuple):
    """How a video was scored. Scores are those of frames, but for the highest; frames count from 0.

    Attributes:
        video: canonical name.
        label: ``normal``, ``abnormal`` or ``unknown``; a prediction knows no labels.
        classes: its anomaly classes, joined by ``;``.
        num_frames: F.
        fps: frames a second; None where unknown.
        mean_score: over all frames.
        highest_score: of any snippet, see :func:`~wsvad_lightning.reporting.figures.highest_snippet`.
        highest_frame: the frame of that snippet that scores highest.
        anomalous_frames: in the ground truth; None where that is unknown, as of all further ones.
        auc: area under the ROC curve over the frames of this video; None unless it has frames of both kinds.
        highest_normal: highest score of a normal frame; None if all are anomalous.
        highest_normal_frame: the first frame that has it.
        lowest_event: of the annotated anomalies of the video, the one whose highest score is lowest; that
            score. None if there is no anomaly.
        lowest_event_frame: its first frame.
        novelty: how unlike the training its features are; above the limit it is named, see
            :mod:`wsvad_lightning.data.loading.familiarity`. None if the checkpoint does not say.
        coding: how it is encoded otherwise than those of the training; empty if it is not, or unknown.
    """

    video: str
    label: str
    classes: str
    num_frames: int
    fps: float | None
    mean_score: float
    highest_score: float
    highest_frame: int
    anomalous_frames: int | None = None
    auc: float | None = None
    highest_normal: float | None = None
    highest_normal_frame: int | None = None
    lowest_event: float | None = None
    lowest_event_frame: int | None = None
    novelty: float | None = None
    coding: str = ""


def describe_video(curve: VideoCurve, label: int, fps: float, truth: Sequence[Event] = ()) -> VideoRow:
    """Describe how a video was scored.

    Args:
        curve: its scores, ground truth and classes.
        label: 0 normal, 1 abnormal, -1 unknown.
        fps: frames a second; NaN if unknown.
        truth: the annotated anomalies, as :func:`truth_events` gives them.
    """
    scores, labels = curve.scores, curve.labels
    highest, at = curve.peak or (float(scores.max()), int(scores.argmax()))
    row = VideoRow(
        curve.video_id,
        LABELS[label],
        ";".join(curve.classes),
        len(scores),
        None if math.isnan(fps) else fps,
        float(scores.mean(dtype=np.float64)),
        highest,
        at,
    )
    if labels is None:
        return row
    row = row._replace(anomalous_frames=int(labels.sum()))
    if truth:
        peak, first = min((float(scores[event.start : event.end].max()), event.start) for event in truth)
        row = row._replace(lowest_event=peak, lowest_event_frame=first)
    if labels.all():
        return row
    normal = np.where(labels == 0, scores, -np.inf)
    row = row._replace(highest_normal=float(normal.max()), highest_normal_frame=int(normal.argmax()))
    return row._replace(auc=roc_auc(scores, labels)) if labels.any() else row


def truth_events(annotation: VideoAnnotation, labels: NDArray[np.integer[Any]] | None) -> list[Event]:
    """Give the anomalies that the frame labels of a video consist of; none where they are unknown.

    They are the annotated intervals, several classes of one being joined by ``;``. Where a rule of a
    benchmark labels other frames than these, they are the runs of anomalous frames with the video's classes.

    Args:
        annotation: of the video.
        labels: ``[F]``, 0 normal and 1 anomalous; None if unknown.
    """
    if labels is None:
        return []
    everything = ";".join(annotation.classes)
    named = zip_longest(annotation.intervals or (), annotation.interval_classes)
    events = [Event(start, end, name or everything) for (start, end), name in named]
    marked = np.zeros(len(labels), bool)
    for event in events:
        marked[event.start : event.end] = True
    if np.array_equal(marked, labels != 0):
        return events
    return [Event(start, end, everything) for start, end in runs(labels)]


def video_rows(
    curves: Iterable[VideoCurve],
    known: Mapping[str, VideoAnnotation],
    fps: Mapping[str, float],
    novelties: Mapping[str, float | None] | None = None,
    codings: Mapping[str, str] | None = None,
) -> list[VideoRow]:
    """Describe videos, in their order.

    Args:
        curves: of the videos.
        known: what is annotated of them, by name; nothing in a prediction.
        fps: frames a second, by name; NaN where unknown.
        novelties: how unlike the training they are, by name.
        codings: how they are encoded otherwise than those of the training, by name.
    """
    rows = []
    for curve in curves:
        video = known.get(curve.video_id)
        truth = truth_events(video, curve.labels) if video else []
        row = describe_video(curve, video.label if video else UNKNOWN, fps[curve.video_id], truth)
        novelty, coding = (novelties or {}).get(curve.video_id), (codings or {}).get(curve.video_id, "")
        rows.append(row._replace(novelty=novelty, coding=coding))
    return rows


def write_videos(path: Path, rows: Iterable[VideoRow]) -> None:
    """Write ``videos.csv``.

    Args:
        path: the file.
        rows: of the videos.

    Raises:
        WSVADError: if the file cannot be written.
    """
    cells = ([f"{cell:.6g}" if isinstance(cell, float) else cell for cell in row] for row in rows)
    write_table(path, VideoRow._fields, cells)


def write_truth(path: Path, truths: Mapping[str, Sequence[Event]], clocks: Mapping[str, Clock]) -> None:
    """Write ``truth.csv``.

    Args:
        path: the file.
        truths: the annotated anomalies by video, as :func:`truth_events` gives them.
        clocks: of the videos.

    Raises:
        WSVADError: if the file cannot be written.
    """
    rows = (
        [video_id, *span_cells(event.start, event.end, clocks[video_id]), event.name]
        for video_id, own in truths.items()
        for event in own
    )
    write_table(path, TRUTH, rows)
