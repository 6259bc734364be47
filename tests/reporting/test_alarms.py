"""What alarms are worth: rates over normal time, events that are found, and how late."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from wsvad_lightning.alarms import Alarm
from wsvad_lightning.calibration import Calibration, ScoredVideo
from wsvad_lightning.reporting.alarms import COLUMNS, alarm_figures, delay_of, scored_video, write_alarms
from wsvad_lightning.reporting.tables import steady_clock
from wsvad_lightning.timeline import SnippetGrid
from wsvad_lightning.types import Prediction

OURS = Calibration(0.5, 0.4, 2.0, 0.0, 1.0, 1, 1.0, 0, [0.0, 0.4], [0.0, 0.9])


def video(*scores: float) -> ScoredVideo:
    return ScoredVideo(np.arange(0, 2.0 * len(scores), 2), np.array(scores), 2.0 * len(scores))


def test_false_alarms_events_and_delay() -> None:
    videos = {
        "calm": video(0, 0.9, 0, 0.9),
        "also calm": video(*[0.1] * 14),
        "street": video(0, 0, 0.9, 0.45, 0, 0.9, 0, 0),
    }
    events = {"street": [(3.0, 6.5), (8.5, 9.5), (13.0, 16.0), (9.5, 12.5)]}
    found = alarm_figures(videos, ["calm", "also calm"], events, OURS)
    assert found.normal_hours == pytest.approx(36 / 3600)
    assert found.false_alarms == 2
    assert found.false_alarms_per_hour == pytest.approx(200)
    assert (found.events, found.events_found) == (4, 0.5)
    assert found.mean_delay == pytest.approx((3 + 2.5) / 2)  # the alarms of 4 and 10 s are given after 2 s
    none = alarm_figures({}, [], {}, OURS)
    assert none[:2] == (0, 0)
    assert all(
        math.isnan(value) for value in (none.false_alarms_per_hour, none.events_found, none.mean_delay)
    )


def test_an_alarm_from_before_the_event_is_not_late() -> None:
    alarms = [Alarm(1, 5, 1, 0.9), Alarm(7, 9, 7, 0.9)]
    assert delay_of(alarms, (4, 8), 0) == 0
    assert delay_of(alarms, (5, 8), 0) == 2
    assert delay_of(alarms, (5, 8), 1) is None


def test_alarms_have_frames_and_seconds(tmp_path: Path) -> None:
    scores = torch.tensor([0.1, 0.8, 0.9, 0.2, 0.7])
    videos = [Prediction("a", scores, 75), Prediction("timeless", scores, 75)]
    clocks = {"a": steady_clock(4.0), "timeless": steady_clock(math.nan)}
    write_alarms(tmp_path / "alarms.csv", videos, SnippetGrid(16, 16), clocks, OURS)
    rows = list(csv.reader((tmp_path / "alarms.csv").read_text("utf-8").splitlines()))
    header, *rows = rows
    assert header == list(COLUMNS)
    assert rows == [
        ["a", "16", "48", "4.000", "12.000", "8.000", "0.9", "1"],
        ["a", "64", "75", "16.000", "18.750", "16.000", "0.7", "1"],
    ]
    with pytest.raises(ValueError, match="the frame rate of timeless is unknown"):
        scored_video(videos[1], SnippetGrid(16, 16), clocks["timeless"])
