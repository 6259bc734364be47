"""The arrays of files of HDF5, MATLAB and PyTorch. Such a file is data: nothing in it runs.

Each reader gives the arrays by their path in the file, ``video_1/features``, with shapes, unread.
"""

import math
import pickle
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import IO, Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from wsvad_lightning.data.convert.files import SourceFile
from wsvad_lightning.data.datasets.limits import check_extent

HDF5_SUFFIXES = (".h5", ".hdf5", ".hdf", ".he5")
TORCH_SUFFIXES = (".pt", ".pth")
MATLAB_SUFFIX = ".mat"
NUMERIC = ("double", "single", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
MATLAB_7 = b"MATLAB 7.3"  # and later: HDF5 behind a header
MATLAB_CLASS, LONGEST_CLASS = "MATLAB_class", 64  # attribute of an array, and bytes that it may have
MOST_PACKED = 1100  # bytes that a byte of the file can hold: deflate packs 1032 at best
OWN = "schema"  # attribute of a feature store

Numbers = NDArray[Any]


class Lazy(NamedTuple):
    """An array of a file: its shape, None if it is known only after reading, and how to read it."""

    shape: tuple[int, ...] | None
    read: Callable[[], Numbers]


class OwnStoreError(Exception):
    """The file is a feature store, which needs no conversion."""


def hdf5_arrays(file: SourceFile) -> dict[str, Lazy]:
    """The numeric data sets of an HDF5 file, or of a MATLAB file that is one, by path.

    Links are not followed, and data sets that lie in other files are not read.

    Raises:
        OwnStoreError: if it is a feature store.
        OSError: if it is damaged.
    """
    with _opened(file) as root:
        if OWN in root.attrs:
            raise OwnStoreError
        found: dict[str, Lazy] = {}

        def visit(path: str | bytes, node: h5py.Group | h5py.Dataset) -> None:
            name = path.decode("utf-8", "backslashreplace") if isinstance(path, bytes) else path  # not UTF-8
            if isinstance(node, h5py.Dataset) and _is_numeric(name, node):
                shape = node.shape[::-1] if MATLAB_CLASS in node.attrs else node.shape
                found[name] = Lazy(shape, partial(_read_hdf5, file, path))

        root.visititems(visit)
        return found


def matlab_arrays(file: SourceFile) -> dict[str, Lazy]:
    """The numeric variables of a MATLAB file, by name.

    Raises:
        ValueError: if it is damaged, or SciPy is not there to read it.
    """
    with file.open() as opened:
        if opened.read(len(MATLAB_7)) == MATLAB_7:
            return hdf5_arrays(file)
    with _matlab(file) as (io, opened):
        listed = io.whosmat(opened)
    return {
        name: Lazy(shape, partial(_read_matlab, file, name))
        for name, shape, kind in listed
        if kind in NUMERIC
    }


def torch_arrays(file: SourceFile) -> dict[str, Lazy]:
    """The tensors of a PyTorch file, in dictionaries and lists too, by path.

    Raises:
        ValueError: if it is damaged, or holds anything but tensors, arrays and plain values.
    """
    held = dict(_leaves(_load_torch(file)))
    return {path: Lazy(tuple(leaf.shape), partial(_read_torch, file, path)) for path, leaf in held.items()}


@contextmanager
def _opened(file: SourceFile) -> Iterator[h5py.File]:
    with file.open() as opened, h5py.File(opened, "r") as root:
        yield root


def _is_numeric(path: str, node: h5py.Dataset) -> bool:
    named = _matlab_class(node) if MATLAB_CLASS in node.attrs else "double"
    return node.dtype.kind in "fiu" and node.shape is not None and named in NUMERIC and path[0] != "#"


def _matlab_class(node: h5py.Dataset) -> str:
    """The class that MATLAB gives an array; a text of any length lies in a heap, which may be damaged."""
    declared = h5py.h5a.open(node.id, MATLAB_CLASS.encode())
    if declared.shape or declared.dtype.kind != "S" or declared.dtype.itemsize > LONGEST_CLASS:
        return ""
    return bytes(node.attrs[MATLAB_CLASS]).decode("ascii", "replace")


def _read_hdf5(file: SourceFile, path: str | bytes) -> Numbers:
    with _opened(file) as root:
        node = root[path]
        if node.is_virtual or node.external:
            raise ValueError(f"{node.name} refers to other files")
        stored, chunk = node.id.get_storage_size(), math.prod(node.chunks or ()) * node.dtype.itemsize
        if stored > root.id.get_filesize() or max(node.nbytes, chunk) > MOST_PACKED * stored:
            raise ValueError(f"{node.name} is declared larger than the file can hold")
        values: Numbers = node[()]
        return values.T if MATLAB_CLASS in node.attrs else values


def _read_matlab(file: SourceFile, name: str) -> Numbers:
    with _matlab(file) as (io, opened):
        return np.asarray(io.loadmat(opened, variable_names=[name])[name])


@contextmanager
def _matlab(file: SourceFile) -> Iterator[tuple[Any, IO[bytes]]]:
    """SciPy's reader and a file for it; whatever it stumbles over is damage."""
    try:
        import scipy.io
    except ImportError:
        raise ValueError('reading it needs SciPy: pip install "wsvad-lightning[prepare]"') from None
    try:
        with file.open() as opened:
            yield scipy.io, opened
    except Exception as error:
        raise ValueError(str(error) or type(error).__name__) from error


@lru_cache(maxsize=1)
def _load_torch(file: SourceFile) -> Any:
    """Load a file of tensors; it is held until the next one is loaded."""
    import torch

    from wsvad_lightning.checkpoint import check_stored

    known = torch.serialization.safe_globals(_numpy_globals())
    checked = torch.sparse.check_sparse_tensor_invariants()  # type: ignore[no-untyped-call]
    try:
        with file.open() as opened, known, checked:
            check_stored(opened, file.size)
            held = torch.load(opened, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError) as error:
        unsafe = "Unsupported" in str(error) or "weights_only" in str(error)
        reason = "holds more than tensors and plain values" if unsafe else str(error).splitlines()[0]
        raise ValueError(reason) from None
    check_extent(held, file.size)
    tensors = ((path, leaf) for path, leaf in _leaves(held) if isinstance(leaf, torch.Tensor))
    for path, leaf in tensors:
        most = file.size if leaf.layout is torch.strided else MOST_PACKED * file.size  # without its zeros
        if leaf.numel() * leaf.element_size() > most:
            shape = [*leaf.shape]
            raise ValueError(f"{path or 'it'} of shape {shape} is declared larger than the file can hold")
    return held


def _numpy_globals() -> list[Any]:
    """What NumPy's arrays are rebuilt with, under the names of NumPy 1 and 2."""
    rebuild, number = np.array(0).__reduce__()[0], np.float64(0).__reduce__()[0]
    named = [(rebuild, "multiarray._reconstruct"), (number, "multiarray.scalar")]
    old_and_new = [(what, f"{core}.{name}") for what, name in named for core in ("numpy.core", "numpy._core")]
    kinds = [
        type(np.dtype(kind)) for kind in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")
    ]
    return [*old_and_new, np.ndarray, np.dtype, *kinds]


def _leaves(held: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Tensors and arrays by path."""
    if isinstance(held, Mapping):
        for key, value in held.items():
            yield from _leaves(value, f"{path}/{key}" if path else str(key))
    elif isinstance(held, list | tuple):
        for number, value in enumerate(held):
            yield from _leaves(value, f"{path}/{number}" if path else str(number))
    elif hasattr(held, "shape") and hasattr(held, "dtype"):
        yield path, held


def _read_torch(file: SourceFile, path: str) -> Numbers:
    leaf = dict(_leaves(_load_torch(file)))[path]
    if isinstance(leaf, np.ndarray):
        return leaf
    plain = leaf.detach().to_dense() if leaf.is_sparse else leaf.detach()
    return np.asarray(plain.float() if plain.is_floating_point() and plain.element_size() < 4 else plain)
