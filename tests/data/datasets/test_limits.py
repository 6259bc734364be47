"""Files that declare more than they hold, and archives that lead elsewhere: refused in a line."""

import io
import pickle
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wsvad_lightning.data.convert.arrays import arrays_of
from wsvad_lightning.data.convert.files import SourceFile, files_below
from wsvad_lightning.data.datasets.masks import read_array
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.prepare.s3r_dictionary import read_atoms

HUGE = 10**11


def npy(shape: tuple[int, ...], dtype: str = "<f4", values: int = 100) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
    return file.getvalue() + bytes(values)


class Call:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def shared(levels: int) -> Any:
    value: Any = [1.0]
    for _ in range(levels):
        value = [value, value]
    return value


def packed(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x.npy", content)
    return file.getvalue()


def read_all(path: Path) -> None:
    held = arrays_of(SourceFile(path))
    for array in held.arrays if held else []:
        array.read()


rebuild = np.array(0).__reduce__()[0]
DECLARED: dict[str, tuple[str, Callable[[], bytes]]] = {
    "npy": ("x.npy", lambda: npy((HUGE, 8))),
    "a few too many": ("x.npy", lambda: npy((5, 8))),
    "wide type": ("x.npy", lambda: npy((2,), "|V2000000000")),
    "npz": ("x.npz", lambda: packed(npy((HUGE, 8)))),
    "objects": ("x.pkl", lambda: b"\x80\x02Nr\xff\xff\xff\x7f."),
    "array": ("x.pkl", lambda: pickle.dumps({"v": Call(np.ndarray, (HUGE, 8), "f4")})),
    "steps": ("x.pkl", lambda: pickle.dumps({"v": Call(np.ndarray, (HUGE,), "f4", b"1234", 0, (0,))})),
    "rebuilt": ("x.pkl", lambda: pickle.dumps({"v": Call(rebuild, np.ndarray, (HUGE,), "f4")})),
    "shared": ("x.pkl", lambda: pickle.dumps({"v": shared(40)})),
    "bytes": ("x.pkl", lambda: b"\x80\x04\x8e" + HUGE.to_bytes(8, "little") + b"abc."),
    "cut off": ("x.pkl", lambda: pickle.dumps({"v": np.zeros(9)})[:-9]),
}


@pytest.mark.parametrize(("name", "content"), DECLARED.values(), ids=DECLARED)
def test_more_than_is_held_is_refused(name: str, content: Callable[[], bytes], tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content())
    with pytest.raises(WSVADError, match="cannot be read: ") as refused:
        read_all(tmp_path / name)
    assert "\n" not in str(refused.value)


def test_masks_and_atoms_are_read_alike(tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(npy((HUGE,)))
    with pytest.raises(WSVADError, match="not an array"):
        read_array(tmp_path / "x.npy")
    with pytest.raises(WSVADError, match=r"it declares float32 of shape \(100000000000,\), and holds less"):
        read_atoms(str(tmp_path / "x.npy"), 8)


def entry(name: str, kind: int = 0, flags: int = 0) -> zipfile.ZipInfo:
    made = zipfile.ZipInfo(name)
    made.external_attr, made.flag_bits, made.compress_type = kind << 16, flags, zipfile.ZIP_DEFLATED
    return made


ARCHIVES: dict[str, tuple[zipfile.ZipInfo, int, str]] = {
    "parent": (entry("../x.npy"), 1, "leads out of it"),
    "parent of Windows": (entry("a\\..\\..\\x.npy"), 1, "leads out of it"),
    "root": (entry("/etc/x.npy"), 1, "leads out of it"),
    "drive": (entry("C:/x.npy"), 1, "leads out of it"),
    "link": (entry("x.npy", stat.S_IFLNK | 0o777), 1, "a link or a device"),
    "device": (entry("x.npy", stat.S_IFBLK | 0o600), 1, "a link or a device"),
    "bomb": (entry("x.npy"), 2**25, "unpacks"),
}


@pytest.mark.parametrize(("made", "size", "problem"), ARCHIVES.values(), ids=ARCHIVES)
def test_archives_are_refused(made: zipfile.ZipInfo, size: int, problem: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(made, bytes(size))
    with pytest.raises(WSVADError, match=problem):
        files_below(tmp_path)


def test_an_encrypted_archive_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("x.npy", npy((5, 5)))
    content = (tmp_path / "x.zip").read_bytes()
    place = content.index(b"PK\x01\x02") + 8
    (tmp_path / "x.zip").write_bytes(content[:place] + b"\x01" + content[place + 1 :])
    with pytest.raises(WSVADError, match="encrypted"):
        files_below(tmp_path)
