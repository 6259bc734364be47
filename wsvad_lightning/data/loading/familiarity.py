"""Whether the features of a video are like those that a model was trained with.

A video of another camera, or of the same one at night, is scored like any other, and its scores mean nothing.
What a checkpoint carries of its training videos distinguishes such a video from the usual ones:

1. Every channel x of every place of the frame becomes ``asinh(2 x / median |x|)``, which is linear near 0 and
   logarithmic beyond, so that single large values count little. Crops of the whole frame are averaged.
2. The channels, standardised, are folded into at most 512 by random signs (count sketch; M. Charikar et al.,
   Finding frequent items in data streams, 2002).
3. The distance of a video is that of the mean of its snippets from the mean of the training (P. C.
   Mahalanobis, 1936): ``d^2 = y^T C^-1 y / K`` with the covariance C of the snippets, 2 % of which are
   replaced by its average variance (after O. Ledoit and M. Wolf, 2004).
4. How far a usual video lies is measured on training videos, a tenth at a time, that are left out of mean and
   covariance. The **novelty** of a video is by how many standard deviations its log-distance exceeds theirs,
   where the deviation allows for their number.

Abnormal training videos belong to the usual ones, so that an anomaly is no reason for a warning.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wsvad_lightning.data.loading.transform import Streams
from wsvad_lightning.data.store import Features
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.types import StreamInfo
from wsvad_lightning.video.views import grid_of

LIMIT = 3.1  # novelty from which a video is named: one usual video of 1,000, if log-distances are normal
VIDEOS = 100  # of the training that are compared with, spread evenly
SNIPPETS = 64  # of a video that are compared, spread evenly
UNSURE = 3.6  # of N videos, a deviation is 1 + 3.6 / N too small at this limit, by Student's t distribution
FOLDED, SHRINKAGE, PARTS = 512, 0.02, 10
FEWEST = 8  # training videos; with fewer it is not known how far usual ones lie
PREFIX = "training/familiarity/"  # of the statistics in a checkpoint; no stream has such a name

FloatArray = NDArray[np.float64]


class Familiarity:
    """Compares videos with those of the training.

    The statistics come from :meth:`fit` or from :meth:`load_state_dict`; without any, nothing is compared.

    Args:
        streams: shape of the streams that are compared, by name.
    """

    def __init__(self, streams: Mapping[str, StreamInfo]) -> None:
        self._cells = {name: len(info.views) if grid_of(info.views) else 1 for name, info in streams.items()}
        channels = sum(self._cells[name] * info.dim for name, info in streams.items())
        folded = min(channels, FOLDED)
        self._shapes: dict[str, tuple[int, ...]] = {
            **dict.fromkeys(("scale", "mean", "deviation"), (channels,)),
            "center": (folded,),
            "precision": (folded, folded),
            "usual": (2,),  # mean and standard deviation of the log-distances of usual videos
        }
        self._signs = np.random.RandomState(0).choice((-1.0, 1.0), channels)
        self._statistics: dict[str, FloatArray] = {}

    def fit(self, videos: Iterable[Streams]) -> None:
        """Learn from the streams of training videos what is usual; of fewer than eight, nothing is."""
        raw = [self._channels(streams) for streams in videos]
        if len(raw) < FEWEST:
            return
        joined = np.concatenate(raw)
        scale = np.median(np.abs(joined), axis=0) / 2
        average = np.abs(joined).mean(axis=0)  # of a channel that is mostly 0
        self._statistics["scale"] = np.where(scale > 0, scale, np.where(average > 0, average, 1.0))
        levels = np.arcsinh(joined / self._statistics["scale"])
        deviation = levels.std(axis=0)
        self._statistics["mean"] = levels.mean(axis=0)
        self._statistics["deviation"] = np.where(deviation > 0, deviation, 1.0)
        folded = [self._fold(values) for values in raw]
        distances: list[float] = []
        for part in range(min(PARTS, len(folded))):
            others = [values for i, values in enumerate(folded) if i % PARTS != part]
            usual = _describe(others)
            distances += [_distance(values, *usual) for values in folded[part::PARTS]]
        logs = np.log(np.maximum(distances, np.finfo(np.float32).tiny))
        self._statistics["center"], self._statistics["precision"] = _describe(folded)
        spread = max(float(logs.std(ddof=1)), 1e-3) * (1 + UNSURE / len(logs))
        self._statistics["usual"] = np.array([logs.mean(), spread])

    def novelty(self, streams: Streams) -> float | None:
        """How unlike the training a video is, see the module; None if that was not recorded.

        Args:
            streams: of the video, as they are stored, ``[T, N, D]`` by name.
        """
        if not self._statistics:
            return None
        folded = self._fold(self._channels(streams))
        distance = _distance(folded, self._statistics["center"], self._statistics["precision"])
        mean, deviation = self._statistics["usual"]
        return float((np.log(max(distance, float(np.finfo(np.float32).tiny))) - mean) / deviation)

    def state_dict(self) -> dict[str, Tensor]:
        """Give the statistics."""
        return {
            PREFIX + name: torch.from_numpy(values.astype(np.float32))
            for name, values in self._statistics.items()
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take the statistics over; none are those of a checkpoint that has none.

        Raises:
            WSVADError: if they are those of other features.
        """
        shapes = {name.removeprefix(PREFIX): tuple(values.shape) for name, values in state.items()}
        if shapes and (
            shapes != self._shapes or any(values.dtype != torch.float32 for values in state.values())
        ):
            problem = f"are compared by statistics of {self._shapes}, the checkpoint has {shapes}"
            raise WSVADError("data.features", ", ".join(self._cells), problem, "Give those of the training")
        self._statistics = {
            name.removeprefix(PREFIX): values.numpy().astype(np.float64) for name, values in state.items()
        }

    def _channels(self, streams: Streams) -> FloatArray:
        """Snippets spread evenly, ``[at most 64, channels]``, of which crops are averaged."""
        parts = []
        for name, cells in self._cells.items():
            chosen = streams[name][evenly(len(streams[name]), SNIPPETS)].astype(np.float64)
            views = chosen if cells > 1 else chosen.mean(axis=1, keepdims=True)
            parts.append(views.reshape(len(views), -1))
        return np.concatenate(parts, axis=1)

    def _fold(self, values: FloatArray) -> FloatArray:
        """Standardise, and add up channels of random signs: ``[T, K]``."""
        levels = np.arcsinh(values / self._statistics["scale"])
        standard = (levels - self._statistics["mean"]) / self._statistics["deviation"] * self._signs
        width = self._shapes["center"][0]
        padded = np.pad(standard, ((0, 0), (0, -standard.shape[1] % width)))
        folded: FloatArray = padded.reshape(len(padded), -1, width).sum(axis=1)
        return folded


def evenly(count: int, most: int) -> NDArray[np.int64]:
    """Places of at most so many of ``count`` things, spread evenly."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def _describe(videos: Sequence[Features]) -> tuple[FloatArray, FloatArray]:
    """Mean ``[K]`` and inverse covariance ``[K, K]`` of the snippets of videos ``[T, K]``."""
    snippets = np.concatenate(videos)
    center = snippets.mean(axis=0)
    covariance = (snippets - center).T @ (snippets - center) / len(snippets)
    average = max(float(np.trace(covariance)) / len(covariance), 1e-12)
    shrunk = (1 - SHRINKAGE) * covariance + SHRINKAGE * average * np.eye(len(covariance))
    return center, np.linalg.inv(shrunk)


def _distance(video: FloatArray, center: FloatArray, precision: FloatArray) -> float:
    from_center = video.mean(axis=0) - center
    return float(np.sqrt(from_center @ precision @ from_center / len(from_center)))
