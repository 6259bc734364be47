"""Differences with intervals."""

import math

import numpy as np
import pytest

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.metrics import roc_auc
from wsvad_lightning.reporting.figures import VideoCurve
from wsvad_lightning.reporting.html.paired import (
    Areas,
    difference_over_splits,
    difference_over_videos,
    t_quantile,
)

ABNORMAL = np.arange(24) < 12


def scored(quality: float, seed: int) -> list[VideoCurve]:
    """Videos of 30 frames, the middle third of abnormal ones anomalous and higher; scores have ties."""
    generator, videos = np.random.default_rng(seed), []
    for i, abnormal in enumerate(ABNORMAL):
        labels = np.zeros(30, np.uint8)
        labels[10:20] = abnormal
        scores = np.round(generator.normal(size=30) + quality * labels, 1)
        videos.append(VideoCurve(f"v{i}", scores.astype(np.float32), labels))
    return videos


def test_areas_of_resamples_are_those_of_the_frames_repeated() -> None:
    videos = scored(1.0, seed=0)
    weights = np.random.default_rng(1).integers(0, 3, size=(3, len(videos))).astype(float)
    expected = []
    for own in weights.astype(int):
        drawn = [video for video, times in zip(videos, own, strict=True) for _ in range(times)]
        labels = [video.labels for video in drawn if video.labels is not None]
        expected.append(roc_auc(np.concatenate([video.scores for video in drawn]), np.concatenate(labels)))
    assert Areas(videos).of(weights) == pytest.approx(expected)


def test_the_same_scorer_differs_by_nothing_and_a_better_one_is_higher() -> None:
    weak, strong = Areas(scored(0.5, seed=0)), Areas(scored(2.0, seed=1))
    same = difference_over_videos(weak, weak, ABNORMAL, inside=False)
    assert (same, same.verdict) == ((0, 0, 0), "not distinguishable")
    better = difference_over_videos(strong, weak, ABNORMAL, inside=True)
    assert 0 < better.low < better.value < better.high
    assert better.verdict == "higher"
    assert difference_over_videos(weak, strong, ABNORMAL, inside=False).verdict == "lower"


def test_videos_without_truth_are_refused() -> None:
    with pytest.raises(WSVADError, match="lacks ground truth"):
        Areas([VideoCurve("v", np.zeros(3, np.float32), None)])


def test_quantiles_are_those_of_the_tables_of_student() -> None:
    known = {1: 12.706, 2: 4.303, 4: 2.776, 9: 2.262, 30: 2.042}
    assert {freedom: round(t_quantile(freedom), 3) for freedom in known} == known


def test_splits_are_compared_in_pairs() -> None:
    mine, others = [0.90, 0.80, 0.95], [0.88, 0.79, 0.92]
    found = difference_over_splits(mine, others)
    reach = 4.302653 * np.std([0.02, 0.01, 0.03], ddof=1) / math.sqrt(3)
    assert found == pytest.approx((0.02, 0.02 - reach, 0.02 + reach), abs=1e-6)
    assert found.verdict == "not distinguishable"
    assert difference_over_splits([0.9], [0.8]).verdict == "no interval"
