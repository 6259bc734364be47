import dataclasses
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.data.store.store_cases import PROVENANCE, add_video, make_annotation, make_streams, write_store
from wsvad_lightning.data.store import FeatureStore, Provenance, StoreWriter
from wsvad_lightning.data.store.merge import merge
from wsvad_lightning.data.store.verify import verify
from wsvad_lightning.errors import WSVADError

OTHER = dataclasses.replace(PROVENANCE, backbone="other", text_aligned=True, views={"sound": ("ear",)})


def write_stream(path: Path, stream: str, numbers: range = range(4), provenance: Provenance = OTHER) -> Path:
    """Videos as those of ``write_store``, of the same lengths, with one stream of another recipe."""
    with StoreWriter(path, provenance) as writer:
        for number in numbers:
            array = make_streams(number)["features"][:, :1, :3] + 1
            frames = 16 * len(array)
            writer.add(make_annotation(number), {stream: array}, num_frames=frames, fps=25.0)
    return path


def test_stores_of_other_videos_become_one(tmp_path: Path) -> None:
    paths = [write_store(tmp_path / f"{i}.h5", numbers) for i, numbers in enumerate((range(3), range(3, 8)))]
    whole = FeatureStore(write_store(tmp_path / "whole.h5", range(8)))
    merge([str(path) for path in paths], output=str(tmp_path / "merged.h5"))
    merged = FeatureStore(tmp_path / "merged.h5")
    assert merged.checksum() == whole.checksum()
    assert merged.provenance == whole.provenance
    assert [merged[v].annotation for v in merged] == [whole[v].annotation for v in whole]
    assert verify(str(tmp_path / "merged.h5")) == 0


def test_streams_of_the_same_videos_become_one_store(tmp_path: Path) -> None:
    first, second = write_store(tmp_path / "a.h5", range(4)), write_stream(tmp_path / "b.h5", "sound")
    merge([str(first), str(second)], output=str(tmp_path / "merged.h5"))
    merged = FeatureStore(tmp_path / "merged.h5")
    assert list(merged.streams) == ["features", "patches_2x3", "sound"]
    assert merged.streams["sound"].views == ("ear",)
    assert (merged.provenance.backbone, merged.provenance.text_aligned) == ("tiny+other", False)
    for number, video_id in enumerate(merged):
        streams = make_streams(number)
        np.testing.assert_array_equal(merged.read(video_id, "patches_2x3"), streams["patches_2x3"])
        np.testing.assert_array_equal(merged.read(video_id, "sound"), streams["features"][:, :1, :3] + 1)
    assert verify(str(tmp_path / "merged.h5")) == 0


def assert_refused(paths: list[Path], message: str) -> None:
    output = paths[0].parent / "merged.h5"
    with pytest.raises(WSVADError, match=message):
        merge([str(path) for path in paths], output=str(output))
    assert not list(output.parent.glob("*merged*"))


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    first = write_store(tmp_path / "a.h5", range(4))
    assert_refused([first], "nothing to join")
    assert_refused([first, write_store(tmp_path / "b.h5", range(2, 6))], "are in other stores too")
    assert_refused([first, write_stream(tmp_path / "c.h5", "features")], "holds its streams .'features'.")
    slow = dataclasses.replace(OTHER, snippet_length=32)
    assert_refused([first, write_stream(tmp_path / "d.h5", "sound", provenance=slow)], "snippet_length is 32")
    far = write_stream(tmp_path / "e.h5", "sound", range(4, 8))
    assert_refused([first, far], "its backbone is 'other' where 'tiny' is wanted")


def test_videos_that_are_annotated_otherwise_are_refused(tmp_path: Path) -> None:
    first, path = write_store(tmp_path / "a.h5", range(1)), tmp_path / "b.h5"
    changed = dataclasses.replace(make_annotation(0), split="test")
    with StoreWriter(path, OTHER) as writer:
        writer.add(changed, {"sound": make_streams(0)["features"][:, :1]}, num_frames=16, fps=25.0)
    assert_refused([first, path], "video00 has annotation .*split='test'")


def test_an_existing_store_is_left_alone(tmp_path: Path) -> None:
    paths = [str(write_store(tmp_path / f"{i}.h5", [i])) for i in range(2)]
    before = Path(paths[0]).read_bytes()
    with pytest.raises(WSVADError, match="is there already"):
        merge(paths, paths[0])
    assert Path(paths[0]).read_bytes() == before


def test_a_damaged_store_is_not_copied(tmp_path: Path) -> None:
    paths = [write_store(tmp_path / f"{i}.h5", [i]) for i in range(2)]
    with h5py.File(paths[1], "r+") as file:
        file["videos/video01/features"][0, 0, 0] += 1
    assert_refused(paths, "features is not what was written")


def test_what_is_merged_can_be_added_to(tmp_path: Path) -> None:
    paths = [str(write_store(tmp_path / f"{i}.h5", [i])) for i in range(2)]
    merge(paths, str(tmp_path / "merged.h5"))
    with StoreWriter(tmp_path / "merged.h5", PROVENANCE) as writer:
        add_video(writer, 2)
    assert list(FeatureStore(tmp_path / "merged.h5")) == ["video00", "video01", "video02"]
