"""Scores of snippets while they come in, in memory that does not grow with them.

A score depends on some snippets before and after its own: the field of view of the method. Where that is
finite (:attr:`WSVADModule.reported_view`), the scores given here are those of the whole video. Elsewhere a
window that ends with the newest snippet is scored as if it were a video.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from wsvad_lightning.data.store import Features
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.serving.preparation import Preparation, Streams
from wsvad_lightning.types import UNKNOWN, WSVADBatch

WINDOW = 64  # snippets, where the field of view is the whole video
LONGEST = 2**16  # snippets of a window


class SnippetScore(NamedTuple):
    """The score of a snippet.

    Attributes:
        snippet: its number, from 0.
        score: as the method defines it.
        class_scores: ``[1 + C]`` probabilities of normal and of the classes; None if the method knows none.
        map: ``[h, w]`` how anomalous each part of the frame is; None if that is not known, or not wanted.
    """

    snippet: int
    score: float
    class_scores: Tensor | None = None
    map: Tensor | None = None


class Held(NamedTuple):
    """A snippet in the window.

    Attributes:
        features: ``[N', D']``, as the method sees them.
        streams: further ones, ``[P, D]`` each.
        stored: what the features were made of, ``[N, D]`` each; empty where no maps are wanted.
    """

    features: Features
    streams: dict[str, Features]
    stored: dict[str, Features]


class ScoreStream:
    """Scores the snippets of one video one after the other; made by :meth:`Detector.stream`.

    Args:
        model: the method, in evaluation mode.
        preparation: of its features.
        window: W, snippets that are scored together; by default L more than the field of view has up to the
            one whose score is given, which are 64 where it is the whole video.
        look_ahead: L, snippets that must have come after one before its score is given; by default those that
            the field of view, or smoothing, takes.
        wants_map: whether to give the map of a snippet of some score; it takes one more scoring of what is
            held for each patch. None for no maps.

    Attributes:
        window: W in force.
        look_ahead: L in force.
        exact: whether scores are those of the whole video.

    Raises:
        WSVADError: if the window is not longer than the look-ahead or too long, or this is negative.
    """

    def __init__(
        self,
        model: WSVADModule,
        preparation: Preparation,
        window: int | None = None,
        look_ahead: int | None = None,
        wants_map: Callable[[float], bool] | None = None,
    ) -> None:
        view = model.reported_view
        before, after = view or (WINDOW - 1, model.look_ahead)
        self.look_ahead = after if look_ahead is None else look_ahead
        self.window = before + 1 + self.look_ahead if window is None else window
        if self.look_ahead < 0:
            raise WSVADError("look_ahead", look_ahead, "must be at least 0", "Give a number of snippets")
        if self.window <= self.look_ahead:
            problem = f"must be longer than the look-ahead of {self.look_ahead} snippets"
            raise WSVADError("window", self.window, problem, "Give more snippets")
        if self.window > LONGEST:
            raise WSVADError("window", self.window, f"must be at most {LONGEST}", "Give fewer snippets")
        enough = self.look_ahead >= after and self.window - 1 - self.look_ahead >= before
        self.exact = view is not None and enough
        self.preparation, self._model, self._wants_map = preparation, model, wants_map
        self._held: deque[Held] = deque(maxlen=self.window)
        self._came = 0

    def update(self, features: Features | Streams) -> list[SnippetScore]:
        """Take the next snippets, and give the scores that are known by now.

        Args:
            features: ``[K, N, D]``, as a store has them, of any number of snippets; several streams by name.

        Raises:
            WSVADError: if a stream is missing, or they are not such as the model was trained with.
        """
        streams = self.preparation.named(features)
        if not len(streams[self.preparation.streams[0]]):
            return []
        joined, further = self.preparation(streams)
        stored = {} if self._wants_map is None else {name: streams[name] for name in self.preparation.joined}
        return [
            score
            for t in range(len(joined))
            for score in self._add(Held(joined[t], _at(further, t), _at(stored, t)))
        ]

    def close(self) -> list[SnippetScore]:
        """End the video, and give the scores that waited for snippets after theirs."""
        waiting = min(self.look_ahead, self._came)
        scores = list(self._score(self._came - waiting, waiting)) if waiting else []
        self._held.clear()
        self._came = 0
        return scores

    def _add(self, snippet: Held) -> Iterator[SnippetScore]:
        self._held.append(snippet)
        self._came += 1
        if self._came > self.look_ahead:
            yield from self._score(self._came - 1 - self.look_ahead, 1)

    def _score(self, first: int, count: int) -> Iterator[SnippetScore]:
        """Score what is held as a video, and give the scores of some snippets."""
        features = np.stack([one.features for one in self._held])
        streams = _joined([one.streams for one in self._held])
        scores, classes = score_together(self._model, features, streams)
        begins, maps = self._came - len(self._held), None
        for snippet in range(first, first + count):
            row = snippet - begins
            score, of_classes = float(scores[row]), None if classes is None else classes[row]
            wanted = self._wants_map is not None and self._wants_map(score)
            if wanted and maps is None:
                maps = self._maps(features, streams)
            yield SnippetScore(snippet, score, of_classes, maps[row] if wanted and maps is not None else None)

    def _maps(self, features: Features, streams: dict[str, Features]) -> Tensor | None:
        """Give the maps ``[T, h, w]`` of what is held, as if it were a video."""
        patches = self.preparation.transform.patches(lambda: _joined([one.stored for one in self._held]))
        batch = batch_of(self._model, features, streams)._replace(patches=patches)
        with torch.inference_mode():
            maps = self._model.patch_maps(batch)
        return None if maps is None else maps.float().cpu()


def score_together(
    model: WSVADModule, features: Features, streams: Mapping[str, Features]
) -> tuple[Tensor, Tensor | None]:
    """Score the snippets of a whole video, as :class:`Preparation` gives them.

    Args:
        model: the method, in evaluation mode.
        features: ``[T, N, D]``.
        streams: further ones, ``[T, P, D]`` each.

    Returns:
        ``[T]`` float32 scores, and ``[T, 1 + C]`` probabilities of classes, None if the method knows none.
    """
    with torch.inference_mode():
        scores, classes = model.reported(batch_of(model, features, streams))
    return scores[0].float().cpu(), None if classes is None else classes[0].float().cpu()


def batch_of(model: WSVADModule, features: Features, streams: Mapping[str, Features]) -> WSVADBatch:
    """Make a batch of a whole video; see :func:`score_together`."""
    device = model.device
    bag = np.array(features.swapaxes(0, 1)[None], dtype=np.float32, order="C")
    return WSVADBatch(
        features=torch.from_numpy(bag).to(device),
        lengths=torch.tensor([len(features)], device=device),
        labels=torch.tensor([float(UNKNOWN)], device=device),
        video_ids=["stream"],
        streams={
            name: torch.from_numpy(np.array(values[None], dtype=np.float32)).to(device)
            for name, values in streams.items()
        },
    )


def _at(streams: Streams, t: int) -> dict[str, Features]:
    """The snippet t of each stream."""
    return {name: values[t] for name, values in streams.items()}


def _joined(snippets: Sequence[Streams]) -> dict[str, Features]:
    """Streams of snippets, one after the other."""
    return {name: np.stack([one[name] for one in snippets]) for name in snippets[-1]}
