"""Reading a feature store, finished or still being written, without copying.

:class:`FeatureStore` reads what is known of the videos once, closes the files, and gives features as views of
a memory map: nothing is copied, all processes share the page cache, and no lock is ever taken. Each process
opens the files at its first read, so a store can be sent to forked and spawned workers alike.
"""

import glob
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from wsvad_lightning.data.store.contents import member
from wsvad_lightning.data.store.layout import damaged, open_file, read_provenance, read_video, reason_of
from wsvad_lightning.data.store.records import (
    Features,
    Provenance,
    StreamLocation,
    VideoRecord,
    describe_streams,
)
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.types import StreamInfo

MAX_OPEN = 256  # files that a process keeps open; a store that is still being written has one per video


class FeatureStore:
    """Reads a store, finished or not, or several as one.

    Args:
        path: a store, several, or a glob pattern.
        faults: where given, files and videos that cannot be read are left out, and listed here.

    Attributes:
        path: the same as text, for messages, as the command line takes it.
        paths: the stores that it names.
        provenance: where the features come from.
        streams: channels and views of each stream.
        classes: names of the anomaly classes, sorted.

    Raises:
        WSVADError: if the store does not exist, a file is damaged, a video is in two of the stores, or the
            stores differ in streams or provenance.
    """

    def __init__(
        self, path: str | Path | Sequence[str | Path], *, faults: list[WSVADError] | None = None
    ) -> None:
        self.path = str(path) if isinstance(path, str | Path) else f"[{', '.join(map(str, path))}]"
        self.paths = store_paths(path)
        self._pid = os.getpid()
        self._handles: dict[tuple[Path, Callable[[Path], Any]], Any] = {}
        self._records: dict[str, VideoRecord] = {}
        indexes: list[_Index] = []
        for store in self.paths:
            found = [_read_index(file, faults) for file in files_of(store)]
            sound = [index for index in found if index is not None]
            self._take(store, sound)
            indexes += sound
        if faults and not indexes:
            raise faults.pop()
        self.provenance = indexes[0].provenance
        for index in indexes:
            self.provenance.check_same(index.provenance, index.file)
        self._stamps = {index.file: index.stamp for index in indexes}
        self.streams = self._common_streams(faults)
        classes = {name for record in self._records.values() for name in record.annotation.classes}
        self.classes = tuple(sorted(classes))

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, video_id: str) -> bool:
        return video_id in self._records

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._records))

    def __getitem__(self, video_id: str) -> VideoRecord:
        if video_id not in self._records:
            raise WSVADError("video", video_id, f"is not in {self.path}", "Extract it or correct the name")
        return self._records[video_id]

    def __getstate__(self) -> dict[str, Any]:
        """Leave open files behind; the process that receives the store opens its own."""
        return {**self.__dict__, "_handles": {}}

    def read(self, video_id: str, stream: str = "features") -> Features:
        """Read one stream of a video.

        Args:
            video_id: name of the video.
            stream: name of the stream.

        Returns:
            ``[T, N, D]``, read-only: a view of a memory map, or a copy where the dataset is compressed.

        Raises:
            WSVADError: if the video or stream does not exist, or the file is damaged or was replaced.
        """
        location = self._locate(video_id, stream)
        if location.offset is not None:
            return np.ndarray(
                location.shape, location.dtype, self._open(location.file, _map_file), location.offset
            )
        try:
            array: Features = self._open(location.file, open_file)[location.dataset][()]
        except WSVADError:
            raise
        except Exception as error:  # a damaged file fails anywhere in HDF5
            raise damaged(location.file, f"{location.dataset} does not decompress") from error
        array.setflags(write=False)
        return array

    @property
    def video_paths(self) -> dict[str, str]:
        """What is known of where the videos lie, by name: their paths below the source, or their names."""
        return {
            video_id: record.origin.path if record.origin else video_id
            for video_id, record in self._records.items()
        }

    def checksum(self) -> str:
        """SHA-256 over the names and stream checksums of all videos, however they lie in files."""
        digest = hashlib.sha256()
        for video_id in self:
            for name, location in sorted(self[video_id].streams.items()):
                digest.update(f"{video_id}/{name} {location.checksum}\n".encode())
        return digest.hexdigest()

    def mean_norm(self, stream: str = "features") -> float:
        """Mean Euclidean norm of all vectors of a stream; it differs from backbone to backbone."""
        locations = [self._locate(video_id, stream) for video_id in self]
        vectors = [location.shape[0] * location.shape[1] for location in locations]
        return float(np.average([location.mean_norm for location in locations], weights=vectors))

    def _locate(self, video_id: str, stream: str) -> StreamLocation:
        streams = self[video_id].streams
        if stream not in streams:
            raise WSVADError("stream", stream, f"{self.path} holds {sorted(streams)}", "Choose one of these")
        return streams[stream]

    def _take(self, store: Path, indexes: Sequence["_Index"]) -> None:
        """Add the videos of one store."""
        records = {name: record for index in indexes for name, record in index.records.items()}
        twice = sorted(records.keys() & self._records.keys())
        if twice:
            problem = f"{len(twice)} of its videos are in other stores too, such as {twice[0]}"
            raise WSVADError("store", store, problem, "Give stores that have no video in common")
        self._records |= records

    def _common_streams(self, faults: list[WSVADError] | None) -> Mapping[str, StreamInfo]:
        common: Mapping[str, StreamInfo] | None = None
        for video_id in self:
            shapes = {name: location.shape for name, location in self[video_id].streams.items()}
            try:
                common = describe_streams(video_id, shapes, self.provenance, common)
            except WSVADError as error:
                if faults is None:
                    raise
                faults.append(error)
        return common or {}

    def _open(self, file: Path, how: Callable[[Path], Any]) -> Any:
        """Open a file at the first read of each process: a forked one must not use its parent's handles."""
        if self._pid != os.getpid():
            self._pid, self._handles = os.getpid(), {}
        if (file, how) not in self._handles:
            if _stamp(file) != self._stamps[file]:
                raise _replaced(file)
            if len(self._handles) == MAX_OPEN:
                del self._handles[next(iter(self._handles))]
            self._handles[file, how] = how(file)
        return self._handles[file, how]


@dataclass(frozen=True)
class _Index:
    """What one file says of itself, and its stamp at that time."""

    file: Path
    stamp: tuple[int, int]
    provenance: Provenance
    records: Mapping[str, VideoRecord]


def store_paths(path: str | Path | Sequence[str | Path]) -> list[Path]:
    """The stores that a path, several, or a glob pattern name.

    Args:
        path: as for :class:`FeatureStore`.

    Raises:
        WSVADError: if the store does not exist, or a pattern fits none.
    """
    stores: list[Path] = []
    for given in map(Path, [path] if isinstance(path, str | Path) else path):
        found = [given] if files_of(given) else [store for store in _glob(given) if files_of(store)]
        if not found:
            remedy = "Correct the path or the pattern, or extract features"
            raise WSVADError("store", given, "no such store", remedy)
        stores += found
    return stores


def parts_folder(store: Path) -> Path:
    """The folder of the videos that were written and not joined yet."""
    return Path(f"{store}.parts")


def files_of(store: Path) -> list[Path]:
    """Files that make up a store: the whole, then the parts, which have the last word on videos in both."""
    parts = sorted(parts_folder(store).glob("*.h5"))  # first: a writer may just join them
    return [*([store] if store.is_file() else []), *parts]


def _glob(pattern: Path) -> list[Path]:
    """What fits a pattern, also if there are only parts of it yet."""
    found = glob.glob(str(pattern)) + glob.glob(f"{pattern}.parts")  # noqa: PTH207  # may be absolute
    return sorted({Path(name.removesuffix(".parts")) for name in found})


def _read_index(path: Path, faults: list[WSVADError] | None) -> _Index | None:
    """Read what a file says of itself; None if that cannot be read and faults are listed."""
    stamp = _stamp(path)
    own: list[WSVADError] = []
    index = None
    try:
        with open_file(path) as file:
            index = _Index(path, stamp, read_provenance(file), _read_records(file, path, own))
    except WSVADError as error:
        own.append(error)
    except Exception as error:  # a damaged file fails anywhere in HDF5
        own.append(damaged(path, reason_of(error)))
    if faults is not None:
        faults += own
    elif own:
        raise own[0]
    return index


def _read_records(file: h5py.File, path: Path, faults: list[WSVADError]) -> dict[str, VideoRecord]:
    """Read all videos of a file that can be read."""
    videos, records = member(file, "videos", h5py.Group), {}
    for name in videos:
        try:
            record = read_video(member(videos, name, h5py.Group), path)
        except Exception as error:  # a damaged file fails anywhere in HDF5
            faults.append(damaged(path, f"{name}: {reason_of(error)}"))
            continue
        if record.annotation.video_id in records:
            faults.append(damaged(path, f"two of its videos are called {record.annotation.video_id}"))
        records[record.annotation.video_id] = record
    return records


def _stamp(path: Path) -> tuple[int, int]:
    """Size and time of a file, which show whether it is still the one that was indexed."""
    try:
        status = path.stat()
    except FileNotFoundError:
        raise _replaced(path) from None
    return status.st_size, status.st_mtime_ns


def _replaced(path: Path) -> WSVADError:
    problem = "was replaced or removed while it was read, as by a writer that joins its parts"
    return WSVADError("store", path, problem, "Open the store again")


def _map_file(path: Path) -> np.memmap[Any, np.dtype[np.uint8]]:
    return np.memmap(path, dtype=np.uint8, mode="r")
