"""What a report says of all videos of a test together: failures, curves and calibration."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wsvad_lightning.metrics import precision_recall_curve, roc_curve
from wsvad_lightning.metrics.curves import Curve
from wsvad_lightning.reporting.html.folder import ReportedVideo

POINTS = 400  # of a curve
BINS = 10  # of scores
RESAMPLES, SEED = 1000, 0
Array = NDArray[np.floating[Any]]


class Failure(NamedTuple):
    """A false alarm, or a miss, and how bad it is whatever the scale of the scores.

    Attributes:
        share: of a false alarm, the share of all anomalous frames that score lower than it does: a threshold
            that silences it misses them. Of a miss, the share of all normal frames that score at least as
            high as the anomaly ever does: a threshold that finds it reports them.
        video: its number.
        start: first frame: of the false alarm, the highest normal one; of the miss, that of the anomaly.
        end: frame after the last one.
        score: the highest of these frames.
        name: class of the anomaly.
    """

    share: float
    video: int
    start: int
    end: int
    score: float
    name: str = ""


class Reliability(NamedTuple):
    """How often frames of similar scores are anomalous.

    Attributes:
        score: ``[K]`` mean score of the frames in each bin that has any.
        truth: ``[K]`` share of anomalous frames among them.
        low: ``[K]`` lower end of its 95 % interval, by the percentile bootstrap over videos.
        high: ``[K]`` upper end.
        frames: ``[K]`` number of frames.
        error: expected calibration error: mean distance of score and truth, weighted by frames.
    """

    score: Array
    truth: Array
    low: Array
    high: Array
    frames: NDArray[np.int64]
    error: float


def known_frames(videos: Sequence[ReportedVideo]) -> tuple[Array, NDArray[np.integer[Any]]]:
    """Join the scores and labels of all frames whose ground truth is known."""
    known = [video.curve for video in videos if video.curve.labels is not None]
    labels = [curve.labels for curve in known if curve.labels is not None]
    if not known:
        return np.empty(0), np.empty(0, np.uint8)
    return np.concatenate([curve.scores for curve in known]), np.concatenate(labels)


def find_failures(videos: Sequence[ReportedVideo]) -> tuple[list[Failure], list[Failure]]:
    """Find the false alarm of each video and all misses, the worst first.

    Nothing is either where it costs nothing: a normal frame that scores lower than every anomalous one, an
    anomaly that rises above every normal frame.

    Args:
        videos: of a test.
    """
    scores, labels = known_frames(videos)
    anomalous, normal = np.sort(scores[labels == 1]), np.sort(scores[labels == 0])
    alarms, misses = [], []
    for i, video in enumerate(videos):
        row, curve = video.row, video.curve
        if curve.labels is None:
            continue
        if row.highest_normal is not None and row.highest_normal_frame is not None and len(anomalous):
            share = float(np.searchsorted(anomalous, row.highest_normal) / len(anomalous))
            frame = row.highest_normal_frame
            alarms.append(Failure(share, i, frame, frame + 1, row.highest_normal))
        for event in curve.truths if len(normal) else ():
            peak = float(curve.scores[event.start : event.end].max())
            share = float(1 - np.searchsorted(normal, peak) / len(normal))
            misses.append(Failure(share, i, event.start, event.end, peak, event.name))
    worst = [sorted((f for f in found if f.share > 0), reverse=True) for found in (alarms, misses)]
    return worst[0], worst[1]


def thinned_curves(videos: Sequence[ReportedVideo]) -> dict[str, tuple[list[float], list[float]]]:
    """Give the ROC and the precision-recall curve over all frames, of at most ``POINTS`` points each.

    Args:
        videos: of a test.

    Returns:
        x and y by ``roc`` and ``pr``; nothing if the ground truth does not hold both classes.
    """
    scores, labels = known_frames(videos)
    if len(np.unique(labels)) < 2:
        return {}
    curves = {"roc": roc_curve(scores, labels), "pr": precision_recall_curve(scores, labels)}
    return {name: _thin(curve) for name, curve in curves.items()}


def _thin(curve: Curve) -> tuple[list[float], list[float]]:
    """Keep the points that are evenly spread along the curve."""
    length = np.cumsum(np.hypot(np.diff(curve.x, prepend=curve.x[0]), np.diff(curve.y, prepend=curve.y[0])))
    places = np.unique(np.searchsorted(length, np.linspace(0, length[-1], POINTS)))
    places = np.union1d(places.clip(max=len(length) - 1), [0, len(length) - 1])
    return curve.x[places].round(4).tolist(), curve.y[places].round(4).tolist()


def histograms(videos: Sequence[ReportedVideo], bins: int = 40) -> tuple[Array, Array, Array]:
    """Count scores in even bins: the edges ``[bins + 1]``, and the shares of normal and anomalous frames."""
    scores, labels = known_frames(videos)
    edges = np.linspace(min(0.0, float(scores.min())), max(1.0, float(scores.max())), bins + 1)
    shares = [
        np.histogram(scores[labels == kind], edges)[0] / max(1, (labels == kind).sum()) for kind in (0, 1)
    ]
    return edges, shares[0], shares[1]


def reliability(videos: Sequence[ReportedVideo]) -> Reliability | None:
    """Compare scores, taken as probabilities, with the truth, in ``BINS`` even bins of [0, 1].

    C. Guo et al., On Calibration of Modern Neural Networks, ICML 2017; here over frames.

    Args:
        videos: of a test.

    Returns:
        None if the ground truth is unknown, or a score is not in [0, 1].
    """
    known = [video.curve for video in videos if video.curve.labels is not None]
    if not known or any(curve.scores.min() < 0 or curve.scores.max() > 1 for curve in known):
        return None
    sums = np.zeros((3, len(known), BINS))  # frames, scores, anomalous frames
    for i, curve in enumerate(known):
        bins = np.minimum((curve.scores * BINS).astype(int), BINS - 1)
        weights = (None, curve.scores, curve.labels)
        sums[:, i] = [np.bincount(bins, own, minlength=BINS) for own in weights]
    frames, scores, anomalous = sums.sum(axis=1)
    used = frames > 0
    draws = np.random.default_rng(SEED).multinomial(
        len(known), np.full(len(known), 1 / len(known)), size=RESAMPLES
    )
    drawn = (draws @ sums[0])[:, used]
    truths = np.where(drawn > 0, (draws @ sums[2])[:, used] / np.maximum(drawn, 1), np.nan)
    low, high = np.nanquantile(truths, (0.025, 0.975), axis=0)
    score, truth = scores[used] / frames[used], anomalous[used] / frames[used]
    error = float(np.average(np.abs(score - truth), weights=frames[used]))
    return Reliability(score, truth, low, high, frames[used].astype(np.int64), error)
