"""Confidence intervals of metrics: the percentile bootstrap over videos.

Videos are drawn with replacement, and a metric is computed anew over the frames of those drawn (B. Efron and
R. Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13). The interval ends at the 2.5 and 97.5 %
quantile of 1,000 such values. Frames are not drawn: those of one video are not independent.

Normal and abnormal videos are drawn apart, as many of each as there are: the share of abnormal videos of a
test set is decided by those who made it, and average precision depends on it.

There is no interval where a class of videos that counts has one video only: no resample differs in it. With
few videos the bootstrap's interval is too narrow; docs/metrics.md has the coverage that was measured.
"""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from wsvad_lightning.metrics.curves import FloatArray
from wsvad_lightning.metrics.pools import MEASURES, Counted, Measure, measure

Interval = tuple[float, float]
RESAMPLES, SEED, COVERAGE = 1000, 0, 0.95
AT_A_TIME = 2**18  # weighted samples: a few MB, which stay near the processor


def bootstrap_intervals(
    pools: Mapping[str, Counted],
    labels: NDArray[np.int64],
    resamples: int = RESAMPLES,
    seed: int = SEED,
    against: Mapping[str, Counted] | None = None,
    measures: Mapping[str, Measure] = MEASURES,
) -> dict[str, Interval]:
    """Give the interval of each metric that has one, by name.

    Args:
        pools: of samples, by the names in the measures.
        labels: ``[V]`` of the videos, 0 normal and 1 abnormal; videos of each label are drawn apart.
        resamples: how often to draw.
        seed: of the draws.
        against: the same pools of another scorer of these videos; the intervals are then of how much higher
            each metric is than with that one, on the same resamples.
        measures: the metrics.
    """
    enough = {name for name, pool in pools.items() if are_several(labels[pool.videos])}
    largest = max(len(pool) for own in (pools, against or {}) for pool in own.values())
    parts = []
    for weights in draw(labels, largest, resamples, seed):
        own, other = measure(pools, weights, measures), measure(against or {}, weights, measures)
        parts.append({name: own[name] - other[name] for name in own} if against else own)
    return ends_of(
        {name: [part[name] for part in parts] for name in parts[0] if measures[name].pool in enough}
    )


def ends_of(values: Mapping[str, Sequence[FloatArray]]) -> dict[str, Interval]:
    """Give the interval of each metric from its values on resamples, NaN where it is undefined."""
    tail, intervals = (1 - COVERAGE) / 2, {}
    for name, parts in values.items():
        joined = np.concatenate(parts)
        if len(known := joined[~np.isnan(joined)]):
            low, high = np.quantile(known, (tail, 1 - tail))
            intervals[name] = (float(low), float(high))
    return intervals


def number_of(video_id: str) -> int:
    """A number by whose order videos are drawn alike, whichever ranks had them."""
    return int.from_bytes(blake2b(video_id.encode(), digest_size=7).digest())


def are_several(labels: NDArray[np.int64]) -> bool:
    """Whether each label that a video has is that of another one, too."""
    return bool((np.unique(labels, return_counts=True)[1] > 1).all())


def draw(
    labels: NDArray[np.int64], rows: int, resamples: int = RESAMPLES, seed: int = SEED
) -> Iterator[FloatArray]:
    """Draw how often each video counts, some resamples ``[R, V]`` at a time.

    Args:
        labels: ``[V]`` of the videos; those of each label are drawn apart.
        rows: of the largest table that is weighed at once.
        resamples: how often to draw.
        seed: of the draws.
    """
    generator = np.random.default_rng(seed)
    weights = np.zeros((resamples, len(labels)))
    for label in np.unique(labels):
        (own,) = np.nonzero(labels == label)
        weights[:, own] = generator.multinomial(len(own), np.full(len(own), 1 / len(own)), size=resamples)
    at_once = max(1, AT_A_TIME // rows)
    for start in range(0, resamples, at_once):
        yield weights[start : start + at_once]
