"""Reading a store: what comes back, shards, damaged files."""

import dataclasses
import fcntl
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from torch.utils.data import DataLoader

from tests.data.store.store_cases import (
    PROVENANCE,
    StoreDataset,
    add_video,
    assert_whole,
    make_streams,
    write_store,
)
from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.data.store import FeatureStore, StoreWriter
from wsvad_lightning.data.store import reader as reader_module
from wsvad_lightning.data.store.contents import file_checksum, video_checksum
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.types import StreamInfo


def count_open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_everything_comes_back(ten: Path) -> None:
    store = FeatureStore(ten)
    assert list(store) == [f"video{number:02d}" for number in range(10)]
    assert len(store) == 10
    assert "video03" in store
    assert "video10" not in store
    assert store.provenance == PROVENANCE
    assert store.classes == ("Fighting", "Riot")
    assert store.streams == {
        "features": StreamInfo(17, ("left", "right")),
        "patches_2x3": StreamInfo(5, ("0", "1", "2", "3", "4", "5")),
    }
    assert_whole(store)
    record = store["video03"]
    assert (record.num_snippets, record.num_frames, record.fps) == (4, 64, 25.0)


@pytest.mark.parametrize(
    "annotation",
    [
        VideoAnnotation("weak", 1, num_frames=16),
        VideoAnnotation("normal", 0, num_frames=16, intervals=()),
        VideoAnnotation(
            "Bad.Boys.1995__#01-11-55_label_G-B2-B6", 1, ("G", "B2", "B6"), 16, ((3, 16),), "val"
        ),
        VideoAnnotation("v=_0 ünï", 1, num_frames=16, intervals=((0, 1), (4, 5))),
    ],
    ids=lambda annotation: annotation.video_id,
)
def test_annotations_come_back(tmp_path: Path, annotation: VideoAnnotation) -> None:
    with StoreWriter(tmp_path / "one.h5", PROVENANCE) as writer:
        writer.add(annotation, make_streams(0), num_frames=16, fps=29.97)
    assert FeatureStore(tmp_path / "one.h5")[annotation.video_id].annotation == annotation


def test_frame_count_is_known_after_writing(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "one.h5", PROVENANCE) as writer:
        writer.add(VideoAnnotation("video", 0), make_streams(0), num_frames=16, fps=25.0)
    assert FeatureStore(tmp_path / "one.h5")["video"].annotation.num_frames == 16


def test_any_program_can_read_the_file(ten: Path) -> None:
    with h5py.File(ten) as file:
        assert dict(file.attrs) == {
            "schema": 1,
            "backbone": "tiny",
            "source": "numbers",
            "snippet_length": 16,
            "snippet_stride": 16,
            "frame_stride": 1,
            "pooling": "mean",
            "tail": "pad",
            "preprocessing": '{"size": 8}',
            "text_aligned": False,
            "views": '{"features": ["left", "right"]}',
            "decoder": "",
            "checksum": file_checksum(file),
        }
        video = file["videos/video05"]
        attributes = {key: np.asarray(value).tolist() for key, value in video.attrs.items()}
        assert attributes == {
            "label": 1,
            "classes": ["Fighting", "Riot"],
            "split": "test",
            "num_frames": 96,
            "fps": 25.0,
            "intervals": [[2, 9], [12, 16]],
            "checksum": video_checksum(video),
        }
        assert set(video["features"].attrs) == {"checksum", "mean_norm"}
        np.testing.assert_array_equal(video["features"], make_streams(5)["features"])
        assert video["features"].chunks is None


def test_contiguous_features_are_views_of_one_memory_map(ten: Path) -> None:
    store = FeatureStore(ten)
    array, again, other = store.read("video05"), store.read("video05"), store.read("video06", "patches_2x3")
    assert isinstance(array.base, np.memmap)
    assert array.base is other.base
    assert np.shares_memory(array, again)
    assert not array.flags.writeable
    assert array.ctypes.data % 64 == 0
    assert other.ctypes.data % 64 == 0


def test_compression_changes_no_number(tmp_path: Path, ten: Path) -> None:
    with StoreWriter(tmp_path / "gzip.h5", PROVENANCE, compression="gzip") as writer:
        for number in range(10):
            add_video(writer, number)
    compressed = FeatureStore(tmp_path / "gzip.h5")
    assert compressed["video03"].streams["features"].offset is None
    assert not compressed.read("video03").flags.writeable
    assert_whole(compressed)
    assert compressed.checksum() == FeatureStore(ten).checksum()


def test_opening_reads_no_features_and_keeps_no_file(ten: Path) -> None:
    before = count_open_files()
    store = FeatureStore(ten)
    assert count_open_files() == before
    array = store.read("video01")
    assert count_open_files() == before + 1
    del store, array
    assert count_open_files() == before


def test_few_files_are_open_however_many_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "MAX_OPEN", 3)
    with StoreWriter(tmp_path / "many.h5", PROVENANCE) as writer:
        for number in range(8):
            add_video(writer, number)
        store, before = FeatureStore(tmp_path / "many.h5"), count_open_files()
        for _ in range(2):
            assert_whole(store)
        assert count_open_files() == before + 3


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_read_the_same_numbers(tmp_path: Path, ten: Path, start: str) -> None:
    with StoreWriter(tmp_path / "lzf.h5", PROVENANCE, compression="lzf") as writer:
        for number in range(20, 26):
            add_video(writer, number)
    dataset = StoreDataset([FeatureStore(ten), FeatureStore(tmp_path / "lzf.h5")])
    expected = [dataset[index][1] for index in range(len(dataset))]  # this process has its files open now
    loader = DataLoader(dataset, batch_size=None, num_workers=2, multiprocessing_context=start)
    pairs = list(loader)
    assert len({int(process) for process, _ in pairs} - {os.getpid()}) == 2
    for (_, features), same in zip(pairs, expected, strict=True):
        np.testing.assert_array_equal(features.numpy(), same.numpy())


def test_pickling_leaves_open_files_behind(ten: Path) -> None:
    store = FeatureStore(ten)
    store.read("video01")
    size = len(pickle.dumps(store))
    assert size < 20_000
    assert_whole(pickle.loads(pickle.dumps(store)))


def test_reading_takes_no_lock(ten: Path) -> None:
    with ten.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError):
            h5py.File(ten, "r", locking=True)
        assert_whole(FeatureStore(ten))


def test_mean_norm(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "norms.h5", PROVENANCE) as writer:
        for number in range(4):
            add_video(writer, number)
    vectors = np.concatenate([make_streams(number)["features"].reshape(-1, 17) for number in range(4)])
    expected = np.linalg.norm(vectors.astype(np.float64), axis=1).mean()
    assert FeatureStore(tmp_path / "norms.h5").mean_norm() == pytest.approx(expected, rel=1e-6)


def test_shards_read_as_one_store(tmp_path: Path, ten: Path) -> None:
    shards = [
        write_store(tmp_path / "part_a.h5", range(0, 10, 2)),
        write_store(tmp_path / "part_b.h5", range(1, 10, 2)),
    ]
    for given in (shards, [str(shard) for shard in shards], str(tmp_path / "part_*.h5"), tmp_path / "*.h5"):
        store = FeatureStore(given)
        assert_whole(store)
        assert store.checksum() == FeatureStore(ten).checksum()


def test_a_pattern_finds_unfinished_stores(tmp_path: Path) -> None:
    write_store(tmp_path / "done.h5", range(3))
    with StoreWriter(tmp_path / "doing.h5", PROVENANCE) as writer:
        add_video(writer, 7)
        assert list(FeatureStore(tmp_path / "do*.h5")) == ["video00", "video01", "video02", "video07"]


def test_a_name_may_look_like_a_pattern(tmp_path: Path) -> None:
    path = write_store(tmp_path / "ucf [i3d].h5", range(3))
    assert len(FeatureStore(path)) == 3


def test_a_video_in_two_shards_is_refused(tmp_path: Path) -> None:
    shards = [write_store(tmp_path / "a.h5", range(3)), write_store(tmp_path / "b.h5", range(2, 5))]
    with pytest.raises(WSVADError, match=r"b\.h5.*1 of its videos are in other stores too, such as video02"):
        FeatureStore(shards)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"backbone": "i3d"}, "its backbone is 'i3d' where 'tiny' is wanted"),
        ({"snippet_stride": 8}, "its snippet_stride is 8 where 16 is wanted"),
        ({"text_aligned": True}, "its text_aligned is True where False is wanted"),
        ({"views": {"features": ("a", "b")}}, "its views is"),
    ],
)
def test_shards_of_different_provenance_are_refused(
    tmp_path: Path, ten: Path, change: dict[str, Any], message: str
) -> None:
    shard = write_store(tmp_path / "b.h5", [20], dataclasses.replace(PROVENANCE, **change))
    with pytest.raises(WSVADError, match=message):
        FeatureStore([ten, shard])


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5000])


def beheaded(path: Path) -> None:
    path.write_bytes(b"video,label\n" * 100)


def without_schema(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file.attrs["schema"]


def of_the_future(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["schema"] = 99


def without_label(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["videos/video01"].attrs["label"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncated, "truncated file.*wsvad data verify"),
        (beheaded, "is not an HDF5 file"),
        (without_schema, "is an HDF5 file but not a feature store"),
        (of_the_future, "has schema 99, not 1"),
        (without_label, "cannot be read.*label.*wsvad data verify"),
        (Path.unlink, "no such store"),
    ],
)
def test_a_damaged_store_is_refused(tmp_path: Path, damage: Callable[[Path], None], message: str) -> None:
    path = write_store(tmp_path / "store.h5", range(4))
    damage(path)
    with pytest.raises(WSVADError, match=message):
        FeatureStore(path)


@pytest.mark.parametrize("name", ["*.h5", "*", ".", "", "missing/store.h5", "folder"])
def test_a_store_that_is_not_there_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    for given in (name, [name], tmp_path / name):
        with pytest.raises(WSVADError, match="no such store"):
            FeatureStore(given)


@pytest.mark.parametrize("damage", [truncated, Path.unlink])
def test_a_file_that_changes_after_opening_is_refused(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    path = write_store(tmp_path / "store.h5", range(4))
    store = FeatureStore(path)
    damage(path)
    with pytest.raises(WSVADError, match="was replaced or removed.*Open the store again"):
        store.read("video01")


def test_unknown_names_are_refused(ten: Path) -> None:
    store = FeatureStore(ten)
    with pytest.raises(WSVADError, match="video='video99'"):
        store.read("video99")
    with pytest.raises(WSVADError, match=r"stream='audio'.*holds \['features', 'patches_2x3'\]"):
        store.read("video01", "audio")


def test_a_damaged_chunk_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "gzip.h5"
    with StoreWriter(path, PROVENANCE, compression="gzip") as writer:
        add_video(writer, 8)
    with h5py.File(path) as file:
        chunk = file["videos/video08/features"].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset : chunk.byte_offset + chunk.size] = bytes(chunk.size)
    path.write_bytes(content)
    with pytest.raises(WSVADError, match="features does not decompress"):
        FeatureStore(path).read("video08")
