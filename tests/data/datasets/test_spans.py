"""Frames and times of anomalies, by what the header says."""

import pytest

from wsvad_lightning.data.datasets.spans import Span, SpanColumns, find_spans, read_whole
from wsvad_lightning.errors import WSVADError


@pytest.mark.parametrize(
    ("header", "unit"),
    [
        *((name, "frames") for name in ("intervals", "Anomalous_Intervals", "interval (frames)")),
        *(
            (name, "s")
            for name in ("intervals_seconds", "intervals (s)", "Intervals [sec]", "intervals in seconds")
        ),
        *(
            (name, "clock")
            for name in ("intervals (mm:ss)", "intervals (hh:mm:ss)", "intervals hh:mm:ss.fff")
        ),
        *((name, "time") for name in ("interval_times", "time intervals", "anomaly interval timestamps")),
        ("intervals_ms", "ms"),
        ("intervals (min)", "min"),
    ],
)
def test_the_header_says_what_intervals_hold(header: str, unit: str) -> None:
    assert find_spans(["video", header]) == SpanColumns({"intervals": header}, unit)


@pytest.mark.parametrize(
    ("start", "end", "unit"),
    [
        ("start_frame", "end_frame", "frames"),
        ("Start Frame No.", "End Frame No.", "frames"),
        ("frame_start", "frame_end", "frames"),
        ("start (s)", "end (s)", "s"),
        ("begin_sec", "stop_sec", "s"),
        ("StartTime", "EndTime", "time"),
        ("anomaly start [hh:mm:ss]", "anomaly end [hh:mm:ss]", "clock"),
    ],
)
def test_the_header_says_what_starts_and_ends_hold(start: str, end: str, unit: str) -> None:
    found = find_spans(["video", start, end])
    assert found == SpanColumns({"start": start, "end": end}, unit)
    assert found.of_events


def test_which_columns_count() -> None:
    seconds, frames = ["start_s", "end_s"], ["start_frame", "end_frame"]
    assert find_spans([*seconds, *frames]).unit == "frames"
    assert find_spans([*seconds, "intervals"]) == SpanColumns({"intervals": "intervals"}, "frames")
    assert find_spans(["start", "end", "intervals_s"]).unit == "s"
    assert find_spans(["started", "weekend", "start_time", "end_frame"]) == SpanColumns({}, "frames")


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        (["start", "end"], "column='start': says neither frames nor seconds"),
        (["start_s", "start (sec)", "end_s"], "'start .sec.': says the same as 'start_s'"),
    ],
)
def test_a_header_in_doubt_is_refused(header: list[str], problem: str) -> None:
    with pytest.raises(WSVADError, match=problem):
        find_spans(header)


@pytest.mark.parametrize(
    ("unit", "cell", "spans"),
    [
        ("frames", "60-100; 150 - 180:car crash;", [Span(60, 100, None), Span(150, 180, "car crash")]),
        ("frames", "60-100,150-180", [Span(60, 100, None), Span(150, 180, None)]),
        ("frames", "60.0\N{EN DASH}100.0|150~180:a, b", [Span(60, 100, None), Span(150, 180, "a, b")]),
        ("frames", "60-100:30", [Span(60, 100, "30")]),
        ("s", "1.5-2,25;3s-4 sec", [Span(1.5, 2.25, None), Span(3, 4, None)]),
        ("s", "0:59.5-1:00:01:fall|90-100", [Span(59.5, 3601, "fall"), Span(90, 100, None)]),
        ("clock", "75:10-01:30:00", [Span(4510, 5400, None)]),
        ("min", "1.5-2:30", [Span(90, 150, None)]),
        ("ms", "1500-2250", [Span(1.5, 2.25, None)]),
        ("time", "", []),
    ],
)
def test_intervals(unit: str, cell: str, spans: list[Span]) -> None:
    assert SpanColumns({"intervals": "x"}, unit).read({"x": cell}) == spans


@pytest.mark.parametrize(
    ("unit", "cell", "problem"),
    [
        ("frames", "0:30-1:00", "is not an interval"),
        ("frames", "1.5-2.5", "is not an interval"),
        ("s", "0:75-0:80", "is not a time. Give seconds or mm:ss"),
        ("s", "1:75:00-2:00:00", "is not a time"),
        ("s", "00:01:02:12-00:01:03:00", "is not a time"),
        ("s", "1,500,000-2", "is not a time"),
        ("clock", "90-100", "is not a time. Give mm:ss or hh:mm:ss, as the header says"),
        ("ms", "0:30-1:00", "is not a time. Give milliseconds"),
        ("s", "-3-5", "is not an interval"),
        ("s", "1-" + "9" * 5000, "is not a time"),
        ("time", "0:00-" + "9" * 500 + ":00", "is not a time"),
    ],
)
def test_intervals_that_are_refused(unit: str, cell: str, problem: str) -> None:
    with pytest.raises(WSVADError, match=problem):
        SpanColumns({"intervals": "x"}, unit).read({"x": cell})


@pytest.mark.parametrize("cell", ["", "-1", "NaN", "None", "-"])
def test_a_row_without_an_event(cell: str) -> None:
    assert SpanColumns({"start": "a", "end": "b"}, "frames").read({"a": cell, "b": cell}) == []


def test_a_start_without_an_end_is_refused() -> None:
    with pytest.raises(WSVADError, match="end='': is not a number of frames"):
        SpanColumns({"start": "a", "end": "b"}, "frames").read({"a": "3", "b": ""})


@pytest.mark.parametrize(("cell", "number"), [("120", 120), ("120.0", 120), ("120,00", 120)])
def test_whole_numbers(cell: str, number: int) -> None:
    assert read_whole("num_frames", cell) == number


@pytest.mark.parametrize("cell", ["12.5", "1e3", "-4", "x", "9" * 5000])
def test_numbers_that_are_not_whole(cell: str) -> None:
    with pytest.raises(WSVADError, match="is not a number of frames"):
        read_whole("num_frames", cell)
