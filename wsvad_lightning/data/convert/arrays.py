"""The arrays in a file: NumPy's own, pickles that hold nothing but numbers, and tables of text.

A pickle is a program. Here it may build arrays, numbers, texts, lists and dictionaries, and nothing else: any
other name that it asks for is refused before it is looked up.
"""

import codecs
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import IO, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from wsvad_lightning.data.convert.files import SourceFile
from wsvad_lightning.data.datasets.annotations import canonical_id
from wsvad_lightning.data.datasets.limits import check_archive, check_extent, check_npy, check_pickle
from wsvad_lightning.errors import WSVADError

PICKLE_SUFFIXES = (".pkl", ".pickle")
FEATURE_KEYS = ("feature", "features", "feat")  # under which a dictionary of several things keeps them

Numbers = NDArray[Any]
Value = TypeVar("Value")


@dataclass(frozen=True)
class Array:
    """One array of a source, read when it is wanted.

    Attributes:
        name: file name, or its name within the file where that holds several.
        shape: None if it is known only after reading.
        read: reads it; raises :class:`WSVADError` if that fails.
    """

    name: str
    shape: tuple[int, ...] | None
    read: Callable[[], Numbers]


def arrays_of(file: SourceFile) -> list[Array] | None:
    """The arrays that a file holds, or None if it is not a file of numbers.

    Raises:
        WSVADError: if a pickle or an archive of arrays cannot be read.
    """
    if file.suffix == ".npy":
        return [Array(file.path.name, npy_shape(file), lambda: read_npy(file))]
    if file.suffix == ".npz":
        return [
            _named(file, key, None, partial(_read_npz, file, key))
            for key in _guard(file, lambda: _keys(file))
        ]
    if file.suffix in PICKLE_SUFFIXES:
        held = _flatten(load_pickle(file))
        if not held:
            problem = "holds no arrays by names of videos"
            raise WSVADError("source", file, problem, "Give a pickle of {video: array}")
        return [
            _named(file, key, array.shape, partial(_read_pickle, file, key)) for key, array in held.items()
        ]
    if file.suffix in (".txt", ".csv") and _is_numeric(file):
        return [Array(file.path.name, None, lambda: _read_text(file))]
    return None


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
                held = _SafeUnpickler(opened, encoding="latin1").load()
                check_extent(held, file.size)
                return np.array(held.tolist())
            opened.seek(0)
            if mapped and not isinstance(file.path, zipfile.Path):
                array: Numbers = np.load(file.path, mmap_mode="r")
                return array
            return np.asarray(np.load(opened, allow_pickle=False))

    return _guard(file, read)


@lru_cache(maxsize=1)
def load_pickle(file: SourceFile) -> Any:
    """Load a pickle of arrays; it is held until the next one is loaded.

    Raises:
        WSVADError: if it is damaged, or asks for anything but arrays, numbers, texts, lists, dictionaries.
    """

    def load() -> Any:
        with file.open() as opened:
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


def _named(file: SourceFile, key: str, shape: tuple[int, ...] | None, read: Callable[[], Numbers]) -> Array:
    """An array within a file, named by its key, or by the file where the key says nothing."""
    return Array(file.path.name if key in ("", "arr_0", *FEATURE_KEYS) else key, shape, read)


def _flatten(held: Any) -> dict[str, Numbers]:
    """The arrays of a pickle by name: one alone has the name ``""``."""
    if isinstance(held, np.ndarray):
        return {"": held}
    if not isinstance(held, dict):
        return {}
    for key in FEATURE_KEYS:
        if key in held:
            return _flatten(held[key])
    arrays = {key: _features_in(value) for key, value in held.items()}
    return {canonical_id(str(key)): array for key, array in arrays.items() if isinstance(array, np.ndarray)}


def _features_in(value: Any) -> Any:
    """What a dictionary keeps of one video: an array, or a dictionary that holds it."""
    if not isinstance(value, dict):
        return value
    return next((value[key] for key in FEATURE_KEYS if key in value), None)


def _read_header(opened: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(opened)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(opened)
    return np.lib.format.read_array_header_2_0(opened)


def _keys(file: SourceFile) -> list[str]:
    with file.open() as opened, zipfile.ZipFile(opened) as archive:
        check_archive(archive)
        return [name.removesuffix(".npy") for name in archive.namelist()]


def _read_npz(file: SourceFile, key: str) -> Numbers:
    def read() -> Numbers:
        with file.open() as opened, zipfile.ZipFile(opened) as archive:
            entry = archive.getinfo(f"{key}.npy")
            with archive.open(entry) as array:
                check_npy(array, entry.file_size)
                return np.asarray(np.load(array, allow_pickle=False))

    return _guard(file, read)


def _read_pickle(file: SourceFile, key: str) -> Numbers:
    return _flatten(load_pickle(file))[key]


def _read_text(file: SourceFile) -> Numbers:
    def read() -> Numbers:
        with file.open() as opened:
            lines = (line.replace(b",", b" ") for line in opened)
            return np.loadtxt(lines, dtype=np.float32, ndmin=2)

    return _guard(file, read)


def _is_numeric(file: SourceFile) -> bool:
    """Whether the first line is of two or more numbers."""
    with file.open() as opened:
        line = opened.readline(1 << 20)
    try:  # Python reads 01_0014, a video of ShanghaiTech, as a number
        return b"_" not in line and len([float(cell) for cell in line.replace(b",", b" ").split()]) > 1
    except ValueError:
        return False


def _guard(file: SourceFile, read: Callable[[], Value]) -> Value:
    """Say which file cannot be read."""
    try:
        return read()
    except WSVADError:
        raise
    except Exception as error:  # a damaged file fails anywhere in its reader
        reason = str(error) or type(error).__name__
        raise WSVADError(
            "source", file, f"cannot be read: {reason}", "Remove the file or copy it again"
        ) from None
