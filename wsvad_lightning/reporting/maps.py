"""``maps.h5``: how anomalous each part of the frame is.

A data set ``[T, h, w]`` float32 for each video by its name, gzipped. A name with a ``/`` is replaced by a
digest; the attribute ``name`` has it. The attributes of the file give the positions of the snippets.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from wsvad_lightning.data.datasets.components import components
from wsvad_lightning.data.datasets.names import digest_of
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.files import replacing
from wsvad_lightning.metrics.cells import borders, check_maps, to_levels
from wsvad_lightning.timeline import SnippetGrid
from wsvad_lightning.types import Prediction

Runs = Sequence[tuple[int, int, NDArray[np.floating[Any]]]]


def write_maps(path: Path, predictions: Sequence[Prediction], grid: SnippetGrid) -> None:
    """Write the maps of videos; those without any are left out.

    Args:
        path: the file.
        predictions: of the videos.
        grid: of the snippets.

    Raises:
        WSVADError: if maps are not in [0, 1], or the file cannot be written.
    """
    with replacing(path) as temporary, h5py.File(temporary, "w", locking=False) as file:
        file.attrs["schema"] = 1
        file.attrs["snippet_length"], file.attrs["snippet_stride"] = grid.length, grid.stride
        for video in predictions:
            if video.maps is not None:
                values = video.maps.numpy()
                check_maps(values, video.video_id)
                held = file.create_dataset(
                    _key(video.video_id), data=values, compression="gzip", shuffle=True
                )
                held.attrs["name"] = video.video_id


def read_maps(path: Path, video_id: str) -> NDArray[np.float32]:
    """Read the maps of a video, ``[T, h, w]`` in [0, 1].

    Args:
        path: a file that ``wsvad test`` or ``wsvad predict`` wrote.
        video_id: name of the video.

    Raises:
        WSVADError: if the file cannot be read, or has no maps of the video.
    """
    try:
        with h5py.File(path, "r", locking=False) as file:
            held = file.get(_key(video_id))
            maps = held[()] if isinstance(held, h5py.Dataset) else None
    except OSError as error:
        raise WSVADError("maps", path, f"cannot be read: {error}", "Give maps.h5 of a run") from None
    if maps is None:
        raise WSVADError("maps", path, f"has no maps of {video_id}", "Give the run that scored it")
    values: NDArray[np.float32] = np.asarray(maps, np.float32)
    check_maps(values, video_id)
    return values


def say_nothing(predictions: Sequence[Prediction]) -> bool:
    """Whether there are maps, and all have one score everywhere, as far as metrics distinguish scores."""
    maps = [video.maps for video in predictions if video.maps is not None]
    return bool(maps) and same_everywhere(maps)


def same_everywhere(maps: Sequence[Tensor]) -> bool:
    """Whether maps, ``[..., h, w]`` in [0, 1] each, have one score, as far as metrics distinguish scores."""
    levels = [np.unique(to_levels(values.numpy())) for values in maps]
    return len(np.unique(np.concatenate(levels))) == 1


def strongest_region(runs: Runs, start: int, end: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Find where the maps of some frames are strongest.

    Of the mean of the maps over the frames, it is the bounding box of the cells that touch the highest one
    and reach half way up to it from the median, the level of what is calm.

    Args:
        runs: maps of the video, as :func:`expand_maps` gives them.
        start: first frame.
        end: frame after the last one.
        size: width and height of the frames.

    Returns:
        Left, top, width and height in pixels.
    """
    own = [run for run in runs if run[0] < end and start < run[1]]
    frames = [min(end, last) - max(start, first) for first, last, _ in own]
    mean = np.average(np.stack([values for _, _, values in own]), axis=0, weights=frames)
    row, column = np.unravel_index(np.argmax(mean), mean.shape)
    (region,) = (part for part in components(mean >= (np.median(mean) + mean.max()) / 2) if part[row, column])
    rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    (width, height), (h, w) = size, mean.shape
    across, down = borders(width, w), borders(height, h)
    left, top = int(across[columns[0]]), int(down[rows[0]])
    return left, top, int(across[columns[-1] + 1]) - left, int(down[rows[-1] + 1]) - top


def _key(video_id: str) -> str:
    return digest_of(video_id) if "/" in video_id else video_id
