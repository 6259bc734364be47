"""Frame-level and video-level metrics: exact, never binned, the same on one rank and on many.

How areas are taken, and what becomes of missing classes, is in :mod:`wsvad_lightning.metrics.curves`.
:class:`FrameMetrics` returns, by these names:

============== ===========================================================================================
auc            area under the ROC curve, over the frames of all videos
pr_auc         area under the precision-recall curve by trapezoids: what UR-DMU, BN-WVAD, XDVioDet, PEL4VAD
               and CLIP-TSA call AP
ap             average precision, the sum of (R_n - R_(n-1)) P_n: what VadCLIP, TEVAD and SVMAE call AP
auc_abnormal   auc over the frames of the videos that hold at least one anomalous frame
ap_abnormal    ap over the same frames
eer            equal error rate: where the ROC curve, linear between its points, has as large a share of
               false positives as of missed anomalous frames
far            false-alarm rate: share of the normal frames of all videos that score above 0.5
far_normal     the same over the frames of normal videos alone
far_abnormal   the same over the normal frames of the videos that hold at least one anomalous frame
video_auc      auc of the largest snippet score of each video against the label of the video
video_acc      share of the videos whose largest snippet score is above 0.5 exactly when they are abnormal
============== ===========================================================================================

Outside the normal case there is an error, or NaN with a UserWarning that names the metric and what is
missing:

======================================= ==================================================================
NaN or infinite score                   WSVADError with the name of the video
no video, or one that arrives twice     WSVADError
unknown frame labels of abnormal videos of all: video-level metrics only; of some: the same, with a
                                        UserWarning. Normal videos need none: all their frames are normal
======================================= ==================================================================
"""

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.metrics.curves import (
    FloatArray,
    LabelArray,
    undefined,
)
from wsvad_lightning.metrics.expand import check_num_snippets, expand_scores
from wsvad_lightning.metrics.intervals import Interval, bootstrap_intervals
from wsvad_lightning.metrics.pools import MEASURES, OF_CLASS, Measure, Pool, measure
from wsvad_lightning.timeline import SnippetGrid

FIELDS = 5  # of a video, before its classes
OF_OTHERS, OF_THE_CLASS = 0, 2  # videos as a class sees them; normal ones are 1
WITHIN = {"abnormal": " inside abnormal videos"}  # samples of other pools are those of all videos
NO_VIDEO = {"abnormal": "no video with an anomalous frame", "normal": "no normal video"}  # an empty pool


@dataclass(frozen=True)
class _Video:
    """What the metrics need of a video: ``frame_scores [F]``, ``frame_labels [F]`` or None if unknown."""

    video_id: str
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
        known = _frame_labels_known(videos)
        pools = pools_of(videos, known)
        wanted = {name: own for name, own in MEASURES.items() if known or own.pool == "videos"}
        return _values(pools, len(videos), wanted)

    def intervals(self) -> dict[str, tuple[float, float]]:
        """Intervals of 95 % of the metrics that have one, see :mod:`wsvad_lightning.metrics.intervals`.

        To be called on all ranks, which give the same.

        Raises:
            WSVADError: as :meth:`compute`.
        """
        with self.sync_context():
            videos = sorted(self._collect(), key=lambda video: video.video_id)
        labels = np.array([video.label for video in videos])
        return bootstrap_intervals(pools_of(videos, _frame_labels_known(videos)), labels)

    def intervals_per_class(self) -> dict[str, dict[str, Interval]]:
        """Intervals of 95 % of what :meth:`per_class` gives; videos of the class are drawn apart from others.

        To be called on all ranks, which give the same.

        Raises:
            WSVADError: as :meth:`compute`.
        """
        with self.sync_context():
            videos = sorted(self._collect(), key=lambda video: video.video_id)
        if not _frame_labels_known(videos):
            return {}
        return {
            name: bootstrap_intervals(pools, kinds, measures=OF_CLASS)
            for name, kinds, pools in self._pools_of_classes(videos)
        }

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
        return {
            name: _values(pools, len(videos), OF_CLASS, f" of {name}")
            for name, _, pools in self._pools_of_classes(videos)
        }

    def _pools_of_classes(
        self, videos: list[_Video]
    ) -> Iterator[tuple[str, NDArray[np.int64], dict[str, Pool]]]:
        """Give each class that has videos, what they all are to it, and the frames that it is measured on."""
        frames = [_frames(video) for video in videos]
        for name in self.classes:
            kinds = np.array([2 * (name in video.classes) + (not video.label) for video in videos])
            members = {
                "own": np.flatnonzero(kinds == OF_THE_CLASS),
                "both": np.flatnonzero(kinds != OF_OTHERS),
            }
            if len(members["own"]):
                pools = {pool: Pool([frames[i] for i in own], own) for pool, own in members.items()}
                yield name, kinds, pools

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
                video_id=ids[i],
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


def pools_of(videos: list[_Video], frame_labels_known: bool) -> dict[str, Pool]:
    """Gather the samples that metrics are over; a pool without any is left out.

    ========== =============================================================
    videos     the largest snippet score of each video, and its label
    frames     the frames of all videos
    abnormal   those of the videos that hold at least one anomalous frame
    normal     those of normal videos
    ========== =============================================================
    """
    samples = [(np.array([video.max_score]), np.array([bool(video.label)])) for video in videos]
    pools = {"videos": Pool(samples, np.arange(len(videos)))}
    if not frame_labels_known:
        return pools
    members = {
        "frames": range(len(videos)),
        "abnormal": [i for i, video in enumerate(videos) if video.holds_anomaly],
        "normal": [i for i, video in enumerate(videos) if not video.label],
    }
    frames = [_frames(video) for video in videos]
    return pools | {name: Pool([frames[i] for i in own], own) for name, own in members.items() if own}


def _frames(video: _Video) -> tuple[FloatArray, LabelArray]:
    assert video.frame_labels is not None
    return video.frame_scores, video.frame_labels


def _values(
    pools: Mapping[str, Pool], num_videos: int, measures: Mapping[str, Measure], of: str = ""
) -> dict[str, float]:
    """Metrics by name; those that are undefined are NaN, and one warning for each reason names them."""
    values = measure(pools, np.ones((1, num_videos)), measures)
    missing = {name: _missing(pools, own) for name, own in measures.items()}
    for why in dict.fromkeys(filter(None, missing.values())):
        undefined([f"{name}{of}" for name, own in missing.items() if own == why], why)
    return {name: np.nan if missing[name] else float(values[name][0]) for name in measures}


def _missing(pools: Mapping[str, Pool], own: Measure) -> str | None:
    """Why a metric is undefined; None if it is not."""
    if own.pool not in pools:
        return NO_VIDEO[own.pool]
    missing = pools[own.pool].missing(own.classes)
    return None if missing is None else f"no {missing} sample{WITHIN.get(own.pool, '')}"
