"""Frames and snippets of a video: where snippets lie, runs of marked frames, intervals and events.

Frames count from 0. An interval ``(start, end)`` is half-open: it covers the frames ``start, ..., end - 1``.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from wsvad_lightning.errors import WSVADError

Interval = tuple[int, int]


class Event(NamedTuple):
    """An anomaly of a class in the frames ``[start, end)``.

    Attributes:
        start: first frame.
        end: frame after the last one.
        name: the class.
        score: how probable it is; 1 for an annotated event.
        region: left, top, width and height in pixels of where it is strongest; None if that is unknown.
    """

    start: int
    end: int
    name: str
    score: float = 1.0
    region: tuple[int, int, int, int] | None = None


@dataclass(frozen=True)
class SnippetGrid:
    """Where the snippets of a video lie: snippet t covers the frames ``[t * stride, t * stride + length)``.

    Attributes:
        length: frames covered by a snippet.
        stride: frames from the start of one snippet to the start of the next.

    Raises:
        WSVADError: if one is less than 1.
    """

    length: int
    stride: int

    def __post_init__(self) -> None:
        for name, frames in (("snippet_length", self.length), ("snippet_stride", self.stride)):
            if frames < 1:
                raise WSVADError(name, frames, "must be at least 1", "Give a number of frames")

    def __str__(self) -> str:
        return f"snippets of {self.length} frames every {self.stride}"

    def bounds(self, num_frames: int) -> tuple[int, int]:
        """Fewest and most snippets that a video can have.

        Dropping an incomplete tail gives ``max(1, floor((F - length) / stride) + 1)`` snippets, padding it
        ``ceil(F / stride)``.

        Args:
            num_frames: F.
        """
        fewest = max(1, (num_frames - self.length) // self.stride + 1)
        return fewest, -(-num_frames // self.stride)

    def span(self, snippet: int, num_frames: int | None = None) -> Interval:
        """The frames of a snippet; none of them past the end of the video if ``num_frames`` is given."""
        start = snippet * self.stride
        end = start + self.length
        return start, end if num_frames is None else min(end, num_frames)

    def covered(self, num_snippets: int) -> int:
        """Frames from the start of the first snippet to the end of the last."""
        return (num_snippets - 1) * self.stride + self.length


def runs(marked: ArrayLike, shortest: int = 1) -> list[Interval]:
    """Find the runs of marked frames.

    Args:
        marked: ``[F]``, nonzero for marked frames.
        shortest: frames that a run must have.

    Returns:
        The interval of each run, in order.
    """
    edges = np.flatnonzero(np.diff(np.asarray(marked) != 0, prepend=False, append=False)).tolist()
    pairs = zip(edges[::2], edges[1::2], strict=True)
    return [(start, end) for start, end in pairs if end - start >= shortest]


def join(intervals: Iterable[Interval]) -> list[Interval]:
    """Sort intervals and join those that touch or overlap; the covered frames stay the same."""
    joined: list[Interval] = []
    for start, end in sorted(intervals):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined
