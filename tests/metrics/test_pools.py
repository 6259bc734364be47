"""Metrics of weighted videos against the same metrics of repeated frames."""

from collections.abc import Callable

import numpy as np
import pytest

from wsvad_lightning.metrics import (
    average_precision,
    equal_error_rate,
    false_alarm_rate,
    pr_auc,
    roc_auc,
)
from wsvad_lightning.metrics.curves import FloatArray, LabelArray
from wsvad_lightning.metrics.pools import MEASURES, Pool, measure

Frames = tuple[FloatArray, LabelArray]

BY_FRAMES: dict[Callable[..., object], Callable[[FloatArray, LabelArray], float]] = {
    MEASURES["auc"].function: roc_auc,
    MEASURES["pr_auc"].function: pr_auc,
    MEASURES["ap"].function: average_precision,
    MEASURES["eer"].function: lambda scores, labels: equal_error_rate(scores, labels).interpolated,
    MEASURES["far"].function: false_alarm_rate,
    MEASURES["video_acc"].function: lambda scores, labels: float(np.mean((scores > 0.5) == labels)),
}


def some_videos(levels: int, shift: float) -> list[Frames]:
    """Seven videos of unequal lengths, with runs of equal frames; the scores have a number of levels."""
    rng = np.random.default_rng(levels)
    videos = []
    for length in rng.integers(1, 30, 7):
        scores = np.repeat(rng.integers(0, levels, length) / levels + shift, 3)
        videos.append((scores, rng.random(3 * length) < 0.3))
    return videos


@pytest.mark.parametrize(("levels", "shift"), [(4, 0.0), (1000, 0.0), (7, 0.6), (7, -0.7)])
def test_weighted_videos_are_repeated_videos(levels: int, shift: float) -> None:
    videos = some_videos(levels, shift)
    weights = np.random.default_rng(1).integers(0, 4, (6, len(videos))).astype(np.float64)
    pools = dict.fromkeys(("frames", "abnormal", "normal", "videos"), Pool(videos, range(len(videos))))
    measured = measure(pools, weights)
    assert set(measured) == set(MEASURES)
    for row, counts in enumerate(weights.astype(int)):
        repeated = [video for video, count in zip(videos, counts, strict=True) for _ in range(count)]
        scores, labels = (np.concatenate(parts) for parts in zip(*repeated, strict=True))
        for name, values in measured.items():
            expected = BY_FRAMES[MEASURES[name].function](scores, labels)
            assert values[row] == pytest.approx(expected, abs=1e-12), name


def test_a_resample_without_a_class_is_nan_alone() -> None:
    normal, abnormal = (np.array([0.2, 0.8]), np.zeros(2, bool)), (np.array([0.5, 0.9]), np.ones(2, bool))
    measured = measure({"frames": Pool([normal, abnormal], [0, 1])}, np.array([[1.0, 1], [2, 0], [0, 2]]))
    assert measured["auc"].tolist() == pytest.approx([3 / 4, np.nan, np.nan], nan_ok=True)
    assert measured["ap"].tolist() == pytest.approx([5 / 6, np.nan, np.nan], nan_ok=True)
    assert measured["far"].tolist() == pytest.approx([1 / 2, 1 / 2, np.nan], nan_ok=True)
    assert measured["eer"].tolist() == pytest.approx([1 / 2, np.nan, np.nan], nan_ok=True)
