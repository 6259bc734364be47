"""Writing HDF5 to a disk that may be full.

HDF5 cannot close a file that it could not write: the interpreter crashes as it ends. So it writes through a
Python file that never fails; what the system said is raised once HDF5 has closed it.
"""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

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
    """A file that notes the first error, and forgets what is written after it.

    Attributes:
        error: the first one.
    """

    def __init__(self, raw: io.RawIOBase) -> None:
        self.error: OSError | None = None
        self._raw = raw

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a byte."""
        return self._raw.seek(offset, whence)

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typed as a protocol there
        """Read what was written before."""
        return self._raw.readinto(buffer) or 0

    def write(self, content: memoryview) -> int:  # type: ignore[override]
        """Write all of it, or note why that fails."""
        left = memoryview(content).cast("B")
        try:
            while self.error is None and left.nbytes:
                left = left[self._raw.write(left) or 0 :]
        except OSError as error:
            self.error = error
        return memoryview(content).nbytes

    def truncate(self, size: int | None = None) -> int:
        """Set the length, or note why that fails."""
        try:
            return self._raw.truncate(size) if self.error is None else size or 0
        except OSError as error:
            self.error = error
            return size or 0

    def flush(self) -> None:
        """Do nothing: nothing is buffered."""
