"""Tables of scores and events, and those that a test ends with."""

import csv
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from wsvad_lightning.reporting.tables import (
    SPAN,
    steady_clock,
    tables_of,
    write_curve,
    write_events,
    write_scores,
)
from wsvad_lightning.timeline import Event, SnippetGrid
from wsvad_lightning.types import Prediction


def shown(*arguments: Mapping[str, Any]) -> list[list[str]]:
    """The words of each line that stands between the borders, table after table."""
    console = Console(width=120, record=True, file=None, quiet=False)
    with console.capture() as captured:
        console.print(*tables_of(*arguments))
    lines = captured.get().splitlines()
    return [line.strip("│┃").replace("│", " ").replace("┃", " ").split() for line in lines if line[0] in "│┃"]


def test_metrics_are_percent_and_what_is_undefined_is_reported() -> None:
    lines = shown({"auc": 0.71634, "ap": math.nan}, {})
    assert lines == [["metric", "test", "videos,", "percent"], ["auc", "71.6"], ["ap", "n/a"]]


def test_intervals_stand_beside_their_metrics() -> None:
    lines = shown({"auc": 0.71634, "ap": 0.5}, {}, {"auc": (0.65, 0.80049)})
    assert [line[1:] for line in lines[1:]] == [["71.6", "65.0", "to", "80.0"], ["50.0", "n/a"]]


def test_events_have_a_row_a_protocol_and_classes_a_row_each() -> None:
    metrics = {"auc": 0.5, "mAP@0.1": 0.25, "mAP": 0.125, "vadclip_mAP@0.1": 0.5, "vadclip_mAP": 0.75}
    lines = shown(metrics, {"[red]": {"auc": 1.0}, "fall": {"auc": 0.5, "AP@0.1": 0.0, "AP@0.2": 0.5}})
    assert lines[2:5] == [
        ["events", "mAP@0.1", "mAP"],
        ["repaired", "25.0", "12.5"],
        ["vadclip", "50.0", "75.0"],
    ]
    assert lines[-6:-3] == [["class", "auc"], ["[red]", "100.0"], ["fall", "50.0"]]
    assert lines[-3][:2] == ["events", "of"]
    assert lines[-2:] == [["[red]", "n/a", "n/a"], ["fall", "0.0", "50.0"]]


def test_tables_of_classes_and_events_fit_a_terminal_of_80_columns() -> None:
    thresholds = [f"@0.{i}" for i in range(1, 6)]
    columns = ["auc", "ap", "auc_with_normal", "ap_with_normal", *(f"AP{one}" for one in thresholds)]
    classes = {name: dict.fromkeys(columns, 1.0) for name in ("RoadAccidents", "Vandalism")}
    metrics = {"auc": 1.0, **{f"vadclip_mAP{one}": 1.0 for one in (*thresholds, "")}}
    ends = dict.fromkeys([*columns, *metrics], (0.5, 1.0))
    tables = tables_of(metrics, classes, ends, dict.fromkeys(classes, ends))
    narrow, wide = (Console(width=width, record=True, quiet=False) for width in (80, 200))
    for console in (narrow, wide):
        with console.capture():
            console.print(*tables)
    assert narrow.export_text() == wide.export_text()  # nothing is folded
    assert len(tables) == 4


def rows_of(path: Path) -> list[list[str]]:
    text = path.read_bytes()
    assert b"\r" not in text  # line feeds on every system
    return list(csv.reader(text.decode("utf-8").splitlines()))


def test_scores_have_a_row_a_snippet_with_its_frames_and_seconds(tmp_path: Path) -> None:
    videos = [
        Prediction("Tür", torch.tensor([0.25, 0.5]), 10, torch.tensor([[0.9, 0.1], [0.2, 0.8]])),
        Prediction("b", torch.tensor([1.0]), 3, torch.tensor([[0.0, 1.0]])),
    ]
    clocks = {"Tür": steady_clock(25.0), "b": steady_clock(math.nan)}
    write_scores(tmp_path / "scores.csv", videos, SnippetGrid(8, 4), ("fall",), clocks)
    assert rows_of(tmp_path / "scores.csv") == [
        ["video", "start_frame", "end_frame", "start_seconds", "end_seconds", "score", "normal", "fall"],
        ["Tür", "0", "8", "0.000", "0.320", "0.25", "0.9", "0.1"],
        ["Tür", "4", "10", "0.160", "0.400", "0.5", "0.2", "0.8"],
        ["b", "0", "3", "", "", "1", "0", "1"],
    ]
    bare = [video._replace(class_scores=None) for video in videos]
    write_scores(tmp_path / "bare.csv", bare, SnippetGrid(8, 4), (), clocks)
    assert rows_of(tmp_path / "bare.csv")[0][-1] == "score"


def test_events_and_curves_have_seconds_by_the_clock_of_their_video(tmp_path: Path) -> None:
    times = [0.0, 0.1, 0.5, 0.6]
    events = {
        "a": [Event(1, 3, "fall, or worse", 0.123456789), Event(3, 3, "b", region=(0, 8, 16, 4))],
        "calm": [],
    }
    write_events(tmp_path / "events.csv", events, {"a": times.__getitem__, "calm": times.__getitem__})
    assert rows_of(tmp_path / "events.csv") == [
        ["video", *SPAN, "class", "score", "x", "y", "width", "height"],
        ["a", "1", "3", "0.100", "0.600", "fall, or worse", "0.123457", "", "", "", ""],
        ["a", "3", "3", "0.600", "0.600", "b", "1", "0", "8", "16", "4"],
    ]
    write_curve(tmp_path / "curve.csv", [0.5, 1.0], times.__getitem__)
    assert rows_of(tmp_path / "curve.csv") == [
        ["frame", "seconds", "score"],
        ["0", "0.000", "0.5"],
        ["1", "0.100", "1"],
    ]
