from pathlib import Path

import numpy as np
import pytest

from tests.data.store.store_cases import make_annotation, make_streams, write_store
from wsvad_lightning.data.datasets.table import read_annotations
from wsvad_lightning.data.store.export import export
from wsvad_lightning.errors import WSVADError


@pytest.fixture
def store(tmp_path: Path) -> str:
    return str(write_store(tmp_path / "store.h5", range(6)))


def test_arrays_and_table_hold_what_the_store_held(store: str, tmp_path: Path) -> None:
    export(store, str(tmp_path / "out"))
    table = read_annotations(tmp_path / "out" / "annotations.csv")
    assert list(table.values()) == [make_annotation(number) for number in range(6)]
    for number in range(6):
        for stream, expected in make_streams(number).items():
            found = np.load(tmp_path / "out" / stream / f"video{number:02d}.npy")
            assert found.dtype == expected.dtype
            np.testing.assert_array_equal(found, expected)


def test_crops_are_files_of_their_own(store: str, tmp_path: Path) -> None:
    export(store, str(tmp_path / "out"), layout="crops")
    names = sorted(path.name for path in (tmp_path / "out" / "features").iterdir())
    assert names == [f"video{number:02d}__{crop}.npy" for number in range(6) for crop in range(2)]
    crops = [np.load(tmp_path / "out" / "patches_2x3" / f"video03__{crop}.npy") for crop in range(6)]
    np.testing.assert_array_equal(np.stack(crops, axis=1), make_streams(3)["patches_2x3"])


def test_a_folder_in_use_is_left_alone(store: str, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    export(store, str(tmp_path / "out"))
    with pytest.raises(WSVADError, match="is not an empty folder"):
        export(store, str(tmp_path / "out"))
    with pytest.raises(WSVADError, match="is not an empty folder"):
        export(store, store)
