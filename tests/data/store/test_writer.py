"""Writing a store: resuming, several writers, what is refused."""

import dataclasses
import errno
import math
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import h5py
import numpy as np
import portalocker
import pytest

from tests.data.store.store_cases import (
    CHANGED,
    OTHER,
    PROVENANCE,
    add_video,
    assert_whole,
    change,
    file_size_limit,
    make_annotation,
    make_streams,
    write_missing,
    write_store,
)
from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.data.store import Features, FeatureStore, Origin, StoreWriter, layout
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.types import Coding

Change = Callable[[dict[str, Any]], Any]
ORIGIN = Origin("cam1/0001.mp4", 1234, 1_700_000_000_123_456_789, "ab" * 32)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


def test_an_unfinished_store_is_readable_and_resumed(tmp_path: Path) -> None:
    path = tmp_path / "store.h5"

    def two_and_an_error() -> Iterator[int]:
        yield 0
        yield 1
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_store(path, two_and_an_error())
    assert not path.exists()
    assert_whole(FeatureStore(path))
    with StoreWriter(path, PROVENANCE) as writer:
        assert "video00" in writer
        assert "video02" not in writer
        add_video(writer, 2)
    assert names_in(tmp_path) == ["store.h5"]
    assert len(FeatureStore(path)) == 3
    assert_whole(FeatureStore(path))


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_the_size_of_blocks_changes_no_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compression: Literal["gzip"] | None
) -> None:
    stores = []
    for size in (2**22, 300, 1):  # all snippets of a video, two of 'features', one
        monkeypatch.setattr(layout, "BLOCK", size)
        with StoreWriter(tmp_path / f"{size}.h5", PROVENANCE, compression=compression) as writer:
            for number in range(10):
                add_video(writer, number)
        stores.append(FeatureStore(writer.path))
        assert_whole(stores[-1])
    for name in stores[0].streams:
        assert len({store.checksum() for store in stores}) == 1
        assert len({store.mean_norm(name) for store in stores}) == 1


def test_videos_are_added_to_a_finished_store(tmp_path: Path, ten: Path) -> None:
    path = write_store(tmp_path / "store.h5", range(6))
    with StoreWriter(path, PROVENANCE) as writer:
        add_video(writer, 6)
        assert len(FeatureStore(path)) == 7
        for number in range(7, 10):
            add_video(writer, number)
    assert names_in(tmp_path) == ["store.h5"]
    assert_whole(FeatureStore(path))
    assert FeatureStore(path).checksum() == FeatureStore(ten).checksum()


def test_a_store_that_grew_names_every_decoder_and_what_is_odd(tmp_path: Path) -> None:
    path = tmp_path / "store.h5"
    for number, decoder in enumerate(("", "PyAV 14", "PyAV 18", "PyAV 14")):
        with StoreWriter(path, dataclasses.replace(PROVENANCE, decoder=decoder)) as writer:
            annotation, notes = make_annotation(number), ("turned", "Bild 7 fehlt")[:number]
            frames = annotation.num_frames or 0
            coding = Coding("h264", 0.25 * number) if number else None
            streams = make_streams(number)
            writer.add(annotation, streams, num_frames=frames, fps=25.0, notes=notes, coding=coding)
    store = FeatureStore(path)
    assert [store[video_id].coding for video_id in store] == [None, *(("h264", x) for x in (0.25, 0.5, 0.75))]
    assert store.provenance.decoder == "PyAV 14; PyAV 18"
    assert [len(store[video_id].notes) for video_id in store] == [0, 1, 2, 2]
    assert store["video03"].notes == ("turned", "Bild 7 fehlt")


def test_a_store_of_an_older_version_names_no_decoder(ten: Path) -> None:
    with h5py.File(ten, "r+") as file:
        del file.attrs["decoder"]
    assert FeatureStore(ten).provenance.decoder == ""


def test_the_last_of_several_writers_joins(tmp_path: Path) -> None:
    path = tmp_path / "store.h5"
    first, last = StoreWriter(path, PROVENANCE), StoreWriter(path, PROVENANCE)
    add_video(first, 0)
    add_video(last, 1)
    assert "video00" in last
    first.close()
    assert not path.exists()
    assert list(FeatureStore(path)) == ["video00", "video01"]
    add_video(last, 2)
    last.close()
    last.close()
    assert names_in(tmp_path) == ["store.h5"]
    assert list(FeatureStore(path)) == ["video00", "video01", "video02"]


def test_a_writer_without_videos_leaves_nothing(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "store.h5", PROVENANCE):
        pass
    assert names_in(tmp_path) == []


def test_another_provenance_is_refused(tmp_path: Path) -> None:
    path = write_store(tmp_path / "store.h5", range(2))
    other = dataclasses.replace(PROVENANCE, pooling="max")
    with pytest.raises(WSVADError, match="its pooling is 'mean' where 'max' is wanted"):
        StoreWriter(path, other)
    assert names_in(tmp_path) == ["store.h5"]


def streams_with(**changes: Any) -> dict[str, Any]:
    return {"streams": {**make_streams(1), **changes}}


NAN = np.full((2, 2, 17), np.nan, np.float32)
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "nan": (streams_with(features=NAN), "'features' holds NaN or infinite values"),
    "infinite": (streams_with(features=np.full_like(NAN, np.inf)), "'features' holds NaN or infinite values"),
    "no snippets": (streams_with(features=NAN[:0]), r"'features' is empty, of shape \(0, 2, 17\)"),
    "two axes": (streams_with(features=NAN[0]), r"shape \(2, 17\), not float16 or float32 \[T, N, D\]"),
    "no axis": (streams_with(features=np.float32(1)), r"shape \(\), not float16 or float32 \[T, N, D\]"),
    "float64": (streams_with(features=np.zeros((2, 2, 17))), "'features' is float64"),
    "other length": (
        streams_with(patches_2x3=np.zeros((3, 6, 5), np.float16)),
        "has 3 snippets where another",
    ),
    "other dim": (streams_with(features=np.zeros((2, 2, 16), np.float32)), "where other videos have"),
    "other views": (
        streams_with(features=np.zeros((2, 3, 17), np.float32)),
        "3 views where the store names 2",
    ),
    "other streams": ({"streams": {"features": make_streams(1)["features"]}}, "where other videos have"),
    "stream name": (streams_with(**{"a/b": NAN}), "'a/b' has a name that is not of letters"),
    "no streams": ({"streams": {}}, "has no streams"),
    "no frames": ({"annotation": VideoAnnotation("new", 0), "num_frames": 0}, "the video has 0 frames"),
    "other frames": ({"num_frames": 31}, "32 frames are annotated and the video has 31"),
    "interval": (
        {"annotation": VideoAnnotation("new", 1, intervals=((3, 40),))},
        "the interval 3-40 passes the end of the video at frame 32",
    ),
    "fps": ({"fps": 0.0}, "has 0.0 frames a second"),
    "fps unknown": ({"fps": math.nan}, "has nan frames a second"),
    "name": ({"annotation": VideoAnnotation("../a//new", 0)}, "is not a canonical name. Name it a/new"),
    "twice": ({"annotation": make_annotation(0), "num_frames": 16}, "video00.*already"),
}


@pytest.mark.parametrize(("change", "message"), REFUSED.values(), ids=REFUSED)
def test_a_wrong_video_is_refused_and_leaves_nothing(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = write_store(tmp_path / "store.h5", [0])
    before = path.read_bytes()
    given = {"annotation": make_annotation(1), "streams": make_streams(1), "num_frames": 32, "fps": 25.0}
    with pytest.raises(WSVADError, match=message) as error, StoreWriter(path, PROVENANCE) as writer:
        writer.add(**{**given, **change})
    assert error.value.argument == "video"
    assert names_in(tmp_path) == ["store.h5"]
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["snippet_length", "snippet_stride", "frame_stride"])
def test_wrong_provenance_is_refused(name: str) -> None:
    change: dict[str, Any] = {name: 0}
    with pytest.raises(WSVADError, match=name):
        dataclasses.replace(PROVENANCE, **change)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WSVADError, match=r"cannot be written \(Not a directory\)"):
        StoreWriter(tmp_path / "file" / "store.h5", PROVENANCE)


@contextmanager
def without_privileges() -> Iterator[None]:
    """Be nobody for a while, if now the superuser, who may write everywhere."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_a_read_only_folder_is_refused() -> None:
    with TemporaryDirectory() as name:  # pytest's own folders are closed to nobody
        Path(name).chmod(0o555)
        refused = pytest.raises(WSVADError, match=r"cannot be written \(Permission denied\)")
        with without_privileges(), refused:
            StoreWriter(Path(name) / "store.h5", PROVENANCE)
        Path(name).chmod(0o700)


def test_where_files_cannot_be_locked_nothing_is_left(tmp_path: Path, monkeypatch: Any) -> None:
    def refuse(*_: object) -> None:
        raise portalocker.LockException from OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(portalocker, "lock", refuse)
    with pytest.raises(WSVADError, match="No locks available"):
        StoreWriter(tmp_path / "store.h5", PROVENANCE)
    assert names_in(tmp_path) == []


def test_a_full_disk_costs_only_the_video_in_hand(tmp_path: Path) -> None:
    path = tmp_path / "store.h5"
    large: dict[str, Features] = {
        "features": np.ones((500, 2, 17), np.float32),
        "patches_2x3": np.ones((500, 6, 5), np.float16),
    }
    writer = StoreWriter(path, PROVENANCE)
    for number in range(6):
        add_video(writer, number)
    with file_size_limit(30_000), pytest.raises(WSVADError, match=os.strerror(errno.EFBIG)):
        writer.add(VideoAnnotation("large", 0), large, num_frames=8000, fps=25.0)
    assert "large" not in writer
    with file_size_limit(20_000), pytest.raises(WSVADError, match=os.strerror(errno.EFBIG)):
        writer.close()
    assert len(names_in(tmp_path)) == len(["lock", "store.h5.parts"]) + 6
    assert_whole(FeatureStore(path))
    write_missing(path, range(7))
    assert names_in(tmp_path) == ["store.h5"]
    assert len(FeatureStore(path)) == 7
    assert_whole(FeatureStore(path))


NAMES = ["cam1/0001", "cam2/0001", "x.mp4", "100%", "." * 3, "n" * 2000, "caf%E9", "日本　語"]


def test_a_video_may_have_any_name(tmp_path: Path) -> None:
    path = tmp_path / "store.h5"
    with StoreWriter(path, PROVENANCE) as writer:
        for number, name in enumerate(NAMES):
            annotation = dataclasses.replace(make_annotation(number), video_id=name)
            frames = annotation.num_frames or 0
            writer.add(annotation, make_streams(number), num_frames=frames, fps=25.0, origin=ORIGIN)
            assert set(FeatureStore(path)) == set(NAMES[: number + 1])
    store = FeatureStore(path)
    assert list(store) == sorted(NAMES)
    for number, name in enumerate(NAMES):
        assert store[name].annotation == dataclasses.replace(make_annotation(number), video_id=name)
        assert store[name].origin == ORIGIN
        np.testing.assert_array_equal(store.read(name), make_streams(number)["features"])
    assert store.video_paths == dict.fromkeys(NAMES, ORIGIN.path)


def test_parts_of_before_are_read_joined_and_replaced(tmp_path: Path) -> None:
    """They are called by the names of their videos, and a name may be decomposed."""
    path, parts = tmp_path / "store.h5", tmp_path / "store.h5.parts"
    parts.mkdir()
    with h5py.File(write_store(tmp_path / "a.h5", [0]), "r+") as file:
        file["videos"].move("video00", "u\u0308ber")  # ü as macOS writes it
        del file["videos"]["u\u0308ber"].attrs["checksum"], file.attrs["checksum"]  # of features alone then
    (tmp_path / "a.h5").rename(parts / "u\u0308ber.h5")
    write_store(tmp_path / "b.h5", [1]).rename(parts / "video01.h5")
    assert list(FeatureStore(path)) == ["video01", "über"]
    with StoreWriter(path, PROVENANCE) as writer:
        assert "über" in writer
        writer.annotate(dataclasses.replace(make_annotation(1), split="val"))
        assert len(FeatureStore(path)) == 2
    store = FeatureStore(path)
    assert names_in(tmp_path) == ["store.h5"]
    assert (store["video01"].annotation.split, store["über"].num_frames) == ("val", 16)


def test_a_video_is_replaced_or_annotated_anew_and_others_stay(tmp_path: Path, ten: Path) -> None:
    path = Path(shutil.copy(ten, tmp_path / "store.h5"))
    change(path)
    store, before = FeatureStore(path), FeatureStore(ten)
    assert set(before) - set(store) == {"video02"}
    assert store["video00"].annotation == dataclasses.replace(CHANGED, num_frames=16)
    assert store["video00"].streams["features"].checksum == before["video00"].streams["features"].checksum
    assert len(store.read("video01")) == len(make_streams(OTHER)["features"])
    assert [store[name].annotation for name in list(store)[2:]] == [
        make_annotation(number) for number in range(3, 10)
    ]


def test_what_cannot_be_changed_is_refused_and_stays(tmp_path: Path) -> None:
    path = write_store(tmp_path / "store.h5", [0, 1])
    before = path.read_bytes()
    with StoreWriter(path, PROVENANCE) as writer:
        with pytest.raises(WSVADError, match="video='gone': is not in"):
            writer.annotate(VideoAnnotation("gone", 0))
        with pytest.raises(WSVADError, match="the interval 3-99 passes the end of the video at frame 16"):
            writer.annotate(VideoAnnotation("video00", 1, intervals=((3, 99),)))
        with pytest.raises(WSVADError, match="would have no videos left"):
            writer.remove(["video00", "video01"])
    assert path.read_bytes() == before
    assert names_in(tmp_path) == ["store.h5"]


def test_a_folder_is_no_store_to_write(tmp_path: Path) -> None:
    with pytest.raises(WSVADError, match="is a folder. Name a file"):
        StoreWriter(tmp_path, PROVENANCE)
    assert list(tmp_path.iterdir()) == []
    assert not tmp_path.with_name(f"{tmp_path.name}.parts").exists()


def test_seconds_become_frames(tmp_path: Path) -> None:
    annotation = VideoAnnotation("x", 1, seconds=((0.08, 0.36), (0.48, 1.0)))
    with StoreWriter(tmp_path / "store.h5", PROVENANCE) as writer:
        writer.add(annotation, make_streams(0), num_frames=16, fps=25.0)
        with pytest.raises(WSVADError, match="from 0.08 to 0.36 seconds passes the end of the video"):
            writer.add(dataclasses.replace(annotation, video_id="y"), make_streams(0), num_frames=1, fps=25.0)
    store = FeatureStore(tmp_path / "store.h5")
    assert {name: store[name].annotation.intervals for name in store} == {"x": ((2, 9), (12, 16))}
