"""Arrays are read from many kinds of files; a pickle never runs anything."""

import codecs
import io
import os
import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wsvad_lightning.data.convert.arrays import Array, arrays_of, load_pickle
from wsvad_lightning.data.convert.files import SourceFile
from wsvad_lightning.errors import WSVADError

ARRAY = np.arange(12, dtype=np.float32).reshape(2, 3, 2)


class Calls:
    """Pickles as a call of a function."""

    def __init__(self, function: Callable[..., Any], *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[object, ...]]:
        return self.call


def write(path: Path, content: bytes) -> SourceFile:
    path.write_bytes(content)
    return SourceFile(path)


def held_by(file: SourceFile) -> list[Array]:
    held = arrays_of(file)
    assert held is not None
    return held.arrays


def read_all(file: SourceFile) -> None:
    for array in held_by(file):
        array.read()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_of_arrays_are_read(protocol: int, tmp_path: Path) -> None:
    held = OrderedDict(
        {
            "a.mp4": ARRAY,
            "b": np.asfortranarray(ARRAY),
            "c": {"feature": ARRAY.astype(">f8"), "n": np.int64(3)},
        }
    )
    file = write(tmp_path / "features.pkl", pickle.dumps(held, protocol))
    arrays = held_by(file)
    assert [array.name for array in arrays] == ["a", "b", "c"]
    for array in arrays:
        assert array.shape == (2, 3, 2)
        np.testing.assert_array_equal(array.read(), ARRAY)


def test_pickles_of_numpy_1_are_read(tmp_path: Path) -> None:
    """They name the modules of NumPy by their old names."""
    old = pickle.dumps(ARRAY, 2).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert b"numpy.core.multiarray" in old
    np.testing.assert_array_equal(load_pickle(write(tmp_path / "old.pkl", old)), ARRAY)


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (os.system, ("touch {marker}",)),
        (eval, ("open('{marker}', 'w')",)),
        (open, ("{marker}", "w")),
        (getattr, ("x", "format")),
        (np.load, ("{marker}",)),
        (codecs.encode, ("x", "rot13")),
        (Path, ("{marker}",)),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
@pytest.mark.parametrize("suffix", [".pkl", ".npy"])
def test_pickles_of_anything_else_are_refused(
    function: Callable[..., Any], arguments: tuple[Any, ...], suffix: str, tmp_path: Path
) -> None:
    marker = tmp_path / "marker"
    filled = [text.format(marker=marker) if isinstance(text, str) else text for text in arguments]
    content = pickle.dumps({"a": ARRAY, "b": Calls(function, *filled)})
    if suffix == ".npy":
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "|O", "fortran_order": False, "shape": ()})
        content = header.getvalue() + content
    file = write(tmp_path / f"evil{suffix}", content)
    with pytest.raises(WSVADError, match=r"evil\..*cannot be read: it asks for"):
        read_all(file)
    assert not marker.exists()


def test_arrays_of_objects_are_read(tmp_path: Path) -> None:
    boxed = np.empty(2, dtype=object)
    boxed[:] = list(ARRAY)
    np.save(tmp_path / "boxed.npy", boxed, allow_pickle=True)
    arrays = held_by(SourceFile(tmp_path / "boxed.npy"))
    np.testing.assert_array_equal(arrays[0].read(), ARRAY)
    boxed[1] = ARRAY[0, :1]
    np.save(tmp_path / "ragged.npy", boxed, allow_pickle=True)
    with pytest.raises(WSVADError, match="arrays of several shapes"):
        held_by(SourceFile(tmp_path / "ragged.npy"))[0].read()


def test_a_saved_dictionary_is_read_as_a_pickle_is(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.array({"feature": ARRAY, "label": 1}), allow_pickle=True)
    (array,) = held_by(SourceFile(tmp_path / "v.npy"))
    assert (array.name, array.shape) == ("v.npy", ARRAY.shape)
    np.testing.assert_array_equal(array.read(), ARRAY)


@pytest.mark.parametrize("suffix", [".pkl", ".npy"])
def test_pickles_that_declare_more_objects_than_they_hold(suffix: str, tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|O", "fortran_order": False, "shape": (1,)})
    many = b"\x80\x02]r" + (2**30).to_bytes(4, "little") + b"."  # 8 GiB of places for objects
    file = write(tmp_path / f"x{suffix}", (header.getvalue() if suffix == ".npy" else b"") + many)
    with pytest.raises(WSVADError, match="cannot be read: it declares 1073741824 objects"):
        read_all(file)


def test_several_arrays_of_one_file(tmp_path: Path) -> None:
    np.savez(tmp_path / "all.npz", Abuse001_x264=ARRAY, Arson002_x264=ARRAY + 1)
    np.savez(tmp_path / "one.npz", ARRAY)
    arrays = {array.name: array for array in held_by(SourceFile(tmp_path / "all.npz"))}
    np.testing.assert_array_equal(arrays["Arson002_x264"].read(), ARRAY + 1)
    assert [array.name for array in held_by(SourceFile(tmp_path / "one.npz"))] == ["one.npz"]


@pytest.mark.parametrize(
    "name", ["cut.npy", "empty.npy", "noise.npy", "noise.pkl", "noise.npz", "letters.txt"]
)
def test_damaged_files_are_named(name: str, tmp_path: Path) -> None:
    np.save(tmp_path / "whole.npy", ARRAY)
    contents = {
        "cut.npy": (tmp_path / "whole.npy").read_bytes()[:-4],
        "empty.npy": b"",
        "letters.txt": b"1 2 3\n4 x 6\n",
    }
    file = write(tmp_path / name, contents.get(name, b"\x80 noise"))
    with pytest.raises(WSVADError, match=f"{name}': cannot be read"):
        read_all(file)


def test_files_without_numbers_are_none(tmp_path: Path) -> None:
    assert arrays_of(write(tmp_path / "README.txt", b"Download the features and unpack them.")) is None
    assert arrays_of(write(tmp_path / "weights.bin", b"PK")) is None
    assert arrays_of(write(tmp_path / "SH_Train.txt", b"01_0014 1\n01_001 0\n")) is None
