import numpy as np
import pytest

from wsvad_lightning.reporting.overlay import ALARM, CALM, PAPER, Overlay, clock_time, name_tag
from wsvad_lightning.timeline import Event

GREY = np.full((100, 160, 3), 90, np.uint8)


def strip_of(picture: np.ndarray) -> np.ndarray:
    return picture[100:].astype(int)


@pytest.mark.parametrize(("height", "width"), [(100, 160), (99, 161), (8, 8)])
@pytest.mark.parametrize("num_frames", [1, 3, 1000])
def test_pictures_are_even_and_hold_the_frame(height: int, width: int, num_frames: int) -> None:
    frame = np.full((height, width, 3), 90, np.uint8)
    overlay = Overlay(np.linspace(0, 1, num_frames), width, height, alarm=0.5)
    for index in (0, num_frames - 1):
        picture = overlay.draw(frame, index, seconds=0.1)
        assert picture.dtype == np.uint8
        assert picture.shape[0] % 2 == picture.shape[1] % 2 == 0
        assert picture.shape[0] > height
        if height > 50:
            np.testing.assert_array_equal(picture[40 : height - 5, 5 : width - 5], 90)


def test_colour_of_border_and_number_follow_the_score() -> None:
    overlay = Overlay(np.array([0.0, 1.0]), 160, 100, 0.5)
    calm, alarm = overlay.draw(GREY, 0, 0.0), overlay.draw(GREY, 1, 0.0)
    np.testing.assert_array_equal(calm[99, 80], CALM)
    np.testing.assert_array_equal(alarm[99, 80], ALARM)
    assert not np.array_equal(calm[:20, :40], alarm[:20, :40])


def test_the_curve_is_bright_up_to_the_frame_that_is_shown() -> None:
    scores = np.array([0.0, 1.0, 1.0, 0.5])
    strip = strip_of(Overlay(scores, 160, 100, 0.9).draw(GREY, 2, 0.2))
    np.testing.assert_array_equal(strip[4, 60], ALARM)  # played, at the top but for the space above
    np.testing.assert_array_equal(strip[:, 80], 255)  # now
    assert PAPER.sum() < strip[4, 100].sum() < ALARM.sum()  # to come
    np.testing.assert_array_equal(strip[8, 140], PAPER)  # half as high
    assert (strip[-5, 140] > PAPER).any()


@pytest.mark.parametrize("score", [0.0, 1.0])
@pytest.mark.parametrize("height", [40, 100, 720])
def test_the_curve_is_a_line_on_paper_at_both_ends_of_the_scale(score: float, height: int) -> None:
    strip = Overlay(np.full(4, score), 160, height, 2.0).draw(np.zeros((height, 160, 3), np.uint8), 3, 0.3)
    column = strip[height:, 20]
    (line,) = np.nonzero((column == (ALARM if score else CALM)).all(axis=-1))
    assert len(line) == 3  # pixels
    np.testing.assert_array_equal(column[: line[0]], np.tile(PAPER, (line[0], 1)))
    assert 2 < line[0] < line[-1] < len(column) - 3
    assert (line[0] < len(column) / 3) == bool(score)


def test_frames_that_reach_the_alarm_are_marked_below_the_curve() -> None:
    strip = strip_of(Overlay(np.array([0.2, 0.5, 0.4, 0.9]), 160, 100, 0.5).draw(GREY, 3, 0.3))
    marked = (strip[-1] == ALARM).all(axis=-1)
    assert [bool(marked[start + 2 : start + 38].all()) for start in (0, 40, 80)] == [False, True, False]


def test_the_line_of_the_alarm_is_dashed_and_left_out_beyond_the_scores() -> None:
    within, beyond = (
        (strip_of(Overlay(np.zeros(4), 160, 100, alarm).draw(GREY, 3, 0.3)) == 255).all(axis=-1)[:, :120]
        for alarm in (0.5, 3.0)
    )
    (row,) = np.nonzero(within.any(axis=1))
    assert len(row) == 1
    assert 0.4 < within[row[0]].mean() < 0.6
    assert 10 <= row[0] <= 13  # in the middle
    assert not beyond.any()


def test_time_and_number_of_the_frame_are_at_the_upper_right_edge() -> None:
    overlay = Overlay(np.zeros(900), 160, 100, 0.5)
    early, late = overlay.draw(GREY, 3, 0.3), overlay.draw(GREY, 3, 61.0)
    changed = np.argwhere((early != late).any(axis=-1))
    assert changed[:, 1].min() > 60
    assert changed[:, 0].max() < 25
    assert [clock_time(s) for s in (0, 0.3, 59.99, 61, 3600.25)] == [
        "0:00.0",
        "0:00.3",
        "0:59.9",
        "1:01.0",
        "1:00:00.2",
    ]


def test_a_peak_of_one_frame_among_many_is_seen() -> None:
    scores = np.zeros(100_000)
    scores[50_123] = 1
    strip = strip_of(Overlay(scores, 160, 100, 2.0).draw(GREY, 99_999, 0.0))
    assert 2 <= (strip[4] != PAPER).any(axis=-1).sum() <= 3  # the peak with its way back, and the cursor


def test_scores_beyond_one_fit_on_the_paper() -> None:
    strip = strip_of(Overlay(np.array([-2.0, 6.0]), 160, 100, 0.5).draw(GREY, 1, 0.1))
    np.testing.assert_array_equal(strip[4, 20], PAPER)
    assert (strip[4, 120] != PAPER).any()


@pytest.mark.parametrize("name", ["fall", "Überfall, bewaffnet", "打架", "5 $ for a_riot"])
def test_an_event_is_named_below_the_number_while_it_goes_on(name: str) -> None:
    scores = np.array([1.0, 1.0, 1.0])
    plain, named = Overlay(scores, 160, 100, 2.0), Overlay(scores, 160, 100, 2.0, [Event(1, 2, name)])
    for index in (0, 2):
        np.testing.assert_array_equal(named.draw(GREY, index, 0.0), plain.draw(GREY, index, 0.0))
    changed = np.argwhere((named.draw(GREY, 1, 0.0) != plain.draw(GREY, 1, 0.0)).any(axis=-1))
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
    assert Overlay(np.ones(2), 8, 8, 0.5, [Event(0, 2, "a long name")]).draw(tiny, 1, 0.1).shape == (32, 8, 3)


def test_a_map_makes_its_part_of_the_frame_redder() -> None:
    levels = np.zeros((2, 4), dtype=np.float32)
    levels[1, 2] = 1.0
    overlay = Overlay(np.zeros(10), 160, 100, 0.5, maps=[(0, 5, 0 * levels), (5, 10, levels)])
    before, after = overlay.draw(GREY, 4, 0.4).astype(int), overlay.draw(GREY, 5, 0.4).astype(int)
    changed = (before != after)[:100].any(axis=-1)
    assert changed[55:95, 85:115].all()
    assert not changed[25:50].any()  # above are time and number
    assert not changed[25:, :80].any()
    assert after[70, 100, 0] > 90 > after[70, 100, 1]
