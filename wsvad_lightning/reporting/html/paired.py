"""Differences of two scorers on the same videos, or on the same splits, with 95 % intervals."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wsvad_lightning.metrics.intervals import bootstrap_intervals
from wsvad_lightning.metrics.pools import Pool, measure
from wsvad_lightning.reporting.figures import VideoCurve

TAIL = 0.025


class Difference(NamedTuple):
    """How much higher one scorer is than another, with the ends of the interval; NaN where there is none."""

    value: float
    low: float = math.nan
    high: float = math.nan

    @property
    def verdict(self) -> str:
        """What the interval says."""
        if math.isnan(self.low) or math.isnan(self.high):
            return "no interval"
        if self.low <= 0 <= self.high:
            return "not distinguishable"
        return "higher" if self.value > 0 else "lower"


def difference_over_videos(
    mine: Sequence[VideoCurve], others: Sequence[VideoCurve], abnormal: NDArray[np.bool_]
) -> dict[str, Difference]:
    """Compare two scorers on the same videos, by the paired bootstrap.

    Args:
        mine: scores and ground truth, which must be known, of one scorer.
        others: of the other, in the same order.
        abnormal: ``[V]`` which videos are.

    Returns:
        By the names of the metrics over frames.
    """
    both, everything = (_pools_of(mine), _pools_of(others)), np.ones((1, len(abnormal)))
    values = [{name: float(own[0]) for name, own in measure(pools, everything).items()} for pools in both]
    ends = bootstrap_intervals(both[0], abnormal.astype(np.int64), against=both[1])
    return {
        name: Difference(value - values[1][name], *ends.get(name, ())) for name, value in values[0].items()
    }


def _pools_of(videos: Sequence[VideoCurve]) -> dict[str, Pool]:
    """The frames of all videos, and of those that hold an anomaly."""
    frames = [
        (video.scores.astype(np.float64), video.labels != 0) for video in videos if video.labels is not None
    ]
    own = [i for i, (_, labels) in enumerate(frames) if labels.any()]
    pools = {"frames": Pool(frames, range(len(frames)))}
    return pools | ({"abnormal": Pool([frames[i] for i in own], own)} if own else {})


def difference_over_splits(mine: Sequence[float], others: Sequence[float]) -> Difference:
    """Compare two methods on the same splits, by the t-interval of the mean of their differences.

    The splits are taken for independent. They share videos, so the interval is rather too narrow.

    Args:
        mine: a figure of each split of one method.
        others: of the other, in the same order.
    """
    differences = np.subtract(mine, others)
    value, count = float(differences.mean()), len(differences)
    if count < 2:
        return Difference(value)
    reach = t_quantile(count - 1) * float(differences.std(ddof=1)) / math.sqrt(count)
    return Difference(value, value - reach, value + reach)


def t_quantile(freedom: int, points: int = 100_001) -> float:
    """The 97.5 % quantile of Student's t distribution.

    With ``t = sqrt(freedom) tan(angle)`` its density is that of ``cos(angle) ** (freedom - 1)``.

    Args:
        freedom: degrees of freedom, at least 1.
        points: of the numeric integral.
    """
    angles = np.linspace(0, np.pi / 2, points)
    density = np.cos(angles) ** (freedom - 1)
    area = np.concatenate([[0], np.cumsum(density[1:] + density[:-1])])
    angle = np.interp(1 - 2 * TAIL, area / area[-1], angles)
    return float(math.sqrt(freedom) * np.tan(angle))
