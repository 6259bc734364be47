import sys
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.videos import VideoMaker, write_stamped
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.video.reader import VideoReader


def test_frames_come_in_order_and_are_counted(make_video: VideoMaker, texture: NDArray[np.uint8]) -> None:
    reader = VideoReader(make_video("walk.mp4", 20, fps=25))
    for t, frame in enumerate(reader):
        assert frame.shape == (48, 64, 3)
        assert frame.dtype == np.uint8
        shown = np.roll(texture, -t, axis=1)[:48, :64].astype(float)
        assert np.abs(frame - shown).mean() < 6  # compressed
    assert (reader.num_frames, reader.fps) == (20, 25.0)


def test_skipped_frames_are_counted_and_the_same_as_without_skipping(make_video: VideoMaker) -> None:
    path = make_video("walk.mp4", 11)
    every, third = VideoReader(path), VideoReader(path, step=3)
    np.testing.assert_array_equal(list(third), list(every)[::3])
    assert third.num_frames == every.num_frames == 11
    assert len(list(third)) == 4  # a reader can be read again


def shown(reader: VideoReader) -> list[tuple[float, int]]:
    """When each frame is shown, and its number in the file."""
    return [(round(reader.seconds, 3), round(float(frame.mean()) / 10)) for frame in reader]


UNEVEN = [0.0, 0.1, 0.2, 0.5, 0.6, 1.5, 1.6]


@pytest.mark.parametrize("name", ["uneven.mp4", "uneven.mkv"])
def test_a_variable_frame_rate_is_reported_and_every_frame_kept(name: str, tmp_path: Path) -> None:
    reader = VideoReader(write_stamped(tmp_path / name, UNEVEN))
    assert shown(reader) == [(seconds, t) for t, seconds in enumerate(UNEVEN)]
    assert reader.irregular
    assert "variable frame rate" in reader.notes[0]
    assert reader.fps == pytest.approx(6 / 1.6)


@pytest.mark.parametrize(
    ("rate", "frames"),
    [
        (10, [0, 1, 2, 2, 2, 3, 4, 4, 4, 4, 4, 4, 4, 4, 4, 5, 6, 6, 6]),  # the last lasts 1.6 s / 6
        (5, [0, 2, 2, 4, 4, 4, 4, 4, 6]),
        (0.1, [6]),
    ],
)
def test_resampling_goes_by_time_stamps(rate: float, frames: list[int], tmp_path: Path) -> None:
    reader = VideoReader(write_stamped(tmp_path / "uneven.mp4", UNEVEN), resample=rate)
    assert shown(reader) == [(round(k / rate, 3), t) for k, t in enumerate(frames)]
    assert (reader.num_frames, reader.fps) == (len(frames), rate)


@pytest.mark.parametrize("name", ["even.mp4", "even.mkv", "even.avi", "even.ts"])
@pytest.mark.parametrize(("rate", "num_frames"), [(10, 20), (5, 10), (25, 50), (30, 60)])
def test_an_even_video_lasts_as_long_at_any_rate(
    name: str, rate: float, num_frames: int, make_video: VideoMaker
) -> None:
    reader = VideoReader(make_video(name, 20, codec="mpeg4" if name.endswith("avi") else "libx264"))
    assert len(list(reader)) == 20
    assert not reader.irregular
    resampled = VideoReader(reader.path, resample=rate)
    assert len(list(resampled)) == resampled.num_frames == num_frames


def test_every_second_frame_of_a_resampled_video(tmp_path: Path) -> None:
    path = write_stamped(tmp_path / "uneven.mp4", UNEVEN)
    every, second = VideoReader(path, resample=10), VideoReader(path, step=2, resample=10)
    assert shown(second) == shown(every)[::2]
    assert second.num_frames == every.num_frames == 19


def test_a_video_without_time_stamps_is_read_and_not_resampled(make_video: VideoMaker) -> None:
    path = make_video("bare.h264", 5, fps=25)
    reader = VideoReader(path)
    assert len(list(reader)) == 5
    assert (reader.fps, reader.irregular) == (25.0, False)
    assert reader.seconds == pytest.approx(0.16)
    assert reader.notes == ("no time stamps: 25 frames a second is what the decoder takes for its rate",)
    with pytest.raises(WSVADError, match="lacks time stamps"):
        list(VideoReader(path, resample=10))


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mkv", "libx264"), ("a.avi", "mpeg4"), ("a.ts", "libx264"), ("a.webm", "libvpx")]
)
def test_containers_whose_header_does_not_count_frames(name: str, codec: str, make_video: VideoMaker) -> None:
    reader = VideoReader(make_video(name, 13, codec=codec))
    assert len(list(reader)) == reader.num_frames == 13
    assert reader.fps == pytest.approx(10, rel=0.02)


def test_frames_take_the_size_of_the_first(make_video: VideoMaker, tmp_path: Path) -> None:
    parts = [
        make_video("a.m2v", 5, codec="mpeg2video"),
        make_video("b.m2v", 5, codec="mpeg2video", height=32, width=32),
    ]
    whole = tmp_path / "both.m2v"
    whole.write_bytes(b"".join(part.read_bytes() for part in parts))
    reader = VideoReader(whole)
    assert {frame.shape for frame in reader} == {(48, 64, 3)}
    assert reader.num_frames > 5
    assert "2 sizes of pictures: all are scaled to the first" in reader.notes


def write_sound(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        silence.sample_rate = 8000
        container.mux(stream.encode(silence))
        container.mux(stream.encode(None))


def test_what_is_no_video_is_named(tmp_path: Path, make_video: VideoMaker) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("no video at all\n" * 50)
    (tmp_path / "folder.mp4").mkdir()
    write_sound(tmp_path / "sound.mp4")
    problems = {
        "absent.mp4": "No such file",
        "empty.mp4": "cannot be decoded",
        "text.mp4": "cannot be decoded",
        "folder.mp4": "Is a directory",
        "sound.mp4": "has no video stream to decode",
    }
    for name, problem in problems.items():
        with pytest.raises(WSVADError, match=problem) as error:
            list(VideoReader(tmp_path / name))
        assert str(error.value.value).endswith(name)


def test_a_video_without_frames_is_named(make_video: VideoMaker) -> None:
    with pytest.raises(WSVADError, match=r"none\.avi"):
        list(VideoReader(make_video("none.avi", 0, codec="mpeg4")))


@pytest.mark.skipif(sys.platform != "linux", reason="counts open files in /proc")
def test_files_are_closed_also_when_the_iteration_is_abandoned(make_video: VideoMaker) -> None:
    path = make_video("walk.mp4", 20)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        next(iter(VideoReader(path)))
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_missing_decoder_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(WSVADError, match=r"wsvad-lightning\[video\]"):
        VideoReader("walk.mp4")
