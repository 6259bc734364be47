"""A file of ready-made bags, so that a training step reads exactly the bytes it needs."""

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from wsvad_lightning.data.loading.dataset import StoreSegments
from wsvad_lightning.data.loading.transform import ALL_VIEWS
from wsvad_lightning.files import replacing

FORMAT = 1


class SegmentCache:
    """Bags of the training videos, ``[V, N', S, D']`` float32, memory-mapped from one ``.npy`` file.

    Its name is a hash of everything the bags depend on, so an existing file of that name is valid. The
    numbers are those of the source, and all processes share the pages.

    Args:
        folder: of the file.
        source: what computes the bags; its sampling is deterministic.
        video_ids: the videos, in the order of the file.
    """

    def __init__(self, folder: str | Path, source: StoreSegments, video_ids: Sequence[str]) -> None:
        self._source, self._video_ids = source, video_ids
        self._rows = {video_id: row for row, video_id in enumerate(video_ids)}
        self.path = Path(folder) / f"segments-{_key(source, video_ids)}.npy"

    def build(self) -> None:
        """Compute and write the bags, one video at a time, unless the file is there.

        Raises:
            WSVADError: if the folder cannot be written or is full, or features are not finite.
        """
        if self.path.exists():
            return
        transform, rng = self._source.reader.transform, np.random.default_rng(0)
        bag = (transform.output_views, self._source.segments, transform.output_dim)
        header = {"descr": "<f4", "fortran_order": False, "shape": (len(self._video_ids), *bag)}
        with replacing(self.path) as temporary, temporary.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            for video_id in track(self._video_ids, description="segment cache", transient=True):
                file.write(self._source.read(video_id, ALL_VIEWS, rng).astype("<f4").tobytes())

    def read(self, video_id: str, views: slice, rng: np.random.Generator) -> NDArray[np.float32]:
        """Give a bag ``[N', S, D']`` as a read-only view; nothing in it is random."""
        bag: NDArray[np.float32] = self._bags[self._rows[video_id], views]
        return bag

    @cached_property
    def _bags(self) -> NDArray[np.float32]:
        return np.asarray(np.load(self.path, mmap_mode="r"))

    def __getstate__(self) -> dict[str, Any]:
        """Leave the memory map out: a worker opens its own."""
        return {name: value for name, value in self.__dict__.items() if name != "_bags"}


def _key(source: StoreSegments, video_ids: Sequence[str]) -> str:
    """Digest of everything the bags depend on."""
    reader, transform = source.reader, source.reader.transform
    recipe = {
        "format": FORMAT,
        "store": reader.store.checksum(),
        "videos": list(video_ids),
        **transform.settings,
        "sampling": source.sampling,
        "segments": source.segments,
    }
    digest = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode())
    for name, values in sorted(transform.statistics.items()):
        digest.update(name.encode() + values.tobytes())
    return digest.hexdigest()[:32]
