"""Tables of results: scores and events as CSV files, metrics on the terminal.

Every ``scores.csv`` and every ``events.csv`` has the same columns, whichever command writes it. Frames count
from 0, and ``end_frame`` is the first frame after the span. Seconds count from the first frame; their cells
are empty where the frame rate is unknown.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.markup import escape
from rich.table import Column, Table

from wsvad_lightning.calibration import Calibration
from wsvad_lightning.files import write_table
from wsvad_lightning.timeline import Event, SnippetGrid
from wsvad_lightning.types import NORMAL, Prediction

REGION = ("x", "y", "width", "height")  # in pixels of the video
NOWHERE = (None, None, None, None)
SPAN = ("start_frame", "end_frame", "start_seconds", "end_seconds")
Clock = Callable[[int], float | None]  # from a frame to when it is shown; None where that is unknown

SHOWN = {"auc": "AUC", "auc_abnormal": "AUC inside abnormal", "ap": "AP"}  # by the metric's name
OF_CLASSES = {"mAP": "event mAP"}  # shown where a method reports it
PROTOCOLS = {"": "repaired", "vadclip_": "vadclip", "vadclip_ucf_": "vadclip_ucf"}  # prefixes of mAP

UNKNOWN = "n/a"  # an undefined value, or none

Values = Mapping[str, float]
Intervals = Mapping[str, tuple[float, float]]


def steady_clock(fps: float) -> Clock:
    """Get the clock of a video with a constant frame rate; NaN for an unknown one."""
    return lambda frame: None if math.isnan(fps) else frame / fps


def write_scores(
    path: Path,
    predictions: Sequence[Prediction],
    grid: SnippetGrid,
    classes: Sequence[str],
    clocks: Mapping[str, Clock],
    calibration: Calibration | None = None,
) -> None:
    """Write ``scores.csv``: one row per snippet, with the frames that it covers.

    Args:
        path: the file.
        predictions: of the videos.
        grid: of the snippets.
        classes: that the method knows; with any, the row has the probabilities of normal and of each class.
        clocks: of the videos.
        calibration: of the model; with one, the row has what the score means, last.
    """
    extra = () if calibration is None else ("calibrated",)
    columns = ("video", *SPAN, "score", *((NORMAL, *classes) if classes else ()), *extra)
    rows = (row for video in predictions for row in _score_rows(video, grid, clocks, calibration))
    write_table(path, columns, rows)


def _score_rows(
    prediction: Prediction, grid: SnippetGrid, clocks: Mapping[str, Clock], calibration: Calibration | None
) -> Iterator[list[Any]]:
    video_id, scores, num_frames, class_scores, *_ = prediction
    columns = [scores[:, None]] if class_scores is None else [scores[:, None], class_scores]
    if calibration is not None:
        columns.append(torch.from_numpy(calibration.calibrated(scores))[:, None])
    for t, values in enumerate(torch.cat(columns, dim=1).tolist()):
        yield [video_id, *span_cells(*grid.span(t, num_frames), clocks[video_id]), *map(as_number, values)]


def write_events(path: Path, events: Mapping[str, Sequence[Event]], clocks: Mapping[str, Clock]) -> None:
    """Write ``events.csv``: one row per event, with its class and score, and where it is strongest if known.

    Args:
        path: the file.
        events: by video, in the order of time.
        clocks: of the videos.
    """
    rows = (
        [
            *(
                video_id,
                *span_cells(event.start, event.end, clocks[video_id]),
                event.name,
                as_number(event.score),
            ),
            *(event.region or NOWHERE),
        ]
        for video_id, own in events.items()
        for event in own
    )
    write_table(path, ("video", *SPAN, "class", "score", *REGION), rows)


def write_curve(
    path: Path, scores: Sequence[float], clock: Clock, calibration: Calibration | None = None
) -> None:
    """Write ``curve.csv`` of one video: one row per frame, with when it is shown and its score.

    Args:
        path: the file.
        scores: of the frames.
        clock: of the video.
        calibration: of the model; with one, the row has what the score means, last.
    """
    extra = () if calibration is None else ("calibrated",)
    means = [[]] * len(scores) if calibration is None else calibration.calibrated(scores)[:, None].tolist()
    rows = (
        [frame, as_seconds(clock(frame)), *map(as_number, (score, *mean))]
        for frame, (score, mean) in enumerate(zip(scores, means, strict=True))
    )
    write_table(path, ("frame", "seconds", "score", *extra), rows)


def span_cells(start: int, end: int, clock: Clock) -> list[Any]:
    """Give the cells of ``SPAN``: first frame, the frame after the last one, and when both are shown."""
    return [start, end, as_seconds(clock(start)), as_seconds(clock(end))]


def as_seconds(seconds: float | None) -> str | None:
    """Write a cell of seconds; empty where they are unknown."""
    return None if seconds is None else f"{seconds:.3f}"


def as_number(value: float) -> str:
    """Write a cell of a score or probability."""
    return f"{value:.6g}"


def tables_of(
    metrics: Values,
    per_class: Mapping[str, Values],
    intervals: Intervals | None = None,
    of_classes: Mapping[str, Intervals] | None = None,
) -> list[Table]:
    """Lay out what a test measured; no table is empty.

    Args:
        metrics: by the names of :mod:`wsvad_lightning.metrics`, in [0, 1]; NaN where undefined.
        per_class: the same of each class.
        intervals: of 95 %, of the metrics that have one.
        of_classes: the same of each class.
    """
    ends = intervals or {}
    plain = {
        name: {"test videos, percent": _percent(value)} | _interval(ends.get(name))
        for name, value in metrics.items()
        if "mAP" not in name
    }
    events = {
        title: {
            name.removeprefix(prefix): _with_interval(value, ends.get(name))
            for name, value in metrics.items()
            if _is_of(name, prefix)
        }
        for prefix, title in PROTOCOLS.items()
    }
    frames, found = (
        {
            name: {
                column: _with_interval(value, (of_classes or {}).get(name, {}).get(column))
                for column, value in values.items()
                if column.startswith("AP@") == of_events
            }
            for name, values in per_class.items()
        }
        for of_events in (False, True)
    )
    laid_out = (("metric", plain), ("events", events), ("class", frames), ("events of", found))
    return [_lay_out(kind, rows) for kind, rows in laid_out if any(rows.values())]


def _is_of(name: str, prefix: str) -> bool:
    """Whether a metric is an mAP of a protocol."""
    return name.startswith(f"{prefix}mAP")


def _lay_out(kind: str, rows: Mapping[str, Mapping[str, str]]) -> Table:
    """Make a table with a row each, of all columns that any row has; it fits 80 columns of a terminal."""
    columns = dict.fromkeys(name for values in rows.values() for name in values)
    table = Table(Column(kind, overflow="fold"), *(column.replace("_", " ") for column in columns))
    for name, values in rows.items():
        table.add_row(escape(name), *(values.get(column, UNKNOWN) for column in columns))
    return table


def _percent(value: float) -> str:
    return UNKNOWN if math.isnan(value) else f"{100 * value:.1f}"


def _with_interval(value: float, ends: tuple[float, float] | None) -> str:
    """Cell of a metric, in percent, with its interval, rounded to be narrow, in a line below."""
    if ends is None:
        return _percent(value)
    low, high = (f"{100 * end:.0f}" for end in ends)
    return f"{_percent(value)}\n{low}-{high}"


def _interval(ends: tuple[float, float] | None) -> dict[str, str]:
    """Cell of an interval, in percent; none where there is no interval."""
    return {} if ends is None else {"95 % interval": " to ".join(map(_percent, ends))}


def as_markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table in Markdown."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows))
