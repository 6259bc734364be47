"""Cameras that say nothing, and frames at an even rate."""

import socket
from pathlib import Path

import numpy as np
import pytest

from tests.videos import write_stamped
from wsvad_lightning.video.live import CameraError, CameraFrame, EvenRate, open_camera
from wsvad_lightning.video.reader import VideoReader

STAMPS = [0.0, 0.04, 0.21, 0.3, 0.31, 0.32, 0.56, 0.9, 1.0]


@pytest.mark.parametrize("rate", [4.0, 10.0, 30.0])
def test_frames_are_played_as_those_of_a_file(rate: float, tmp_path: Path) -> None:
    path = write_stamped(tmp_path / "clip.mp4", STAMPS)
    even = EvenRate(rate)
    frames = list(VideoReader(path))
    given = [
        due
        for stamp, frame in zip(STAMPS, frames, strict=True)
        for due in even.add(CameraFrame(frame, 128 + stamp))
    ]
    given += even.finish()
    expected = list(VideoReader(path, resample=rate))
    assert [one.stamp for one in given] == pytest.approx([t / rate for t in range(len(given))])
    expected = expected[: len(given)]  # how long the last one lasts is not known of a camera
    np.testing.assert_array_equal([one.picture for one in given], expected)


def test_stamps_that_go_back_or_leave_out_seconds_do_not_follow() -> None:
    even = EvenRate(10)
    assert even.follows(5.0)
    list(even.add(CameraFrame(np.zeros((2, 2, 3), np.uint8), 5.0)))
    assert [even.follows(stamp) for stamp in (4.9, 5.0, 5.1, 7.0, 7.1, 90_000.0)] == [
        *(False, True, True, True),
        *(False, False),
    ]


def test_a_camera_that_gives_nothing_is_lost_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(CameraError, match="no frames for 0.3 s"), open_camera(address, 0.3):
            pass
    with pytest.raises(CameraError, match="refused"), open_camera(address, 0.3):
        pass
