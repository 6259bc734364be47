"""HDF5 on a full disk: it closes the file, and what the system said is raised."""

import errno
import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.data.store.store_cases import PROVENANCE, add_video, file_size_limit, write_store
from wsvad_lightning.data.store import FeatureStore, StoreWriter
from wsvad_lightning.data.store.disk import writing
from wsvad_lightning.errors import WSVADError


def open_files() -> int:
    return int(h5py.h5f.get_obj_count(h5py.h5f.OBJ_ALL, h5py.h5f.OBJ_FILE))


@pytest.mark.parametrize("size", [0, 100, 3000, 40_000])
def test_hdf5_is_not_left_with_a_file_that_it_cannot_close(size: int, tmp_path: Path) -> None:
    (tmp_path / "x.h5").touch()
    before = open_files()
    with file_size_limit(size), pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
        write_much(tmp_path / "x.h5")
    assert open_files() == before  # else the interpreter crashes as it ends


def write_much(path: Path) -> None:
    with writing(path) as file:
        for number in range(20):
            file.create_group(f"g{number}").create_dataset("x", data=np.ones((100, 9), np.float32))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    (tmp_path / "x.h5").touch()
    write_much(tmp_path / "x.h5")
    with h5py.File(tmp_path / "x.h5") as file:
        assert len(file) == 20
        assert file["g19/x"].id.get_offset() % 64 == 0
        assert np.asarray(file["g19/x"]).sum() == 900


def test_a_store_on_a_full_disk_is_as_it_was(tmp_path: Path) -> None:
    path = write_store(tmp_path / "store.h5", range(4))
    whole, before = path.read_bytes(), open_files()
    with file_size_limit(len(whole)), pytest.raises(WSVADError, match=os.strerror(errno.EFBIG)):
        add_more(path)
    assert open_files() == before
    assert path.read_bytes() == whole
    assert len(FeatureStore(path)) == 6  # the parts are read too


def add_more(path: Path) -> None:
    with StoreWriter(path, PROVENANCE) as writer:
        for number in (4, 5):
            add_video(writer, number)
