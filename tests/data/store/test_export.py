import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.data.store.store_cases import (
    PROVENANCE,
    file_size_limit,
    make_annotation,
    make_streams,
    write_store,
)
from wsvad_lightning.cli import main
from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.data.datasets.table import read_annotations
from wsvad_lightning.data.store import Features, FeatureStore, StoreWriter
from wsvad_lightning.data.store.export import export, write_array
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.signals import Stopped


@pytest.fixture
def store(tmp_path: Path) -> str:
    return str(write_store(tmp_path / "store.h5", range(6)))


def test_arrays_and_table_hold_what_the_store_held(
    store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export(store, str(tmp_path / "out"))
    assert "out holds 6 videos; 2 streams; annotations.csv" in capsys.readouterr().err
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


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_appears_when_it_is_complete(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(path: Path, array: Features) -> None:
        write_array(path, array)
        assert not (tmp_path / "out").exists()
        if path.name == "video03.npy":
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patched:
        patched.setattr("wsvad_lightning.data.store.export.write_array", stop)
        with pytest.raises(Stopped, match="143"):
            main(["data", "export", store, str(tmp_path / "out")])
    assert names_in(tmp_path) == ["store.h5"]
    with file_size_limit(600), pytest.raises(WSVADError, match="cannot be written .File too large"):
        export(store, str(tmp_path / "out"))
    assert names_in(tmp_path) == ["store.h5"]
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").symlink_to("elsewhere")
    export(store, str(tmp_path / "out"))
    assert len(read_annotations(tmp_path / "elsewhere" / "annotations.csv")) == 6
    assert names_in(tmp_path) == ["elsewhere", "out", "store.h5"]


def test_where_a_file_system_begins_nothing_can_be_put_in_place(store: str) -> None:
    with pytest.raises(WSVADError, match="Give a folder below it"):
        export(store, "/")


def test_names_that_need_folder_and_suffix_survive_export_and_convert(tmp_path: Path) -> None:
    """Also a folder with one array of as many snippets as crops may be, and a name too long for a file."""
    lengths = {"c.avi": 7, "c.mp4": 7, "d": 4, "sub/c": 5, "x" * 250: 6}
    with StoreWriter(tmp_path / "store.h5", replace(PROVENANCE, views={})) as writer:
        for name, length in lengths.items():
            array = np.full((length, 24, 3), length, np.float32)
            writer.add(VideoAnnotation(name, 0), {"features": array}, num_frames=16 * length, fps=10)
    export(str(tmp_path / "store.h5"), str(tmp_path / "out"))
    for number, known in enumerate(([], ["--annotations", str(tmp_path / "out" / "annotations.csv")])):
        again = str(tmp_path / f"again{number}.h5")
        assert main(["data", "convert", str(tmp_path / "out" / "features"), "-o", again, *known]) == 0
        opened = FeatureStore(again)
        shapes = {name: opened.read(name, "features").shape for name in opened}
        assert sorted(shapes.values()) == sorted((length, 24, 3) for length in lengths.values())
        assert set(lengths) - set(shapes) == (set() if known else {"x" * 250})  # the table has its name
