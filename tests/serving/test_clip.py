"""Clips of alarms: what they show, and that neither long alarms nor large frames make them grow."""

import numpy as np

from wsvad_lightning.serving.clip import AROUND, LONGEST_SIDE, OPENING, RATE, Clip, shrunk


def levels(clip: Clip) -> list[int]:
    """The frames of a clip by their grey levels, which are quarters of seconds here."""
    return [int(picture[0, 0, 0]) for picture in clip.end()]


def test_a_clip_shows_an_alarm_from_before_its_start_to_its_end() -> None:
    clip = Clip()
    for t in range(120):  # 30 seconds at 4 frames a second
        clip.add(np.full((4, 6, 3), t, np.uint8), t / 4)
        if t == 40:
            clip.begin()
        if t == 60:
            assert levels(clip) == list(range(40 - AROUND + 1, 61))
    assert levels(clip) == []


def test_the_middle_of_a_long_alarm_is_left_out() -> None:
    clip = Clip()
    for t in range(10_000):
        clip.add(np.full((4, 6, 3), t % 256, np.uint8), t / 100)
        if t == 2000:
            clip.begin()
    shown = clip.end()
    assert len(shown) == OPENING + AROUND
    step = 100 // RATE
    assert shown[-1][0, 0, 0] == (10_000 - step) % 256
    assert shown[AROUND - 1][0, 0, 0] == 2000 % 256


def test_frames_become_small_and_even() -> None:
    for height, width in ((1080, 1920), (49, 65), (2, 2), (5, 4000)):
        small = shrunk(np.zeros((height, width, 3), np.uint8))
        assert max(small.shape[:2]) <= LONGEST_SIDE
        assert [side % 2 for side in small.shape[:2]] == [0, 0]
