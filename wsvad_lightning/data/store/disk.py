"""Writing HDF5 to a disk that may be full.

HDF5 cannot close a file that it could not write: the interpreter crashes as it ends. So it writes through a
Python file that never fails; what the system said is raised once HDF5 has closed it.
"""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

KEPT = 2**28  # bytes that are kept in memory after an error
ALIGNMENT = 64  # bytes: mapped arrays then suit any vector instruction


@contextmanager
def writing(path: Path) -> Iterator[h5py.File]:
    """Give an HDF5 file to write, in place of the one that is there.

    Raises:
        OSError: if the disk is full.
    """
    with path.open("rb+", buffering=0) as raw:
        disk = _Disk(raw)
        try:
            with h5py.File(disk, "w", alignment_threshold=1, alignment_interval=ALIGNMENT) as file:
                yield file
        finally:
            if disk.error is not None:
                raise disk.error


class _Disk(io.RawIOBase):
    """A file that notes the first error, and keeps in memory what is written after it.

    HDF5 reads metadata back, and does not come to an end in what is not there.

    Attributes:
        error: the first one.
    """

    def __init__(self, raw: io.FileIO) -> None:
        self.error: OSError | None = None
        self._raw, self._place = raw, 0
        self._kept: list[tuple[int, bytes]] = []  # after the error, by place
        self._room = KEPT

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a byte."""
        if whence == os.SEEK_END:
            end = self._raw.seek(0, os.SEEK_END)
            offset += max([end, *(place + len(content) for place, content in self._kept)])
        self._place = offset + (self._place if whence == os.SEEK_CUR else 0)
        return self._place

    def readinto(self, buffer: Any) -> int:
        """Read what was written before."""
        view = memoryview(buffer).cast("B")
        self._raw.seek(self._place)
        count = self._raw.readinto(view) or 0
        for place, content in self._kept:
            first, end = max(place, self._place), min(place + len(content), self._place + view.nbytes)
            if first < end:
                view[first - self._place : end - self._place] = content[first - place : end - place]
                count = max(count, end - self._place)
        self._place += count
        return count

    def write(self, content: Any) -> int:
        """Write all of it; note why that fails, and keep it."""
        view = memoryview(content).cast("B")
        left = view
        try:
            while self.error is None and left.nbytes:
                self._raw.seek(self._place + view.nbytes - left.nbytes)
                left = left[self._raw.write(left) or 0 :]
        except OSError as error:
            self.error = error
        if self.error is not None:
            self._room -= view.nbytes
            if self._room < 0:
                raise self.error
            self._kept.append((self._place, view.tobytes()))
        self._place += view.nbytes
        return view.nbytes

    def truncate(self, size: int | None = None) -> int:
        """Set the length, or note why that fails."""
        try:
            if self.error is None:
                self._raw.truncate(size)
        except OSError as error:
            self.error = error
        return size or 0

    def flush(self) -> None:
        """Do nothing: nothing is buffered."""
