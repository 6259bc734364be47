"""``wsvad data export``: the features of a store as files for other tools."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from rich.console import Console
from rich.progress import track

from wsvad_lightning.data.datasets.names import usable_as_path
from wsvad_lightning.data.datasets.table import write_annotations
from wsvad_lightning.data.store.reader import FeatureStore
from wsvad_lightning.data.store.records import Features
from wsvad_lightning.errors import counted
from wsvad_lightning.files import making_folder

TABLE = "annotations.csv"


def export(store: str, folder: str, layout: Literal["npy", "crops"] = "npy") -> None:
    """Write a folder of ``.npy`` files for each stream, and a table of what is known of the videos.

    The folder appears when it is complete. ``wsvad data convert`` reads the folder of each stream.

    Args:
        store: path of a store, or a glob pattern that names several.
        folder: where to write, absent or empty.
        layout: ``npy``: ``x.npy`` of ``[T, N, D]``, all views; ``crops``: ``x__0.npy``, ``x__1.npy``, … of
            ``[T, D]``, one file per view.

    Raises:
        WSVADError: if the store cannot be opened, or the folder is not empty or cannot be written.
    """
    opened, videos, console = FeatureStore(store), {}, Console(stderr=True)
    with making_folder(folder) as target:
        for video_id in track(list(opened), "exporting", console=console, transient=True):
            record = opened[video_id]
            videos[video_id] = replace(record.annotation, num_frames=record.num_frames)
            for stream in record.streams:
                for name, array in _files(usable_as_path(video_id), opened.read(video_id, stream), layout):
                    path = target / stream / f"{name}.npy"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    write_array(path, array)
        write_annotations(target / TABLE, videos)
    said = (
        f"{folder} holds {counted(len(videos), 'video')}; {counted(len(opened.streams), 'stream')}; {TABLE}"
    )
    console.print(said, markup=False, highlight=False, soft_wrap=True)


def write_array(path: Path, array: Features) -> None:
    """Write an ``.npy`` file; ``numpy.save`` does not notice a disk that is full for the last bytes.

    Raises:
        OSError: if the disk is full.
    """
    content = np.ascontiguousarray(array)
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(content))
        file.write(content.data)


def _files(name: str, features: Features, layout: Literal["npy", "crops"]) -> Iterator[tuple[str, Features]]:
    if layout == "npy":
        yield name, features
        return
    for view in range(features.shape[1]):
        yield f"{name}__{view}", features[:, view]
