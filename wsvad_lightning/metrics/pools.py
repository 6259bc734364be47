"""The metrics of many videos as functions of counts, which a resample of the videos only weighs anew.

A pool holds samples of videos: frames, or the videos themselves. Runs of equal frames are one row of a pool.
:data:`MEASURES` defines every metric of :class:`~wsvad_lightning.metrics.frame.FrameMetrics` once, over one
of the pools.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from wsvad_lightning.metrics.curves import (
    ALARM,
    Counts,
    FloatArray,
    LabelArray,
    accuracy,
    alarm_share,
    crossing,
    pr_area,
    precision_sum,
    roc_area,
)


class Measure(NamedTuple):
    """A metric.

    Attributes:
        pool: of what samples, see :func:`~wsvad_lightning.metrics.frame.pools_of`.
        function: from counts ``[..., K + 1]`` to the metric ``[...]``.
        classes: that must have samples; without them it is NaN.
    """

    pool: str
    function: Callable[[Counts], FloatArray]
    classes: tuple[str, ...] = ("anomalous", "normal")


MEASURES = {
    "auc": Measure("frames", roc_area),
    "pr_auc": Measure("frames", pr_area),
    "ap": Measure("frames", precision_sum),
    "eer": Measure("frames", crossing),
    "far": Measure("frames", alarm_share, ("normal",)),
    "auc_abnormal": Measure("abnormal", roc_area),
    "ap_abnormal": Measure("abnormal", precision_sum),
    "far_abnormal": Measure("abnormal", alarm_share, ("normal",)),
    "far_normal": Measure("normal", alarm_share, ("normal",)),
    "video_auc": Measure("videos", roc_area),
    "video_acc": Measure("videos", accuracy, ()),
}


OF_CLASS = {  # of a class: over the frames of its videos, and over those and the frames of normal videos
    "auc": Measure("own", roc_area),
    "ap": Measure("own", precision_sum),
    "auc_with_normal": Measure("both", roc_area),
    "ap_with_normal": Measure("both", precision_sum),
}


class Counted(Protocol):
    """Samples of videos, which resamples of the videos weigh."""

    videos: NDArray[np.int64]

    def __len__(self) -> int: ...

    def counts(self, weights: FloatArray) -> Counts:
        """Count the samples at thresholds, each video as often as it is weighed ``[R, V]``."""


class Pool:
    """Samples of V videos, sorted by falling score.

    Args:
        samples: scores ``[F]`` and labels ``[F]`` of each video of the pool.
        videos: the number of each of them, from 0 to V - 1.
    """

    def __init__(
        self, samples: Sequence[tuple[FloatArray, LabelArray]], videos: Sequence[int] | NDArray[np.int64]
    ) -> None:
        self.videos = np.asarray(videos, dtype=np.int64)
        parts = [_counted(scores, labels) for scores, labels in samples]
        scores, labels, lengths = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        owners = np.repeat(self.videos, [len(part[0]) for part in parts])
        order = np.argsort(-scores, kind="stable")
        scores, labels, lengths = scores[order], labels[order], lengths[order]
        self._owners = owners[order]
        self._normal, self._anomalous = lengths * ~labels, lengths * labels
        last = _kept(scores, labels)
        self._first = np.insert(last[:-1] + 1, 0, 0)
        self._thresholds = np.insert(scores[last], 0, np.inf)

    def __len__(self) -> int:
        return len(self._owners)

    def counts(self, weights: FloatArray) -> Counts:
        """Count the samples at each threshold that matters.

        Between two anomalous samples the curves are straight. Only their ends are thresholds, and 0.5.

        Args:
            weights: ``[R, V]`` how often each video is counted in each of R resamples.
        """
        chosen = weights[:, self._owners]
        false_positives, true_positives = (
            np.insert(np.add.reduceat(chosen * own, self._first, axis=1).cumsum(axis=1), 0, 0, axis=1)
            for own in (self._normal, self._anomalous)
        )
        return Counts(false_positives, true_positives, self._thresholds)

    def missing(self, classes: Sequence[str]) -> str | None:
        """Name the first of some classes that has no sample."""
        totals = {"anomalous": self._anomalous.sum(), "normal": self._normal.sum()}
        return next((name for name in classes if not totals[name]), None)


def measure(
    pools: Mapping[str, Counted], weights: FloatArray, measures: Mapping[str, Measure] = MEASURES
) -> dict[str, FloatArray]:
    """Compute the metrics of the pools that there are: ``[R]`` each, NaN where a class has no sample.

    Args:
        pools: by the names in the measures.
        weights: ``[R, V]`` how often each video is counted in each of R resamples.
        measures: the metrics.
    """
    counts = {name: pool.counts(weights) for name, pool in pools.items()}
    return {name: own.function(counts[own.pool]) for name, own in measures.items() if own.pool in counts}


def _kept(scores: FloatArray, labels: LabelArray) -> NDArray[np.int64]:
    """Last rows of the scores that are kept as thresholds, of rows by falling score."""
    last = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
    rises = np.diff(np.cumsum(labels)[last], prepend=0) > 0
    ends = np.append(rises[1:], True)
    alarms = np.append((scores[last[:-1]] > ALARM) & (scores[last[1:]] <= ALARM), False)
    return np.asarray(last[rises | ends | alarms])


def _counted(scores: FloatArray, labels: LabelArray) -> tuple[FloatArray, LabelArray, FloatArray]:
    """Scores and labels of runs of equal samples, and how long they are."""
    changes = np.flatnonzero((np.diff(scores) != 0) | (np.diff(labels.astype(np.int8)) != 0)) + 1
    starts = np.insert(changes, 0, 0)
    lengths = np.diff(np.append(starts, len(scores))).astype(np.float64)
    return scores[starts], labels[starts], lengths
