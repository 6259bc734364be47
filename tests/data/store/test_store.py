import dataclasses
import errno
import fcntl
import math
import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import h5py
import numpy as np
import pytest
from torch.utils.data import DataLoader

from tests.data.store.store_cases import (
    PROVENANCE,
    StoreDataset,
    add_video,
    assert_whole,
    file_size_limit,
    make_annotation,
    make_streams,
    write_missing,
    write_store,
)
from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.data.store import layout
from wsvad_lightning.data.store import store as store_module
from wsvad_lightning.data.store.store import Features, FeatureStore, StoreWriter
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.types import StreamInfo

Change = Callable[[dict[str, Any]], Any]


@pytest.fixture(scope="module")
def ten(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished store of ten videos that no test changes."""
    return write_store(tmp_path_factory.mktemp("store") / "ten.h5", range(10))


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


def count_open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


# ------------------------------------------------------------------------------------------- reading


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
    monkeypatch.setattr(store_module, "MAX_OPEN", 3)
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


# -------------------------------------------------------------------------------------------- shards


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


# ------------------------------------------------------------------------------------------- writing


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
    "name": ({"annotation": VideoAnnotation("new.mp4", 0)}, "is no canonical name. Name it new"),
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
    assert names_in(tmp_path) == ["lock", "store.h5.parts", *(f"video{number:02d}.h5" for number in range(6))]
    assert_whole(FeatureStore(path))
    write_missing(path, range(7))
    assert names_in(tmp_path) == ["store.h5"]
    assert len(FeatureStore(path)) == 7
    assert_whole(FeatureStore(path))


# ------------------------------------------------------------------------------------ damaged stores


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
        (beheaded, "is no HDF5 file"),
        (without_schema, "is an HDF5 file but no feature store"),
        (of_the_future, "has schema 99, not 1"),
        (without_label, "cannot be read.*label.*wsvad data verify"),
        (Path.unlink, "there is no such store"),
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
        with pytest.raises(WSVADError, match="there is no such store"):
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


def test_a_folder_is_no_store_to_write(tmp_path: Path) -> None:
    with pytest.raises(WSVADError, match="is a folder. Name a file"):
        StoreWriter(tmp_path, PROVENANCE)
    assert list(tmp_path.iterdir()) == []
    assert not tmp_path.with_name(f"{tmp_path.name}.parts").exists()
