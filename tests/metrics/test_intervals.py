"""Intervals against another bootstrap, and how often they hold the truth."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import bootstrap, norm

from wsvad_lightning.metrics import FrameMetrics, roc_auc
from wsvad_lightning.metrics.curves import FloatArray, LabelArray
from wsvad_lightning.metrics.intervals import bootstrap_intervals
from wsvad_lightning.metrics.pools import Pool
from wsvad_lightning.timeline import SnippetGrid

Frames = tuple[FloatArray, LabelArray]


def draw_videos(number: int, seed: int) -> tuple[list[Frames], NDArray[np.int64]]:
    """Normal and as many abnormal videos of 12 frames; half of the frames of those score higher by two."""
    rng, labels = np.random.default_rng(seed), np.arange(2 * number) % 2
    truths = [np.arange(12) < 6 * label for label in labels]
    return [(rng.normal() + rng.normal(size=12) + 2 * truth, truth) for truth in truths], labels


def test_the_same_as_another_bootstrap_that_draws_videos() -> None:
    videos, labels = draw_videos(12, seed=0)
    pool = Pool(videos, range(len(videos)))
    ours = bootstrap_intervals({"frames": pool}, labels, resamples=4000)["auc"]

    def auc(normal: NDArray[np.int64], abnormal: NDArray[np.int64]) -> float:
        drawn = [videos[i] for i in (*normal, *abnormal)]
        scores, truth = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
        return roc_auc(scores, truth)

    groups = tuple(np.flatnonzero(labels == label) for label in (0, 1))
    theirs = bootstrap(groups, auc, vectorized=False, n_resamples=4000, method="percentile", rng=1)
    assert ours == pytest.approx(tuple(theirs.confidence_interval), abs=0.004)
    assert ours[1] - ours[0] > 0.1


def test_the_truth_is_inside_about_as_often_as_it_should_be() -> None:
    trials, inside = 120, 0
    for seed in range(trials):
        videos, labels = draw_videos(30, seed)
        pools = {"frames": Pool(videos, range(len(videos)))}
        low, high = bootstrap_intervals(pools, labels, resamples=200)["auc"]
        inside += low <= norm.cdf(1) <= high  # two frames differ by two on average, and deviate by two
    assert 0.85 < inside / trials < 0.99  # drawing frames would give a half


def metrics_of(*labels: int) -> FrameMetrics:
    metrics, rng = FrameMetrics(SnippetGrid(2, 2)), np.random.default_rng(3)
    for i, label in enumerate(labels):
        truth = torch.zeros(8, dtype=torch.uint8)
        truth[2:4] = label
        metrics.update(f"v{i}", torch.from_numpy(rng.random(4)), label, 8, truth)
    return metrics


def test_intervals_hold_their_metrics_and_are_the_same_again() -> None:
    metrics = metrics_of(0, 1, 0, 1, 0, 1)
    values, intervals = metrics.compute(), metrics.intervals()
    assert list(values) == list(intervals)
    assert all(low <= values[name] <= high for name, (low, high) in intervals.items())
    assert metrics.intervals() == intervals


def test_no_interval_where_a_class_has_one_video() -> None:
    assert set(metrics_of(0, 1, 0).intervals()) == {"far_normal"}
    assert set(metrics_of(1, 1).intervals()) >= {"auc", "auc_abnormal", "far_abnormal"}
    assert metrics_of(0, 1).intervals() == {}
