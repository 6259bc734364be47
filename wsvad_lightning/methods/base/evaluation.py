"""The metrics of the videos that a method scored."""

import warnings
from collections.abc import Sequence

from torch import nn

from wsvad_lightning.metrics import EventMetrics, FrameMetrics, RegionMetrics, reasons
from wsvad_lightning.metrics.intervals import Interval
from wsvad_lightning.timeline import Event
from wsvad_lightning.types import NORMAL, Prediction, StoreInfo, WSVADBatch


class Evaluation(nn.Module):
    """The metrics of one pass over the held-out or the test videos.

    It is a module so that its states move to the device of the method; it adds nothing to checkpoints.

    Attributes:
        undefined: why metrics are NaN, by name; filled by :meth:`results`.

    Args:
        info: of the store: where its snippets lie, and the classes of its videos.
        classes: that the method predicts; without any, events are not measured.
        locates: whether to measure the maps of anomalies against the regions of the videos.
    """

    def __init__(self, info: StoreInfo, classes: Sequence[str] = (), *, locates: bool = False) -> None:
        super().__init__()
        self.frames = FrameMetrics(info.grid, info.classes)
        self.events = EventMetrics(info.grid, classes) if classes else None
        self.regions = RegionMetrics(info.grid) if locates else None
        self.undefined: dict[str, str] = {}

    def update(self, batch: WSVADBatch, predictions: Sequence[Prediction]) -> None:
        """Add the videos of a batch."""
        assert batch.class_targets is not None, "evaluation batches know the classes of their videos"
        for i, (video_id, scores, num_frames, class_scores, maps, *_) in enumerate(predictions):
            own = batch.class_targets[i, 1:]
            self.frames.update(
                video_id=video_id,
                snippet_scores=scores,
                label=int(batch.labels[i]),
                num_frames=num_frames,
                frame_labels=None if batch.frame_labels is None else batch.frame_labels[i],
                classes=[name for name, has in zip(self.frames.classes, own, strict=True) if has],
            )
            if self.events is not None:
                assert class_scores is not None, "a method with classes gives their probabilities"
                self.events.update(video_id, class_scores, num_frames, annotated_events(batch, i))
            if self.regions is not None and maps is not None and batch.regions is not None:
                self.regions.update(video_id, maps, batch.regions[i])

    def results(self) -> dict[str, float]:
        """Give all metrics by name; called on all ranks."""
        with reasons() as undefined:
            results = self.frames.compute() | (self.events.compute() if self.events is not None else {})
            if self.regions is not None:
                with warnings.catch_warnings():  # of a method without maps, or a rank without videos
                    warnings.filterwarnings(
                        "ignore", "The ``compute`` method of metric RegionMetrics was called before"
                    )
                    results |= self.regions.compute()
        self.undefined |= undefined  # nothing is noted when a second call repeats the first
        return results

    def intervals(self) -> tuple[dict[str, Interval], dict[str, dict[str, Interval]]]:
        """Give the intervals of metrics by name, and of those of each class; called on all ranks."""
        whole, of_classes = self.events.intervals() if self.events is not None else ({}, {})
        of_frames = self.frames.intervals_per_class()
        names = dict.fromkeys((*of_frames, *of_classes))
        joined = {name: of_frames.get(name, {}) | of_classes.get(name, {}) for name in names}
        located = self.regions.intervals() if self.regions is not None else {}
        return self.frames.intervals() | whole | located, joined

    def per_class(self) -> dict[str, dict[str, float]]:
        """Give the metrics of each class that has videos, by class; called on all ranks."""
        events = self.events.per_class() if self.events is not None else {}
        return {name: own | events.get(name, {}) for name, own in self.frames.per_class().items()}


def annotated_events(batch: WSVADBatch, i: int) -> list[Event] | None:
    """List the events of a test video, a normal video being one event; None where they are unknown."""
    assert batch.num_frames is not None
    assert batch.events is not None
    if not batch.labels[i]:
        return [Event(0, int(batch.num_frames[i]), NORMAL)]
    events = batch.events[i]
    return None if events is None else list(events)
