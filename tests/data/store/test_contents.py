"""Damaged stores, and stores of strangers: what is wrong is a finding, and reading refuses it in a line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from tests.data.store.store_cases import write_store
from wsvad_lightning.data.store import FeatureStore
from wsvad_lightning.data.store.contents import CHECKSUM, HEAP
from wsvad_lightning.data.store.verify import verify
from wsvad_lightning.errors import WSVADError

Damage = Callable[[h5py.File, h5py.Group], object]

SHAPE = (3, 2, 17)


@pytest.fixture(autouse=True)
def _wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "250")


def attribute(name: str, value: Any) -> Damage:
    def put(file: h5py.File, video: h5py.Group) -> None:
        video.attrs[name] = value

    return put


def stream(**options: Any) -> Damage:
    """Features of another kind in place of those that are there."""

    def put(file: h5py.File, video: h5py.Group) -> None:
        kept = dict(video["features"].attrs)
        del video["features"]
        video.create_dataset("features", **options).attrs.update(kept)

    return put


def instead(make: Callable[[h5py.File], Any], name: str = "features") -> Damage:
    """Something else in place of the features."""

    def put(file: h5py.File, video: h5py.Group) -> None:
        if name in video:
            del video[name]
        video[name] = make(file)

    return put


def virtual(file: h5py.File, video: h5py.Group) -> None:
    layout = h5py.VirtualLayout(SHAPE, np.float32)
    layout[:] = h5py.VirtualSource("/etc/hostname", "x", SHAPE)
    kept = dict(video["features"].attrs)
    del video["features"]
    video.create_virtual_dataset("features", layout).attrs.update(kept)


def filtered(code: int) -> Damage:
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk(SHAPE)
    plist.set_filter(code, h5py.h5z.FLAG_OPTIONAL, (9,))

    def put(file: h5py.File, video: h5py.Group) -> None:
        kept = dict(video["features"].attrs)
        del video["features"]
        space, kind = h5py.h5s.create_simple(SHAPE), h5py.h5t.py_create(np.dtype(np.float32))
        h5py.h5d.create(video.id, b"features", kind, space, plist)
        video["features"].attrs.update(kept)

    return put


def provenance(name: str, value: Any) -> Damage:
    return lambda file, video: file.attrs.__setitem__(name, value)


REFUSED: dict[str, tuple[Damage, str]] = {
    "no label": (lambda file, video: video.attrs.pop("label"), "its label is missing"),
    "label in words": (attribute("label", "x"), "its label is 'x'"),
    "labels": (attribute("label", [1, 2]), "its label is"),
    "label out of range": (attribute("label", 7), "the label is 7"),
    "empty label": (attribute("label", h5py.Empty("f4")), "neither text nor numbers"),
    "no classes": (lambda file, video: video.attrs.pop("classes"), "its classes are not a list of names"),
    "number as class": (attribute("classes", 3), "its classes are not"),
    "part": (attribute("split", "trian"), "'trian' is not a part of a split"),
    "part as number": (attribute("split", 3), "its split is '3'"),
    "fps 0": (attribute("fps", 0.0), "it has 0.0 frames a second"),
    "fps nan": (attribute("fps", np.nan), "it has nan frames a second"),
    "fps inf": (attribute("fps", np.inf), "it has inf frames a second"),
    "fps negative": (attribute("fps", -25.0), "it has -25.0 frames a second"),
    "fps in words": (attribute("fps", "fast"), "its fps is 'fast'"),
    "frames": (attribute("num_frames", -1), "the video has -1 frames"),
    "frames as float": (attribute("num_frames", 3.5), "its num_frames is '3.5'"),
    "interval": (attribute("intervals", np.array([[9, 2]])), "the interval 9-2 is empty or reversed"),
    "flat intervals": (attribute("intervals", np.array([2, 9, 3])), "its intervals are not pairs"),
    "interval of floats": (attribute("intervals", np.array([[0.5, 2]])), "its intervals are not pairs"),
    "compound": (attribute("classes", np.zeros(2, "f4,i4")), "neither text nor numbers"),
    "no stream": (lambda file, video: video.clear(), "it has no features"),
    "no checksum": (lambda file, video: video["features"].attrs.pop(CHECKSUM), "its checksum is missing"),
    "checksum 3": (lambda f, v: v["features"].attrs.update({CHECKSUM: 3}), "its checksum is '3'"),
    "float64": (stream(data=np.zeros(SHAPE)), "is of type float64"),
    "integers": (stream(data=np.zeros(SHAPE, np.int32)), "is of type int32"),
    "big-endian": (stream(data=np.zeros(SHAPE, ">f4")), "is of type >f4"),
    "texts": (stream(data=["a"]), r"is of shape \(1,\)"),
    "flat": (stream(data=np.zeros(9, np.float32)), r"is of shape \(9,\)"),
    "empty": (stream(data=np.zeros((0, 2, 17), np.float32)), "is of shape"),
    "nothing": (stream(data=h5py.Empty("f4")), r"is of shape \(\)|is of shape None"),
    "declared": (stream(shape=(10**9, 2, 17), dtype=np.float32), "the file does not hold as much"),
    "declared chunks": (stream(shape=(10**9, 2, 17), dtype="f4", chunks=(9, 2, 17)), "not hold as much"),
    "group": (lambda file, video: instead(lambda f: f.create_group("other"))(file, video), "not a dataset"),
    "soft link": (instead(lambda file: h5py.SoftLink("/videos/video01/features")), "features is a link"),
    "external link": (instead(lambda file: h5py.ExternalLink("x.h5", "/a")), "a link to another file"),
    "one link more": (instead(lambda file: h5py.ExternalLink("x.h5", "/a"), "more"), "a link to another"),
    "external values": (
        stream(shape=SHAPE, dtype=np.float32, external=[("/etc/hostname", 0, h5py.h5f.UNLIMITED)]),
        "its values lie in another file",
    ),
    "virtual": (virtual, "its values lie in another file"),
    "plug-in": (filtered(32015), "is not a way that stores are written in"),
    "no backbone": (lambda file, video: file.attrs.pop("backbone"), "its backbone is missing"),
    "stride in words": (provenance("snippet_stride", "x"), "its snippet_stride is 'x'"),
    "stride 0": (provenance("snippet_stride", 0), "must be at least 1"),
    "views": (provenance("views", '{"features": 3}'), "its views are not lists"),
    "no json": (provenance("views", "{"), "Expecting property name"),
    "schema": (provenance("schema", [1, 2]), "has schema"),
    "no videos": (lambda file, video: file.pop("videos"), "cannot be read"),
}


def damaged(folder: Path, damage: Damage) -> Path:
    path = write_store(folder / "store.h5", range(4))
    with h5py.File(path, "r+") as file:
        damage(file, file["videos/video03"])
    return path


@pytest.mark.parametrize(("damage", "problem"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_a_store_is_refused_and_found(
    damage: Damage, problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = damaged(tmp_path, damage)
    with pytest.raises(WSVADError, match=problem) as refused:
        FeatureStore(path)
    assert "\n" not in str(refused.value)
    assert verify(str(path)) == 1
    shown = capsys.readouterr().out
    assert "findings" in shown
    assert "3 videos, " in shown or "0 videos, 1 finding" in shown  # the others are checked all the same


SEEN: dict[str, tuple[Damage, str]] = {
    "label": (attribute("label", 0), "cannot be read"),
    "another class": (attribute("classes", ["Riot", "Arson"]), "its annotation is not what was written"),
    "more frames": (attribute("num_frames", 65), "its annotation is not what was written"),
    "fps": (attribute("fps", 24.0), "its annotation is not what was written"),
    "intervals": (
        attribute("intervals", np.array([[2, 9], [12, 15]])),
        "its annotation is not what was written",
    ),
    "part": (attribute("split", "test"), "its annotation is not what was written"),
    "mean norm": (
        lambda f, v: v["features"].attrs.modify("mean_norm", 9.0),
        "its annotation is not what was",
    ),
    "backbone": (provenance("backbone", "other"), "its provenance or its list of videos is not what"),
    "stride": (provenance("frame_stride", 2), "its provenance or its list of videos is not what"),
    "lost video": (lambda file, video: file.pop("videos/video01"), "its provenance or its list of videos"),
    "lost checksum": (lambda file, video: video.attrs.pop(CHECKSUM), "its list of videos is not what"),
    "lost checksum of the file": (lambda file, video: file.attrs.pop(CHECKSUM), "its list of videos"),
}


@pytest.mark.parametrize(("damage", "problem"), SEEN.values(), ids=SEEN)
def test_checksums_cover_annotations_and_provenance(
    damage: Damage, problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = damaged(tmp_path, damage)
    assert verify(str(path)) == 1
    assert problem in capsys.readouterr().out


def test_a_store_of_an_older_version_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_store(tmp_path / "store.h5", range(4))
    with h5py.File(path, "r+") as file:
        del file.attrs[CHECKSUM]
        for group in file["videos"].values():
            del group.attrs[CHECKSUM]
    assert len(FeatureStore(path)) == 4
    assert verify(str(path)) == 0
    assert "4 are of an older version, whose checksums cover features alone" in capsys.readouterr().out
    write_store(path, range(4, 6))
    assert verify(str(path)) == 0


def test_videos_of_other_streams_are_found_and_the_rest_is_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = damaged(tmp_path, lambda file, video: video.pop("patches_2x3"))
    assert verify(str(path)) == 1
    assert "its streams are features (2 x 17) where other videos have" in capsys.readouterr().out


def test_a_heap_that_is_a_circle_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """HDF5 itself never comes to its end."""
    path = write_store(tmp_path / "store.h5", range(2))
    content = bytearray(path.read_bytes())
    heap = content.index(HEAP)
    place, end = heap + 16, heap + int.from_bytes(content[heap + 8 : heap + 16], "little")
    while content[place : place + 2] != bytes(2) and place < end:
        place += 16 + -(-int.from_bytes(content[place + 8 : place + 16], "little") // 8) * 8
    content[place + 8 : place + 16] = bytes(8)  # the size of its free space
    path.write_bytes(content)
    with pytest.raises(WSVADError, match="a heap of texts is damaged"):
        FeatureStore(path)
    assert verify(str(path)) == 1
    assert "a heap of texts is damaged" in capsys.readouterr().out


@pytest.mark.parametrize("seed", range(6))
def test_flipped_bits_end_in_findings(seed: int, tmp_path: Path) -> None:
    path = write_store(tmp_path / "store.h5", range(3))
    content = bytearray(path.read_bytes())
    rng = np.random.default_rng(seed)
    for place in rng.integers(0, len(content), 20):
        content[place] ^= 1 << rng.integers(8)
    path.write_bytes(content)
    assert verify(str(path)) in (0, 1)  # padding may be hit alone
