"""Event metrics: are the anomalies of each class found, with their beginning and their end?

A class has a probability in each of the F frames of a video. That gives

    detections  runs of at least 2 frames above max - 0.6 (max - min), over the probabilities of the video;
                its score is the largest probability in it + 0.7 x the mean of the video's F // 16 largest
    hits        best score first, each takes the event still free whose intersection over union with it (IoU)
                is largest, if that reaches the threshold
    AP          the sum of the precision at each hit over the number of events
    mAP         the mean AP of the classes; without a threshold in its name, over IoU 0.1, 0.2, 0.3, 0.4, 0.5

as VadCLIP (Wu et al., AAAI 2024) and others since have it. Their non-maximum suppression is left out: runs
above one threshold do not overlap. A protocol says which classes count, and how:

=========== ==================== ========================================================================
repaired    mAP@0.1, ...         anomaly classes that have events; one that is never detected has AP 0.
                                 Events of a class that overlap or touch are one; detections of equal score
                                 are one point of the curve
vadclip     vadclip_mAP@0.1, ... all classes and normal, a normal video being an event from end to end; 0 in
                                 all if one is never detected. Of equal scores hits come first: the authors'
                                 sorting leaves that open. Their numbers on XD-Violence
vadclip_ucf vadclip_ucf_mAP@0.1, the same with AP 0 for normal, which has two names in the authors' files:
            ...                  their numbers on UCF-Crime
=========== ==================== ========================================================================
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.metrics.curves import undefined
from wsvad_lightning.metrics.expand import expand_scores
from wsvad_lightning.metrics.intervals import Interval, are_several, draw, ends_of, number_of
from wsvad_lightning.timeline import Event, SnippetGrid, join, runs
from wsvad_lightning.timeline import Interval as Span
from wsvad_lightning.types import NORMAL

FloatArray = NDArray[np.float64]
Spans = NDArray[np.int64]  # [n, 2], frames [start, end)

IOUS = (0.1, 0.2, 0.3, 0.4, 0.5)
SHORTEST = 2  # frames
DEPTH = 0.6  # of the threshold below the largest probability
VIDEO_WEIGHT = 0.7
TRUTHS = 2  # events as annotated, and joined
WIDTH = 2 + TRUTHS * len(IOUS)
OF_VIDEO = 3  # columns of a video before its events


def find_events(probabilities: FloatArray, classes: Sequence[str]) -> list[Event]:
    """Name what happens in a video, without knowing the truth.

    An event is at least 2 frames on end that are less likely normal than not (probability below 0.5). Its
    class is the one of the largest mean probability in it, and that mean its score.

    Args:
        probabilities: ``[F, 1 + C]`` of the frames, normal first.
        classes: names of the C classes.

    Returns:
        The events in the order of time; they do not overlap.
    """
    events = []
    for start, end in runs(probabilities[:, 0] < 0.5, SHORTEST):
        means = probabilities[start:end, 1:].mean(axis=0)
        best = int(means.argmax())
        events.append(Event(start, end, classes[best], float(means[best])))
    return events


def expand_classes(
    class_scores: Tensor, num_frames: int, grid: SnippetGrid, video_id: str = ""
) -> FloatArray:
    """Spread probabilities of snippets ``[T, 1 + C]`` over frames ``[F, 1 + C]``, see :func:`expand_scores`.

    Raises:
        WSVADError: if they are not finite, or T does not fit F.
    """
    values = class_scores.cpu().double().numpy()
    if not np.isfinite(values).all():
        problem = "it has NaN or infinite probabilities of classes"
        raise WSVADError("class_scores", video_id, problem, "Check its features and the model")
    columns = [expand_scores(column, num_frames, grid, video_id) for column in values.T]
    return np.stack(columns, axis=1)


def detect(probabilities: FloatArray) -> tuple[Spans, FloatArray]:
    """Detect the events of a class in a video of ``[F]`` probabilities: ``[n, 2]`` and scores, best first."""
    low, high = probabilities.min(), probabilities.max()
    spans = _spans(runs(probabilities > high - DEPTH * (high - low), SHORTEST))
    largest = np.maximum.reduceat(np.append(probabilities, low), spans.ravel())[::2]
    count = max(1, len(probabilities) // 16)
    scores = largest + VIDEO_WEIGHT * np.partition(probabilities, -count)[-count:].mean()
    order = np.argsort(-scores, kind="stable")
    return spans[order], scores[order]


def match(detections: Spans, events: Spans) -> NDArray[np.bool_]:
    """Find which detections ``[n, 2]``, best first, hit an event ``[m, 2]`` of their video: ``[n, IoU]``."""
    hits = np.zeros((len(detections), len(IOUS)), dtype=np.bool_)
    if not len(events):
        return hits
    starts = np.maximum.outer(detections[:, 0], events[:, 0])
    ends = np.minimum.outer(detections[:, 1], events[:, 1])
    common = np.maximum(ends - starts, 0)
    either = np.diff(detections) + np.diff(events).T - common
    for column, threshold in enumerate(IOUS):
        iou = common / either
        for row, own in enumerate(iou):
            best = int(own.argmax())
            if own[best] >= threshold:
                hits[row, column] = True
                iou[:, best] = 0  # taken
    return hits


def weighted_average_precision(
    scores: FloatArray, hits: NDArray[np.bool_], weights: FloatArray, num_events: FloatArray
) -> FloatArray:
    """Average precision of a class on resamples of the videos, detections of equal score being one point.

    Args:
        scores: ``[n]`` of the detections of a class in all videos.
        hits: ``[n]`` which of them hit.
        weights: ``[R, n]`` how often the video of each is counted in each of R resamples.
        num_events: ``[R]`` of the class in each; without any it is NaN.
    """
    order = np.argsort(-scores, kind="stable")
    descending, weights = -scores[order], weights[:, order]
    hit = weights * hits[order]
    last = np.searchsorted(descending, descending, side="right") - 1
    precision = (hit.cumsum(axis=1) / np.maximum(weights.cumsum(axis=1), 1))[:, last]
    return np.where(num_events > 0, (hit * precision).sum(axis=1) / np.maximum(num_events, 1), np.nan)


def event_average_precision(
    scores: FloatArray, hits: NDArray[np.bool_], num_events: int, *, hits_first: bool
) -> float:
    """Sum the precision at each hit, over the events.

    Args:
        scores: ``[n]`` of the detections of a class in all videos.
        hits: ``[n]`` which of them hit.
        num_events: of the class; 0 gives 0.
        hits_first: whether of equal scores hits come first, or all are one point.
    """
    order = np.lexsort((~hits, -scores))
    hits, descending = hits[order], -scores[order]
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    if not hits_first:
        precision = precision[np.searchsorted(descending, descending, side="right") - 1]
    return float(precision[hits].sum()) / max(1, num_events)


class EventMetrics(Metric):
    """Collect videos with class probabilities and compute the metrics of this module over all ranks.

    Whether a detection hits an event depends on its video alone, so a video leaves one row for each detection
    and no probabilities.

    Args:
        grid: positions of the snippets.
        classes: names of the C anomaly classes.
    """

    full_state_update = False

    detections: list[Tensor]  # rows: column, score, hits of each IoU among the events of each kind
    videos: list[Tensor]  # rows: digest of the name, whether abnormal, detections, events [kinds, 1 + C]
    num_unknown: Tensor

    def __init__(self, grid: SnippetGrid, classes: Sequence[str]) -> None:
        super().__init__()
        self.grid, self.classes = grid, tuple(classes)
        self.add_state("detections", [], dist_reduce_fx="cat")
        self.add_state("videos", [], dist_reduce_fx="cat")
        self.add_state("num_unknown", torch.tensor(0), dist_reduce_fx="sum")

    def update(
        self, video_id: str, class_scores: Tensor, num_frames: int, events: Sequence[Event] | None
    ) -> None:
        """Add a video.

        Args:
            video_id: canonical name.
            class_scores: ``[T, 1 + C]`` probabilities, normal first.
            num_frames: F.
            events: what is annotated; of a normal video one of the class ``normal`` from end to end. None if
                the frames or the class of an anomaly are unknown.

        Raises:
            WSVADError: if the probabilities are not finite or do not fit F, or an event is of a class that
                is none of ``classes``.
        """
        if events is None:
            self.num_unknown += 1
            return
        unknown = sorted({event.name for event in events} - {NORMAL, *self.classes})
        if unknown:
            problem = f"is annotated as {', '.join(unknown)}, and the model knows {', '.join(self.classes)}"
            raise WSVADError("video", video_id, problem, "Name the classes as in training")
        frames, found = expand_classes(class_scores, num_frames, self.grid, video_id), 0
        counts = np.zeros((TRUTHS, 1 + len(self.classes)), np.int64)
        for column, name in enumerate((NORMAL, *self.classes)):
            spans, scores = detect(frames[:, column])
            annotated = [(event.start, event.end) for event in events if event.name == name]
            kinds = _spans(annotated), _spans(join(annotated))
            counts[:, column], found = [len(own) for own in kinds], found + len(spans)
            rows = [np.full(len(spans), column), scores, *(match(spans, own) for own in kinds)]
            self.detections.append(torch.from_numpy(np.column_stack(rows)).to(self.device, torch.float32))
        row = [number_of(video_id), int(counts[:, 1:].any()), found, *counts.ravel().tolist()]
        self.videos.append(torch.tensor([row], device=self.device))

    def compute(self) -> dict[str, float]:
        """Metrics by the names of the module, in [0, 1]; none if the events of a video are unknown.

        Without any event of an anomaly class ``mAP`` is NaN, with a UserWarning.
        """
        if self.num_unknown:
            return {}
        annotated, joined = self.average_precisions()
        present = self._num_events().sum(axis=0)[1, 1:] > 0
        if not present.any():
            undefined(["mAP"], "no event of an anomaly class", also=[f"mAP@{iou}" for iou in IOUS])
        detected = torch.unique(dim_zero_cat(self.detections)[:, 0])
        vadclip = annotated * (len(detected) == 1 + len(self.classes))
        protocols = {
            "": joined[:, 1:][:, present].mean(axis=1) if present.any() else np.full(len(IOUS), np.nan),
            "vadclip_": vadclip.mean(axis=1),
            "vadclip_ucf_": vadclip[:, 1:].sum(axis=1) / vadclip.shape[1],
        }
        found: dict[str, float] = {}
        for prefix, values in protocols.items():
            found |= {f"{prefix}mAP@{iou}": float(value) for iou, value in zip(IOUS, values, strict=True)}
            found[f"{prefix}mAP"] = float(values.mean())
        return found

    def per_class(self) -> dict[str, dict[str, float]]:
        """``AP@`` the thresholds by class, of those with events, as ``repaired`` averages it.

        To be called on all ranks.
        """
        with self.sync_context():
            if self.num_unknown:
                return {}
            _, joined = self.average_precisions()
            present = self._num_events().sum(axis=0)[1].tolist()
        return {
            name: {f"AP@{iou}": float(ap) for iou, ap in zip(IOUS, joined[:, column], strict=True)}
            for column, name in enumerate(self.classes, start=1)
            if present[column]
        }

    def intervals(self) -> tuple[dict[str, Interval], dict[str, dict[str, Interval]]]:
        """Intervals of 95 % of the metrics of the protocol ``repaired``, and of those of each class.

        To be called on all ranks, which give the same. A class whose events are all in one video has none.
        """
        with self.sync_context():
            if self.num_unknown or not len(self.videos):
                return {}, {}
            order, about = self._by_name()
            labels, events = about[order, 1], self._num_events()[order][:, 1, 1:]
            parts = [self.resampled(weights) for weights in draw(labels, max(1, int(about[:, 2].sum())))]
        values = np.concatenate(parts, axis=2)
        of_classes = {
            name: ends_of({f"AP@{iou}": [own] for iou, own in zip(IOUS, values[i], strict=True)})
            for i, name in enumerate(self.classes)
            if np.count_nonzero(events[:, i]) > 1
        }
        drawn = values[:, :, ~np.isnan(values[:, 0]).all(axis=0)]  # resamples with an event of any class
        if not are_several(labels) or not drawn.size:
            return {}, of_classes
        means = np.nanmean(drawn, axis=0)
        whole = {f"mAP@{iou}": [own] for iou, own in zip(IOUS, means, strict=True)}
        return ends_of(whole | {"mAP": [means.mean(axis=0)]}), of_classes

    def resampled(self, weights: FloatArray) -> FloatArray:
        """AP ``[C, IoU, R]`` of each anomaly class by the protocol ``repaired``; NaN without its events.

        Args:
            weights: ``[R, V]`` how often each video, in the order of the digests of their names, is counted.
        """
        order, about = self._by_name()
        rows = dim_zero_cat(self.detections).cpu().numpy().astype(np.float64)
        owners = np.repeat(np.argsort(order), about[:, 2])
        counts = weights @ self._num_events()[order][:, 1, 1:]
        found = np.empty((len(self.classes), len(IOUS), len(weights)))
        for i, column in np.ndindex(found.shape[:2]):
            own = np.flatnonzero(rows[:, 0] == i + 1)
            hits = rows[own, 2 + len(IOUS) + column] > 0
            found[i, column] = weighted_average_precision(
                rows[own, 1], hits, weights[:, owners[own]], counts[:, i]
            )
        return found

    def _by_name(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The order of the videos, the same whichever rank had them, and what is known of each."""
        about: NDArray[np.int64] = dim_zero_cat(self.videos).cpu().numpy()
        return np.argsort(about[:, 0]), about

    def _num_events(self) -> NDArray[np.int64]:
        """Events ``[V, kinds, 1 + C]`` of each video."""
        counts: NDArray[np.int64] = dim_zero_cat(self.videos).cpu().numpy()[:, OF_VIDEO:]
        return counts.reshape(len(counts), TRUTHS, 1 + len(self.classes))

    def average_precisions(self) -> FloatArray:
        """AP ``[2, IoU, 1 + C]`` of every class: events as they are annotated, then joined."""
        rows = dim_zero_cat(self.detections).cpu().numpy().astype(np.float64)
        counts = self._num_events().sum(axis=0)
        found = np.zeros((TRUTHS, len(IOUS), counts.shape[1]))
        for column in range(counts.shape[1]):
            own = rows[rows[:, 0] == column]
            hits = own[:, 2:].reshape(-1, TRUTHS, len(IOUS)) > 0
            for kind, iou in np.ndindex(found.shape[:2]):
                found[kind, iou, column] = event_average_precision(
                    own[:, 1], hits[:, kind, iou], counts[kind, column], hits_first=kind == 0
                )
        return found

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """Gather the states of all ranks; one without videos sends no rows, as in ``FrameMetrics``."""
        if not len(self.detections):
            self.detections = [torch.zeros(0, WIDTH, device=self.device)]
        if not len(self.videos):
            width = OF_VIDEO + TRUTHS * (1 + len(self.classes))
            self.videos = [torch.zeros(0, width, dtype=torch.int64, device=self.device)]
        super().sync(*args, **kwargs)


def _spans(intervals: Iterable[Span]) -> Spans:
    return np.array(list(intervals), dtype=np.int64).reshape(-1, 2)
