"""Alarms sample by sample are those of a plain reading of the rule."""

import math

import numpy as np
import pytest

from wsvad_lightning.alarms import Alarm, AlarmRule, Alarms
from wsvad_lightning.errors import WSVADError

SEEDS = range(200)


def by_definition(rule: AlarmRule, times: list[float], scores: list[float], end: float) -> list[Alarm]:
    """Search the start of each alarm, and then its end, from left to right."""
    found: list[Alarm] = []
    i, quiet = 0, -math.inf
    while i < len(times):
        if scores[i] < rule.threshold or times[i] < quiet:
            i += 1
            continue
        stop = next((j for j in range(i, len(times)) if scores[j] < rule.release), len(times))
        until = times[stop] if stop < len(times) else end
        if until - times[i] >= rule.shortest:
            peak = int(np.argmax(scores[i:stop])) + i
            found.append(Alarm(times[i], until, times[peak], scores[peak]))
            quiet = until + rule.pause
        i = stop + 1  # the sample below the release starts none
    return found


@pytest.mark.parametrize(("shortest", "pause"), [(0, 0), (1.5, 0), (0, 4), (2, 3)])
@pytest.mark.parametrize("gap", [0.0, 0.3])
def test_alarms_follow_the_definition(shortest: float, pause: float, gap: float) -> None:
    counts = set()
    for seed in SEEDS:
        draw = np.random.default_rng(seed)
        times = np.cumsum(draw.uniform(0.2, 1.2, 60)).tolist()
        scores = draw.choice([0.1, 0.4, 0.5, 0.6, 0.8, 0.9], 60).tolist()
        rule, end = AlarmRule(0.8, 0.8 - gap, shortest, pause), times[-1] + 0.5
        expected = by_definition(rule, times, scores, end)
        machine = Alarms(rule)
        given = [machine.update(time, score) for time, score in zip(times, scores, strict=True)]
        assert [alarm for alarm in (*given, machine.close(end)) if alarm] == expected
        assert rule.alarms(times, scores, end) == expected
        counts.add(len(expected))
    assert len(counts) > 3


def test_an_alarm_runs_once_it_has_lasted_long_enough() -> None:
    machine = Alarms(AlarmRule(0.8, 0.5, shortest=2))
    running = []
    for time, score in enumerate([0.9, 0.6, 0.95, 0.4]):
        closed = machine.update(time, score)
        running.append(machine.running)
    assert running == [None, None, Alarm(0, 2, 2, 0.95), None]
    assert closed == Alarm(0, 3, 2, 0.95)


def test_a_stream_goes_on_after_a_gap() -> None:
    machine = Alarms(AlarmRule(0.8, 0.5, pause=10))
    machine.update(1, 0.9)
    assert machine.close() == Alarm(1, 1, 1, 0.9)
    assert machine.close() is None
    assert [machine.update(time, 0.9) for time in (5, 10.9, 11, 12)] == [None] * 4
    assert machine.update(13, math.nan) == Alarm(11, 13, 11, 0.9)


def test_no_samples_give_no_alarm() -> None:
    assert AlarmRule(0.5, 0.5).alarms([], []) == []


def test_time_does_not_go_back() -> None:
    machine = Alarms(AlarmRule(0.5, 0.5))
    machine.update(2, 0.9)
    with pytest.raises(WSVADError, match="is before the last sample, 2"):
        machine.update(1, 0.9)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ((math.nan, 0.5), "threshold='nan': must be finite"),
        ((0.5, 0.6), "release='0.6': must be at most the threshold"),
        ((0.5, 0.5, -1), "shortest='-1': must be at least 0"),
        ((0.5, 0.5, 0, -1), "pause='-1': must be at least 0"),
    ],
)
def test_a_rule_that_cannot_be_followed_is_refused(values: tuple[float, ...], said: str) -> None:
    with pytest.raises(WSVADError, match=said):
        AlarmRule(*values)
