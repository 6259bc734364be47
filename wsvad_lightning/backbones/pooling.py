"""From frames to snippets: which frames make one up, and how they become one vector."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.snippets import snippet_count_bounds

Pooling = Literal["mean", "max", "mean_max"]
Tail = Literal["keep", "pad", "drop"]


@dataclass(frozen=True)
class SnippetRecipe:
    """How a video is cut into snippets.

    Snippet t covers the frames ``[t * stride, t * stride + length)`` and pools every ``frame_stride``-th of
    them. ``tail`` says what becomes of the frames behind the last full snippet:

    * ``keep``: they make one more snippet, pooled over the frames there are; every frame is covered.
    * ``pad``: the same, with the last frame repeated until the snippet is full.
    * ``drop``: they make none.

    A video shorter than a snippet always makes one. Any tail gives a number of snippets that
    ``metrics.expand_scores`` takes for this length and stride.

    Attributes:
        length: frames covered by a snippet.
        stride: frames from the start of one snippet to the start of the next, a multiple of ``frame_stride``.
        frame_stride: every how many frames one goes through the backbones.
        pooling: ``mean``, ``max``, or both along the channels (``mean_max``).
        tail: see above.

    Raises:
        WSVADError: if a number is not positive, or the strides do not fit together.
    """

    length: int = 16
    stride: int = 16
    frame_stride: int = 1
    pooling: Pooling = "mean"
    tail: Tail = "keep"

    def __post_init__(self) -> None:
        numbers = {
            "snippet_length": self.length,
            "snippet_stride": self.stride,
            "frame_stride": self.frame_stride,
        }
        for name, number in numbers.items():
            if number < 1:
                raise WSVADError(name, number, "is no number of frames", "Give 1 or more")
        if self.stride % self.frame_stride:
            raise WSVADError(
                "snippet_stride",
                self.stride,
                f"snippets would start between the frames that frame_stride={self.frame_stride} samples",
                f"Give a multiple of {self.frame_stride}",
            )

    def num_snippets(self, num_frames: int) -> int:
        """T of a video of so many frames."""
        fewest, most = snippet_count_bounds(num_frames, self.stride, self.length)
        covered = (fewest - 1) * self.stride + self.length
        return fewest if self.tail == "drop" or covered >= num_frames else min(fewest + 1, most)


class SnippetPooler:
    """Pools snippets while the frames come in; keeps only those of unfinished snippets.

    Args:
        recipe: how the video is cut.
    """

    def __init__(self, recipe: SnippetRecipe) -> None:
        self.recipe = recipe
        self._length = -(-recipe.length // recipe.frame_stride)
        self._stride = recipe.stride // recipe.frame_stride
        self._seen = self._start = 0  # sampled frames: those that came, and where the next snippet starts
        self._pending: list[Tensor] = []
        self._pooled: list[Tensor] = []

    def add(self, features: Tensor) -> None:
        """Take the features ``[K, N, D]`` of the next sampled frames."""
        for frame in features:
            if self._seen >= self._start:
                self._pending.append(frame)
            self._seen += 1
            if len(self._pending) == self._length:
                self._pooled.append(self._pool(self._pending))
                self._pending = self._pending[self._stride :]
                self._start += self._stride

    def finish(self, num_frames: int) -> Tensor:
        """All snippets ``[T, N, D']`` of the video, which turned out to have so many frames."""
        total = self.recipe.num_snippets(num_frames)
        if len(self._pooled) < total:
            missing = self._length - len(self._pending) if self.recipe.tail == "pad" else 0
            self._pooled.append(self._pool(self._pending + self._pending[-1:] * missing))
        return torch.stack(self._pooled[:total])

    def _pool(self, frames: list[Tensor]) -> Tensor:
        stacked = torch.stack(frames)
        if self.recipe.pooling == "mean":
            return stacked.mean(dim=0)
        if self.recipe.pooling == "max":
            return stacked.amax(dim=0)
        return torch.cat([stacked.mean(dim=0), stacked.amax(dim=0)], dim=-1)
