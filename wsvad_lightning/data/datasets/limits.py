"""What a file of a stranger may declare: no more than it holds. Checked before memory is taken for it.

Each check raises a ValueError that says what is declared, and leaves an open file at its start.
"""

import math
import pickletools
import stat
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from wsvad_lightning.errors import WSVADError

LARGEST = 2**36  # bytes of one entry of an archive, 64 GiB
SMALL = 2**24  # bytes that may be packed to nearly nothing, as zeros are
RATIO = 200  # of unpacked to packed bytes; features of networks have about 1.1
DEEPEST = 50  # levels of a pickle


def check_archive(archive: zipfile.ZipFile) -> None:
    """Refuse entries that lead elsewhere, are not files, or unpack to more than features do."""
    for entry in archive.infolist():
        name, kind = entry.filename, entry.external_attr >> 16
        parts = name.replace("\\", "/").split("/")
        if ".." in parts or parts[0] == "" or ":" in parts[0]:
            raise ValueError(f"it holds {name}, which leads out of it")
        if stat.S_IFMT(kind) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise ValueError(f"it holds {name}, which is a link or a device")
        if entry.flag_bits & 1:
            raise ValueError(f"it holds {name}, which is encrypted")
        if entry.file_size > LARGEST or entry.file_size > max(SMALL, RATIO * entry.compress_size):
            raise ValueError(
                f"it holds {name}, which unpacks {entry.compress_size} bytes to {entry.file_size}"
            )


def check_npy(opened: IO[bytes], size: int) -> None:
    """Compare the shape in the header of a ``.npy`` file with the size of the file."""
    version = np.lib.format.read_magic(opened)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(opened)
    if not dtype.hasobject and math.prod(shape) * dtype.itemsize > size - opened.tell():
        raise ValueError(f"it declares {dtype} of shape {shape}, and holds less")
    opened.seek(0)


def read_npy(setting: str, path: str) -> NDArray[Any]:
    """Read an array of numbers from the ``.npy`` file that a setting names.

    Raises:
        WSVADError: if the file cannot be read or holds anything else.
    """
    try:
        with Path(path).open("rb") as opened:
            check_npy(opened, Path(path).stat().st_size)
            values = np.load(opened, allow_pickle=False)
    except Exception as error:  # a damaged file fails anywhere in its reader
        reason = " ".join(str(error).split())
        raise WSVADError(setting, path, f"cannot be read ({reason})", "Give a .npy file") from None
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiu":
        raise WSVADError(setting, path, "holds no array of numbers", "Give a .npy file")
    return values


def read_npz(setting: str, path: str) -> dict[str, NDArray[Any]]:
    """Read the arrays of the ``.npz`` file that a setting names, by their names.

    Raises:
        WSVADError: if the file cannot be read, or declares more than it holds.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            check_archive(archive)
        with np.load(path, allow_pickle=False) as held:
            return {name: held[name] for name in held.files}
    except Exception as error:  # a damaged file fails anywhere in its reader
        reason = " ".join(str(error).split())
        raise WSVADError(setting, path, f"cannot be read ({reason})", "Give a .npy or .npz file") from None


def check_pickle(opened: IO[bytes]) -> None:
    """Refuse a pickle that takes memory for objects that it does not have; it begins where the file is at."""
    start = opened.tell()
    for opcode, argument, position in pickletools.genops(opened):
        if opcode.name in ("LONG_BINPUT", "PUT") and (argument or 0) > (position or 0):
            raise ValueError(f"it declares {argument} objects in {position} bytes")
    opened.seek(start)


def check_extent(held: Any, size: int) -> None:
    """Refuse values that are larger than the file that they came from."""
    for count, value in enumerate(_walk(held)):
        if count > size or (isinstance(value, np.ndarray) and value.nbytes > 8 * size):
            raise ValueError("it declares more values than it holds")


def _walk(value: Any, depth: int = 0) -> Iterator[Any]:
    if depth > DEEPEST:
        raise ValueError(f"it is nested more than {DEEPEST} levels deep")
    yield value
    inside: Any = ()
    if isinstance(value, Mapping):
        inside = value.values()
    elif isinstance(value, list | tuple):
        inside = value
    elif isinstance(value, np.ndarray) and value.dtype.hasobject:
        inside = value.flat
    for item in inside:
        yield from _walk(item, depth + 1)
