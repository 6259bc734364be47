"""Folders of images are read as videos."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.video.frames import FrameFolder, frame_folder, images_of
from wsvad_lightning.video.reader import VideoReader

LEVELS = [0, 60, 120, 180, 240]


def write_images(folder: Path, names: list[str], levels: list[int] = LEVELS) -> FrameFolder:
    """One even image a name, as bright as its level."""
    folder.mkdir(parents=True)
    for name, level in zip(names, levels, strict=True):
        Image.fromarray(np.full((10, 16), level, np.uint8)).save(folder / name)
    found = frame_folder([folder / name for name in names], 10.0)
    assert isinstance(found, FrameFolder)
    return found


def levels_of(frames: list[NDArray[np.uint8]]) -> list[int]:
    return [round(float(frame.mean())) for frame in frames]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif", ".TIFF", ".webp", ".pgm"])
def test_images_are_frames(suffix: str, tmp_path: Path) -> None:
    names = [f"f%{number}{suffix}" for number in (1, 2, 9, 10, 11)]
    reader = VideoReader(write_images(tmp_path / "walk", names))
    frames = list(reader)
    np.testing.assert_allclose(levels_of(frames), LEVELS, atol=4)
    assert {(frame.shape, frame.dtype) for frame in frames} == {((10, 16, 3), np.dtype(np.uint8))}
    assert (reader.num_frames, reader.fps, reader.irregular) == (5, 10.0, False)
    assert reader.seconds == pytest.approx(0.4)
    size = sum((tmp_path / "walk" / name).stat().st_size for name in names)
    assert reader.coding is not None
    assert reader.coding.codec == suffix.lower()[1:]
    assert reader.coding.bits_per_pixel == pytest.approx(8 * size / (5 * 10 * 16))


def test_images_are_resampled_and_skipped(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "walk", [f"{number}.png" for number in range(5)])
    assert levels_of(list(VideoReader(folder, resample=20))) == [level for level in LEVELS for _ in range(2)]
    assert levels_of(list(VideoReader(folder, step=2))) == LEVELS[::2]


def test_colours_and_depths_are_kept(tmp_path: Path) -> None:
    tmp_path.joinpath("walk").mkdir()
    Image.new("RGB", (16, 10), (200, 100, 50)).save(tmp_path / "walk" / "1.png")
    Image.fromarray(np.full((10, 16), 128 * 257, np.uint16)).save(tmp_path / "walk" / "2.png")
    Image.new("RGBA", (16, 10), (10, 20, 30, 255)).save(tmp_path / "walk" / "3.png")
    folder = frame_folder(images_of(tmp_path / "walk"))
    assert isinstance(folder, FrameFolder)
    colours = [frame[0, 0].tolist() for frame in VideoReader(folder)]
    np.testing.assert_allclose(colours, [[200, 100, 50], [128] * 3, [10, 20, 30]], atol=2)


@pytest.mark.parametrize(("orientation", "corner"), [(1, (0, 0)), (6, (0, -1)), (8, (-1, 0)), (3, (0, 0))])
def test_images_are_turned_as_their_exif_data_asks(
    orientation: int, corner: tuple[int, int], tmp_path: Path
) -> None:
    """What PyAV does not distinguish from a mirrored picture is left as it is, and said."""
    picture = np.zeros((10, 16), np.uint8)
    picture[:4, :4] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    for name in ("1.png", "2.png"):
        Image.fromarray(picture).save(tmp_path / name, exif=exif)
    folder = frame_folder([tmp_path / "1.png", tmp_path / "2.png"])
    assert isinstance(folder, FrameFolder)
    reader = VideoReader(folder)
    assert [frame[corner].tolist() for frame in reader] == [[255] * 3] * 2
    assert ("turned" in "".join(reader.notes)) == (orientation != 1)


def test_images_take_the_size_of_the_first(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "walk", ["1.png", "2.png"], LEVELS[:2])
    Image.new("L", (40, 40)).save(tmp_path / "walk" / "2.png")
    reader = VideoReader(folder)
    assert {frame.shape for frame in reader} == {(10, 16, 3)}
    assert reader.notes == ("2 sizes of pictures: all are scaled to the first",)


@pytest.mark.parametrize("content", [b"", b"no picture", None])
@pytest.mark.parametrize("name", ["0.png", "2.png", "4.png"])
def test_a_broken_image_is_a_lost_frame(name: str, content: bytes | None, tmp_path: Path) -> None:
    folder = write_images(tmp_path / "walk", [f"{number}.png" for number in range(5)])
    (tmp_path / "walk" / name).unlink()
    if content is not None:
        (tmp_path / "walk" / name).write_bytes(content)
    reader, lost = VideoReader(folder), int(name[0])
    shown = [*LEVELS[:lost], LEVELS[lost - 1] if lost else LEVELS[1], *LEVELS[lost + 1 :]]
    assert levels_of(list(reader)) == shown
    assert reader.notes == (f"1 of 5 frames lost ({lost}): a neighbour takes the place of each",)
    assert reader.fps == 10


def test_images_of_which_none_is_one_are_named(tmp_path: Path) -> None:
    for name in ("1.png", "2.png"):
        (tmp_path / name).write_text("no picture")
    folder = frame_folder([tmp_path / "1.png", tmp_path / "2.png"])
    assert isinstance(folder, FrameFolder)
    with pytest.raises(WSVADError, match="cannot be decoded"):
        list(VideoReader(folder))


def test_masks_are_no_video(tmp_path: Path) -> None:
    write_images(tmp_path / "Test001", ["1.png", "2.png"], LEVELS[:2])
    masks = tmp_path / "Test001_gt"
    masks.mkdir()
    assert "masks, as of Test001" in str(frame_folder([masks / "1.bmp", masks / "2.bmp"]))
    alone = tmp_path / "Test002_gt"
    assert isinstance(frame_folder([alone / "1.bmp", alone / "2.bmp"]), FrameFolder)


def test_images_are_listed_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for name in ("10.bmp", "9.bmp", "._9.bmp", "Thumbs.db"):
        (tmp_path / name).touch()
    assert [path.name for path in images_of(tmp_path)] == ["9.bmp", "10.bmp"]
