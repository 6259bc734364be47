"""Curves of single videos at few thresholds: what a bootstrap over the videos weighs anew.

Counts at all 65,536 levels would be 5 MB a video. A video is kept at the levels at which its counts change,
or at up to 1,024 of them. From one to the next it has the counts of the higher one.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wsvad_lightning.metrics.curves import Counts, FloatArray

KEPT = 1024  # levels of a video, and thresholds of all videos together

Rows = NDArray[np.int64]


def sketch(counts: Rows) -> Rows:
    """Keep the levels that matter.

    Args:
        counts: ``[C, L]`` of a video: what is called at each level as threshold.

    Returns:
        ``[k, 1 + C]``, a row for each kept level, from the highest to the lowest: the level, and the counts.
    """
    changes = np.diff(counts, axis=1, append=0).any(axis=0)
    levels = _chosen(np.flatnonzero(changes)[::-1])
    return np.column_stack([levels, counts[:, levels].T])


def on_thresholds(videos: Sequence[Rows]) -> tuple[Rows, NDArray[np.int64]]:
    """Bring the sketches of videos onto thresholds that they share.

    Args:
        videos: of :func:`sketch`, at least one.

    Returns:
        Counts ``[V, C, K + 1]`` from none called to all, and the thresholds ``[K]``, which fall.
    """
    levels = _chosen(np.unique(np.concatenate([rows[:, 0] for rows in videos]))[::-1])
    counts = np.zeros((len(videos), videos[0].shape[1] - 1, len(levels) + 1), dtype=np.int64)
    for own, rows in zip(counts, videos, strict=True):
        reached = np.searchsorted(-rows[:, 0], -levels, side="right")  # kept levels that are as high
        own[:, 1:] = np.concatenate([np.zeros_like(rows[:1]), rows])[reached, 1:].T
    return counts, levels


class SketchPool:
    """Samples of V videos, counted at shared thresholds; as :class:`~wsvad_lightning.metrics.pools.Pool`.

    Args:
        false: ``[V, K + 1]`` normal samples of each video that are called, from none on.
        true: ``[V, K + 1]`` anomalous ones.
        thresholds: ``[K]`` falling.
    """

    def __init__(self, false: Rows, true: Rows, thresholds: NDArray[np.int64]) -> None:
        self.videos = np.arange(len(false))
        self._false, self._true = false.astype(np.float64), true.astype(np.float64)
        self._thresholds = np.insert(thresholds.astype(np.float64), 0, np.inf)

    def __len__(self) -> int:
        return int(self._false.shape[1])

    def counts(self, weights: FloatArray) -> Counts:
        """Count the samples at each threshold, each video as often as it is weighed ``[R, V]``."""
        return Counts(weights @ self._false, weights @ self._true, self._thresholds)


def _chosen(falling: NDArray[np.int64]) -> NDArray[np.int64]:
    """At most so many of the levels, which fall: half spread evenly, half the denser the higher they are.

    Curves of regions end at one false positive per frame, long before most cells are called.
    """
    last = len(falling) - 1
    if last < KEPT:
        return falling
    places = np.concatenate([np.linspace(0, last, KEPT // 2), np.geomspace(1, last, KEPT // 2) - 1])
    return falling[np.unique(places.round().astype(np.int64))]
