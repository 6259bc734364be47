"""Features are read from HDF5, MATLAB, PyTorch and packed files; none of them runs or refers to anything."""

import gzip
import os
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
import torch

from tests.data.convert.test_arrays import Calls, held_by, read_all
from wsvad_lightning.data.convert.arrays import arrays_of
from wsvad_lightning.data.convert.files import SourceFile
from wsvad_lightning.data.store.synthetic import make_store
from wsvad_lightning.errors import WSVADError

ROWS = np.arange(12, dtype=np.float32).reshape(4, 3)


def write_hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["features"] = ROWS
        file["fps"] = 25.0


def write_matlab_7(path: Path) -> None:
    """As MATLAB does: the axes reversed, behind a header, texts as numbers."""
    with h5py.File(path, "w", userblock_size=512) as file:
        file["features"] = ROWS.T
        file["features"].attrs["MATLAB_class"] = np.bytes_("single")
        file["name"] = np.array([[65, 66]], np.uint16)
        file["name"].attrs["MATLAB_class"] = np.bytes_("char")
        file["#refs#/a"] = ROWS
    with path.open("rb+") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(512))


def write_packed(path: Path) -> None:
    with gzip.open(path, "wb") as file:
        np.save(file, ROWS)


WRITERS: dict[str, Callable[[Path], object]] = {
    "v.h5": write_hdf5,
    "v.hdf5": write_hdf5,
    "v.mat": lambda path: scipy.io.savemat(path, {"features": ROWS, "name": "walk"}),
    "v7.mat": write_matlab_7,
    "v.pt": lambda path: torch.save(torch.from_numpy(ROWS), path),
    "dictionary.pth": lambda path: torch.save({"feats": torch.from_numpy(ROWS).half(), "n": 4}, path),
    "array.pt": lambda path: torch.save({"features": ROWS}, path),
    "brain.pt": lambda path: torch.save(torch.from_numpy(ROWS).bfloat16().requires_grad_(), path),
    "sparse.pt": lambda path: torch.save(torch.from_numpy(ROWS).to_sparse(), path),
    "v.npz": lambda path: np.savez(path, feats=ROWS, n_probs=ROWS, name="walk"),
    "v.npy.gz": write_packed,
}


@pytest.mark.parametrize("name", WRITERS)
def test_one_video_a_file(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path / name)
    (array,) = held_by(SourceFile(tmp_path / name))
    assert array.name == name
    assert array.shape == (4, 3)
    np.testing.assert_array_equal(array.read(), ROWS)


def test_many_videos_a_file(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "all.h5", "w") as file:
        for video in ("Abuse/a.mp4", "b"):
            file[f"{video}/features"] = ROWS
            file[f"{video}/flow"] = ROWS + 1
            file[f"{video}/gtscore"] = ROWS[:, 0]
    held = arrays_of(SourceFile(tmp_path / "all.h5"))
    assert held is not None
    assert [(array.name, array.stream) for array in held.arrays] == [
        ("a", None),
        ("a", "flow"),
        ("b", None),
        ("b", "flow"),
    ]
    assert held.note == "arrays next to the features: gtscore"
    np.testing.assert_array_equal(held.arrays[3].read(), ROWS + 1)


def test_hdf5_names_that_are_not_utf8(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "all.h5", "w") as file:
        file[b"b\xe9b\xe9"] = ROWS
        file["walk"] = ROWS
    held = arrays_of(SourceFile(tmp_path / "all.h5"))
    assert held is not None
    assert len(held.arrays) == 2
    for array in held.arrays:
        np.testing.assert_array_equal(array.read(), ROWS)


def link_outside(file: h5py.File) -> None:
    file["features"] = h5py.ExternalLink("other.h5", "features")


def map_outside(file: h5py.File) -> None:
    layout = h5py.VirtualLayout(ROWS.shape, ROWS.dtype)
    layout[:] = h5py.VirtualSource("other.h5", "features", ROWS.shape)
    file.create_virtual_dataset("features", layout)


def store_outside(file: h5py.File) -> None:
    file.create_dataset("features", ROWS.shape, ROWS.dtype, external=[("other.h5", 0, h5py.h5f.UNLIMITED)])


def declare_too_much(file: h5py.File) -> None:
    file.create_dataset("features", (10**9, 1024), "f4", chunks=(1024, 1024))


def declare_a_chunk(file: h5py.File) -> None:
    sizes = {"chunks": (2**14, 2**14), "maxshape": (None, None)}
    made = file.create_dataset("features", (4, 3), "f4", compression=9, **sizes)
    made.id.write_direct_chunk((0, 0), b"x")


def declare_a_class(file: h5py.File) -> None:
    file["features"] = ROWS
    file["features"].attrs["MATLAB_class"] = "double"  # of any length, which MATLAB does not write


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (declare_a_chunk, "declared larger than the file"),
        (declare_a_class, "holds no array of numbers"),
        (link_outside, "holds no array of numbers"),
        (map_outside, "refers to other files"),
        (store_outside, "refers to other files"),
        (declare_too_much, "declared larger than the file"),
    ],
)
def test_hdf5_files_that_are_not_whole(make: Callable[[h5py.File], None], why: str, tmp_path: Path) -> None:
    write_hdf5(tmp_path / "other.h5")
    with h5py.File(tmp_path / "v.h5", "w") as file:
        make(file)
    with pytest.raises(WSVADError, match=why):
        read_all(SourceFile(tmp_path / "v.h5"))


def test_an_hdf5_file_that_was_cut_behind_its_header(tmp_path: Path) -> None:
    """The size of its values is what it declares, and not what there is."""
    with h5py.File(tmp_path / "v.h5", "w", userblock_size=0) as file:
        file.create_dataset("features", (2**28, 16), "f4", data=None)
        file["features"][0] = 1.0
    with h5py.File(tmp_path / "v.h5") as file:
        assert file["features"].id.get_storage_size() == 2**34
        end = file["features"].id.get_offset()
    os.truncate(tmp_path / "v.h5", end + 64)
    with pytest.raises(WSVADError, match="v.h5': cannot be read"):
        read_all(SourceFile(tmp_path / "v.h5"))


def pack(path: Path) -> None:
    torch.save(torch.zeros(10**6), path)
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)


def endless(path: Path) -> None:
    inner: list[object] = [1.0]
    for _ in range(60):
        inner = [inner, inner]
    torch.save(inner, path)


def sparse(place: int, size: int) -> torch.Tensor:
    with warnings.catch_warnings(action="ignore"):  # that nothing is validated
        return torch.sparse_coo_tensor(torch.tensor([[place], [place]]), torch.ones(1), (size, size))


HUGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "packed entries": (pack, "its entries would take more space than the file"),
    "expanded": (lambda path: torch.save(torch.ones(1).expand(10**9), path), "declared larger than the file"),
    "sparse": (lambda path: torch.save(sparse(0, 10**6), path), "declared larger than the file"),
    "sparse, with a value outside": (  # to read it would be to write into other memory
        lambda path: torch.save(sparse(9, 4), path),
        "size is inconsistent with indices",
    ),
    "nested": (endless, "nested more than 50 levels deep"),
}


@pytest.mark.parametrize("name", HUGE)
def test_torch_files_that_declare_more_than_they_hold(name: str, tmp_path: Path) -> None:
    make, why = HUGE[name]
    make(tmp_path / "huge.pt")
    with pytest.raises(WSVADError, match=f"huge.pt': cannot be read: .*{why}"):
        read_all(SourceFile(tmp_path / "huge.pt"))


def test_torch_files_run_nothing(tmp_path: Path) -> None:
    torch.save({"features": Calls(os.system, f"touch {tmp_path / 'marker'}")}, tmp_path / "evil.pt")
    with pytest.raises(WSVADError, match="evil.pt': cannot be read: holds more than tensors"):
        read_all(SourceFile(tmp_path / "evil.pt"))
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize("name", [name for name in WRITERS if "." in name and not name.startswith("sparse")])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.95])
def test_damaged_files_are_named(name: str, share: float, tmp_path: Path) -> None:
    WRITERS[name](tmp_path / name)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(share * len(content))])
    with pytest.raises(WSVADError, match=name):
        read_all(SourceFile(tmp_path / name))


def test_a_feature_store_is_not_converted(tmp_path: Path) -> None:
    make_store(tmp_path / "store.h5", train=1, test=1)
    held = arrays_of(SourceFile(tmp_path / "store.h5"))
    assert held == ([], "a feature store; wsvad data merge joins such")


def test_matlab_files_name_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    WRITERS["v.mat"](tmp_path / "v.mat")
    monkeypatch.setitem(__import__("sys").modules, "scipy.io", None)
    with pytest.raises(WSVADError, match=r'needs SciPy: pip install "wsvad-lightning\[prepare\]"'):
        arrays_of(SourceFile(tmp_path / "v.mat"))
