"""Failures and calibration."""

from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import trapezoid  # numpy 1.26 has it by another name

from tests.reporting.html.runs import HOSTILE, make_run
from wsvad_lightning.reporting.html.analysis import find_failures, known_frames, reliability, thinned_curves
from wsvad_lightning.reporting.html.folder import ReportedVideo, read_run


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> list[ReportedVideo]:
    return list(read_run(make_run(tmp_path_factory.mktemp("run"))).videos)


def test_the_worst_failures_come_first_and_have_their_price(videos: list[ReportedVideo]) -> None:
    scores, labels = known_frames(videos)
    alarms, misses = find_failures(videos)
    names = [videos[failure.video].row.video for failure in alarms]
    assert names == ["riot", "calm", HOSTILE]
    for alarm in alarms:
        assert alarm.share == pytest.approx((scores[labels == 1] < alarm.score).mean())
        assert videos[alarm.video].curve.scores[alarm.start] == pytest.approx(alarm.score)
    (miss, *_) = misses
    assert videos[miss.video].row.video == HOSTILE
    assert (miss.start, miss.end, miss.name) == (20, 40, "fall")
    assert miss.share == pytest.approx((scores[labels == 0] >= miss.score).mean())
    assert "still" not in names  # it scores below every anomaly: nothing is lost


def test_calibration_is_the_share_of_anomalous_frames_by_score(videos: list[ReportedVideo]) -> None:
    scores, labels = known_frames(videos)
    found = reliability(videos)
    assert found is not None
    assert found.frames.sum() == len(scores)
    lowest = scores < 0.1
    assert found.frames[0] == lowest.sum()
    assert found.truth[0] == pytest.approx(labels[lowest].mean())
    assert (found.low <= found.truth).all()
    assert (found.truth <= found.high).all()
    assert found.error == pytest.approx(np.average(np.abs(found.score - found.truth), weights=found.frames))


def test_unbounded_scores_have_no_calibration(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path, {"riot": [3.0] * 9, "calm": [-1.0] * 9}))
    assert reliability(run.videos) is None
    assert thinned_curves(run.videos)["roc"][1][-1] == 1


def test_thinned_curves_keep_their_ends_and_their_area(videos: list[ReportedVideo]) -> None:
    x, y = thinned_curves(videos)["roc"]
    assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)
    scores, labels = known_frames(videos)
    wins = (scores[labels == 1][:, None] > scores[labels == 0]).mean()
    ties = (scores[labels == 1][:, None] == scores[labels == 0]).mean()
    assert trapezoid(y, x) == pytest.approx(wins + ties / 2, abs=1e-3)
