"""Whether the features of a video are like those that a model was trained with.

A video of another camera, or of the same one at night, is scored like any other, and its scores mean nothing.
What a checkpoint carries of its training videos distinguishes such a video from the usual ones, in two ways.
Both begin with ``asinh(a x / median |x|)`` of every channel x, which is linear near 0 and logarithmic beyond,
so that single large values count little. Crops of the whole frame are averaged.

* **Places**, which another view changes, with a = 2: the mean of a video's snippets, of every channel at
  every place of the frame. The channels, standardised, are folded into at most 512 by random signs (count
  sketch; M. Charikar et al., Finding frequent items in data streams, 2002). The distance from the mean of the
  training (P. C. Mahalanobis, 1936) is ``d^2 = y^T C^-1 y / K`` with the covariance C of the snippets.
* **Calm**, which light, noise and compression change: what the channels of the finest grid are where hardly
  anything moves. With a = 100, so that small values differ, the half of a video's samples with the
  lowest mean level, whatever the place, is folded into at most 32 channels and whitened (ZCA; A. J. Bell,
  T. J. Sejnowski, The "independent components" of natural scenes are edge filters, 1997), so that a quantity
  which others predict leaves what they do not predict. The distance is that of mean and log-deviation of each
  channel from their mean over the training videos, with their covariance C.

Each covariance is shrunk towards its diagonal (J. Schäfer, K. Strimmer, A shrinkage approach to large-scale
covariance matrix estimation, 2005), by a fixed part.

How far a usual video lies is measured on training videos, a tenth at a time, that are left out of everything
above. The **novelty** of a video is by how many standard deviations its log-distance exceeds theirs, where
the deviation allows for their number; the larger one of both. Abnormal training videos belong to
the usual ones, so that an anomaly alone does not cause a warning.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wsvad_lightning.data.loading.transform import Streams
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.types import StreamInfo
from wsvad_lightning.video.views import grid_of

LIMIT = 3.3  # novelty from which a video is named; one usual video of 2000 by each way, if logs are normal
UNSURE = 4.0  # of N videos, a deviation is 1 + 4 / N too small at this limit, by Student's t distribution
VIDEOS = 100  # of the training that are compared with, spread evenly
SNIPPETS = 64  # of a video that are compared, spread evenly
PARTS = 10  # of the training videos, left out in turn
LEAST_DEVIATION = 1e-3  # of a channel; one that is constant has none
FEWEST = 24  # training videos; fewer do not show how far usual ones lie
PREFIX = "training/familiarity/"  # of the statistics in a checkpoint; no stream has such a name
TINY = float(np.finfo(np.float32).tiny)

FloatArray = NDArray[np.float64]
Statistics = dict[str, FloatArray]


class Way(Protocol):
    """One way to compare videos, whose channels are ``[T, channels]``."""

    shapes: dict[str, tuple[int, ...]]

    def fit(self, videos: Sequence[FloatArray]) -> Statistics:
        """Learn from training videos."""

    def distance(self, video: FloatArray, usual: Statistics) -> float:
        """How far a video lies from those."""


class Places:
    """Compares the means of channels, see the module.

    Args:
        channels: of all streams and places.
    """

    folded, shrinkage = 512, 0.02

    def __init__(self, channels: int) -> None:
        width = min(channels, self.folded)
        per_channel = dict.fromkeys(("scale", "mean", "deviation"), (channels,))
        self.shapes = {**per_channel, "center": (width,), "precision": (width, width)}

    def fit(self, videos: Sequence[FloatArray]) -> Statistics:
        """Learn what channels are like, and how snippets vary."""
        joined = np.concatenate(videos)
        scale = _scale(joined)
        levels = np.arcsinh(joined / scale)
        deviation = levels.std(axis=0)
        usual = {"scale": scale, "mean": levels.mean(axis=0)}
        usual["deviation"] = np.where(deviation > 0, deviation, 1.0)
        usual["center"], usual["precision"] = _describe(self._fold(joined, usual), self.shrinkage)
        return usual

    def distance(self, video: FloatArray, usual: Statistics) -> float:
        """Compare the mean of the snippets."""
        return _distance(self._fold(video, usual).mean(axis=0), usual)

    def _fold(self, video: FloatArray, usual: Statistics) -> FloatArray:
        levels = np.arcsinh(video / usual["scale"])
        return _fold((levels - usual["mean"]) / usual["deviation"], self.folded)


class Calm:
    """Compares the calm half of the samples of a grid, whatever the place; see the module.

    Args:
        start: of the stream's channels among all.
        cells: of its grid.
        dim: its channels.
    """

    folded, shrinkage = 32, 0.2
    fineness = 50.0
    least = 1e-3  # variance of a whitened direction, relative to the largest

    def __init__(self, start: int, cells: int, dim: int) -> None:
        self._part, self._dim = slice(start, start + cells * dim), dim
        width = min(dim, self.folded)
        whitening = {"mean": (width,), "whitening": (width, width)}
        self.shapes = {
            "scale": (dim,),
            **whitening,
            "center": (2 * width,),
            "precision": (2 * width, 2 * width),
        }

    def fit(self, videos: Sequence[FloatArray]) -> Statistics:
        """Learn what channels are like, and how their mean and deviation vary over videos."""
        usual = {"scale": _scale(np.concatenate([self._samples(video) for video in videos]))}
        levels = np.concatenate([self._levels(video, usual) for video in videos])
        usual["mean"] = levels.mean(axis=0)
        variances, axes = np.linalg.eigh(np.cov(levels.T).reshape(2 * levels.shape[1:]))
        variances = np.maximum(variances, self.least * max(variances.max(), TINY))
        usual["whitening"] = axes / np.sqrt(variances) @ axes.T
        moments = np.stack([self._moments(video, usual) for video in videos])
        usual["center"], usual["precision"] = _describe(moments, self.shrinkage)
        return usual

    def distance(self, video: FloatArray, usual: Statistics) -> float:
        """Compare mean and deviation."""
        return _distance(self._moments(video, usual), usual)

    def _samples(self, video: FloatArray) -> FloatArray:
        return video[:, self._part].reshape(-1, self._dim)

    def _levels(self, video: FloatArray, usual: Statistics) -> FloatArray:
        levels = np.arcsinh(self.fineness * self._samples(video) / usual["scale"])
        height = np.abs(levels).mean(axis=1)
        return _fold(levels[height <= np.median(height)], self.folded)

    def _moments(self, video: FloatArray, usual: Statistics) -> FloatArray:
        white = (self._levels(video, usual) - usual["mean"]) @ usual["whitening"]
        return np.concatenate([white.mean(axis=0), np.log(white.std(axis=0) + LEAST_DEVIATION)])


class Familiarity:
    """Compares videos with those of the training.

    The statistics come from :meth:`fit` or from :meth:`load_state_dict`; without any, nothing is compared.

    Args:
        streams: shape of the streams that are compared, by name.
    """

    def __init__(self, streams: Mapping[str, StreamInfo]) -> None:
        self._cells = {name: len(info.views) if grid_of(info.views) else 1 for name, info in streams.items()}
        sizes = {name: self._cells[name] * info.dim for name, info in streams.items()}
        finest = max(self._cells, key=lambda name: self._cells[name])
        start = sum(sizes[name] for name in list(sizes)[: list(sizes).index(finest)])
        grid = start, self._cells[finest], streams[finest].dim
        places = Places(sum(sizes.values()))
        self._ways: dict[str, Way] = {"places": places, "calm": Calm(*grid)}
        self._statistics: dict[str, Statistics] = {}

    def fit(self, videos: Iterable[Streams]) -> None:
        """Learn from the streams of training videos what is usual; of fewer than 24, nothing is."""
        raw = [self._channels(streams) for streams in videos]
        if len(raw) < FEWEST:
            return
        for name, way in self._ways.items():
            logs = np.log(np.maximum(_left_out(way, raw), TINY))
            spread = max(float(logs.std(ddof=1)), LEAST_DEVIATION) * (1 + UNSURE / len(logs))
            self._statistics[name] = way.fit(raw) | {"usual": np.array([logs.mean(), spread])}

    def novelty(self, streams: Streams) -> float | None:
        """How unlike the training a video is, see the module; None if that was not recorded.

        Args:
            streams: of the video, as they are stored, ``[T, N, D]`` by name.
        """
        if not self._statistics:
            return None
        video, found = self._channels(streams), []
        for name, usual in self._statistics.items():
            mean, deviation = usual["usual"]
            distance = self._ways[name].distance(video, usual)
            found.append(float((np.log(max(distance, TINY)) - mean) / deviation))
        return max(found)

    def state_dict(self) -> dict[str, Tensor]:
        """Give the statistics."""
        return {
            f"{PREFIX}{way}/{name}": torch.from_numpy(values.astype(np.float32))
            for way, statistics in self._statistics.items()
            for name, values in statistics.items()
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take the statistics over; a checkpoint of an earlier version may have them of fewer ways, or none.

        Raises:
            WSVADError: if they are those of other features.
        """
        ways = {f"{PREFIX}{name}/": way for name, way in self._ways.items()}
        state = {name: values for name, values in state.items() if name.startswith(tuple(ways))}
        expected = {
            prefix + key: shape
            for prefix, way in ways.items()
            if any(name.startswith(prefix) for name in state)
            for key, shape in (way.shapes | {"usual": (2,)}).items()  # mean and deviation of log-distances
        }
        shapes = {name: tuple(values.shape) for name, values in state.items()}
        if shapes and (shapes != expected or any(values.dtype != torch.float32 for values in state.values())):
            problem = f"are compared by statistics of {expected}, the checkpoint has {shapes}"
            raise WSVADError("data.features", ", ".join(self._cells), problem, "Give those of the training")
        self._statistics = {}
        for name, values in state.items():
            way, key = name.removeprefix(PREFIX).split("/")
            self._statistics.setdefault(way, {})[key] = values.numpy().astype(np.float64)

    def _channels(self, streams: Streams) -> FloatArray:
        """Snippets spread evenly, ``[at most 64, channels]``, of which crops are averaged."""
        parts = []
        for name, cells in self._cells.items():
            chosen = streams[name][evenly(len(streams[name]), SNIPPETS)].astype(np.float64)
            views = chosen if cells > 1 else chosen.mean(axis=1, keepdims=True)
            parts.append(views.reshape(len(views), -1))
        return np.concatenate(parts, axis=1)


def evenly(count: int, most: int) -> NDArray[np.int64]:
    """Places of at most so many of ``count`` things, spread evenly."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def _left_out(way: Way, videos: Sequence[FloatArray]) -> list[float]:
    """Distances of videos from the others, without those of their own part."""
    distances: list[float] = []
    for part in range(PARTS):
        usual = way.fit([video for i, video in enumerate(videos) if i % PARTS != part])
        distances += [way.distance(video, usual) for video in videos[part::PARTS]]
    return distances


def _scale(values: FloatArray) -> FloatArray:
    """Half the median magnitude of each channel; the mean magnitude of one that is mostly 0."""
    magnitudes = np.abs(values)
    scale, average = np.median(magnitudes, axis=0) / 2, magnitudes.mean(axis=0)
    positive: FloatArray = np.where(scale > 0, scale, np.where(average > 0, average, 1.0))
    return positive


def _fold(values: FloatArray, width: int) -> FloatArray:
    """Add up channels with random signs, to at most so many."""
    channels = values.shape[1]
    if channels <= width:
        return values
    signed = values * np.random.RandomState(0).choice((-1.0, 1.0), channels)
    padded = np.pad(signed, ((0, 0), (0, -channels % width)))
    folded: FloatArray = padded.reshape(len(values), -1, width).sum(axis=1)
    return folded


def _describe(rows: FloatArray, shrinkage: float) -> tuple[FloatArray, FloatArray]:
    """Mean ``[K]`` and inverse covariance ``[K, K]`` of rows ``[n, K]``."""
    center = rows.mean(axis=0)
    covariance = (rows - center).T @ (rows - center) / len(rows)
    variances = covariance.diagonal()
    variances = np.maximum(variances, max(1e-6 * float(variances.mean()), 1e-12))  # of what is constant
    return center, np.linalg.inv((1 - shrinkage) * covariance + shrinkage * np.diag(variances))


def _distance(row: FloatArray, usual: Statistics) -> float:
    from_center = row - usual["center"]
    return float(np.sqrt(from_center @ usual["precision"] @ from_center / len(from_center)))
