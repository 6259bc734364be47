"""Every layout is recognised, and becomes the store that it should."""

import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.data.convert.miniatures import (
    MINIATURES,
    Miniature,
    adplg,
    c2fpl,
    features_of,
    mgfn,
    s3r_folder,
    save,
    save_crops,
    ssrl,
    sultani,
    tevad,
    urdmu,
    values,
    xdviodet,
)
from tests.data.convert.run import convert, reasons
from wsvad_lightning.data.store import FeatureStore
from wsvad_lightning.errors import WSVADError

each_layout = pytest.mark.parametrize(
    ("layout", "make"), MINIATURES, ids=[make.__name__ for _, make in MINIATURES]
)


def assert_holds(store: FeatureStore, miniature: Miniature) -> None:
    assert set(store) == set(miniature.streams)
    for video, streams in miniature.streams.items():
        record = store[video]
        assert (record.annotation.label, record.annotation.classes) == miniature.labels[video]
        assert set(record.streams) == set(streams)
        assert record.num_frames == 16 * record.num_snippets
        for name, expected in streams.items():
            np.testing.assert_array_equal(store.read(video, name), expected)


@each_layout
@pytest.mark.parametrize("named", [True, False], ids=["named", "auto"])
def test_layout(
    layout: str,
    make: Callable[[Path], Miniature],
    named: bool,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    miniature = make(tmp_path / "source")
    store = convert(
        miniature.source, tmp_path / "store.h5", *miniature.options, from_=layout if named else "auto"
    )
    assert_holds(store, miniature)
    assert f"layout {layout}" in capsys.readouterr().out
    assert store.provenance.source.endswith(layout)
    assert store.provenance.text_aligned == (layout == "vadclip")


@pytest.mark.parametrize("make", [urdmu, adplg, mgfn, xdviodet, c2fpl, tevad, ssrl, s3r_folder, sultani])
def test_every_file_is_accounted_for(make: Callable[[Path], Miniature], tmp_path: Path) -> None:
    miniature = make(tmp_path / "source")
    (miniature.source / "README.md").write_text("features")
    convert(miniature.source, tmp_path / "store.h5", *miniature.options)
    reported = {entry["file"] for entry in reasons(tmp_path / "store.h5")}
    files = {
        str(path.relative_to(miniature.source)) for path in miniature.source.rglob("*") if path.is_file()
    }
    assert {file for file in files if not file.endswith(".zip")} <= reported
    assert {entry["status"] for entry in reasons(tmp_path / "store.h5") if entry["file"] == "README.md"} == {
        "skipped"
    }


def test_splits_come_from_folders_and_lists(tmp_path: Path) -> None:
    for number, folder in enumerate(("SH_Train_i3d", "SH_Test_ten_crop", "val", "pretrained")):
        save(tmp_path / "source" / folder / f"0{number}_0001_i3d.npy", values(folder, 4 + number, 10))
    store = convert(tmp_path / "source", tmp_path / "store.h5")
    splits = [store[video].annotation.split for video in store]
    assert splits == ["train", "test", "val", None]
    assert {entry["reason"] for entry in reasons(tmp_path / "store.h5") if entry["video"] == "03_0001"} == {
        "label unknown; split unknown"
    }


def test_a_file_of_several_videos_tells_their_split(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    for part, video in (("train", "Abuse001_x264"), ("test", "Abuse028_x264")):
        content = pickle.dumps({video: values(video, 7, 10)})
        (tmp_path / "source" / f"ucf-crime.{part}.pkl").write_bytes(content)
    store = convert(tmp_path / "source", tmp_path / "store.h5")
    assert [store[video].annotation.split for video in store] == ["train", "test"]


def test_an_archive_is_a_source(tmp_path: Path) -> None:
    streams = features_of({"Abuse001_x264": 7, "Abuse002_x264": 9}, 10)
    with zipfile.ZipFile(tmp_path / "UCF.zip", "w") as archive:
        for video, held in streams.items():
            archive.writestr(f"__MACOSX/train/._{video}_i3d.npy", b"of the Finder")
            with archive.open(f"train/{video}_i3d.npy", "w") as file:
                np.save(file, held["features"])
    store = convert(tmp_path / "UCF.zip", tmp_path / "store.h5")
    assert {store[video].annotation.split for video in store} == {"train"}
    np.testing.assert_array_equal(store.read("Abuse002_x264"), streams["Abuse002_x264"]["features"])


@pytest.mark.parametrize("number", range(3), ids=["names", "folders", "counted from 1"])
def test_crops_are_reported_in_other_ways(number: int, tmp_path: Path) -> None:
    streams = features_of({"a": 3, "b": 4}, 5)
    for video, held in streams.items():
        for crop in range(5):
            name = (f"{video}_crop{crop}.npy", f"crop_{crop}/{video}.npy", f"{video}__{crop + 1}.npy")[number]
            save(tmp_path / "source" / name, held["features"][:, crop])
    store = convert(tmp_path / "source", tmp_path / "store.h5")
    for video, held in streams.items():
        np.testing.assert_array_equal(store.read(video), held["features"])


def test_single_digits_are_no_crops_where_sets_are_incomplete(tmp_path: Path) -> None:
    for video in ("Fire_1", "Fire_2", "Fire_3", "Robbery_7"):
        save(tmp_path / "source" / f"{video}.npy", values(video, 3, 1)[:, 0])
    store = convert(tmp_path / "source", tmp_path / "store.h5")
    assert set(store) == {"Fire_1", "Fire_2", "Fire_3", "Robbery_7"}


@pytest.mark.parametrize(
    ("shapes", "layout"),
    [
        ([(7, 10, 6), (12, 10, 6)], "rtfm"),
        ([(10, 7, 6), (10, 12, 6)], "mgfn"),
        ([(10, 32, 6), (10, 32, 6)], "mgfn"),
        ([(5, 7, 6), (12, 7, 6)], "rtfm"),  # seven crops, and one video that happens to be of five snippets
        ([(10, 10, 6), (12, 10, 6)], "rtfm"),
        ([(30, 1, 6)], "rtfm"),
    ],
)
def test_axes_are_reported_by_shapes(shapes: list[tuple[int, ...]], layout: str, tmp_path: Path) -> None:
    arrays = [np.full(shape, number, np.float32) for number, shape in enumerate(shapes)]
    for number, array in enumerate(arrays):
        save(tmp_path / "source" / f"v{number:03d}.npy", array)
    store = convert(tmp_path / "source", tmp_path / "store.h5")
    assert store.provenance.source.endswith(layout)
    for number, array in enumerate(arrays):
        stored = store.read(f"v{number:03d}")
        np.testing.assert_array_equal(stored, array if layout == "rtfm" else array.swapaxes(0, 1))


@pytest.mark.parametrize("shape", [(1, 9, 10, 6), (9, 10, 6, 1), (9, 10, 6)])
def test_axes_of_one_are_left_out(shape: tuple[int, ...], tmp_path: Path) -> None:
    array = values("a", 9, 10)
    save(tmp_path / "source" / "a.npy", array.reshape(shape))
    store = convert(tmp_path / "source", tmp_path / "store.h5", from_="rtfm")
    np.testing.assert_array_equal(store.read("a"), array)


def test_maps_are_no_features(tmp_path: Path) -> None:
    save(tmp_path / "source" / "a.npy", np.zeros((9, 7, 7, 6), np.float32))
    with pytest.raises(WSVADError, match=r"are not features: .*a\.npy has shape \[9, 7, 7, 6\]"):
        convert(tmp_path / "source", tmp_path / "store.h5")


def test_matrices_that_are_transposed_are_not_taken_for_videos_of_one_length(tmp_path: Path) -> None:
    for number in range(3):
        save(tmp_path / "source" / f"v{number}.npy", values("a", 9 + number, 1)[:, 0].T)
    with pytest.raises(WSVADError, match=r"6 rows each and 9 to 11 columns, .*Transpose them"):
        convert(tmp_path / "source", tmp_path / "store.h5")
    for number, channels in enumerate((6, 6, 5)):
        save(tmp_path / "source" / f"v{number}.npy", values("a", 4, 1)[:, 0, :channels])
    assert set(convert(tmp_path / "source", tmp_path / "store.h5", "--skip_broken", "true", status=1)) == {
        "v0",
        "v1",
    }


def test_ambiguous_axes_are_not_guessed(tmp_path: Path) -> None:
    save(tmp_path / "source" / "v000.npy", np.zeros((10, 10, 6), np.float32))
    with pytest.raises(WSVADError, match=r"looks like rtfm .*; or mgfn .*Say which it is by --from"):
        convert(tmp_path / "source", tmp_path / "store.h5")
    with pytest.raises(WSVADError, match="either axis could be that of the crops.*--from rtfm"):
        convert(tmp_path / "source", tmp_path / "store.h5", from_="mgfn")
    assert convert(tmp_path / "source", tmp_path / "rtfm.h5", from_="rtfm")["v000"].num_snippets == 10


def test_a_layout_that_contradicts_the_shapes_is_refused(tmp_path: Path) -> None:
    for number in range(3):
        save(tmp_path / "source" / f"v{number:03d}.npy", np.zeros((10, 20 + number, 6), np.float32))
    with pytest.raises(
        WSVADError, match=r"v000.npy is of shape \(10, 20, 6\), which looks like.*--from mgfn"
    ):
        convert(tmp_path / "source", tmp_path / "store.h5", from_="rtfm")


def test_two_layouts_at_once_are_not_guessed(tmp_path: Path) -> None:
    array = values("a", 4, 10)
    save(tmp_path / "source" / "i3d" / "a_i3d.npy", array)
    save(tmp_path / "source" / "emb" / "a_emb.npy", array[:, 0])
    save_crops(tmp_path / "source" / "Flow", "a", array, [f"__{crop}" for crop in range(10)])
    with pytest.raises(WSVADError, match=r"looks like xdviodet \(10 files of flow\); or tevad"):
        convert(tmp_path / "source", tmp_path / "store.h5")
