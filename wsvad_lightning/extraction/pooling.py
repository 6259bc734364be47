"""From frames to snippets: which frames make one up, and how they become one vector."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.timeline import SnippetGrid

Pooling = Literal["mean", "max", "mean_max"]
Tail = Literal["keep", "pad", "drop"]


@dataclass(frozen=True)
class SnippetRecipe(SnippetGrid):
    """How a video is cut into snippets, and how their frames are pooled.

    Snippet t covers the frames ``[t * stride, t * stride + length)`` and pools every ``frame_stride``-th of
    them. ``tail`` says what becomes of the frames after the last full snippet:

    * ``keep``: they make one more snippet, pooled over the frames there are; every frame is covered.
    * ``pad``: the same, with the last frame repeated until the snippet is full.
    * ``drop``: they make none.

    A video shorter than a snippet always makes one. A network of clips needs whole snippets: for it the last
    frame is always repeated, and ``keep`` is the same as ``pad``. Any tail gives a number of snippets that
    ``metrics.expand_scores`` takes for this grid.

    Attributes:
        length: frames covered by a snippet.
        stride: frames from the start of one snippet to the start of the next, a multiple of ``frame_stride``.
        frame_stride: every how many frames one goes through the backbones.
        pooling: ``mean``, ``max``, or both along the channels (``mean_max``).
        tail: see above.

    Raises:
        WSVADError: if a number is less than 1, or the strides do not fit together.
    """

    length: int = 16
    stride: int = 16
    frame_stride: int = 1
    pooling: Pooling = "mean"
    tail: Tail = "keep"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.frame_stride < 1:
            raise WSVADError(
                "frame_stride", self.frame_stride, "must be at least 1", "Give a number of frames"
            )
        if self.stride % self.frame_stride:
            raise WSVADError(
                "snippet_stride",
                self.stride,
                f"snippets would start between the frames that frame_stride={self.frame_stride} samples",
                f"Give a multiple of {self.frame_stride}",
            )

    @property
    def sampled_length(self) -> int:
        """Frames of a snippet that go through the backbones."""
        return -(-self.length // self.frame_stride)

    def num_snippets(self, num_frames: int) -> int:
        """T of a video of so many frames."""
        fewest, most = self.bounds(num_frames)
        complete = self.tail == "drop" or self.covered(fewest) >= num_frames
        return fewest if complete else min(fewest + 1, most)


class SnippetCutter:
    """Cuts what comes frame by frame into snippets; keeps only what unfinished snippets need.

    Args:
        recipe: how the video is cut.
    """

    def __init__(self, recipe: SnippetRecipe) -> None:
        self.recipe = recipe
        self._length = recipe.sampled_length
        self._stride = recipe.stride // recipe.frame_stride
        self._seen = self._start = 0  # sampled frames: those that came, and where the next snippet starts
        self._count = 0
        self._pending: list[Tensor] = []

    def add(self, frames: Tensor) -> list[list[Tensor]]:
        """Take what belongs to the next sampled frames, ``[K, ...]``, and give the snippets that are full."""
        full = []
        for frame in frames:
            if self._seen >= self._start:
                self._pending.append(frame)
            self._seen += 1
            if len(self._pending) == self._length:
                full.append(self._pending)
                self._pending = self._pending[self._stride :]
                self._start += self._stride
        self._count += len(full)
        return full

    def finish(self, num_frames: int, *, pad: bool) -> list[list[Tensor]]:
        """Give the snippet that the tail makes, if it makes one.

        Args:
            num_frames: that the video turned out to have.
            pad: repeat the last frame until the snippet is full.
        """
        if self._count >= self.recipe.num_snippets(num_frames):
            return []
        missing = self._length - len(self._pending) if pad else 0
        return [self._pending + self._pending[-1:] * missing]


class SnippetPooler:
    """Pools the frames of each snippet while they come in.

    Args:
        recipe: how the video is cut.
    """

    def __init__(self, recipe: SnippetRecipe) -> None:
        self.recipe = recipe
        self._cutter = SnippetCutter(recipe)

    def add(self, features: Tensor) -> list[Tensor]:
        """Take the features ``[K, N, D]`` of the next sampled frames, and give the snippets ``[N, D']``."""
        return [self._pool(frames) for frames in self._cutter.add(features)]

    def finish(self, num_frames: int) -> list[Tensor]:
        """Give the snippet ``[N, D']`` that the tail makes, if it makes one."""
        tail = self._cutter.finish(num_frames, pad=self.recipe.tail == "pad")
        return [self._pool(frames) for frames in tail]

    def _pool(self, frames: list[Tensor]) -> Tensor:
        stacked = torch.stack(frames)
        if self.recipe.pooling == "mean":
            return stacked.mean(dim=0)
        if self.recipe.pooling == "max":
            return stacked.amax(dim=0)
        return torch.cat([stacked.mean(dim=0), stacked.amax(dim=0)], dim=-1)
