"""Pictures are turned as the display matrix of a file asks, which is written into it here."""

import struct
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.videos import VideoMaker
from wsvad_lightning.video.reader import VideoReader

Turn = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
TURNED: dict[tuple[int, int, int, int], tuple[Turn, str | None]] = {  # by matrix, with a word of the note
    (1, 0, 0, 1): (lambda picture: picture, None),
    (0, 1, -1, 0): (lambda picture: np.rot90(picture, -1), "90 degrees clockwise"),
    (-1, 0, 0, -1): (lambda picture: np.rot90(picture, 2), "180 degrees"),
    (0, -1, 1, 0): (lambda picture: np.rot90(picture), "90 degrees counter-clockwise"),
    (-1, 0, 0, 1): (np.fliplr, "left to right"),
    (1, 0, 0, -1): (np.flipud, "top to bottom"),
    (0, 1, 1, 0): (lambda picture: picture.swapaxes(0, 1), "mirrored"),
    (0, -1, -1, 0): (lambda picture: np.rot90(picture, 2).swapaxes(0, 1), "mirrored"),
}


def write_matrix(path: Path, a: float, b: float, c: float, d: float) -> None:
    """Set the matrix in the header of the only track of an MP4."""
    content = bytearray(path.read_bytes())
    start = content.index(b"tkhd") + 44
    entries = (a, b, 0, c, d, 0, 0, 0, 1 << 14)
    content[start : start + 36] = struct.pack(">9i", *(round(value * 65536) for value in entries))
    path.write_bytes(content)


def frames_of(path: Path) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    reader = VideoReader(path)
    return np.stack(list(reader)), reader.notes


@pytest.mark.parametrize("matrix", TURNED)
def test_frames_are_turned_upright(matrix: tuple[int, int, int, int], make_video: VideoMaker) -> None:
    turn, word = TURNED[matrix]
    stored, _ = frames_of(make_video("plain.mp4", 3))
    path = make_video("phone.mp4", 3)
    write_matrix(path, *matrix)
    upright, notes = frames_of(path)
    np.testing.assert_array_equal(upright, [turn(frame) for frame in stored])
    assert [word is not None and word in note for note in notes] == ([True] if word else [])


def test_another_angle_is_left_and_named(make_video: VideoMaker) -> None:
    path = make_video("tilted.mp4", 2)
    write_matrix(path, 0.7, 0.7, -0.7, 0.7)
    frames, notes = frames_of(path)
    assert frames.shape == (2, 48, 64, 3)
    assert "not turned upright" in notes[0]


@pytest.mark.parametrize(("tag", "turns"), [("90", -1), ("180", 2), ("270", 1), ("0", 0), ("x", 0)])
def test_the_older_tag_counts_where_there_is_no_matrix(tag: str, turns: int, tmp_path: Path) -> None:
    path = tmp_path / "phone.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.metadata["rotate"] = tag
        picture = np.zeros((48, 64, 3), np.uint8)
        picture[:10, :10] = 255  # top left
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    (frame,), notes = frames_of(path)
    (stored,) = (next(av.open(str(path)).decode(video=0)).to_ndarray(format="rgb24"),)
    np.testing.assert_array_equal(frame, np.rot90(stored, turns))
    assert bool(notes) == bool(turns)
