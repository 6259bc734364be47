"""The clock of a video follows its time stamps, and goes on without those that make no sense."""

import math

import pytest

from wsvad_lightning.video.stamps import TimeStamps

NONE = math.nan
EVEN = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]


def clock(stamps: list[float], stated: float = 10) -> tuple[list[float], TimeStamps]:
    """When each frame is shown, and what is known of all."""
    kept, times = TimeStamps(stated), []
    for stamp, following in zip(stamps, [*stamps[1:], NONE], strict=True):
        kept.add(stamp, following)
        times.append(round(kept.elapsed, 6))
    return times, kept


@pytest.mark.parametrize("late", [0.0, 5.0, -2.0, 1.7e9])
def test_the_clock_starts_with_the_first_frame(late: float) -> None:
    times, kept = clock([late + stamp for stamp in EVEN])
    assert times == pytest.approx(EVEN, abs=1e-6)
    assert (kept.missing, kept.jumps, kept.irregular) == (0, [], False)


def test_stamps_decide_before_the_stated_rate() -> None:
    times, kept = clock([0.0, 0.1, 0.2, 0.5, 0.6, 1.5, 1.6], stated=90_000)
    assert times == [0.0, 0.1, 0.2, 0.5, 0.6, 1.5, 1.6]
    assert kept.irregular
    assert kept.rate() == pytest.approx(6 / 1.6)
    assert clock(EVEN, stated=10.01)[1].rate() == 10.01  # as stamps are rounded


@pytest.mark.parametrize("jump", [-100.0, -0.25, 3601.0, 1.7e9])
def test_after_a_jump_the_clock_goes_on_at_the_rate_so_far(jump: float) -> None:
    times, kept = clock(EVEN[:3] + [jump + stamp for stamp in EVEN[3:]])
    assert times == pytest.approx(EVEN, abs=1e-6)
    assert (kept.jumps, kept.irregular, kept.rate()) == ([3], False, 10)


def test_a_pause_is_no_jump() -> None:
    times, kept = clock([0.0, 0.1, 0.2, 600.0, 600.1])
    assert times[-2:] == [600.0, 600.1]
    assert (kept.jumps, kept.irregular) == ([], True)


@pytest.mark.parametrize("wrong", [NONE, 77.0, -77.0])
@pytest.mark.parametrize("place", range(1, 5))
def test_a_stamp_outside_its_neighbours_counts_as_missing(wrong: float, place: int) -> None:
    times, kept = clock([*EVEN[:place], wrong, *EVEN[place + 1 :]])
    assert times == pytest.approx(EVEN, abs=1e-6)
    assert (kept.missing, kept.jumps, kept.irregular) == (1, [], False)


def test_stamps_that_have_changed_places_keep_an_even_video_even() -> None:
    times, kept = clock([0.0, 0.1, 0.3, 0.2, 0.4, 0.5])
    assert times == pytest.approx(EVEN, abs=1e-6)
    assert not kept.irregular


def test_repeated_stamps_are_shown_together() -> None:
    times, kept = clock([0.0, 0.1, 0.1, 0.2])
    assert times == [0.0, 0.1, 0.1, 0.2]
    assert kept.irregular


def test_without_stamps_the_stated_rate_counts() -> None:
    times, kept = clock([NONE] * 4, stated=25)
    assert times == pytest.approx([0.0, 0.04, 0.08, 0.12])
    assert (kept.missing, kept.rate(), kept.irregular) == (4, 25, False)
    assert clock([NONE, NONE, 0.2, 0.3])[0] == pytest.approx([0.0, 0.1, 0.2, 0.3])


def test_lost_frames_are_counted_by_the_rate_so_far() -> None:
    _, kept = clock(EVEN)
    assert kept.lost_before(0.6, 0.7) == 0
    assert kept.lost_before(0.9, 1.0) == 3
    assert kept.between(0.9, 3) == pytest.approx([0.6, 0.7, 0.8])
    assert kept.lost_before(0.9, 0.7) == 0  # the frame after it says that its stamp is wrong
    assert kept.lost_before(NONE, 0.7) == kept.lost_before(0.2, 0.3) == kept.lost_before(9999, NONE) == 0


def test_of_a_variable_or_unknown_rate_no_frame_is_lost() -> None:
    assert clock([0.0, 0.1, 0.5, 0.6])[1].lost_before(2.0, 2.1) == 0
    assert clock([0.0], stated=90_000)[1].lost_before(2.0, 2.1) == 0
