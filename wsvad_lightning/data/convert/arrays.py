"""The arrays in a file: of NumPy, pickles that hold nothing but numbers, text, and other formats.

A pickle is a program. Here it may build arrays, numbers, texts, lists and dictionaries, and nothing else: any
other name that it asks for is refused before it is looked up.
"""

import codecs
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import IO, Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from wsvad_lightning.data.convert.files import SourceFile
from wsvad_lightning.data.convert.formats import (
    HDF5_SUFFIXES,
    MATLAB_SUFFIX,
    TORCH_SUFFIXES,
    Lazy,
    OwnStoreError,
    hdf5_arrays,
    matlab_arrays,
    torch_arrays,
)
from wsvad_lightning.data.convert.text import TEXT_SUFFIXES, text_of
from wsvad_lightning.data.datasets.limits import check_archive, check_extent, check_npy, check_pickle
from wsvad_lightning.data.datasets.names import name_videos
from wsvad_lightning.errors import WSVADError

PICKLE_SUFFIXES = (".pkl", ".pickle")
NUMPY_SUFFIXES = (".npy", ".npz")
OTHERS = (*PICKLE_SUFFIXES, *TORCH_SUFFIXES, *HDF5_SUFFIXES, MATLAB_SUFFIX, *TEXT_SUFFIXES)
READ_SUFFIXES = (*NUMPY_SUFFIXES, *OTHERS)  # each also with .gz behind it
FEATURE_KEYS = (
    "features",
    "feature",
    "feats",
    "feat",
    "fea",
    "embeddings",
    "embedding",
    "rgb",
    "i3d",
    "data",
)
STREAM_KEYS = {"flow": "flow", "audio": "audio", "vggish": "audio", "text": "text", "captions": "text"}
NO_VIDEO = ("", "arr_0", "x", "array", "output", "model_output")  # names of the only array of a file

Numbers = NDArray[Any]
Tree = dict[str, Any]  # a Lazy or another tree by name
Value = TypeVar("Value")


@dataclass(frozen=True)
class Array:
    """One array of a source, read when it is wanted.

    Attributes:
        name: file name, or that of its video within the file where that holds several.
        shape: None if it is known only after reading.
        read: reads it; raises :class:`WSVADError` if that fails.
        stream: the stream that its name in the file gives, None if that gives none.
    """

    name: str
    shape: tuple[int, ...] | None
    read: Callable[[], Numbers]
    stream: str | None = None


class Held(NamedTuple):
    """What a file holds.

    Attributes:
        arrays: those that are features.
        note: on the rest; empty if there is none.
    """

    arrays: list[Array]
    note: str = ""


def arrays_of(file: SourceFile) -> Held | None:
    """The arrays that a file holds, or None if it is not a file of numbers.

    Raises:
        WSVADError: if the file cannot be read.
    """
    if file.suffix == ".npy" and ((shape := npy_shape(file)) is not None or not _is_mapping(file)):
        return Held([Array(file.path.name, shape, lambda: read_npy(file))])
    if file.suffix in TEXT_SUFFIXES:
        text = text_of(file)
        if text is None:
            return None
        return Held([Array(file.path.name, None, lambda: _guard(file, text.read))], text.note)
    reader = READERS.get(file.suffix)
    if reader is None:
        return None
    try:
        return _choose(file, _guard(file, lambda: reader(file)))
    except OwnStoreError:
        return Held([], "a feature store; wsvad data merge joins such")


def npy_shape(file: SourceFile) -> tuple[int, ...] | None:
    """The shape that the header of a ``.npy`` file gives; None if it is damaged or of objects."""
    try:
        with file.open() as opened:
            shape, _, dtype = _read_header(opened)
    except Exception:  # a damaged file fails anywhere in its reader
        return None
    return None if dtype.hasobject else shape


def read_npy(file: SourceFile, *, mapped: bool = False) -> Numbers:
    """Read a ``.npy`` file; one of pickled objects as pickles are read.

    Args:
        file: the file.
        mapped: give a view of the file where it lies on the disk, in place of a copy.

    Raises:
        WSVADError: if it is damaged or holds anything but numbers.
    """

    def read() -> Numbers:
        with file.open() as opened:
            check_npy(opened, file.size)
            *_, dtype = _read_header(opened)
            if dtype.hasobject:
                return _joined(file, load_pickle(file).tolist())
            opened.seek(0)
            if mapped and not isinstance(file.path, zipfile.Path):
                mapping: Numbers = np.load(file.path, mmap_mode="r")
                return mapping
            array = np.asarray(np.load(opened, allow_pickle=False))
            opened.read(1)  # behind the end of a packed file is its checksum
            return array

    return _guard(file, read)


def _joined(file: SourceFile, rows: Any) -> Numbers:
    """One array of the rows of an array of objects, where they are of one shape."""
    if isinstance(rows, list) and len({np.shape(row) for row in rows}) > 1:
        problem = "holds arrays of several shapes without the names of their videos"
        raise WSVADError("source", file, problem, "Save a dictionary of them by video, or a file for each")
    return np.array(rows)


@lru_cache(maxsize=1)
def load_pickle(file: SourceFile) -> Any:
    """Load a pickle of arrays, also from a ``.npy`` file of objects; it is held until the next one is loaded.

    Raises:
        WSVADError: if it is damaged, or asks for anything but arrays, numbers, texts, lists, dictionaries.
    """

    def load() -> Any:
        with file.open() as opened:
            if file.suffix == ".npy":
                _read_header(opened)
            check_pickle(opened)
            held = _SafeUnpickler(opened, encoding="latin1").load()
            check_extent(held, file.size)
            return held

    return _guard(file, load)


class _SafeUnpickler(pickle.Unpickler):
    """Knows a handful of names; whatever else a pickle asks for is refused."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in SAFE:
            problem = (
                f"it asks for {module}.{name}, which is neither array, number, text, list nor dictionary"
            )
            raise pickle.UnpicklingError(problem)
        return SAFE[module, name]


def _encode_latin1(text: str, encoding: str) -> bytes:
    """How old protocols write bytes; other codecs do more than to encode text."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it asks for the codec {encoding}")
    return codecs.latin_1_encode(text)[0]


def _safe_names() -> Mapping[tuple[str, str], Any]:
    """What NumPy's arrays and numbers are rebuilt with, under the names of NumPy 1 and 2."""
    array, number = np.array(0).__reduce__()[0], np.float64(0).__reduce__()[0]
    safe: dict[tuple[str, str], Any] = {("numpy", "ndarray"): np.ndarray, ("numpy", "dtype"): np.dtype}
    for package in ("numpy.core", "numpy._core"):
        safe[f"{package}.multiarray", "_reconstruct"] = array
        safe[f"{package}.multiarray", "scalar"] = number
        safe[f"{package}.numeric", "_frombuffer"] = _from_buffer
    safe["_codecs", "encode"] = _encode_latin1
    safe["collections", "OrderedDict"] = OrderedDict
    return safe


def _from_buffer(buffer: Any, dtype: Any, shape: tuple[int, ...], order: Any) -> Numbers:
    return np.frombuffer(buffer, dtype=dtype).reshape(shape, order=order)


SAFE = _safe_names()


def _choose(file: SourceFile, held: Mapping[str, Lazy]) -> Held:
    """Which arrays of a file are features, and of which video.

    Where a group has an array or group called ``features``, or by another of these names, that is taken, with
    those of other streams next to it; the group names the video, or else the file does. Any other array is of
    the video that it is called after.
    """
    if not held:
        raise WSVADError(
            "source", file, "holds no array of numbers, or dictionary of such", "Give {video: array}"
        )
    tree: Tree = {}
    for path, lazy in held.items():
        *groups, name = [part for part in path.split("/") if part] or [""]
        node = tree
        for group in groups:
            below = node.setdefault(group, {})
            node = below if isinstance(below, dict) else {}
        node[name] = lazy
    if len(held) == 1 and "".join(held).strip("/").lower() in NO_VIDEO:
        return Held([Array(file.path.name, lazy.shape, partial(_guard, file, lazy.read))])
    left: dict[str, None] = {}
    found = list(_features_in(tree, "", None, left))
    paths = list(dict.fromkeys(path for path, _, _ in found if path))
    names = {"": file.path.name, **dict(zip(paths, name_videos(paths), strict=True))}
    arrays = [
        Array(names[path], lazy.shape, partial(_guard, file, lazy.read), stream)
        for path, stream, lazy in found
    ]
    return Held(arrays, f"arrays next to the features: {', '.join(left)}" if left else "")


def _features_in(
    node: Tree | Lazy, path: str, stream: str | None, left: dict[str, None]
) -> Iterator[tuple[str, str | None, Lazy]]:
    """Path of the video, stream and array of all features; what lies next to them goes to ``left``."""
    if isinstance(node, Lazy):
        yield path, stream, node
        return
    lower = {key.lower(): key for key in node}
    key = next((key for key in FEATURE_KEYS if key in lower), None)
    for name, below in node.items():
        if key is None:
            yield from _features_in(below, f"{path}/{name}" if path else name, stream, left)
        elif name.lower() == key:
            yield from _features_in(below, path, stream, left)
        elif name.lower() in STREAM_KEYS:
            yield from _features_in(below, path, STREAM_KEYS[name.lower()], left)
        else:
            left[name] = None


def _pickled(file: SourceFile) -> dict[str, Lazy]:
    held = dict(_leaves(load_pickle(file)))
    return {path: Lazy(array.shape, partial(_leaf, file, path)) for path, array in held.items()}


def _leaf(file: SourceFile, path: str) -> Numbers:
    return dict(_leaves(load_pickle(file)))[path]


def _is_mapping(file: SourceFile) -> bool:
    """Whether a ``.npy`` file holds one dictionary, as ``numpy.save`` writes it."""
    try:
        with file.open() as opened:
            shape, _, dtype = _read_header(opened)
    except Exception:  # a damaged file fails anywhere in its reader
        return False
    return dtype.hasobject and shape == () and isinstance(load_pickle(file).item(), dict)


def _leaves(held: Any, path: str = "") -> Iterator[tuple[str, Numbers]]:
    """The arrays of dictionaries in dictionaries, by path."""
    if isinstance(held, np.ndarray) and held.dtype.hasobject and held.shape == ():
        yield from _leaves(held.item(), path)
    elif isinstance(held, np.ndarray):
        yield path, held
    elif isinstance(held, dict):
        for key, value in held.items():
            yield from _leaves(value, f"{path}/{key}")


def _archived(file: SourceFile) -> dict[str, Lazy]:
    """The arrays of numbers of an archive of NumPy, by name."""
    found = {}
    with file.open() as opened, zipfile.ZipFile(opened) as archive:
        check_archive(archive)
        for name in archive.namelist():
            with archive.open(name) as member:
                shape, _, dtype = _read_header(member)
            key = name.removesuffix(".npy")
            if dtype.kind in "fiu":
                found[key] = Lazy(shape, partial(_read_npz, file, key))
    return found


READERS: Mapping[str, Callable[[SourceFile], dict[str, Lazy]]] = {
    ".npz": _archived,
    ".npy": _pickled,
    **dict.fromkeys(PICKLE_SUFFIXES, _pickled),
    **dict.fromkeys(TORCH_SUFFIXES, torch_arrays),
    **dict.fromkeys(HDF5_SUFFIXES, hdf5_arrays),
    MATLAB_SUFFIX: matlab_arrays,
}


def _read_header(opened: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(opened)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(opened)
    return np.lib.format.read_array_header_2_0(opened)


def _read_npz(file: SourceFile, key: str) -> Numbers:
    with file.open() as opened, zipfile.ZipFile(opened) as archive:
        entry = archive.getinfo(f"{key}.npy")
        with archive.open(entry) as array:
            check_npy(array, entry.file_size)
            return np.asarray(np.load(array, allow_pickle=False))


def _guard(file: SourceFile, read: Callable[[], Value]) -> Value:
    """Say which file cannot be read."""
    try:
        return read()
    except (WSVADError, OwnStoreError):
        raise
    except Exception as error:  # a damaged file fails anywhere in its reader
        reason = str(error) or type(error).__name__
        raise WSVADError(
            "source", file, f"cannot be read: {reason}", "Remove the file or copy it again"
        ) from None
