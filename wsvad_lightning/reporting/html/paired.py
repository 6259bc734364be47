"""Differences of two scorers on the same videos, or on the same splits, with 95 % intervals."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.reporting.figures import VideoCurve

RESAMPLES, SEED, TAIL = 1000, 0, 0.025
Array = NDArray[np.float64]


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


class Areas:
    """Areas under the ROC curve of resamples of some videos.

    ``AUC = sum_ij w_i w_j U_ij / (sum_i w_i A_i sum_j w_j N_j)``, where a resample holds video i ``w_i``
    times, ``A_i`` and ``N_i`` are its anomalous and normal frames, and ``U_ij`` counts the pairs of an
    anomalous frame of i and a normal one of j that the anomalous frame wins, ties counting half.

    Args:
        videos: scores and ground truth, which must be known.

    Raises:
        WSVADError: if the ground truth of a video is unknown.
    """

    def __init__(self, videos: Sequence[VideoCurve]) -> None:
        pairs = [(video.scores, video.labels) for video in videos if video.labels is not None]
        if len(pairs) < len(videos):
            raise WSVADError("RUN", videos[0].video_id, "lacks ground truth", "Compare runs of `wsvad test`")
        anomalous = [scores[labels == 1] for scores, labels in pairs]
        normal = [np.sort(scores[labels == 0]) for scores, labels in pairs]
        self.anomalous, self.normal = (
            np.array([len(own) for own in part], float) for part in (anomalous, normal)
        )
        self.wins = np.array([[_wins(own, others) for others in normal] for own in anomalous])

    def of(self, weights: Array) -> Array:
        """Areas ``[R]`` of resamples ``[R, V]``; NaN where one lacks normal or anomalous frames."""
        won = ((weights @ self.wins) * weights).sum(axis=1)
        pairs = (weights @ self.anomalous) * (weights @ self.normal)
        return np.where(pairs > 0, won / np.maximum(pairs, 1), np.nan)


def _wins(anomalous: NDArray[np.floating[Any]], normal: NDArray[np.floating[Any]]) -> float:
    if not len(anomalous) or not len(normal):
        return 0.0
    below, up_to = (np.searchsorted(normal, anomalous, side) for side in ("left", "right"))
    return float((below.sum() + up_to.sum()) / 2)


def difference_over_videos(
    mine: Areas, others: Areas, abnormal: NDArray[np.bool_], *, inside: bool
) -> Difference:
    """Compare the areas of two scorers on the same videos, by the paired percentile bootstrap.

    Both are computed on the same resamples of videos. Normal and abnormal videos are drawn apart, as many of
    each as there are.

    Args:
        mine: of one scorer.
        others: of the other.
        abnormal: ``[V]`` which videos are.
        inside: of abnormal videos alone.
    """
    counted = abnormal.astype(float) if inside else np.ones(len(abnormal))
    value = mine.of(counted[None]) - others.of(counted[None])
    generator, weights = np.random.default_rng(SEED), np.zeros((RESAMPLES, len(abnormal)))
    for kind in (False, True):
        (own,) = np.nonzero(abnormal == kind)
        if len(own):
            weights[:, own] = generator.multinomial(len(own), np.full(len(own), 1 / len(own)), RESAMPLES)
    drawn = mine.of(weights * counted) - others.of(weights * counted)
    drawn = drawn[~np.isnan(drawn)]
    if not len(drawn):
        return Difference(float(value[0]))
    low, high = np.quantile(drawn, (TAIL, 1 - TAIL))
    return Difference(float(value[0]), float(low), float(high))


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
