"""One of two processes that measure the same videos together; apart from the tests to be quick to import."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed

from wsvad_lightning.metrics import EventMetrics, FrameMetrics, RegionMetrics
from wsvad_lightning.timeline import Event, SnippetGrid, runs
from wsvad_lightning.types import NORMAL, RegionSpan

Video = tuple[str, NDArray[np.float32], Tensor]
Values = tuple[dict[str, float], dict[str, dict[str, float]]]
Intervals = dict[str, tuple[float, float]]
OfClasses = dict[str, Intervals]
Bounds = tuple[Intervals, OfClasses, tuple[Intervals, OfClasses], Intervals]
Measured = tuple[Values, Bounds, Values, dict[str, float]]


@dataclass(frozen=True)
class LeftHalf:
    """The left half of every anomalous frame, as a region of one track."""

    labels: NDArray[np.uint8]
    height: int = 4
    width: int = 6

    @property
    def num_frames(self) -> int:
        """F."""
        return len(self.labels)

    def spans(self) -> Iterator[RegionSpan]:
        """Give the anomalous frames."""
        mask = np.zeros((1, self.height, self.width), dtype=bool)
        mask[0, :, :3] = True
        for start, end in runs(self.labels):
            yield RegionSpan(start, end, (0,), mask)


def some_videos() -> list[Video]:
    """Make videos of unequal lengths and names: ``(name, scores [T], frame labels [4 T])``."""
    rng = np.random.default_rng(7)
    videos = []
    for i, num_snippets in enumerate(rng.integers(1, 40, 9).tolist()):
        labels = torch.zeros(4 * num_snippets, dtype=torch.uint8)
        labels[: 3 * (i % 2)] = 1
        videos.append((f"video {i}" + "x" * i, rng.random(num_snippets, dtype=np.float32), labels))
    return videos


def measure(videos: list[Video]) -> Measured:
    """Give all that the metrics give."""
    grid = SnippetGrid(4, 4)
    frames, events = FrameMetrics(grid, ["fall"]), EventMetrics(grid, ["fall"])
    regions = RegionMetrics(grid)
    for name, values, labels in videos:
        scores, label = torch.from_numpy(values), int(labels.any())
        frames.update(name, scores, label, len(labels), labels, label * ["fall"])
        truth = [Event(*span, "fall") for span in runs(labels.numpy())]
        both = torch.stack([1 - scores, scores], dim=1)
        events.update(name, both, len(labels), truth or [Event(0, len(labels), NORMAL)])
        maps = torch.stack([scores, 1 - scores, scores / 2, scores / 3], dim=1).reshape(-1, 2, 2)
        regions.update(name, maps, LeftHalf(labels.numpy()))
    of_regions = regions.compute()
    of_frames, of_events = ((own.compute(), own.per_class()) for own in (frames, events))
    intervals = frames.intervals(), frames.intervals_per_class(), events.intervals(), regions.intervals()
    return of_frames, intervals, of_events, of_regions


def run_rank(rank: int, rendezvous: str) -> list[Measured]:
    """Measure with the videos interleaved, with all of them on rank 0, and with all of them on rank 1."""
    warnings.simplefilter("ignore", UserWarning)  # torchmetrics warns a rank that holds no video
    distributed.init_process_group(
        "gloo", f"file://{rendezvous}", rank=rank, world_size=2, timeout=timedelta(minutes=1)
    )
    videos = some_videos()
    shares = [videos[rank::2], videos if rank == 0 else [], videos if rank == 1 else []]
    measured = [measure(share) for share in shares]
    distributed.destroy_process_group()
    return measured
