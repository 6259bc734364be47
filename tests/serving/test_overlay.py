import numpy as np
import pytest

from wsvad_lightning.serving.overlay import ALARM, CALM, PAPER, Overlay, name_tag
from wsvad_lightning.timeline import Event

GREY = np.full((100, 160, 3), 90, np.uint8)


def strip_of(picture: np.ndarray) -> np.ndarray:
    return picture[100:].astype(int)


@pytest.mark.parametrize(("height", "width"), [(100, 160), (99, 161), (8, 8)])
@pytest.mark.parametrize("num_frames", [1, 3, 1000])
def test_pictures_are_even_and_hold_the_frame(height: int, width: int, num_frames: int) -> None:
    frame = np.full((height, width, 3), 90, np.uint8)
    overlay = Overlay(np.linspace(0, 1, num_frames), width, height)
    for index in (0, num_frames - 1):
        picture = overlay.draw(frame, index)
        assert picture.dtype == np.uint8
        assert picture.shape[0] % 2 == picture.shape[1] % 2 == 0
        assert picture.shape[0] > height
        if height > 50:
            np.testing.assert_array_equal(picture[40 : height - 5, 40 : width - 5], 90)


def test_colour_of_border_and_number_follow_the_score() -> None:
    overlay = Overlay(np.array([0.0, 1.0]), 160, 100)
    calm, alarm = overlay.draw(GREY, 0), overlay.draw(GREY, 1)
    np.testing.assert_array_equal(calm[99, 80], CALM)
    np.testing.assert_array_equal(alarm[99, 80], ALARM)
    assert not np.array_equal(calm[:20, :40], alarm[:20, :40])


def test_the_curve_is_bright_up_to_the_frame_that_is_shown() -> None:
    scores = np.array([0.0, 1.0, 1.0, 0.5])
    strip = strip_of(Overlay(scores, 160, 100).draw(GREY, 2))
    np.testing.assert_array_equal(strip[0, 60], ALARM)  # played, at the top
    np.testing.assert_array_equal(strip[:, 80], 255)  # now
    assert PAPER.sum() < strip[0, 100].sum() < ALARM.sum()  # to come
    np.testing.assert_array_equal(strip[2, 140], PAPER)  # half as high
    assert (strip[-3, 140] > PAPER).any()


def test_a_peak_of_one_frame_among_many_is_seen() -> None:
    scores = np.zeros(100_000)
    scores[50_123] = 1
    strip = strip_of(Overlay(scores, 160, 100).draw(GREY, 99_999))
    assert (strip[1] != PAPER).any(axis=-1).sum() == 2  # the peak and the cursor


def test_scores_beyond_one_fit_on_the_paper() -> None:
    strip = strip_of(Overlay(np.array([-2.0, 6.0]), 160, 100).draw(GREY, 1))
    np.testing.assert_array_equal(strip[0, 20], PAPER)
    assert (strip[0, 120] != PAPER).any()


@pytest.mark.parametrize("name", ["fall", "Überfall, bewaffnet", "打架", "5 $ for a_riot"])
def test_an_event_is_named_below_the_number_while_it_goes_on(name: str) -> None:
    scores = np.array([1.0, 1.0, 1.0])
    plain, named = Overlay(scores, 160, 100), Overlay(scores, 160, 100, [Event(1, 2, name)])
    for index in (0, 2):
        np.testing.assert_array_equal(named.draw(GREY, index), plain.draw(GREY, index))
    changed = np.argwhere((named.draw(GREY, 1) != plain.draw(GREY, 1)).any(axis=-1))
    (top, left), (bottom, right) = changed.min(axis=0), changed.max(axis=0)
    assert 10 < top < bottom < 45  # below the number
    assert left < 5  # the border hides the paper of the name
    assert 20 < right < 160


def test_a_name_that_is_too_wide_is_written_smaller() -> None:
    assert name_tag("fall", 20, 200).shape == name_tag("fall", 20, 2000).shape
    whole, smaller = (name_tag("a long name of a class", 20, width).shape for width in (2000, 150))
    assert smaller[1] <= 150 < whole[1]
    assert smaller[0] < whole[0]


def test_a_name_in_a_tiny_video_is_cut_off() -> None:
    tiny = np.full((8, 8, 3), 90, np.uint8)
    assert Overlay(np.ones(2), 8, 8, [Event(0, 2, "a long name")]).draw(tiny, 1).shape == (32, 8, 3)


def test_a_map_makes_its_part_of_the_frame_redder() -> None:
    levels = np.zeros((2, 4), dtype=np.float32)
    levels[1, 2] = 1.0
    overlay = Overlay(np.zeros(10), 160, 100, maps=[(0, 5, 0 * levels), (5, 10, levels)])
    before, after = overlay.draw(GREY, 4).astype(int), overlay.draw(GREY, 5).astype(int)
    changed = (before != after)[:100].any(axis=-1)
    assert changed[55:95, 85:115].all()
    assert not changed[:50].any()
    assert not changed[:, :80].any()
    assert after[70, 100, 0] > 90 > after[70, 100, 1]
