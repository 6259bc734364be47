"""Training without labels: windows of consecutive snippets of all training videos, in any order."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from wsvad_lightning.data.loading.dataset import BatchDataset
from wsvad_lightning.data.loading.readers import FeatureReader
from wsvad_lightning.data.loading.sampler import Draw
from wsvad_lightning.types import WSVADBatch


def window_positions(lengths: Sequence[int], size: int, across_videos: bool) -> NDArray[np.int64]:
    """Find which snippets make up each window, by their positions in all videos joined end to end.

    A window starts at every snippet from which a whole window fits into its video; a shorter video gives one
    window. Across videos, a window starts at every snippet. Past the end, its first snippet is repeated.

    Args:
        lengths: number of snippets of each video.
        size: T, snippets of a window.
        across_videos: whether windows may begin in one video and end in another, as FRD-UVAD's do.

    Returns:
        ``[W, T]``.
    """
    spans = np.array([sum(lengths)] if across_videos else lengths)
    counts = spans if across_videos else np.maximum(1, spans - size + 1)
    ends = np.cumsum(spans)
    starts = np.concatenate([first + np.arange(n) for first, n in zip(ends - spans, counts, strict=True)])
    positions = starts[:, None] + np.arange(size)
    return np.where(positions < np.repeat(ends, counts)[:, None], positions, starts[:, None])


class TrainingWindows(BatchDataset[WSVADBatch]):
    """Windows of the training videos with all their views; labels are ignored.

    Args:
        reader: gives the videos.
        video_ids: the training videos.
        size: T, snippets of a window.
        across_videos: see :func:`window_positions`.
    """

    def __init__(
        self, reader: FeatureReader, video_ids: Sequence[str], size: int, *, across_videos: bool
    ) -> None:
        self.reader, self.video_ids = reader, video_ids
        lengths = [reader.store[video_id].num_snippets for video_id in video_ids]
        self.positions = window_positions(lengths, size, across_videos)
        self.ends = np.cumsum(lengths)
        self.shape = (size, reader.transform.output_views, reader.transform.output_dim)

    def __len__(self) -> int:
        return len(self.positions)

    def load(self, keys: list[Draw]) -> WSVADBatch:
        """Assemble the windows drawn by a sampler.

        Raises:
            WSVADError: if a window is not finite.
        """
        positions = self.positions[[draw.bag for draw in keys]]
        numbers = np.searchsorted(self.ends, positions, side="right")
        features = np.empty((len(keys), *self.shape), dtype=np.float32)
        for number in np.unique(numbers):
            places = numbers == number
            features[places] = self._read(number, positions[places] - self.ends[number])
        return window_batch(features, positions, [self.video_ids[number] for number in numbers[:, 0]])

    def _read(self, number: int, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Read snippets of a video, counted from its end: only these are transformed."""
        video_id = self.video_ids[number]
        stored = self.reader.read_stored(video_id)
        wanted = {name: values[rows] for name, values in stored.items()}
        snippets = np.asarray(self.reader.transform(wanted), dtype=np.float32)
        self.reader.check_finite(video_id, snippets)
        return snippets


def window_batch(
    features: NDArray[np.float32], positions: NDArray[np.int64], video_ids: list[str]
) -> WSVADBatch:
    """Make a batch of windows ``[B, T, N, D]``; their labels are NaN, so that no loss can use them unseen."""
    size, length = positions.shape
    return WSVADBatch(
        features=torch.from_numpy(np.ascontiguousarray(features.swapaxes(1, 2))),
        lengths=torch.full((size,), length),
        labels=torch.full((size,), torch.nan),
        video_ids=video_ids,
        streams={},
        positions=torch.from_numpy(positions),
    )
