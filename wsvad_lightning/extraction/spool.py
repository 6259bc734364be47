"""Features of a video that is still being decoded, in a file, since they may not fit into memory."""

import tempfile
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from torch import Tensor

from wsvad_lightning.data.store.records import Features


class Spool:
    """One stream of features ``[T, N, D]`` in a temporary file without a name: it never outlives its process.

    Use it as a context manager. Slices of it are read-only views of the file, so that a program that goes
    through them one by one holds one.

    Args:
        folder: where the file takes its space; None for the system's folder of temporary files.
        dtype: of the values.

    Attributes:
        shape: of what was added so far.
        dtype: of the values.

    Raises:
        OSError: here or in :meth:`add`, if the folder cannot be written or the disk is full.
    """

    def __init__(self, folder: str | Path | None, dtype: np.dtype[Any]) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # closed by __exit__
        self.shape: tuple[int, ...] = (0,)
        self.dtype = dtype

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._file.close()

    def __getitem__(self, rows: slice) -> Features:
        first, end, _ = rows.indices(self.shape[0])
        offset = first * self.dtype.itemsize * int(np.prod(self.shape[1:]))
        return np.memmap(self._file, self.dtype, "r", offset, (end - first, *self.shape[1:]))

    def add(self, snippets: Iterable[Tensor]) -> None:
        """Append snippets ``[N, D]``."""
        for snippet in snippets:
            self._file.write(snippet.numpy().astype(self.dtype, order="C", copy=False).data)
            self.shape = (self.shape[0] + 1, *snippet.shape)
        self._file.flush()  # a full disk is noticed now

    def cut(self, num_snippets: int) -> None:
        """Leave out what comes after so many snippets."""
        self.shape = (num_snippets, *self.shape[1:])
