"""Differences with intervals."""

import math
from dataclasses import replace

import numpy as np
import pytest

from wsvad_lightning.metrics import roc_auc
from wsvad_lightning.reporting.figures import VideoCurve
from wsvad_lightning.reporting.html.paired import (
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


def test_the_same_scorer_differs_by_nothing_and_a_better_one_is_higher() -> None:
    weak, strong = scored(0.5, seed=0), scored(2.0, seed=1)
    same = difference_over_videos(weak, weak, ABNORMAL)["auc"]
    assert (same, same.verdict) == ((0, 0, 0), "not distinguishable")
    found = difference_over_videos(strong, weak, ABNORMAL)
    for name in ("auc", "auc_abnormal", "ap"):
        assert 0 < found[name].low < found[name].value < found[name].high
        assert found[name].verdict == "higher"
    areas = [
        roc_auc(
            np.concatenate([video.scores for video in videos]),
            np.concatenate([video.labels for video in videos if video.labels is not None]),
        )
        for videos in (strong, weak)
    ]
    assert found["auc"].value == pytest.approx(areas[0] - areas[1])
    assert difference_over_videos(weak, strong, ABNORMAL)["auc_abnormal"].verdict == "lower"


def test_the_resamples_of_a_pair_are_the_same() -> None:
    """A scorer that is a little worse in every video is lower, though both intervals overlap by far."""
    videos = scored(1.0, seed=3)
    worse = [
        replace(
            video, scores=video.scores - np.float32(0.2) * (video.labels if video.labels is not None else 0)
        )
        for video in videos
    ]
    found = difference_over_videos(worse, videos, ABNORMAL)["auc"]
    assert found.verdict == "lower"
    assert found.high - found.low < abs(found.value)


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
