"""Recordings that were cut, in formats that do not say how many frames there are."""

from pathlib import Path

import pytest

from tests.videos import VideoMaker
from wsvad_lightning.video.endings import is_cut
from wsvad_lightning.video.reader import VideoReader

PACKET = 188


@pytest.fixture(params=["a.ts", "a.flv"])
def recording(request: pytest.FixtureRequest, make_video: VideoMaker) -> Path:
    return make_video(request.param, 20, codec="flv1" if request.param == "a.flv" else "libx264")


def notes(path: Path) -> tuple[str, ...]:
    reader = VideoReader(path)
    assert list(reader)
    return reader.notes


def test_a_cut_recording_is_named(recording: Path) -> None:
    content = recording.read_bytes()
    assert not any("it is cut" in note for note in notes(recording))
    for end in (content[:-60], content[:-200] + bytes(200), content[:-1], content + b"x"):
        recording.write_bytes(end)
        assert any("it is cut" in note for note in notes(recording)), len(end)


def test_what_lies_between_packets_does_not_tell(make_video: VideoMaker) -> None:
    path = make_video("a.ts", 20)
    path.write_bytes(path.read_bytes()[: -20 * PACKET])
    assert not is_cut(path, "mpegts")


@pytest.mark.parametrize(("size", "before"), [(192, 4), (204, 0)])
def test_packets_of_other_sizes_are_whole(size: int, before: int, make_video: VideoMaker) -> None:
    content = make_video("a.ts", 20).read_bytes()
    packets = [content[start : start + PACKET] for start in range(0, len(content), PACKET)]
    padded = b"".join(bytes(before) + packet + bytes(size - before - PACKET) for packet in packets)
    path = make_video("b.ts", 1)
    path.write_bytes(padded)
    assert not any("it is cut" in note for note in notes(path))
    path.write_bytes(padded[:-10])
    assert any("it is cut" in note for note in notes(path))


def test_other_formats_are_not_judged(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    assert is_cut(tmp_path / "a", "flv")
    assert not is_cut(tmp_path / "a", "matroska,webm")
