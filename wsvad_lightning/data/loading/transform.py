"""What happens to features between the store and the bags: normalisation, views into one, PCA."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wsvad_lightning.data.store import Features
from wsvad_lightning.errors import WSVADError, counted
from wsvad_lightning.types import Patches, StreamInfo
from wsvad_lightning.video.views import grid_of

Normalize = Literal["none", "l2", "zscore", "zscore_shared"]
Crops = Literal["all", "each", "random", "mean", "max", "concat"]

Streams = Mapping[str, Features]  # of one video: [T, N, D] by name
Videos = Callable[[], Iterable[Streams]]  # each call reads the same videos again

ALL_VIEWS = slice(None)
NEARLY_CONSTANT = 1e-6  # deviation over mean below which a channel is only centred


class FeatureTransform:
    """Maps the streams of a video, ``[T, N, D]`` each, to the features a method sees, ``[T, N', D']``.

    In this order:

    1. ``normalize``, each stream: ``l2`` divides each vector by its Euclidean norm (a zero vector stays);
       ``zscore`` takes off the mean and divides by the standard deviation of each view and channel;
       ``zscore_shared`` those of each channel over all views, so that views stay comparable: where normal
       videos hardly vary, such as at the edge of the frame, ``zscore`` enlarges the least change.
    2. ``clip``: values are limited to -clip … clip.
    3. ``crops``, each stream: ``mean`` and ``max`` merge the views element by element, ``concat`` along the
       channels; ``all``, ``each`` and ``random`` keep them apart.
    4. Several streams are joined along the channels. Unless merged, those of several views must have the
       same ones, and a stream of one view, such as sound, is joined to each of them.
    5. ``pca_dim``: the vectors, centred, are expressed in their first principal axes, which the views share.

    The statistics come from :meth:`fit`, which reads one video at a time, or from :meth:`load_state_dict`.

    Args:
        streams: shape of the streams, in the order of the channels.
        normalize: see above.
        clip: see above; None for no limit.
        crops: see above.
        pca_dim: D', None for no PCA.

    Attributes:
        output_views: N'.
        output_dim: D'.
        merges_views: whether one view comes out, whatever the streams have.
        shapes: of the statistics, by name.

    Raises:
        WSVADError: if streams of several views have different ones, or fewer channels than principal axes
            are asked for.
    """

    def __init__(
        self,
        streams: Mapping[str, StreamInfo],
        normalize: Normalize = "none",
        clip: float | None = None,
        crops: Crops = "all",
        pca_dim: int | None = None,
    ) -> None:
        self.streams = dict(streams)
        self.normalize, self.clip, self.crops, self.pca_dim = normalize, clip, crops, pca_dim
        self.merges_views = crops in ("mean", "max", "concat")
        several = {info.views for info in streams.values() if len(info.views) > 1}
        if not self.merges_views and len(several) > 1:
            counts = {name: len(info.views) for name, info in streams.items()}
            problem = f"streams of different views, {counts}, cannot be joined view by view"
            raise WSVADError("data.crops", crops, problem, "Merge the views by mean, max or concat")
        self.output_views = 1 if self.merges_views or not several else len(several.pop())
        joined = sum(len(i.views) * i.dim if crops == "concat" else i.dim for i in streams.values())
        if pca_dim is not None and not 1 <= pca_dim <= joined:
            raise WSVADError(
                "data.pca_dim", pca_dim, f"the features have {joined} channels", f"Give 1 to {joined}"
            )
        self.output_dim = pca_dim or joined
        self.statistics: dict[str, NDArray[np.float32]] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        if self.centred:
            for name, info in streams.items():
                shape = (1 if normalize == "zscore_shared" else len(info.views), info.dim)
                self.shapes |= {f"{name}/mean": shape, f"{name}/deviation": shape}
        if pca_dim is not None:
            self.shapes |= {"center": (joined,), "axes": (joined, pca_dim)}

    @property
    def settings(self) -> dict[str, Any]:
        """All settings that, with the videos, decide the result: plain values."""
        return {
            "streams": list(self.streams),
            "normalize": self.normalize,
            "clip": self.clip,
            "merged_views": self.crops if self.merges_views else None,
            "pca_dim": self.pca_dim,
        }

    @property
    def centred(self) -> bool:
        """Whether 0 is the mean of the videos that the statistics are of."""
        return self.normalize in ("zscore", "zscore_shared")

    @property
    def patch_grid(self) -> tuple[int, int] | None:
        """Rows and columns of the finest grid of patches among the streams that are not joined; or None."""
        return None if self.crops == "concat" else self._finest_grid

    @property
    def joins_patches(self) -> bool:
        """Whether patches are joined along the channels, so that none can be left in alone."""
        return self.crops == "concat" and self._finest_grid is not None

    @property
    def _finest_grid(self) -> tuple[int, int] | None:
        grids = [
            grid for info in self.streams.values() if (grid := grid_of(info.views)) not in (None, (1, 1))
        ]
        return max(grids, key=lambda grid: grid[0] * grid[1], default=None)

    @property
    def needs_fit(self) -> bool:
        """Whether statistics of the training videos are needed and missing."""
        return len(self.statistics) < len(self.shapes)

    def __call__(self, streams: Streams, views: slice = ALL_VIEWS) -> Features:
        """Transform a video, of which only ``views`` are wanted; without any step nothing is copied."""
        joined = self._join(streams, views)
        return joined if self.pca_dim is None else self._project(joined)

    def patches(self, read: Callable[[], Streams]) -> Patches:
        """Give a video with one patch left in, for each cell of ``patch_grid``; see :meth:`leave_in`.

        Args:
            read: gives the streams of the video, as they are stored.
        """
        return Patches(self.patch_grid, self.centred, lambda: self._left_in(read()))

    def _left_in(self, streams: Streams) -> Iterator[Features]:
        rows, columns = self.patch_grid or (0, 0)
        for row in range(rows):
            for column in range(columns):
                yield self.leave_in(streams, (row + 0.5) / rows, (column + 0.5) / columns)

    def leave_in(self, streams: Streams, row: float, column: float) -> Features:
        """Transform a video of which each grid has one patch left: the one that holds a place of the frame.

        With z-scores the rest is that of an average normal frame: other patches and streams that are no
        grids are 0, and the maximum of P patches is at least that of P standard normal numbers. Otherwise
        nothing is known of the average: such streams stay, and other patches are left out. Patches that are
        joined along the channels cannot be left in alone: the method knows no video without the others.

        Args:
            streams: of the video, as they are stored.
            row: of the place, from 0 (top) to 1 (bottom).
            column: of the place, from 0 (left) to 1 (right).

        Returns:
            ``[T, 1, D']``, or all views of streams without a grid.
        """
        left = []
        for name, features in streams.items():
            grid = grid_of(self.streams[name].views)
            average = self.centred
            if grid is None:
                whole = self._merge(self._scale(name, features, ALL_VIEWS))
                left.append(np.zeros_like(whole) if average else whole)
                continue
            patch = int(row * grid[0]) * grid[1] + int(column * grid[1])
            views = slice(patch, patch + 1)
            own = self._scale(name, features[:, views], views)
            if average and self.crops == "mean":
                own = own / features.shape[1]
            elif average and self.crops == "max":
                own = own.clip(min=expected_maximum(features.shape[1]))
            left.append(own)
        joined = left[0] if len(left) == 1 else np.concatenate(left, axis=-1)
        return joined if self.pca_dim is None else self._project(joined)

    def fit(self, videos: Videos) -> None:
        """Compute the statistics, in float64, in memory that does not grow with the videos.

        Raises:
            WSVADError: without videos, or with fewer vectors than principal axes.
        """
        if self.centred:
            for name in self.streams:
                _, mean, deviation = _moments(self._samples(streams[name]) for streams in videos())
                constant = deviation <= NEARLY_CONSTANT * np.abs(mean)
                self.statistics[f"{name}/mean"] = mean.astype(np.float32)
                self.statistics[f"{name}/deviation"] = np.where(constant, 1, deviation).astype(np.float32)
        if self.pca_dim is not None:
            center, axes = _principal_axes(lambda: self._vectors(videos()), self.pca_dim)
            self.statistics["center"] = center.astype(np.float32)
            self.statistics["axes"] = axes.astype(np.float32)

    def state_dict(self) -> dict[str, Tensor]:
        """Give the statistics: ``mean`` and ``deviation`` of each stream, ``center`` and ``axes``."""
        return {name: torch.from_numpy(values) for name, values in self.statistics.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take the statistics over.

        Raises:
            WSVADError: if they are those of features of another shape.
        """
        shapes = {name: tuple(values.shape) for name, values in state.items()}
        if shapes != self.shapes or any(values.dtype != torch.float32 for values in state.values()):
            problem = f"needs statistics of the shapes {self.shapes}, the checkpoint has {shapes}"
            remedy = "Give features and settings (normalize, crops, pca_dim) like those of the training"
            raise WSVADError("data.features", ", ".join(self.streams), problem, remedy)
        self.statistics = {name: values.numpy() for name, values in state.items()}

    def _join(self, streams: Streams, views: slice) -> Features:
        """Do all but the PCA."""
        merged = []
        for name, features in streams.items():
            own = ALL_VIEWS if features.shape[1] == 1 else views
            merged.append(self._merge(self._scale(name, features[:, own], own)))
        if len(merged) == 1:
            return merged[0]
        count = max(features.shape[1] for features in merged)
        spread = [np.broadcast_to(x, (len(x), count, x.shape[-1])) for x in merged]
        return np.concatenate(spread, axis=-1)

    def _project(self, joined: Features) -> Features:
        projected: Features = (joined - self.statistics["center"]) @ self.statistics["axes"]
        return projected

    def _scale(self, name: str, features: Features, views: slice) -> Features:
        """Normalise and clip."""
        scaled = self._normalize(name, features, views)
        return scaled if self.clip is None else scaled.clip(-self.clip, self.clip)

    def _normalize(self, name: str, features: Features, views: slice) -> Features:
        if self.normalize == "l2":
            vectors = features.astype(np.float32)
            norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
            scaled: Features = vectors / np.where(norms > 0, norms, 1)
            return scaled
        if self.centred:
            own = views if self.normalize == "zscore" else ALL_VIEWS
            centred: Features = features - self.statistics[f"{name}/mean"][own]
            return centred / self.statistics[f"{name}/deviation"][own]
        return features

    def _samples(self, features: Features) -> Features:
        """Arrange the features of a video for its statistics: views apart, or as more samples of one."""
        return features if self.normalize == "zscore" else features.reshape(-1, 1, features.shape[-1])

    def _merge(self, features: Features) -> Features:
        if self.crops == "mean":
            mean: Features = features.mean(axis=1, keepdims=True, dtype=np.float32)
            return mean
        if self.crops == "max":
            largest: Features = features.max(axis=1, keepdims=True)
            return largest
        if self.crops == "concat":
            return features.reshape(len(features), 1, -1)
        return features

    def _vectors(self, videos: Iterable[Streams]) -> Iterator[NDArray[np.float64]]:
        """Yield the vectors of each video before the PCA, ``[T N', D]``."""
        for streams in videos:
            joined = self._join(streams, ALL_VIEWS)
            yield joined.reshape(-1, joined.shape[-1]).astype(np.float64)


def expected_maximum(count: int) -> float:
    """Expected value of the largest of so many standard normal numbers (G. Blom, 1958; to about 1 %)."""
    return NormalDist().inv_cdf((count - 0.375) / (count + 0.25))


def _moments(chunks: Iterable[Features]) -> tuple[int, NDArray[np.float64], NDArray[np.float64]]:
    """Count, mean and standard deviation along the first axis, over chunks ``[n, ...]`` joined.

    Chan, Golub, LeVeque, Updating formulae and a pairwise algorithm for computing sample variances, 1979.
    """
    count, mean, squares = 0, np.zeros(()), np.zeros(())
    for chunk in chunks:
        values = chunk.astype(np.float64)
        delta = values.mean(axis=0) - mean
        total = count + len(values)
        squares = squares + values.var(axis=0) * len(values) + delta**2 * (count * len(values) / total)
        mean = mean + delta * (len(values) / total)
        count = total
    if count == 0:
        problem = "the training part has no normal video to take statistics of"
        raise WSVADError("data.split", "train", problem, "Name normal videos to train with")
    return count, mean, np.sqrt(squares / count)


def _principal_axes(
    chunks: Callable[[], Iterable[NDArray[np.float64]]], dim: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean ``[D]`` and first principal axes ``[D, dim]`` of the vectors in chunks ``[n, D]``.

    Few vectors (n < D) are decomposed themselves, many through their covariance, so that memory is bounded by
    D x D. The sign of an axis makes its largest entry positive.

    Raises:
        WSVADError: if there are fewer vectors than axes.
    """
    count, center, _ = _moments(chunks())
    if count < dim:
        problem = f"the normal training videos have only {counted(count, 'snippet')}"
        raise WSVADError("data.pca_dim", dim, problem, f"Give at most {count}")
    if count < len(center):
        centred = np.concatenate(list(chunks())) - center
        axes = np.linalg.svd(centred, full_matrices=False)[2][:dim].T
    else:
        scatter = np.zeros((len(center), len(center)))
        for chunk in chunks():
            scatter += (chunk - center).T @ (chunk - center)
        axes = np.linalg.eigh(scatter)[1][:, : -dim - 1 : -1]
    largest = np.abs(axes).argmax(axis=0)
    return center, axes * np.sign(axes[largest, np.arange(dim)])
