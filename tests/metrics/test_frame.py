"""Metrics against values computed by hand, by counting pairs, and on two ranks."""

import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from tests.metrics import ranks
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.metrics import (
    FrameMetrics,
    average_precision,
    equal_error_rate,
    false_alarm_rate,
    pr_auc,
    precision_recall_curve,
    roc_auc,
    roc_curve,
)
from wsvad_lightning.timeline import SnippetGrid

SCORES, LABELS = [0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]


def test_curves_of_four_samples() -> None:
    roc = roc_curve(SCORES, LABELS)
    assert roc.x.tolist() == [0, 0, 0.5, 0.5, 1]
    assert roc.y.tolist() == [0, 0.5, 0.5, 1, 1]
    assert roc.thresholds.tolist() == [np.inf, 0.8, 0.4, 0.35, 0.1]
    recall, precision, thresholds = precision_recall_curve(SCORES, LABELS)
    assert recall.tolist() == [1, 1, 0.5, 0.5, 0]
    assert precision.tolist() == [0.5, 2 / 3, 0.5, 1, 1]
    assert thresholds.tolist() == [0.1, 0.35, 0.4, 0.8, np.inf]


def test_areas_of_four_samples() -> None:
    assert roc_auc(SCORES, LABELS) == 0.75
    assert pr_auc(SCORES, LABELS) == pytest.approx(0.5 + 0.5 * (2 / 3 + 0.5) / 2, abs=1e-15)
    assert average_precision(SCORES, LABELS) == pytest.approx(0.5 * 2 / 3 + 0.5, abs=1e-15)


@pytest.mark.parametrize("seed", range(5))
def test_roc_area_counts_pairs_with_ties_as_half(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, labels = rng.integers(0, 6, 60) / 5, rng.integers(0, 2, 60)
    pairs = [(a > n) + 0.5 * (a == n) for a, n in product(scores[labels == 1], scores[labels == 0])]
    assert roc_auc(scores, labels) == pytest.approx(np.mean(pairs), abs=1e-14)


def test_ties_are_one_point_whatever_their_order() -> None:
    scores, labels = np.array([0.5, 0.5, 0.5, 0.5, 0.1]), np.array([1, 0, 1, 0, 0])
    for order in ([0, 1, 2, 3, 4], [4, 3, 1, 2, 0]):
        assert average_precision(scores[order], labels[order]) == 0.5
        assert pr_auc(scores[order], labels[order]) == 0.75


def test_float32_scores_keep_their_order_in_float64() -> None:
    close = np.array([0.5, np.nextafter(np.float32(0.5), np.float32(1))], dtype=np.float32)
    assert roc_auc(close, [0, 1]) == 1.0


def test_equal_error_rate_on_a_point_and_between_points() -> None:
    assert equal_error_rate(SCORES, LABELS) == (0.5, 0.5, 0.4)
    # ROC points (0, 0), (1/2, 1), (1, 1): the rates cross at two thirds of the first stretch.
    assert equal_error_rate([1, 1, 0], [1, 0, 0]) == pytest.approx((1 / 3, 0.25, 1.0), abs=1e-15)


def test_false_alarm_rate_above_and_at_the_threshold() -> None:
    scores, labels = [0.5, 0.6, 0.4, 0.1, 0.9], [0, 0, 0, 0, 1]
    assert false_alarm_rate(scores, labels) == 0.25
    assert false_alarm_rate(scores, labels, inclusive=True) == 0.5
    assert false_alarm_rate(scores, labels, threshold=0.05) == 1.0


@pytest.mark.parametrize("metric", [roc_auc, pr_auc, average_precision, equal_error_rate])
@pytest.mark.parametrize(
    ("labels", "missing"), [([0, 0], "anomalous"), ([1, 1], "normal"), ([1], "normal"), ([0], "anomalous")]
)
def test_a_missing_class_gives_nan_and_a_warning(
    metric: Callable[..., Any], labels: list[int], missing: str
) -> None:
    with pytest.warns(
        UserWarning, match=f"^{metric.__name__} is NaN: there is no {missing} sample$"
    ) as caught:
        assert np.isnan(metric(np.linspace(0, 1, len(labels)), labels)).all()
    assert len(caught) == 1


def test_a_missing_class_leaves_the_rest_of_a_curve() -> None:
    with pytest.warns(UserWarning, match="roc_curve is NaN: there is no anomalous"):
        roc = roc_curve([0.2, 0.8], [0, 0])
    assert roc.x.tolist() == [0, 0.5, 1]
    assert np.isnan(roc.y).all()
    with pytest.warns(UserWarning, match="precision_recall_curve is NaN: there is no normal"):
        curve = precision_recall_curve([0.2, 0.8], [1, 1])
    assert curve.x.tolist() == [1, 0.5, 0]
    assert np.isnan(curve.y).all()


def test_false_alarm_rate_needs_normal_samples_only() -> None:
    assert false_alarm_rate([0.2, 0.8], [0, 0]) == 0.5
    with pytest.warns(UserWarning, match="false_alarm_rate is NaN: there is no normal sample"):
        assert np.isnan(false_alarm_rate([0.2, 0.8], [1, 1]))


def test_constant_scores_know_nothing() -> None:
    labels = [0, 0, 0, 1]
    assert roc_auc([0.7] * 4, labels) == 0.5
    assert average_precision([0.7] * 4, labels) == 0.25


@pytest.mark.parametrize("metric", [roc_curve, precision_recall_curve, roc_auc, false_alarm_rate])
@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ([0.5, np.nan], [0, 1], "score 1 is not a finite number"),
        ([np.inf, 0.5], [0, 1], "score 0 is not a finite number"),
        ([0.5, 0.5, 0.5], [0, 1], r"\(3,\) scores, \(2,\) labels"),
        ([[0.5], [0.6]], [[0], [1]], "not two lists of one length"),
        ([], [], "nothing to measure"),
        ([0.1, 0.2], [0, 2], "labels are 0 or 1"),
    ],
)
def test_wrong_input_is_named(
    metric: Callable[..., Any], scores: list[float], labels: list[int], message: str
) -> None:
    with pytest.raises(WSVADError, match=message):
        metric(scores, labels)


def intervals(num_frames: int, *pairs: tuple[int, int]) -> Tensor:
    labels = torch.zeros(num_frames, dtype=torch.uint8)
    for start, end in pairs:
        labels[start:end] = 1
    return labels


def small_metrics() -> FrameMetrics:
    """Two snippets of two frames a video: two abnormal videos of two classes, two normal ones."""
    metrics = FrameMetrics(SnippetGrid(2, 2), ["fall", "fight", "riot"])
    metrics.update("a", torch.tensor([0.9, 0.2]), 1, 4, intervals(4, (0, 2)), ["fall"])
    metrics.update("b", torch.tensor([0.4, 0.3]), 1, 4, intervals(4, (1, 2)), ["fight"])
    metrics.update("c", torch.tensor([0.1, 0.6]), 0, 4, intervals(4))
    metrics.update("d", torch.tensor([0.0, 0.1]), 0, 4)
    return metrics


def test_frame_metrics_of_a_small_set() -> None:
    # Frames by score: 0.9 aa, 0.6 nn, 0.4 na, 0.3 nn, 0.2 nn, 0.1 nnnn, 0.0 nn.
    assert small_metrics().compute() == pytest.approx(
        {
            "auc": (2 * 13 + 1 * (10 + 0.5)) / (3 * 13),
            "pr_auc": 2 / 3 + (1 / 2 + 3 / 6) / 2 / 3,
            "ap": 2 / 3 + (3 / 6) / 3,
            "auc_abnormal": (2 * 5 + 1 * 4.5) / (3 * 5),
            "ap_abnormal": 2 / 3 + (3 / 4) / 3,
            "far": 2 / 13,
            "far_normal": 2 / 8,
            "video_auc": 3 / 4,
            "video_acc": 2 / 4,
        },
        abs=1e-12,
    )


def test_per_class_metrics_of_the_classes_that_have_videos() -> None:
    measured = small_metrics().per_class()
    assert list(measured) == ["fall", "fight"]
    assert set(measured["fall"].values()) == {1.0}
    # With the normal frames: 0.6 nn, 0.4 na, 0.3 nn, and below.
    assert measured["fight"] == pytest.approx(
        {"auc": 2.5 / 3, "ap": 1 / 2, "auc_with_normal": 8.5 / 11, "ap_with_normal": 1 / 4}
    )


def test_a_video_of_several_classes_counts_for_each() -> None:
    metrics = small_metrics()
    before = metrics.per_class()
    metrics.update("e", torch.tensor([0.2, 0.8]), 1, 4, intervals(4, (0, 2)), ["riot", "fight"])
    after = metrics.per_class()
    assert list(after) == ["fall", "fight", "riot"]
    assert after["fall"] == before["fall"]
    assert after["riot"]["auc"] == 0.0
    assert after["fight"]["auc"] == pytest.approx((0 + 0 + 2.5 + 0) / (3 * 5))


def test_snippets_are_expanded_to_the_frames_of_the_video() -> None:
    metrics = FrameMetrics(SnippetGrid(4, 2))
    metrics.update("a", torch.tensor([0.0, 1.0]), 1, 7, intervals(7, (3, 7)))
    # Frame scores 0, 0, 1/2, 1/2, 1, 1, 1: one normal frame ties with one anomalous one.
    with pytest.warns(UserWarning, match="far_normal|video_auc"):
        assert metrics.compute()["auc"] == pytest.approx((3 * 3 + 2.5) / (4 * 3))


def test_low_precision_scores_are_measured_as_they_are() -> None:
    exact, rounded = FrameMetrics(SnippetGrid(1, 1)), FrameMetrics(SnippetGrid(1, 1))
    scores = torch.linspace(0.4, 0.6, 50)
    for video, label in (("a", 1), ("b", 0)):
        labels = intervals(50, (25, 50)) if label else None
        exact.update(video, scores.bfloat16().float(), label, 50, labels)
        rounded.update(video, scores.bfloat16(), label, 50, labels)
    assert exact.compute() == rounded.compute()


def test_order_does_not_matter_and_reset_starts_anew() -> None:
    rng = np.random.default_rng(0)
    videos = [(f"v{i}", torch.from_numpy(rng.random(9)), i % 2, intervals(9, (i % 4, 6))) for i in range(8)]
    metrics, values = FrameMetrics(SnippetGrid(1, 1)), []
    for order in (videos, videos[::-1]):
        metrics.reset()
        for video, scores, label, labels in order:
            metrics.update(video, scores, label, 9, labels if label else None)
        values.append(metrics.compute())
    assert values[0] == values[1]


def test_unknown_frame_labels_leave_the_video_level() -> None:
    metrics = FrameMetrics(SnippetGrid(2, 2), ["fall"])
    metrics.update("a", torch.tensor([0.9, 0.2]), 1, 4, None, ["fall"])
    metrics.update("b", torch.tensor([0.4, 0.2]), 0, 4)
    assert metrics.compute() == {"video_auc": 1.0, "video_acc": 1.0}
    assert metrics.per_class() == {}


def test_partly_unknown_frame_labels_are_not_measured_in_part() -> None:
    metrics = small_metrics()
    metrics.update("e", torch.tensor([0.9, 0.2]), 1, 4, None, ["fall"])
    with pytest.warns(UserWarning, match="1 of 3 abnormal videos have no frame labels"):
        assert set(metrics.compute()) == {"video_auc", "video_acc"}


def test_normal_videos_alone_give_false_alarms_and_named_nans() -> None:
    metrics = FrameMetrics(SnippetGrid(2, 2))
    metrics.update("a", torch.tensor([0.9, 0.2]), 0, 4)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        values = metrics.compute()
    assert (values["far"], values["far_normal"], values["video_acc"]) == (0.5, 0.5, 0.0)
    undefined = {name for name, value in values.items() if np.isnan(value)}
    assert undefined == {"auc", "pr_auc", "ap", "auc_abnormal", "ap_abnormal", "video_auc"}
    assert {str(warning.message).split(" is NaN")[0] for warning in caught} == undefined


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"snippet_scores": torch.tensor([0.5, torch.nan])}, "'door': it has NaN or infinite scores"),
        ({"snippet_scores": torch.tensor([torch.inf, 0.0])}, "'door': it has NaN or infinite scores"),
        ({"snippet_scores": torch.zeros(3)}, "'door': 3 snippets do not fit 4 frames"),
        ({"snippet_scores": torch.zeros(0)}, "'door': 0 snippets do not fit 4 frames"),
        ({"frame_labels": intervals(5)}, "'door': 5 frame labels for a video of 4 frames"),
        ({"frame_labels": 255 * intervals(4, (0, 1))}, "'door': .* up to 255"),
        ({"label": 0}, "'door': a video labelled 0 has frame labels up to 1"),
    ],
)
def test_a_video_that_does_not_fit_is_named(arguments: dict[str, Any], message: str) -> None:
    metrics = FrameMetrics(SnippetGrid(2, 2))
    good: dict[str, Any] = {
        "snippet_scores": torch.zeros(2),
        "label": 1,
        "frame_labels": intervals(4, (0, 1)),
    }
    with pytest.raises(WSVADError, match=message):
        metrics.update(video_id="door", num_frames=4, **(good | arguments))


def test_a_video_counts_once() -> None:
    metrics = small_metrics()
    metrics.update("a", torch.tensor([0.1, 0.2]), 0, 4)
    with pytest.raises(WSVADError, match="'a': scored more than once"):
        metrics.compute()


def test_no_video_at_all_is_an_error() -> None:
    metrics = FrameMetrics(SnippetGrid(2, 2))
    with (
        pytest.warns(UserWarning, match="before the ``update`` method"),
        pytest.raises(WSVADError, match="no video"),
    ):
        metrics.compute()


def test_metrics_live_in_a_module_without_touching_its_checkpoint() -> None:
    metrics, module = FrameMetrics(SnippetGrid(1, 1)), LightningModule()
    module.metrics = metrics
    module.to(torch.bfloat16)
    for video, label, score in (("a", 1, 0.5001), ("b", 0, 0.5)):  # one and the same number in bf16
        metrics.update(video, torch.tensor([score]), label, 1)
    assert metrics.compute()["video_auc"] == 1.0
    assert module.state_dict() == {}


def test_two_ranks_agree_with_one(tmp_path: Path) -> None:
    expected = ranks.measure(ranks.some_videos())
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for measured in pool.map(ranks.run_rank, range(2), 2 * [str(tmp_path / "rendezvous")]):
            assert measured == [expected] * 3
