"""Curves over scores, and the areas under them: exact, never binned.

Areas are taken over all distinct scores, equal scores being one point of a curve, in float64. Outside the
normal case there is an error, or NaN with a UserWarning that names the metric and what is missing; never a
number that is the same for every scorer:

======================================= ==================================================================
no anomalous sample                     recall, true-positive rate, areas and equal error rate are NaN
no normal sample                        precision (it would be 1 for every scorer), false-positive and
                                        false-alarm rate, areas and equal error rate are NaN
a single sample                         one class is missing: one of the rows above
constant scores                         one threshold: ROC area 0.5, ap the share of anomalous samples
NaN or infinite score                   WSVADError
scores and labels of different lengths  WSVADError that names both lengths
nothing at all, labels other than 0, 1  WSVADError
======================================= ==================================================================
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wsvad_lightning.errors import WSVADError

FloatArray = NDArray[np.float64]
LabelArray = NDArray[np.bool_]

ALARM = 0.5  # a score above it is an alarm

_NOTED: ContextVar[dict[str, str]] = ContextVar("reasons")


class Curve(NamedTuple):
    """Points of a curve, and the score from which on samples are called anomalous at each of them."""

    x: FloatArray
    y: FloatArray
    thresholds: FloatArray


class Counts(NamedTuple):
    """Samples that are called anomalous from each of K distinct scores on.

    Attributes:
        false_positives: ``[..., K + 1]`` normal ones: from none to all.
        true_positives: ``[..., K + 1]`` anomalous ones: from none to all.
        thresholds: ``[K + 1]`` falling, from infinity.
    """

    false_positives: FloatArray
    true_positives: FloatArray
    thresholds: FloatArray


class EqualErrorRate(NamedTuple):
    """Where the false-positive rate (FPR) equals the share of anomalous samples missed (FNR).

    Attributes:
        interpolated: the rate where both are equal, linear between neighbouring points of the ROC curve.
        nearest: (FPR + FNR) / 2 at the first point where they differ least.
        threshold: the score at that point.
    """

    interpolated: float
    nearest: float
    threshold: float


def roc_curve(scores: ArrayLike, labels: ArrayLike, name: str = "roc_curve") -> Curve:
    """Every point of the ROC curve, from (0, 0) at an infinite threshold to (1, 1).

    Args:
        scores: ``[F]`` finite scores.
        labels: ``[F]``, 0 normal and 1 anomalous.
        name: what a warning calls the metric.

    Returns:
        x false-positive rate, y true-positive rate; thresholds fall.

    Raises:
        WSVADError: if scores and labels do not work (see the module, also for missing classes).
    """
    counts = _counts(scores, labels, name)
    return Curve(share_of(counts.false_positives), share_of(counts.true_positives), counts.thresholds)


def precision_recall_curve(
    scores: ArrayLike, labels: ArrayLike, name: str = "precision_recall_curve"
) -> Curve:
    """Every point of the precision-recall curve, ending at recall 0 and precision 1.

    Args, errors and missing classes as for :func:`roc_curve`.

    Returns:
        x recall, y precision; thresholds rise to infinity at the end.
    """
    counts = _counts(scores, labels, name)
    recall, precision = share_of(counts.true_positives), _precision(counts)
    return Curve(recall[::-1], precision[::-1], counts.thresholds[::-1])


def roc_auc(scores: ArrayLike, labels: ArrayLike, name: str = "roc_auc") -> float:
    """Area under :func:`roc_curve`: how often anomalous outranks normal, ties counting half."""
    return float(roc_area(_counts(scores, labels, name)))


def pr_auc(scores: ArrayLike, labels: ArrayLike, name: str = "pr_auc") -> float:
    """Area under :func:`precision_recall_curve` by trapezoids, which most papers of the field call AP."""
    return float(pr_area(_counts(scores, labels, name)))


def average_precision(scores: ArrayLike, labels: ArrayLike, name: str = "average_precision") -> float:
    """Average precision, the sum of ``(R_n - R_(n-1)) P_n`` over :func:`precision_recall_curve`."""
    return float(precision_sum(_counts(scores, labels, name)))


def equal_error_rate(scores: ArrayLike, labels: ArrayLike, name: str = "equal_error_rate") -> EqualErrorRate:
    """Equal error rate on :func:`roc_curve`, both ways of reading it."""
    counts = _counts(scores, labels, name)
    false_positive_rate, miss_rate = share_of(counts.false_positives), 1 - share_of(counts.true_positives)
    difference = np.abs(false_positive_rate - miss_rate)
    if np.isnan(difference[0]):
        return EqualErrorRate(np.nan, np.nan, np.nan)
    nearest = int(np.argmin(difference))
    return EqualErrorRate(
        interpolated=float(crossing(counts)),
        nearest=float(false_positive_rate[nearest] + miss_rate[nearest]) / 2,
        threshold=float(counts.thresholds[nearest]),
    )


def false_alarm_rate(
    scores: ArrayLike,
    labels: ArrayLike,
    threshold: float = ALARM,
    inclusive: bool = False,
    name: str = "false_alarm_rate",
) -> float:
    """Share of the normal samples that are called anomalous.

    Args:
        scores: ``[F]`` finite scores.
        labels: ``[F]``, 0 normal and 1 anomalous.
        threshold: a sample above it is called anomalous (SVMAE).
        inclusive: so is a sample at the threshold (PEL4VAD).
        name: what a warning calls the metric.

    Raises:
        WSVADError: if scores and labels do not work (see the module).
    """
    values, anomalous = _checked(scores, labels)
    normal = values[~anomalous]
    if not len(normal):
        return undefined([name], "no normal sample")
    return float(np.mean(normal >= threshold if inclusive else normal > threshold))


def roc_area(counts: Counts) -> FloatArray:
    """Areas under ROC curves: ``[...]``, NaN where a class has no sample."""
    return _trapezoids(share_of(counts.false_positives), share_of(counts.true_positives))


def pr_area(counts: Counts) -> FloatArray:
    """Areas under precision-recall curves by trapezoids: ``[...]``, NaN where a class has no sample."""
    return _trapezoids(share_of(counts.true_positives), _precision(counts))


def precision_sum(counts: Counts) -> FloatArray:
    """Average precisions: ``[...]``, NaN where a class has no sample."""
    steps = np.diff(share_of(counts.true_positives))
    return np.asarray(np.sum(steps * _precision(counts)[..., 1:], axis=-1))


def crossing(counts: Counts) -> FloatArray:
    """Interpolated equal error rates: ``[...]``, NaN where a class has no sample."""
    false_positive_rate = share_of(counts.false_positives)
    excess = false_positive_rate - (1 - share_of(counts.true_positives))  # rises from -1 to 1
    after = np.maximum(np.argmax(excess >= 0, axis=-1), 1)[..., None]  # all are NaN where a class is missing
    (low, high), (left, right) = (
        [np.take_along_axis(values, at, axis=-1)[..., 0] for at in (after - 1, after)]
        for values in (excess, false_positive_rate)
    )
    return np.asarray(left - low / (high - low) * (right - left))


def alarm_share(counts: Counts, threshold: float = ALARM) -> FloatArray:
    """Shares of the normal samples above a threshold: ``[...]``, NaN where there are none."""
    called = np.count_nonzero(counts.thresholds > threshold) - 1
    return np.asarray(share_of(counts.false_positives)[..., called])


def accuracy(counts: Counts, threshold: float = ALARM) -> FloatArray:
    """Shares of the samples that are above a threshold exactly when they are anomalous: ``[...]``."""
    called = np.count_nonzero(counts.thresholds > threshold) - 1
    false_positives, true_positives, _ = counts
    correct = true_positives[..., called] + false_positives[..., -1] - false_positives[..., called]
    return np.asarray(correct / (true_positives + false_positives)[..., -1])


def _checked(scores: ArrayLike, labels: ArrayLike) -> tuple[FloatArray, LabelArray]:
    values, truth = np.asarray(scores, dtype=np.float64), np.asarray(labels)
    if values.ndim != 1 or values.shape != truth.shape:
        raise WSVADError(
            "scores",
            f"{values.shape} scores, {truth.shape} labels",
            "scores and labels are not two lists of one length",
            "Give one score and one label per sample",
        )
    if not len(values):
        raise WSVADError("scores", "[]", "there is nothing to measure", "Give at least one scored sample")
    if not np.isfinite(values).all():
        bad = np.flatnonzero(~np.isfinite(values))[0]
        raise WSVADError("scores", values[bad], f"score {bad} is not a finite number", "Give finite scores")
    if not np.isin(truth, (0, 1)).all():
        raise WSVADError(
            "labels", np.unique(truth), "labels are 0 or 1", "Give 0 for normal, 1 for anomalous"
        )
    return values, truth.astype(bool)


def _counts(scores: ArrayLike, labels: ArrayLike, name: str) -> Counts:
    values, anomalous = _checked(scores, labels)
    order = np.argsort(-values, kind="stable")
    values = values[order]
    last_of_ties = np.append(np.flatnonzero(np.diff(values)), len(values) - 1)
    true_positives = np.cumsum(anomalous[order], dtype=np.float64)[last_of_ties]
    false_positives = last_of_ties + 1 - true_positives
    for missing, count in (("anomalous", true_positives[-1]), ("normal", false_positives[-1])):
        if not count:
            undefined([name], f"no {missing} sample")
    thresholds = np.insert(values[last_of_ties], 0, np.inf)
    return Counts(np.insert(false_positives, 0, 0), np.insert(true_positives, 0, 0), thresholds)


def undefined(names: Sequence[str], missing: str, also: Sequence[str] = ()) -> float:
    """Give NaN, warn of it, and note it for :func:`reasons`.

    Args:
        names: of the metrics.
        missing: what there would have to be.
        also: metrics that are NaN with them, which the warning does not name.
    """
    are = "is" if len(names) == 1 else "are"
    warnings.warn(f"{', '.join(names)} {are} NaN: there is {missing}", UserWarning, stacklevel=2)
    _NOTED.get({}).update(dict.fromkeys((*names, *also), f"there is {missing}"))
    return np.nan


@contextmanager
def reasons() -> Iterator[dict[str, str]]:
    """Collect why metrics are NaN, by name, as they are computed."""
    noted: dict[str, str] = {}
    token = _NOTED.set(noted)
    try:
        yield noted
    finally:
        _NOTED.reset(token)


def share_of(counts: FloatArray) -> FloatArray:
    """Share of the samples of a class: ``[..., K + 1]``, NaN where there are none."""
    total = counts[..., -1:]
    return np.divide(counts, total, out=np.full_like(counts, np.nan), where=total > 0)


def _precision(counts: Counts) -> FloatArray:
    """Precision at each threshold, 1 where nothing is called: ``[..., K + 1]``; NaN without normal ones."""
    false_positives, true_positives, _ = counts
    called = false_positives + true_positives
    precision = np.divide(true_positives, called, out=np.ones_like(called), where=called > 0)
    precision[false_positives[..., -1] == 0] = np.nan
    return precision


def _trapezoids(x: FloatArray, y: FloatArray) -> FloatArray:
    return np.asarray(np.sum(np.diff(x) * (y[..., 1:] + y[..., :-1]) / 2, axis=-1))
