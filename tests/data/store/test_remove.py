from pathlib import Path

import pytest

from tests.data.store.store_cases import PROVENANCE, add_video, assert_whole, write_store
from wsvad_lightning.data.store import FeatureStore, StoreWriter
from wsvad_lightning.data.store.remove import remove
from wsvad_lightning.errors import WSVADError


def test_videos_are_taken_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_store(tmp_path / "store.h5", range(4))
    remove(str(path), ["video01.mp4", "cameras/video03.mp4"])
    assert list(FeatureStore(path)) == ["video00", "video02"]
    assert_whole(FeatureStore(path))
    assert "2 removed, 2 left" in capsys.readouterr().out
    assert [file.name for file in tmp_path.iterdir()] == ["store.h5"]


def test_videos_of_an_unfinished_store_are_taken_out(tmp_path: Path) -> None:
    path = tmp_path / "store.h5"
    writer = StoreWriter(path, PROVENANCE)
    for number in range(3):
        add_video(writer, number)
    writer.__exit__(ZeroDivisionError, None, None)
    assert len(FeatureStore(path)) == 3
    remove(str(path), ["video00"])
    assert list(FeatureStore(path)) == ["video01", "video02"]
    assert [file.name for file in tmp_path.iterdir()] == ["store.h5"]


@pytest.mark.parametrize(
    ("videos", "message"),
    [
        (["video00", "vidoe01"], "videos='vidoe01': is not in .*Did you mean video01"),
        (["video00", "video01"], "would have no videos left"),
    ],
)
def test_what_cannot_be_taken_out_is_named(videos: list[str], message: str, tmp_path: Path) -> None:
    path = write_store(tmp_path / "store.h5", range(2))
    before = path.read_bytes()
    with pytest.raises(WSVADError, match=message):
        remove(str(path), videos)
    assert path.read_bytes() == before


def test_nothing_is_taken_out_while_another_command_writes(tmp_path: Path) -> None:
    path = write_store(tmp_path / "store.h5", range(2))
    with StoreWriter(path, PROVENANCE):
        with pytest.raises(WSVADError, match="another command writes into it"):
            remove(str(path), ["video00"])
        assert len(FeatureStore(path)) == 2
    remove(str(path), ["video00"])
    assert list(FeatureStore(path)) == ["video01"]


def test_one_store_is_named(tmp_path: Path) -> None:
    for name in "ab":
        write_store(tmp_path / f"{name}.h5", [ord(name)])
    with pytest.raises(WSVADError, match="names 2 stores"):
        remove(str(tmp_path / "*.h5"), ["video97"])
