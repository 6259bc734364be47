"""Which writer of a store is the last: every writer holds a shared lock until it leaves.

The file ``store.h5.parts/lock`` is locked, never written. The system takes the lock back from killed writers.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import IO

import portalocker
from portalocker import LockFlags

from wsvad_lightning.errors import WSVADError


class WriterLock:
    """The share that one writer has in the folder of parts of a store, which it makes.

    Waits while another writer joins the parts.

    Args:
        parts: the folder.

    Attributes:
        released: whether it was given up.

    Raises:
        WSVADError: if the folder cannot be written, or files in it cannot be locked.
    """

    def __init__(self, parts: Path) -> None:
        self.released = False
        self._parts, self._held = parts, True
        try:
            self._file = _share(parts)
        except (OSError, portalocker.LockException) as error:
            cause = error.__cause__ if isinstance(error, portalocker.LockException) else error
            reason = getattr(cause, "strerror", None) or str(error)
            remedy = "Choose a folder where files can be written and locked"
            if error is not cause:  # no other writer has a lock there either
                self.remove()
            raise WSVADError("store", parts, f"cannot be written ({reason})", remedy) from error

    def is_last(self) -> bool:
        """Take the lock alone, which only the last writer can; the share is gone either way.

        New writers wait until the last one has released it.
        """
        portalocker.unlock(self._file)  # not every system turns a shared lock into an exclusive one
        try:
            portalocker.lock(self._file, LockFlags.EXCLUSIVE | LockFlags.NON_BLOCKING)
        except portalocker.AlreadyLocked:
            self._held = False
        return self._held

    def remove(self) -> None:
        """Remove the file and the folder, for the last writer."""
        with suppress(PermissionError):  # Windows keeps a file that is open; the next writer takes it
            (self._parts / "lock").unlink()
        with suppress(OSError):  # not empty: the next writer has come
            self._parts.rmdir()

    def release(self) -> None:
        """Give the lock up."""
        self.released = True
        if self._held:
            portalocker.unlock(self._file)  # closing alone would leave it to forked processes
        self._file.close()


def _share(parts: Path) -> IO[str]:
    while True:
        parts.mkdir(parents=True, exist_ok=True)
        try:
            file = (parts / "lock").open("a")
        except FileNotFoundError:  # the last writer has just removed the folder
            continue
        try:
            portalocker.lock(file, LockFlags.SHARED)
        except portalocker.LockException:
            file.close()
            raise
        if os.fstat(file.fileno()).st_nlink > 0:
            return file
        file.close()  # the last writer removed it while this one waited
