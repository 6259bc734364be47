"""Features of a video that is not over yet: a snippet's as soon as its frames are there."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wsvad_lightning.data.store import Features
from wsvad_lightning.extraction.encoders import ClipEncoder
from wsvad_lightning.extraction.recipe import ExtractionRecipe
from wsvad_lightning.extraction.streams import Encoder, FrameWindow

Frame = tuple[NDArray[np.uint8], float]  # RGB [H, W, 3], and when it is shown, in seconds


class Snippet(NamedTuple):
    """The features of a snippet.

    Attributes:
        number: from 0.
        features: ``[N, D]`` by name of the stream, as a store has them.
        start: when its first frame is shown, in seconds.
        end: when the frame after its last one is due.
        first_frame: number of its first frame, from 0.
    """

    number: int
    features: dict[str, Features]
    start: float
    end: float
    first_frame: int


class SnippetStream:
    """Turns frames into the features of snippets; :func:`encode_video` gives the same of the whole video.

    Frames are held until the next snippet is complete.

    Args:
        encoders: by name of the stream, made by ``recipe``. Those of clips encode one snippet at a time from
            here on.
        recipe: how the training's features were extracted. Frames come at its ``fps``, where it has one.
    """

    def __init__(self, encoders: Mapping[str, Encoder], recipe: ExtractionRecipe) -> None:
        for encoder in encoders.values():
            if isinstance(encoder, ClipEncoder):
                encoder.snippets_at_once = 1
        self._grid, self._dtype = recipe.snippets, np.dtype(recipe.dtype)
        self._opened = {name: encoder.open(recipe.snippets) for name, encoder in encoders.items()}
        self._ready: dict[str, deque[Tensor]] = {name: deque() for name in encoders}
        self._held: list[NDArray[np.uint8]] = []  # sampled frames, the latest of those encoded first
        self._times: deque[float] = deque()  # of the frames from the first of the next snippet on
        self._opens, self._sampled = True, 0
        self.num_frames = self.given = 0
        self._first = self._last = 0.0

    @property
    def samples_next(self) -> bool:
        """Whether the next frame goes through the backbones; another is only counted."""
        return self.num_frames % self._grid.frame_stride == 0

    def add(self, frame: NDArray[np.uint8] | None, seconds: float) -> list[Snippet]:
        """Take the next frame, and give the snippets that are complete with it.

        Args:
            frame: ``[H, W, 3]`` RGB, the size of the first; may be None if it is not sampled.
            seconds: when it is shown.
        """
        if self.samples_next:
            assert frame is not None, "a frame that is sampled"
            self._held.append(frame)
            self._sampled += 1
        self._first = seconds if self.num_frames == 0 else self._first
        self._last = seconds
        if self.num_frames >= self.given * self._grid.stride:
            self._times.append(seconds)
        self.num_frames += 1
        stride = self._grid.stride // self._grid.frame_stride
        beyond = self._sampled - self._grid.sampled_length
        new = len(self._held) - (0 if self._opens else 1)
        if beyond < 0 or beyond % stride or new == 0 or len(self._held) < 2:
            return []
        return self._encode()

    def finish(self) -> list[Snippet]:
        """End the video, and give the snippets that were not complete, as the recipe wants them."""
        if not self.num_frames:
            return []
        if self._opens and len(self._held) == 1:  # nothing moves in a video of one frame
            self._held, self._opens = self._held * 2, False
        snippets = self._encode() if self._opens or len(self._held) > 1 else []
        with torch.inference_mode():
            for name, features in self._opened.items():
                self._ready[name].extend(features.finish(self.num_frames))
        return snippets + self._take(self._grid.num_snippets(self.num_frames))

    def _encode(self) -> list[Snippet]:
        window = FrameWindow(np.stack(self._held), opens=self._opens)
        self._held, self._opens = self._held[-1:], False
        with torch.inference_mode():
            for name, features in self._opened.items():
                self._ready[name].extend(features.add(window))
        return self._take()

    def _take(self, most: int | None = None) -> list[Snippet]:
        """Give the snippets that all streams have, up to a number of all."""
        snippets = []
        while all(self._ready.values()) and (most is None or self.given < most):
            vectors = {name: ready.popleft().numpy() for name, ready in self._ready.items()}
            features = {name: values.astype(self._dtype, copy=False) for name, values in vectors.items()}
            first, end = self._grid.span(self.given, None if most is None else self.num_frames)
            snippets.append(Snippet(self.given, features, self._times[0], self._time_of(end), first))
            self.given += 1
            for _ in range(min(self._grid.stride, len(self._times))):
                self._times.popleft()
        return snippets

    def _time_of(self, frame: int) -> float:
        """When a frame is shown, or due at the average rate."""
        missing, steps = frame - self.num_frames + 1, self.num_frames - 1
        if missing <= 0:
            return self._times[frame - self.given * self._grid.stride]
        return self._last + missing * ((self._last - self._first) / steps if steps else 0.0)


def stream_snippets(
    frames: Iterable[Frame], encoders: Mapping[str, Encoder], recipe: ExtractionRecipe
) -> Iterator[Snippet]:
    """Give the snippets of a video, each as soon as its frames are there.

    Args:
        frames: of the video, with when each is shown.
        encoders: see :class:`SnippetStream`.
        recipe: see :class:`SnippetStream`.
    """
    stream = SnippetStream(encoders, recipe)
    for frame, seconds in frames:
        yield from stream.add(frame, seconds)
    yield from stream.finish()
