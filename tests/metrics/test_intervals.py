"""Intervals against another bootstrap, and how often they hold the truth."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import bootstrap, norm

from wsvad_lightning.metrics import EventMetrics, FrameMetrics, roc_auc
from wsvad_lightning.metrics.curves import FloatArray, LabelArray
from wsvad_lightning.metrics.event import IOUS
from wsvad_lightning.metrics.intervals import bootstrap_intervals
from wsvad_lightning.metrics.pools import Pool
from wsvad_lightning.timeline import Event, SnippetGrid
from wsvad_lightning.types import NORMAL

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


def events_of(names: Sequence[str], copies: Sequence[int]) -> EventMetrics:
    """Videos with probabilities of two classes, each counted some times."""
    metrics = EventMetrics(SnippetGrid(4, 4), ("fall", "riot"))
    for i, (name, count) in enumerate(zip(names, copies, strict=True)):
        rng = np.random.default_rng(i)
        scores, start = torch.from_numpy(rng.random((12, 3)).round(1)), int(rng.integers(0, 30))
        truth = [Event(start, start + 15, name)] if name != NORMAL else [Event(0, 48, NORMAL)]
        for copy in range(count):
            metrics.update(f"{i} {copy}", scores, 48, truth)
    return metrics


KINDS = ("fall", NORMAL, "riot", "fall", NORMAL, "riot", "fall")


def test_events_of_weighted_videos_are_those_of_repeated_videos() -> None:
    once, weights = events_of(KINDS, [1] * len(KINDS)), [2, 1, 0, 3, 1, 1, 1]
    repeated = events_of(KINDS, weights).per_class()
    order, _ = once._by_name()
    values = once.resampled(np.array([weights], np.float64)[:, order])[..., 0]
    for own, name in zip(values, ("fall", "riot"), strict=True):
        assert own == pytest.approx([repeated[name][f"AP@{iou}"] for iou in IOUS], abs=1e-12), name
    assert np.isnan(once.resampled(np.array([[0.0, 0, 1, 0, 0, 1, 0]])[:, order])[0]).all()


def test_events_and_their_classes_have_intervals() -> None:
    metrics = events_of(KINDS, [1] * len(KINDS))
    whole, of_classes = metrics.intervals()
    values = metrics.compute()
    assert {*whole} == {"mAP", *(f"mAP@{iou}" for iou in IOUS)}
    assert all(low <= values[name] <= high for name, (low, high) in whole.items())
    assert {*of_classes} == {"fall", "riot"}
    assert {*events_of(("fall", NORMAL, "riot", "riot", NORMAL), [1] * 5).intervals()[1]} == {"riot"}


def test_classes_are_drawn_apart_from_others() -> None:
    metrics, rng = FrameMetrics(SnippetGrid(2, 2), ("fall", "riot", "fire")), np.random.default_rng(0)
    for i, name in enumerate(("fall", "", "riot", "fall", "", "fall")):
        truth = torch.zeros(8, dtype=torch.uint8)
        truth[2:4] = bool(name)
        metrics.update(f"v{i}", torch.from_numpy(rng.random(4)), int(bool(name)), 8, truth, [name])
    values, intervals = metrics.per_class(), metrics.intervals_per_class()
    assert intervals["riot"] == {}  # of a single video
    assert {*intervals} == {"fall", "riot"}
    assert {*intervals["fall"]} == {"auc", "ap", "auc_with_normal", "ap_with_normal"}
    for name, (low, high) in intervals["fall"].items():
        assert low - 1e-12 <= values["fall"][name] <= high + 1e-12, name


def test_no_interval_where_a_class_has_one_video() -> None:
    assert set(metrics_of(0, 1, 0).intervals()) == {"far_normal"}
    assert set(metrics_of(1, 1).intervals()) >= {"auc", "auc_abnormal", "far_abnormal"}
    assert metrics_of(0, 1).intervals() == {}
