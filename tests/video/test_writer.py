"""Written videos read back."""

from pathlib import Path

import av
import numpy as np
import pytest

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.video.reader import VideoReader
from wsvad_lightning.video.writer import write_video

GREY = np.full((48, 64, 3), 1, np.uint8)


def stamps_of(path: Path) -> list[float]:
    with av.open(path) as container:
        return [float(frame.time or 0) for frame in container.decode(video=0)]


def test_frames_at_a_constant_rate_read_back(tmp_path: Path) -> None:
    with write_video(tmp_path / "new" / "a.mp4", fps=10) as video:
        for level in (30, 120, 210):
            video.write(level * GREY)
    reader = VideoReader(tmp_path / "new" / "a.mp4")
    levels = [float(frame.mean()) for frame in reader]
    assert levels == pytest.approx([30, 120, 210], abs=2)
    assert (reader.fps, reader.irregular) == (10, False)
    with av.open(tmp_path / "new" / "a.mp4") as container:
        assert (container.format.name.split(",")[1], container.streams.video[0].codec.name) == ("mp4", "h264")


def test_frames_are_shown_at_the_times_that_they_come_with(tmp_path: Path) -> None:
    times = [0.0, 0.04, 0.5, 2.0]
    with write_video(tmp_path / "a.mp4") as video:
        for seconds in times:
            video.write(GREY, seconds)
    assert stamps_of(tmp_path / "a.mp4") == pytest.approx(times, abs=1e-4)


@pytest.mark.parametrize("fps", [10, 24, 25, 30, 1, 30_000 / 1001])
def test_a_constant_rate_in_times_gives_the_exact_rate_and_duration(tmp_path: Path, fps: float) -> None:
    with write_video(tmp_path / "a.mp4") as video:
        for number in range(7):
            video.write(GREY, number / fps, (number + 1) / fps)
    with av.open(tmp_path / "a.mp4") as container:
        stream = container.streams.video[0]
        assert float(stream.average_rate or 0) == pytest.approx(fps, rel=1e-9)
        assert float((stream.duration or 0) * (stream.time_base or 0)) == pytest.approx(7 / fps, abs=1e-5)


def test_times_that_do_not_rise_become_rising(tmp_path: Path) -> None:
    with write_video(tmp_path / "a.mp4") as video:
        for seconds in (0.0, 0.5, 0.5, 0.2, 0.6):
            video.write(GREY, seconds)
    stamps = stamps_of(tmp_path / "a.mp4")
    assert stamps == sorted(set(stamps))
    assert stamps == pytest.approx([0.0, 0.5, 0.5, 0.5, 0.6], abs=1e-3)


def test_a_lower_factor_is_a_better_picture(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    sizes = []
    for crf in (10, 40):
        with write_video(tmp_path / f"{crf}.mp4", fps=10, crf=crf) as video:
            video.write(noise)
        sizes.append((tmp_path / f"{crf}.mp4").stat().st_size)
    assert sizes[0] > 2 * sizes[1]


def test_an_error_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"old")

    def write_half() -> None:
        with write_video(tmp_path / "a.mp4", fps=10) as video:
            video.write(GREY)
            raise WSVADError("--videos", "a", "has other frames now", "Score it again")

    with pytest.raises(WSVADError, match="other frames"):
        write_half()
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
    assert (tmp_path / "a.mp4").read_bytes() == b"old"
