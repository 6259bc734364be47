"""The tables that a test ends with."""

import math

from rich.console import Console

from wsvad_lightning.reporting.tables import tables_of


def shown(*arguments: dict[str, float] | dict[str, dict[str, float]]) -> list[list[str]]:
    """The words of each line that stands between the borders, table after table."""
    console = Console(width=120, record=True, file=None, quiet=False)
    with console.capture() as captured:
        console.print(*tables_of(*arguments))  # type: ignore[arg-type]
    lines = captured.get().splitlines()
    return [line.strip("│┃").replace("│", " ").replace("┃", " ").split() for line in lines if line[0] in "│┃"]


def test_metrics_are_percent_and_what_is_undefined_is_told() -> None:
    lines = shown({"auc": 0.71634, "ap": math.nan}, {})
    assert lines == [["metric", "test", "videos,", "percent"], ["auc", "71.6"], ["ap", "n/a"]]


def test_events_have_a_row_a_protocol_and_classes_a_row_each() -> None:
    metrics = {"auc": 0.5, "mAP@0.1": 0.25, "mAP": 0.125, "vadclip_mAP@0.1": 0.5, "vadclip_mAP": 0.75}
    lines = shown(metrics, {"[red]": {"auc": 1.0}, "fall": {"auc": 0.5, "AP@0.1": 0.0, "AP@0.2": 0.5}})
    assert lines[2:5] == [
        ["events", "mAP@0.1", "mAP"],
        ["repaired", "25.0", "12.5"],
        ["vadclip", "50.0", "75.0"],
    ]
    assert lines[-2:] == [["[red]", "100.0", "n/a"], ["fall", "50.0", "0.0"]]
