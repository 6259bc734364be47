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
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wsvad_lightning.errors import WSVADError

FloatArray = NDArray[np.float64]
LabelArray = NDArray[np.bool_]


class Curve(NamedTuple):
    """Points of a curve, and the score from which on samples are called anomalous at each of them."""

    x: FloatArray
    y: FloatArray
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
    false_positives, true_positives, thresholds = _counts(scores, labels, name)
    return Curve(_share(false_positives), _share(true_positives), thresholds)


def precision_recall_curve(
    scores: ArrayLike, labels: ArrayLike, name: str = "precision_recall_curve"
) -> Curve:
    """Every point of the precision-recall curve, ending at recall 0 and precision 1.

    Args, errors and missing classes as for :func:`roc_curve`.

    Returns:
        x recall, y precision; thresholds rise to infinity at the end.
    """
    false_positives, true_positives, thresholds = _counts(scores, labels, name)
    precision = np.ones(len(thresholds))
    if false_positives[-1]:
        precision[1:] = true_positives[1:] / (true_positives + false_positives)[1:]
    else:
        precision[:] = np.nan
    return Curve(_share(true_positives)[::-1], precision[::-1], thresholds[::-1])


def roc_auc(scores: ArrayLike, labels: ArrayLike, name: str = "roc_auc") -> float:
    """Area under :func:`roc_curve`: how often anomalous outranks normal, ties counting half."""
    return _area(roc_curve(scores, labels, name))


def pr_auc(scores: ArrayLike, labels: ArrayLike, name: str = "pr_auc") -> float:
    """Area under :func:`precision_recall_curve` by trapezoids, which most papers of the field call AP."""
    return _area(precision_recall_curve(scores, labels, name))


def average_precision(scores: ArrayLike, labels: ArrayLike, name: str = "average_precision") -> float:
    """Average precision, the sum of ``(R_n - R_(n-1)) P_n`` over :func:`precision_recall_curve`."""
    curve = precision_recall_curve(scores, labels, name)
    return float(-np.sum(np.diff(curve.x) * curve.y[:-1]))


def equal_error_rate(scores: ArrayLike, labels: ArrayLike, name: str = "equal_error_rate") -> EqualErrorRate:
    """Equal error rate on :func:`roc_curve`, both ways of reading it."""
    false_positive_rate, true_positive_rate, thresholds = roc_curve(scores, labels, name)
    excess = false_positive_rate - (1 - true_positive_rate)  # rises from -1 to 1
    if np.isnan(excess[0]):
        return EqualErrorRate(np.nan, np.nan, np.nan)
    after = int(np.argmax(excess >= 0))
    step = -excess[after - 1] / (excess[after] - excess[after - 1])
    rates = false_positive_rate[after - 1 : after + 1]
    nearest = int(np.argmin(np.abs(excess)))
    return EqualErrorRate(
        interpolated=float(rates[0] + step * (rates[1] - rates[0])),
        nearest=float(false_positive_rate[nearest] + 1 - true_positive_rate[nearest]) / 2,
        threshold=float(thresholds[nearest]),
    )


def false_alarm_rate(
    scores: ArrayLike,
    labels: ArrayLike,
    threshold: float = 0.5,
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
        return undefined(name, "no normal sample")
    return float(np.mean(normal >= threshold if inclusive else normal > threshold))


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


def _counts(scores: ArrayLike, labels: ArrayLike, name: str) -> tuple[FloatArray, FloatArray, FloatArray]:
    """False positives, true positives, thresholds: from nothing called anomalous to everything."""
    values, anomalous = _checked(scores, labels)
    order = np.argsort(-values, kind="stable")
    values = values[order]
    last_of_ties = np.append(np.flatnonzero(np.diff(values)), len(values) - 1)
    true_positives = np.cumsum(anomalous[order], dtype=np.float64)[last_of_ties]
    false_positives = last_of_ties + 1 - true_positives
    for missing, count in (("anomalous", true_positives[-1]), ("normal", false_positives[-1])):
        if not count:
            undefined(name, f"no {missing} sample")
    thresholds = np.insert(values[last_of_ties], 0, np.inf)
    return np.insert(false_positives, 0, 0), np.insert(true_positives, 0, 0), thresholds


def undefined(name: str, missing: str) -> float:
    """Give NaN, and warn of it.

    Args:
        name: of the metric.
        missing: what there would have to be.
    """
    warnings.warn(f"{name} is NaN: there is {missing}", UserWarning, stacklevel=2)
    return np.nan


def _share(counts: FloatArray) -> FloatArray:
    return counts / counts[-1] if counts[-1] else np.full(len(counts), np.nan)


def _area(curve: Curve) -> float:
    return float(abs(np.sum(np.diff(curve.x) * (curve.y[1:] + curve.y[:-1]) / 2)))
