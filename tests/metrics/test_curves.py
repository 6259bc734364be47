"""Curves and areas against values computed by hand and by counting pairs."""

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.metrics import (
    average_precision,
    equal_error_rate,
    false_alarm_rate,
    pr_auc,
    precision_recall_curve,
    roc_auc,
    roc_curve,
)

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
