"""What normal scores say: the bound of a rate, the threshold that keeps it, and the map of scores."""

import numpy as np
import pytest
from scipy.stats import chi2

from wsvad_lightning.alarms import AlarmRule
from wsvad_lightning.calibration import (
    HOUR,
    KNOTS,
    Calibration,
    ScoredVideo,
    as_entry,
    calibrate_scores,
    rate_bound,
    read_calibration,
    read_streamed_calibration,
)
from wsvad_lightning.errors import WSVADError


def normal_video(hours: float, seed: int) -> ScoredVideo:
    """Noise that goes on for some seconds, one sample a second."""
    draw = np.random.default_rng(seed)
    count = round(hours * HOUR)
    noise = np.convolve(draw.standard_normal(count + 9), np.ones(10) / 10**0.5, "valid")
    return ScoredVideo(np.arange(count, dtype=float), 1 / (1 + np.exp(-noise)), float(count))


@pytest.mark.parametrize("alarms", [0, 1, 2, 7, 40, 1000])
def test_the_bound_is_that_of_garwood(alarms: int) -> None:
    assert rate_bound(alarms, 2.0) == pytest.approx(chi2.ppf(0.95, 2 * alarms + 2) / 2 / 2.0, rel=1e-6)


def test_the_threshold_is_the_lowest_whose_bound_keeps_the_promise() -> None:
    videos = [normal_video(1, seed) for seed in range(6)]
    found = calibrate_scores(videos, 2.0, hysteresis=0.3, shortest=2, pause=5)
    assert found.keeps
    assert found.hours == pytest.approx(6)
    assert found.alarms == sum(len(found.rule.alarms(*video)) for video in videos) > 0
    assert found.release == pytest.approx(found.threshold - 0.3 * (found.threshold - 0.5), abs=0.01)
    lower = sorted({score for video in videos for score in video.scores if score < found.threshold})[-20]
    release = lower - 0.3 * (lower - 0.5)
    worse = AlarmRule(lower, release, shortest=2, pause=5)
    assert rate_bound(sum(len(worse.alarms(*video)) for video in videos), 6) > 2.0


def test_a_promise_that_hours_are_too_few_for_takes_no_alarm_at_all() -> None:
    video = normal_video(1, 0)
    found = calibrate_scores([video], 1.0)
    assert not found.keeps
    assert found.alarms == 0
    assert video.scores.max() < found.threshold < video.scores.max() + 1e-6
    assert found.bound == pytest.approx(3.0, abs=0.01)


def test_the_calibrated_score_is_the_share_of_normal_time_below() -> None:
    videos = [normal_video(2, seed) for seed in range(3)]
    scores = np.concatenate([video.scores for video in videos])
    found = calibrate_scores(videos, 1.0)
    assert len(found.levels) <= KNOTS
    asked = np.quantile(scores, [0.01, 0.3, 0.5, 0.9, 0.99, 0.999])
    shares = np.array([(scores < one).mean() for one in asked])
    np.testing.assert_allclose(1 - found.calibrated(asked), 1 - shares, rtol=0.1, atol=2e-4)
    rising = found.calibrated(np.linspace(-1, 2, 1000))
    assert (np.diff(rising) >= 0).all()
    assert rising[0] == 0
    assert rising[-1] == 1


def test_longer_videos_count_more_and_ties_count_once() -> None:
    slow = ScoredVideo(np.arange(0, 30.0, 10), np.array([0.0, 0.0, 0.5]), 30.0)
    fast = ScoredVideo(np.arange(0, 10.0, 5), np.array([0.25, 1.0]), 10.0)
    found = calibrate_scores([slow, fast], 1.0, hysteresis=0.5)
    assert found.levels == [0.0, 0.25, 0.5, 1.0]
    np.testing.assert_allclose(found.shares, [0, 20 / 40, 25 / 40, 35 / 40])
    assert found.release == pytest.approx(found.threshold - 0.5 * (found.threshold - 0.25))


@pytest.mark.parametrize(
    ("entry", "named"),
    [
        ({"threshold": "0.5"}, "threshold is not of type"),
        ({"threshold": float("nan")}, "threshold"),
        ({"release": 2.0}, "release"),
        ({"levels": [0.5, 0.5]}, "calibration.levels"),
        ({"levels": [0.1] * 1000}, "calibration.levels"),
        ({"shares": [0.0]}, "calibration.shares"),
        ({"shares": [0.5, 1.5]}, "calibration.shares"),
        ({"hours": float("inf")}, "calibration.hours"),
        ({"alarms": -1}, "calibration.alarms"),
    ],
)
def test_a_calibration_of_a_stranger_is_validated(entry: dict[str, object], named: str) -> None:
    good = as_entry(Calibration(0.5, 0.4, 0.0, 1.0, 1.0, 2, 3.0, 0, [0.1, 0.4], [0.0, 0.5]))
    assert read_calibration({"calibration": good}) is not None
    assert read_calibration({}) is None
    with pytest.raises(WSVADError, match=named):
        read_calibration({"calibration": good | entry})
    with pytest.raises(WSVADError, match="a value is missing"):
        read_calibration({"calibration": {}})
    assert read_streamed_calibration({"streamed_calibration": {**good, "window": 2, "look_ahead": 1}})
    with pytest.raises(WSVADError, match=named):
        read_streamed_calibration({"streamed_calibration": {**good, "window": 2, "look_ahead": 1} | entry})
    with pytest.raises(WSVADError, match=r"streamed_calibration.window=.*does not fit a look-ahead of 2"):
        read_streamed_calibration({"streamed_calibration": {**good, "window": 2, "look_ahead": 2}})


@pytest.mark.parametrize(
    ("settings", "named"),
    [({"promised": 0.0}, "false_alarms_per_hour"), ({"promised": 1.0, "hysteresis": 1.0}, "hysteresis")],
)
def test_odd_numbers_are_refused(settings: dict[str, float], named: str) -> None:
    with pytest.raises(WSVADError, match=named):
        calibrate_scores([normal_video(0.1, 0)], **settings)


def test_no_normal_time_is_refused() -> None:
    with pytest.raises(WSVADError, match="no finite scores"):
        calibrate_scores([], 1.0)
