"""Alarms of scored videos: their table, and how many are false, find an event, and when."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.table import Table

from wsvad_lightning.alarms import Alarm, AlarmRule
from wsvad_lightning.calibration import HOUR, Calibration, ScoredVideo
from wsvad_lightning.errors import counted
from wsvad_lightning.files import write_table
from wsvad_lightning.reporting.tables import SPAN, Clock, as_number, as_seconds, span_cells
from wsvad_lightning.timeline import Event, Interval, SnippetGrid
from wsvad_lightning.types import Prediction

COLUMNS = ("video", *SPAN, "peak_seconds", "score", "calibrated")


def scored_video(prediction: Prediction, grid: SnippetGrid, clock: Clock) -> ScoredVideo:
    """Give the scores of a video by time: those of a snippet count from its first frame on.

    Args:
        prediction: of the video.
        grid: of the snippets.
        clock: of the video.

    Raises:
        ValueError: if the time of a frame is unknown.
    """
    frames = [*(t * grid.stride for t in range(len(prediction.scores))), prediction.num_frames]
    times = [clock(frame) for frame in frames]
    known = [time for time in times if time is not None]
    if len(known) < len(times):
        raise ValueError(f"the frame rate of {prediction.video_id} is unknown")
    return ScoredVideo(np.array(known[:-1]), prediction.scores.numpy(), known[-1])


class AlarmFigures(NamedTuple):
    """What alarms are worth on test videos.

    Attributes:
        normal_hours: of the normal videos.
        false_alarms: in these.
        false_alarms_per_hour: NaN without normal videos.
        events: annotated anomalies, in videos whose anomalies are known.
        events_found: share of these during which an alarm ran; NaN without events.
        mean_delay: seconds from the start of a found event until its first alarm had lasted long enough to
            be one, 0 for an alarm from before it; NaN where none was found.
    """

    normal_hours: float
    false_alarms: int
    false_alarms_per_hour: float
    events: int
    events_found: float
    mean_delay: float


def alarm_figures(
    videos: Mapping[str, ScoredVideo],
    normal: Sequence[str],
    events: Mapping[str, Sequence[tuple[float, float]]],
    calibration: Calibration,
) -> AlarmFigures:
    """Compare alarms with the annotation.

    Args:
        videos: by name.
        normal: names of the normal ones.
        events: starts and ends of the anomalies in seconds, by video.
        calibration: whose rule is followed.
    """
    alarms = {name: calibration.rule.alarms(*video) for name, video in videos.items()}
    hours = sum(videos[name].end for name in normal) / HOUR
    false = sum(len(alarms[name]) for name in normal)
    spans = [(name, span) for name, own in events.items() for span in own]
    delays = [delay_of(alarms[name], span, calibration.shortest) for name, span in spans]
    found = [delay for delay in delays if delay is not None]
    return AlarmFigures(
        hours,
        false,
        false / hours if hours else math.nan,
        len(spans),
        len(found) / len(spans) if spans else math.nan,
        sum(found) / len(found) if found else math.nan,
    )


def delay_of(alarms: Sequence[Alarm], event: tuple[float, float], shortest: float) -> float | None:
    """Give the seconds from the start of an event to the first alarm during it; None if it is missed.

    Args:
        alarms: of the video, in order.
        event: start and end in seconds.
        shortest: seconds after its start from which on an alarm is given.
    """
    start, end = event
    given = [alarm.start + shortest for alarm in alarms if alarm.end > start and alarm.start + shortest < end]
    return max(0.0, given[0] - start) if given else None


def table_of_alarms(figures: AlarmFigures) -> Table:
    """Lay out the figures of a test."""
    known = [
        (
            "false alarms an hour",
            figures.false_alarms_per_hour,
            f"{figures.normal_hours:.3g} h of normal video",
        ),
        ("events found, percent", 100 * figures.events_found, counted(figures.events, "event")),
        ("mean delay, seconds", figures.mean_delay, "of the events found"),
    ]
    table = Table("alarms", "value", "of")
    for name, value, of in known:
        table.add_row(name, "n/a" if math.isnan(value) else f"{value:.1f}", of)
    return table


def write_alarms(
    path: Path,
    predictions: Sequence[Prediction],
    grid: SnippetGrid,
    clocks: Mapping[str, Clock],
    calibration: Calibration,
) -> None:
    """Write ``alarms.csv``: one row per alarm; videos of unknown frame rate have none.

    Args:
        path: the file.
        predictions: of the videos.
        grid: of the snippets.
        clocks: of the videos.
        calibration: whose rule is followed.
    """
    rows = []
    for prediction in predictions:
        clock = clocks[prediction.video_id]
        if clock(0) is None:
            continue
        for alarm, frames in alarms_of(prediction, grid, clock, calibration.rule):
            of_peak = as_number(float(calibration.calibrated(alarm.peak_score)))
            cells = [as_seconds(alarm.peak_time), as_number(alarm.peak_score), of_peak]
            rows.append([prediction.video_id, *span_cells(*frames, clock), *cells])
    write_table(path, COLUMNS, rows)


def alarms_of(
    prediction: Prediction, grid: SnippetGrid, clock: Clock, rule: AlarmRule
) -> list[tuple[Alarm, Interval]]:
    """Find the alarms of a video, each with its frames.

    Args:
        prediction: of the video.
        grid: of the snippets.
        clock: of the video, which knows the time of every frame.
        rule: when scores are an alarm.
    """
    video, found = scored_video(prediction, grid, clock), []
    for alarm in rule.alarms(*video):
        first, last = np.searchsorted(video.times, (alarm.start, alarm.end)).tolist()
        found.append((alarm, (first * grid.stride, min(last * grid.stride, prediction.num_frames))))
    return found


def spans_of(events: Sequence[Event], clock: Clock) -> list[tuple[float, float]]:
    """Give the starts and ends of events in seconds; none where the time is unknown."""
    spans = ((clock(event.start), clock(event.end)) for event in events)
    return [(start, end) for start, end in spans if start is not None and end is not None]
