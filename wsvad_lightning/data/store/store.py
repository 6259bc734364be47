"""The feature store: one HDF5 file a data set and backbone, written video by video, read without copying.

What the file holds is described in :mod:`wsvad_lightning.data.store.layout`.

Writing. Each video first becomes a complete store of its own, ``store.h5.parts/<video_id>.h5``, and
:meth:`StoreWriter.close` joins the parts into ``store.h5``. Every file appears in one step, after its last
byte is on the disk: a writer that is killed leaves a readable store, and the next one goes on where it
stopped. Any number of processes may add to a store at once, and the last to finish joins. To know which is
the last, writers share a lock on ``store.h5.parts/lock``, which the system takes back from killed ones.

Reading. :class:`FeatureStore` reads what is known of the videos once, closes the files, and gives out
features as views of a memory map: nothing is copied, all processes share the page cache, and no lock is ever
taken. Each process opens the files at its first read, so a store goes to forked and spawned workers alike.
"""

import fcntl
import glob
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np

from wsvad_lightning.data.datasets.annotations import VideoAnnotation, canonical_id
from wsvad_lightning.data.store.layout import (
    Compression,
    Features,
    Provenance,
    Rows,
    StreamLocation,
    VideoRecord,
    blocks,
    checksum,
    damaged,
    new_file,
    open_file,
    read_provenance,
    read_video,
    write_video,
)
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.types import StreamInfo

__all__ = [
    "FeatureStore",
    "Features",
    "Provenance",
    "StoreWriter",
    "StreamLocation",
    "VideoRecord",
    "checksum",
]

MAX_OPEN = 256  # files that a process keeps open; a store that is still being written has one a video


class StoreWriter:
    """Writes a store video by video, each complete or absent, and resumes what a killed writer left.

    Use it as a context manager. If it is left by an error the parts stay; they read as a store, and the next
    writer joins them. Joining needs as much free space as the store takes.

    Args:
        path: the store to make or to add to.
        provenance: where the features come from.
        compression: HDF5 filter that makes the file smaller and reading slower.

    Raises:
        WSVADError: if it is a folder or cannot be written, or holds features of another provenance.
    """

    def __init__(
        self, path: str | Path, provenance: Provenance, *, compression: Compression | None = None
    ) -> None:
        self.path, self.provenance, self.compression = Path(path), provenance, compression
        if self.path.is_dir():
            raise WSVADError("store", path, "is a folder", "Name a file, such as features.h5 in it")
        self._parts = _parts_folder(self.path)
        self._lock = _share_lock(self._parts)
        self._present: set[str] = set()
        self._streams: Mapping[str, StreamInfo] | None = None
        try:
            self._resume()
        except BaseException:
            self._leave(join=False)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._leave(join=kind is None)

    def __contains__(self, video_id: str) -> bool:
        return video_id in self._present or self._part(video_id).exists()

    def add(
        self, annotation: VideoAnnotation, streams: Mapping[str, Rows], *, num_frames: int, fps: float
    ) -> None:
        """Write one video; once this returns, no crash loses it.

        Args:
            annotation: what is known of the video.
            streams: ``[T, N, D]`` float16 or float32 each, of the same T.
            num_frames: frames of the video, counted by decoding.
            fps: frames a second.

        Raises:
            WSVADError: if the video is in the store, contradicts its annotation, differs in form from the
                other videos, is empty or not finite, or the disk is full. Nothing of it is written then.
        """
        video_id = annotation.video_id
        if video_id != canonical_id(video_id):
            raise WSVADError("video", video_id, "is no canonical name", f"Name it {canonical_id(video_id)}")
        if video_id in self._present:
            raise WSVADError("video", video_id, f"is in {self.path} already", "Write each video once")
        if not 0 < fps < np.inf:
            raise WSVADError("video", video_id, f"has {fps} frames a second", "Give its true fps")
        annotation.check_num_frames(num_frames)
        _check_values(video_id, streams)
        shapes = {name: array.shape for name, array in streams.items()}
        described = _describe_streams(video_id, shapes, self.provenance, self._streams)
        with new_file(self._part(video_id), self.provenance) as videos:
            write_video(videos, annotation, streams, num_frames, fps, self.compression)
        self._streams = described
        self._present.add(video_id)

    def close(self) -> None:
        """Join the parts into one file, unless other writers are at work: then the last of them does.

        Raises:
            WSVADError: if the disk is full. The parts stay, and read as a store.
        """
        self._leave(join=True)

    def _resume(self) -> None:
        """Take over what was written before."""
        if _files_of(self.path):
            before = FeatureStore([self.path])
            self.provenance.check_same(before.provenance, self.path)
            self._present, self._streams = set(before), before.streams

    def _part(self, video_id: str) -> Path:
        return self._parts / f"{video_id}.h5"

    def _leave(self, *, join: bool) -> None:
        """Give the lock up; the last writer tidies."""
        if self._lock.closed:
            return
        try:
            if _is_last(self._lock):
                self._tidy(join)
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)  # closing alone would leave it to forked processes
            self._lock.close()

    def _tidy(self, join: bool) -> None:
        """Remove what killed writers left, and join the parts if asked to; no other writer is at work."""
        half_joined = f".{glob.escape(self.path.name)}.{'?' * 8}.tmp"
        for leftover in [*self._parts.glob("*.tmp"), *self.path.parent.glob(half_joined)]:
            leftover.unlink()
        parts = sorted(self._parts.glob("*.h5"))
        if parts and join:
            self._join(parts)
        if join or not parts:
            (self._parts / "lock").unlink()
            with suppress(OSError):  # not empty: the next writer has come
                self._parts.rmdir()

    def _join(self, parts: Sequence[Path]) -> None:
        whole = [self.path] if self.path.exists() else []
        with new_file(self.path, self.provenance) as videos:
            for source in [*whole, *parts]:
                with open_file(source) as file:
                    self.provenance.check_same(read_provenance(file), source)
                    for video_id, group in file["videos"].items():
                        if video_id not in videos:  # else its part was joined by a writer killed just after
                            file.copy(group, videos)
        for part in parts:
            part.unlink()


class FeatureStore:
    """Reads a store, finished or not, or several as one.

    Args:
        path: a store, several, or a glob pattern.

    Attributes:
        path: the same as text, for messages, as the command line takes it.
        paths: the stores that it names.
        provenance: where the features come from.
        streams: channels and views of each stream.
        classes: names of the anomaly classes, sorted.

    Raises:
        WSVADError: if there is no such store, a file is damaged, a video is in two of the stores, or the
            stores differ in form or provenance.
    """

    def __init__(self, path: str | Path | Sequence[str | Path]) -> None:
        self.path = str(path) if isinstance(path, str | Path) else f"[{', '.join(map(str, path))}]"
        self.paths = store_paths(path)
        self._pid = os.getpid()
        self._handles: dict[tuple[Path, Callable[[Path], Any]], Any] = {}
        self._records: dict[str, VideoRecord] = {}
        indexes: list[_Index] = []
        for store in self.paths:
            found = [_read_index(file) for file in _files_of(store)]
            self._take(store, found)
            indexes += found
        self.provenance = indexes[0].provenance
        for index in indexes:
            self.provenance.check_same(index.provenance, index.file)
        self._stamps = {index.file: index.stamp for index in indexes}
        self.streams = self._common_streams()
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
            video_id: canonical name.
            stream: name of the stream.

        Returns:
            ``[T, N, D]``, read-only: a view of a memory map, or a copy where the dataset is compressed.

        Raises:
            WSVADError: if there is no such video or stream, or the file is damaged or was replaced.
        """
        location = self._locate(video_id, stream)
        if location.offset is not None:
            return np.ndarray(
                location.shape, location.dtype, self._open(location.file, _map_file), location.offset
            )
        try:
            array: Features = self._open(location.file, open_file)[location.dataset][()]
        except OSError as error:
            raise damaged(location.file, f"{location.dataset} does not decompress") from error
        array.setflags(write=False)
        return array

    def checksum(self) -> str:
        """SHA-256 over the names and stream checksums of all videos, however they lie in files."""
        digest = hashlib.sha256()
        for video_id in self:
            for name, location in sorted(self[video_id].streams.items()):
                digest.update(f"{video_id}/{name} {location.checksum}\n".encode())
        return digest.hexdigest()

    def mean_norm(self, stream: str = "features") -> float:
        """Mean Euclidean norm of all vectors of a stream; tells features of one backbone apart."""
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

    def _common_streams(self) -> Mapping[str, StreamInfo]:
        common: Mapping[str, StreamInfo] | None = None
        for video_id in self:
            shapes = {name: location.shape for name, location in self[video_id].streams.items()}
            common = _describe_streams(video_id, shapes, self.provenance, common)
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
        WSVADError: if there is no such store, or a pattern fits none.
    """
    stores: list[Path] = []
    for given in map(Path, [path] if isinstance(path, str | Path) else path):
        found = [given] if _files_of(given) else [store for store in _glob(given) if _files_of(store)]
        if not found:
            remedy = "Correct the path or the pattern, or extract features"
            raise WSVADError("store", given, "there is no such store", remedy)
        stores += found
    return stores


def _glob(pattern: Path) -> list[Path]:
    """What fits a pattern, also if there are only parts of it yet."""
    found = glob.glob(str(pattern)) + glob.glob(f"{pattern}.parts")  # noqa: PTH207  # may be absolute
    return sorted({Path(name.removesuffix(".parts")) for name in found})


def _parts_folder(store: Path) -> Path:
    return Path(f"{store}.parts")


def _files_of(store: Path) -> list[Path]:
    """Files that make up a store: the parts, then the whole, which has the last word on videos in both."""
    return [*sorted(_parts_folder(store).glob("*.h5")), *([store] if store.is_file() else [])]


def _read_index(path: Path) -> _Index:
    stamp = _stamp(path)
    with open_file(path) as file:
        try:
            records = {name: read_video(group, path) for name, group in file["videos"].items()}
            return _Index(path, stamp, read_provenance(file), records)
        except (KeyError, OSError, RuntimeError) as error:
            raise damaged(path, str(error)) from error


def _stamp(path: Path) -> tuple[int, int]:
    """Tells whether a file is still the one that was indexed."""
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


def _share_lock(parts: Path) -> IO[str]:
    """Become one of the writers of a store, making its folder of parts; waits while parts are joined."""
    try:
        while True:
            parts.mkdir(parents=True, exist_ok=True)
            try:
                lock = (parts / "lock").open("a")
            except FileNotFoundError:  # the last writer has just removed the folder
                continue
            fcntl.flock(lock, fcntl.LOCK_SH)
            if os.fstat(lock.fileno()).st_nlink > 0:
                return lock
            lock.close()  # the last writer removed it while we waited
    except OSError as error:
        remedy = "Choose a folder where files can be written and locked"
        raise WSVADError("store", parts, f"cannot be written ({error.strerror})", remedy) from error


def _is_last(lock: IO[str]) -> bool:
    """Turn the shared lock into an exclusive one, which only the last writer gets."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _check_values(video_id: str, streams: Mapping[str, Rows]) -> None:
    if not streams:
        raise WSVADError("video", video_id, "has no streams", "Give at least the stream 'features'")
    num_snippets = next(iter(streams.values())).shape[:1]
    for name, array in streams.items():
        problem = _problem_of(name, array)
        if not problem and array.shape[:1] != num_snippets:
            problem = f"has {array.shape[0]} snippets where another stream has {num_snippets[0]}"
        if problem:
            raise WSVADError("video", video_id, f"stream {name!r} {problem}", "Extract the video again")


def _problem_of(name: str, array: Rows) -> str:
    if not name.isidentifier():
        return "has a name that is not of letters, digits and underscores"
    if len(array.shape) != 3 or array.dtype not in (np.float16, np.float32):
        return f"is {array.dtype} of shape {array.shape}, not float16 or float32 [T, N, D]"
    if 0 in array.shape:
        return f"is empty, of shape {array.shape}"
    finite = all(np.isfinite(block).all() for _, block in blocks(array))
    return "" if finite else "holds NaN or infinite values"


def _describe_streams(
    video_id: str,
    shapes: Mapping[str, tuple[int, ...]],
    provenance: Provenance,
    expected: Mapping[str, StreamInfo] | None,
) -> dict[str, StreamInfo]:
    """Channels and views of each stream of shape ``(T, N, D)``, which must be those of the other videos."""
    described = {}
    for name, (_, num_views, dim) in sorted(shapes.items()):
        views = provenance.views.get(name, tuple(map(str, range(num_views))))
        if len(views) != num_views:
            problem = f"stream {name!r} has {num_views} views where the store names {len(views)}: {views}"
            raise WSVADError("video", video_id, problem, "Extract the video again, with the same settings")
        described[name] = StreamInfo(dim, views)
    if expected is not None and described != expected:
        problem = f"its streams are {_spell(described)} where other videos have {_spell(expected)}"
        raise WSVADError("video", video_id, problem, "Extract the video again, with the same settings")
    return described


def _spell(streams: Mapping[str, StreamInfo]) -> str:
    """Streams in words."""
    return ", ".join(f"{name} ({len(info.views)} x {info.dim})" for name, info in streams.items())
