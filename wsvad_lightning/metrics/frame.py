"""Frame-level and video-level metrics: exact, never binned, the same on one rank and on many.

Areas are taken over all distinct scores, equal scores being one point of a curve, in float64.
:class:`FrameMetrics` returns, by these names:

============== ===========================================================================================
auc            area under the ROC curve, over the frames of all videos
pr_auc         area under the precision-recall curve by trapezoids: what UR-DMU, BN-WVAD, XDVioDet, PEL4VAD
               and CLIP-TSA call AP
ap             average precision, the sum of (R_n - R_(n-1)) P_n: what VadCLIP, TEVAD and SVMAE call AP
auc_abnormal   auc over the frames of the videos that hold at least one anomalous frame
ap_abnormal    ap over the same frames
far            false-alarm rate: share of the normal frames of all videos that score above 0.5
far_normal     the same over the frames of normal videos alone
video_auc      auc of the largest snippet score of each video against the label of the video
video_acc      share of the videos whose largest snippet score is above 0.5 exactly when they are abnormal
============== ===========================================================================================

Outside the normal case there is an error, or NaN with a UserWarning that names the metric and what is
missing; never a number that is the same for every scorer:

======================================= ==================================================================
no anomalous sample                     recall, true-positive rate, areas and equal error rate are NaN
no normal sample                        precision (it would be 1 for every scorer), false-positive and
                                        false-alarm rate, areas and equal error rate are NaN
a single sample                         one class is missing: one of the rows above
constant scores                         one threshold: ROC area 0.5, ap the share of anomalous samples
NaN or infinite score                   WSVADError, in FrameMetrics with the name of the video
scores and labels of different lengths  WSVADError that names both lengths
nothing at all, labels other than 0, 1 WSVADError
a video that arrives twice              WSVADError: it would count twice
unknown frame labels of abnormal videos of all: video-level metrics only; of some: the same, with a
                                        UserWarning. Normal videos need none: all their frames are normal
======================================= ==================================================================
"""

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.metrics.expand import check_num_snippets, expand_scores
from wsvad_lightning.timeline import SnippetGrid

FloatArray = NDArray[np.float64]
LabelArray = NDArray[np.bool_]

FIELDS = 5  # of a video, before its classes


class Curve(NamedTuple):
    """Points of a curve, and the score from which on samples are called anomalous at each of them."""

    x: FloatArray
    y: FloatArray
    thresholds: FloatArray


class EqualErrorRate(NamedTuple):
    """Where the false-positive rate (FPR) equals the share of anomalous samples missed (FNR).

    Attributes:
        interpolated: the rate where both are equal, linear between neighbouring points of the ROC curve.
        nearest: (FPR + FNR) / 2 at the first point where they differ least.
        threshold: the score at that point.
    """

    interpolated: float
    nearest: float
    threshold: float


def roc_curve(scores: ArrayLike, labels: ArrayLike, name: str = "roc_curve") -> Curve:
    """Every point of the ROC curve, from (0, 0) at an infinite threshold to (1, 1).

    Args:
        scores: ``[F]`` finite scores.
        labels: ``[F]``, 0 normal and 1 anomalous.
        name: what a warning calls the metric.

    Returns:
        x false-positive rate, y true-positive rate; thresholds fall.

    Raises:
        WSVADError: if scores and labels do not work (see the module, also for missing classes).
    """
    false_positives, true_positives, thresholds = _counts(scores, labels, name)
    return Curve(_share(false_positives), _share(true_positives), thresholds)


def precision_recall_curve(
    scores: ArrayLike, labels: ArrayLike, name: str = "precision_recall_curve"
) -> Curve:
    """Every point of the precision-recall curve, ending at recall 0 and precision 1.

    Args, errors and missing classes as for :func:`roc_curve`.

    Returns:
        x recall, y precision; thresholds rise to infinity at the end.
    """
    false_positives, true_positives, thresholds = _counts(scores, labels, name)
    precision = np.ones(len(thresholds))
    if false_positives[-1]:
        precision[1:] = true_positives[1:] / (true_positives + false_positives)[1:]
    else:
        precision[:] = np.nan
    return Curve(_share(true_positives)[::-1], precision[::-1], thresholds[::-1])


def roc_auc(scores: ArrayLike, labels: ArrayLike, name: str = "roc_auc") -> float:
    """Area under :func:`roc_curve`: how often anomalous outranks normal, ties counting half."""
    return _area(roc_curve(scores, labels, name))


def pr_auc(scores: ArrayLike, labels: ArrayLike, name: str = "pr_auc") -> float:
    """Area under :func:`precision_recall_curve` by trapezoids, which most papers of the field call AP."""
    return _area(precision_recall_curve(scores, labels, name))


def average_precision(scores: ArrayLike, labels: ArrayLike, name: str = "average_precision") -> float:
    """Average precision, the sum of ``(R_n - R_(n-1)) P_n`` over :func:`precision_recall_curve`."""
    curve = precision_recall_curve(scores, labels, name)
    return float(-np.sum(np.diff(curve.x) * curve.y[:-1]))


def equal_error_rate(scores: ArrayLike, labels: ArrayLike, name: str = "equal_error_rate") -> EqualErrorRate:
    """Equal error rate on :func:`roc_curve`, both ways of reading it."""
    false_positive_rate, true_positive_rate, thresholds = roc_curve(scores, labels, name)
    excess = false_positive_rate - (1 - true_positive_rate)  # rises from -1 to 1
    if np.isnan(excess[0]):
        return EqualErrorRate(np.nan, np.nan, np.nan)
    after = int(np.argmax(excess >= 0))
    step = -excess[after - 1] / (excess[after] - excess[after - 1])
    rates = false_positive_rate[after - 1 : after + 1]
    nearest = int(np.argmin(np.abs(excess)))
    return EqualErrorRate(
        interpolated=float(rates[0] + step * (rates[1] - rates[0])),
        nearest=float(false_positive_rate[nearest] + 1 - true_positive_rate[nearest]) / 2,
        threshold=float(thresholds[nearest]),
    )


def false_alarm_rate(
    scores: ArrayLike,
    labels: ArrayLike,
    threshold: float = 0.5,
    inclusive: bool = False,
    name: str = "false_alarm_rate",
) -> float:
    """Share of the normal samples that are called anomalous.

    Args:
        scores: ``[F]`` finite scores.
        labels: ``[F]``, 0 normal and 1 anomalous.
        threshold: a sample above it is called anomalous (SVMAE).
        inclusive: so is a sample at the threshold (PEL4VAD).
        name: what a warning calls the metric.

    Raises:
        WSVADError: if scores and labels do not work (see the module).
    """
    values, anomalous = _checked(scores, labels)
    normal = values[~anomalous]
    if not len(normal):
        return _undefined(name, "no normal sample")
    return float(np.mean(normal >= threshold if inclusive else normal > threshold))


def _checked(scores: ArrayLike, labels: ArrayLike) -> tuple[FloatArray, LabelArray]:
    values, truth = np.asarray(scores, dtype=np.float64), np.asarray(labels)
    if values.ndim != 1 or values.shape != truth.shape:
        raise WSVADError(
            "scores",
            f"{values.shape} scores, {truth.shape} labels",
            "scores and labels are not two lists of one length",
            "Give one score and one label per sample",
        )
    if not len(values):
        raise WSVADError("scores", "[]", "there is nothing to measure", "Give at least one scored sample")
    if not np.isfinite(values).all():
        bad = np.flatnonzero(~np.isfinite(values))[0]
        raise WSVADError("scores", values[bad], f"score {bad} is not a finite number", "Give finite scores")
    if not np.isin(truth, (0, 1)).all():
        raise WSVADError(
            "labels", np.unique(truth), "labels are 0 or 1", "Give 0 for normal, 1 for anomalous"
        )
    return values, truth.astype(bool)


def _counts(scores: ArrayLike, labels: ArrayLike, name: str) -> tuple[FloatArray, FloatArray, FloatArray]:
    """False positives, true positives, thresholds: from nothing called anomalous to everything."""
    values, anomalous = _checked(scores, labels)
    order = np.argsort(-values, kind="stable")
    values = values[order]
    last_of_ties = np.append(np.flatnonzero(np.diff(values)), len(values) - 1)
    true_positives = np.cumsum(anomalous[order], dtype=np.float64)[last_of_ties]
    false_positives = last_of_ties + 1 - true_positives
    for missing, count in (("anomalous", true_positives[-1]), ("normal", false_positives[-1])):
        if not count:
            _undefined(name, f"no {missing} sample")
    thresholds = np.insert(values[last_of_ties], 0, np.inf)
    return np.insert(false_positives, 0, 0), np.insert(true_positives, 0, 0), thresholds


def _undefined(name: str, missing: str) -> float:
    warnings.warn(f"{name} is NaN: there is {missing}", UserWarning, stacklevel=2)
    return np.nan


def _share(counts: FloatArray) -> FloatArray:
    return counts / counts[-1] if counts[-1] else np.full(len(counts), np.nan)


def _area(curve: Curve) -> float:
    return float(abs(np.sum(np.diff(curve.x) * (curve.y[1:] + curve.y[:-1]) / 2)))


@dataclass(frozen=True)
class _Video:
    """What the metrics need of a video: ``frame_scores [F]``, ``frame_labels [F]`` or None if unknown."""

    label: int
    classes: tuple[str, ...]
    max_score: float
    frame_scores: FloatArray
    frame_labels: LabelArray | None

    @property
    def holds_anomaly(self) -> bool:
        return self.frame_labels is not None and bool(self.frame_labels.any())


class FrameMetrics(Metric):
    """Collect scored videos and compute the metrics of this module over all of them and all ranks.

    Snippet scores of any floating type are kept as float32 and expanded to frames in :meth:`compute`.

    Args:
        grid: positions of the snippets.
        classes: names of the anomaly classes.
    """

    full_state_update = False

    videos: list[
        Tensor
    ]  # one row per video: length of its id, label, frames, snippets, frame labels, classes
    ids: list[Tensor]
    scores: list[Tensor]
    frame_labels: list[Tensor]

    def __init__(self, grid: SnippetGrid, classes: Sequence[str] = ()) -> None:
        super().__init__()
        self.grid, self.classes = grid, tuple(classes)
        for state in ("videos", "ids", "scores", "frame_labels"):
            self.add_state(state, [], dist_reduce_fx="cat")

    def update(
        self,
        video_id: str,
        snippet_scores: Tensor,
        label: int,
        num_frames: int,
        frame_labels: Tensor | None = None,
        classes: Sequence[str] = (),
    ) -> None:
        """Add a video.

        Args:
            video_id: canonical name; each video may arrive once.
            snippet_scores: ``[T]``.
            label: 0 normal, 1 abnormal.
            num_frames: F.
            frame_labels: ``[F]``, 0 normal and 1 anomalous; None if only the label of the video is known.
            classes: those of the metric's that the video is of; it counts for each of them.

        Raises:
            WSVADError: if the scores are not finite or do not fit F, or the frame labels do not fit.
        """
        num_snippets = len(snippet_scores)
        check_num_snippets(num_snippets, num_frames, self.grid, video_id)
        scores = snippet_scores.detach().to(self.device, torch.float32)
        if not torch.isfinite(scores).all():
            raise WSVADError(
                "scores", video_id, "it has NaN or infinite scores", "Check its features and the model"
            )
        if frame_labels is None:
            frame_labels = torch.zeros(0 if label else num_frames)
        else:
            _check_frame_labels(video_id, frame_labels, label, num_frames)
        name = torch.tensor(list(video_id.encode()), dtype=torch.uint8)
        row = [len(name), label, num_frames, num_snippets, len(frame_labels)]
        membership = [int(own in classes) for own in self.classes]
        self.videos.append(torch.tensor([row + membership], device=self.device))
        self.ids.append(name.to(self.device))
        self.scores.append(scores)
        self.frame_labels.append(frame_labels.to(self.device, torch.uint8))

    def compute(self) -> dict[str, float]:
        """Metrics by the names of the module; only the video-level ones where frame labels are unknown.

        Raises:
            WSVADError: if no video arrived, or one arrived twice.
        """
        videos = self._collect()
        return (_frame_metrics(videos) if _frame_labels_known(videos) else {}) | _video_metrics(videos)

    def per_class(self) -> dict[str, dict[str, float]]:
        """Metrics of each class that has videos, by class name; nothing where frame labels are unknown.

        ``auc`` and ``ap`` are over the frames of the class's videos alone, ``auc_with_normal`` and
        ``ap_with_normal`` over those and the frames of all normal videos. A video of several classes counts
        for each. To be called on all ranks.

        Raises:
            WSVADError: as :meth:`compute`.
        """
        with self.sync_context():
            videos = self._collect()
        if not _frame_labels_known(videos):
            return {}
        normal = [video for video in videos if not video.label]
        metrics = {}
        for name in self.classes:
            if own := [video for video in videos if name in video.classes]:
                metrics[name] = {
                    "auc": roc_auc(*_pool(own), f"auc of {name}"),
                    "ap": average_precision(*_pool(own), f"ap of {name}"),
                    "auc_with_normal": roc_auc(*_pool(own + normal), f"auc_with_normal of {name}"),
                    "ap_with_normal": average_precision(*_pool(own + normal), f"ap_with_normal of {name}"),
                }
        return metrics

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """Gather the states of all ranks.

        A rank without videos sends empty states of the right type and shape: torchmetrics would send float32
        vectors in their place, which cannot be gathered with the integers of the other ranks.
        """
        empty = {
            "videos": torch.zeros(0, FIELDS + len(self.classes), dtype=torch.int64),
            "ids": torch.zeros(0, dtype=torch.uint8),
            "scores": torch.zeros(0),
            "frame_labels": torch.zeros(0, dtype=torch.uint8),
        }
        for state, value in empty.items():
            if not len(getattr(self, state)):
                setattr(self, state, [value.to(self.device)])
        super().sync(*args, **kwargs)

    def _collect(self) -> list[_Video]:
        rows = dim_zero_cat(self.videos).cpu().numpy()
        if not len(rows):
            raise WSVADError("videos", 0, "no video was scored", "Give at least one video to measure")
        id_lengths, label, num_frames, num_snippets, num_labels, *membership = rows.T
        ids = [part.tobytes().decode() for part in _split(self.ids, id_lengths)]
        if twice := sorted(video_id for video_id, count in Counter(ids).items() if count > 1):
            raise WSVADError("videos", ", ".join(twice[:5]), "scored more than once", "Give every video once")
        scores = [part.astype(np.float64) for part in _split(self.scores, num_snippets)]
        labels = [part.astype(bool) for part in _split(self.frame_labels, num_labels)]
        return [
            _Video(
                label=int(label[i]),
                classes=tuple(name for name, own in zip(self.classes, membership, strict=True) if own[i]),
                max_score=scores[i].max(),
                frame_scores=expand_scores(scores[i], num_frames[i], self.grid, ids[i]),
                frame_labels=labels[i] if len(labels[i]) else None,
            )
            for i in range(len(rows))
        ]


def _check_frame_labels(video_id: str, frame_labels: Tensor, label: int, num_frames: int) -> None:
    if len(frame_labels) != num_frames:
        raise WSVADError(
            "frame_labels",
            video_id,
            f"{len(frame_labels)} frame labels for a video of {num_frames} frames",
            "Give the frame count that the labels belong to",
        )
    if frame_labels.max() > 1 or (not label and frame_labels.any()):
        raise WSVADError(
            "frame_labels",
            video_id,
            f"a video labelled {label} has frame labels up to {int(frame_labels.max())}",
            "Frames are 0 or 1, and those of a normal video 0: correct its label or its intervals",
        )


def _split(state: list[Tensor], lengths: NDArray[np.int64]) -> list[NDArray[Any]]:
    return np.split(dim_zero_cat(state).cpu().numpy(), np.cumsum(lengths)[:-1])


def _frame_labels_known(videos: list[_Video]) -> bool:
    abnormal = [video for video in videos if video.label]
    unknown = sum(video.frame_labels is None for video in abnormal)
    if 0 < unknown < len(abnormal):
        warnings.warn(
            f"no frame-level metrics: {unknown} of {len(abnormal)} abnormal videos have no frame labels",
            UserWarning,
            stacklevel=2,
        )
    return not unknown


def _pool(videos: list[_Video]) -> tuple[FloatArray, LabelArray]:
    labels = [video.frame_labels for video in videos if video.frame_labels is not None]
    return np.concatenate([video.frame_scores for video in videos]), np.concatenate(labels)


def _frame_metrics(videos: list[_Video]) -> dict[str, float]:
    everything = _pool(videos)
    metrics = {
        "auc": roc_auc(*everything, "auc"),
        "pr_auc": pr_auc(*everything, "pr_auc"),
        "ap": average_precision(*everything, "ap"),
        "far": false_alarm_rate(*everything, name="far"),
    }
    if abnormal := [video for video in videos if video.holds_anomaly]:
        metrics["auc_abnormal"] = roc_auc(*_pool(abnormal), "auc_abnormal")
        metrics["ap_abnormal"] = average_precision(*_pool(abnormal), "ap_abnormal")
    else:
        for name in ("auc_abnormal", "ap_abnormal"):
            metrics[name] = _undefined(name, "no video with an anomalous frame")
    if normal := [video for video in videos if not video.label]:
        metrics["far_normal"] = false_alarm_rate(*_pool(normal), name="far_normal")
    else:
        metrics["far_normal"] = _undefined("far_normal", "no normal video")
    return metrics


def _video_metrics(videos: list[_Video]) -> dict[str, float]:
    scores = np.array([video.max_score for video in videos])
    labels = np.array([video.label for video in videos])
    return {
        "video_auc": roc_auc(scores, labels, "video_auc"),
        "video_acc": float(np.mean((scores > 0.5) == labels)),
    }
