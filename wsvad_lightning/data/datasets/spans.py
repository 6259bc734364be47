"""Where anomalies are, as tables of people say it: in frames, in seconds or by the clock.

The header decides which: ``intervals`` and ``start_frame``, ``end_frame`` hold frames; ``intervals_seconds``,
``start (s)``, ``end time``, ``start [mm:ss]`` hold times. ``start`` and ``end`` alone are refused.
"""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from wsvad_lightning.data.datasets.labels import folded
from wsvad_lightning.errors import WSVADError

FRAMES = "frames"
SECONDS = {"time": 1.0, "clock": 1.0, "s": 1.0, "min": 60.0, "ms": 0.001}  # of a number in each unit of time
WORDS = {
    FRAMES: r"frames?(?: (?:number|no|nr|index|idx|id))?|fr",
    "clock": r"(?:h{1,2} )?m{1,2} s{1,2}(?: (?:m?s{1,3}|[mf]{1,3}))?",
    "s": r"s|secs?|seconds?",
    "min": r"mins?|minutes?",
    "ms": r"ms|msecs?|milliseconds?",
    "time": r"times?|timestamps?|timecodes?",
}
UNIT = f"(?:{'|'.join(WORDS.values())})"
COLUMN = re.compile(
    rf"(?:(?:anomal(?:y|ies|ous)|abnormal|events?|incidents?) )*(?P<before>(?:{UNIT} )*)"
    rf"(?P<what>start|begin|end|stop|intervals?)(?P<after>(?: in| {UNIT})*)"
)
KINDS = {"start": "start", "begin": "start", "end": "end", "stop": "end"}
DASH = r"\s*[-~\u2013\u2014]\s*"
INTERVAL = {
    True: re.compile(rf"(\d+(?:\.0+)?){DASH}(\d+(?:\.0+)?)(?:\s*:\s*(\S.*))?", re.DOTALL),
    False: re.compile(
        rf"([\d:.,]*\d(?: ?s(?:ec)?)?){DASH}([\d:.,]*\d(?: ?s(?:ec)?)?)(?:\s*:\s*(\S.*))?", re.DOTALL
    ),
}
BETWEEN = {  # separators of intervals in frames, and in times, whose decimals may have a comma
    True: re.compile(rf";|[|,\n](?=\s*\d+{DASH})"),
    False: re.compile(r";|[|\n](?=\s*\d)"),
}
NUMBER = re.compile(r"\d{1,15}(?:[.,]\d+)?")
WHOLE = re.compile(r"(\d{1,15})(?:[.,]0+)?")
CLOCK = re.compile(r"(?:(\d{1,9}):)?(\d{1,9}):(\d{1,9}(?:[.,]\d+)?)")
NONE = ("", "-1", "-1.0", "-", "nan", "none")  # cells of a video without anomalies


class Span(NamedTuple):
    """Where an anomaly is.

    Attributes:
        start: its first frame, or second.
        end: the frame, or second, that follows it.
        name: its class, None if it is not given.
    """

    start: float
    end: float
    name: str | None


class SpanColumns(NamedTuple):
    """The columns of a table that say where anomalies are.

    Attributes:
        columns: their names by what they hold: ``intervals``, or ``start`` and ``end``.
        unit: of their numbers: ``frames`` or one of ``SECONDS``.
    """

    columns: Mapping[str, str]
    unit: str

    @property
    def in_frames(self) -> bool:
        """Whether the numbers are frames."""
        return self.unit == FRAMES

    @property
    def of_events(self) -> bool:
        """Whether each row is an event, so that a video may have several."""
        return "start" in self.columns

    def read(self, row: Mapping[str, str]) -> list[Span]:
        """Read the cells of a row.

        Raises:
            WSVADError: if one is not what its column holds.
        """
        if not self.of_events:
            cell = row[self.columns["intervals"]].strip("; ") if self.columns else ""
            return [self._interval(part) for part in BETWEEN[self.in_frames].split(cell)] if cell else []
        start, end = (row[self.columns[what]] for what in ("start", "end"))
        if start.lower() in NONE and end.lower() in NONE:
            return []
        return [Span(self._number("start", start), self._number("end", end), None)]

    def _interval(self, cell: str) -> Span:
        match = INTERVAL[self.in_frames].fullmatch(cell.strip())
        if match is None:
            remedy = "Give start-end or start-end:class, as 60-180; times go to a column intervals_seconds"
            raise WSVADError("intervals", cell, "is not an interval", remedy)
        return Span(self._number("intervals", match[1]), self._number("intervals", match[2]), match[3])

    def _number(self, column: str, cell: str) -> float:
        if self.in_frames:
            return read_whole(column, cell)
        bare = re.sub(r" ?(s|sec)$", "", cell) if self.unit in ("s", "time") else cell
        if (clock := CLOCK.fullmatch(bare)) and self.unit != "ms":
            hours, minutes, seconds = (float((part or "0").replace(",", ".")) for part in clock.groups())
            if seconds < 60 and (minutes < 60 or clock[1] is None):
                return 3600 * hours + 60 * minutes + seconds
        elif NUMBER.fullmatch(bare) and self.unit != "clock":
            return float(bare.replace(",", ".")) * SECONDS[self.unit]
        forms = {"clock": "mm:ss or hh:mm:ss", "ms": "milliseconds"}.get(self.unit, "seconds or mm:ss")
        raise WSVADError(column, cell, "is not a time", f"Give {forms}, as the header says")


def find_spans(header: Iterable[str]) -> SpanColumns:
    """Find the columns that say where anomalies are: the first ``intervals``, or else start and end.

    Frames count where a table gives starts and ends in frames and in times.

    Args:
        header: names of the columns.

    Raises:
        WSVADError: if they do not say whether they hold frames or times, or two say the same.
    """
    found: dict[str, dict[str, str]] = {}
    for name in header:
        if match := COLUMN.fullmatch(folded(name)):
            what = KINDS.get(match["what"], "intervals")
            unit = _unit_of(f"{match['before']} {match['after']}".split(), what)
            if what in found.setdefault(unit, {}):
                problem = f"says the same as {found[unit][what]!r}"
                raise WSVADError("column", name, problem, "Keep one of the columns")
            found[unit][what] = name
    for unit, columns in found.items():
        if "intervals" in columns:
            return SpanColumns({"intervals": columns["intervals"]}, unit)
    for unit in (FRAMES, *SECONDS):
        if len(columns := found.get(unit, {})) == 2:
            return SpanColumns(columns, unit)
    if len(columns := found.get("", {})) == 2:
        problem = "says neither frames nor seconds"
        remedy = (
            "Name the columns start_frame and end_frame, or start_seconds and end_seconds (also for mm:ss)"
        )
        raise WSVADError("column", columns["start"], problem, remedy)
    return SpanColumns({}, FRAMES)


def read_whole(column: str, cell: str) -> int:
    """Read a whole number, also as ``120.0``, which is how programs write a column with empty cells.

    Raises:
        WSVADError: if it is not one.
    """
    match = WHOLE.fullmatch(cell)
    if match is None:
        raise WSVADError(column, cell, "is not a number of frames", "Give a whole number or leave it out")
    return int(match[1])


def _unit_of(words: list[str], what: str) -> str:
    """The unit that the words of a header give; none for ``start``, and frames for ``intervals``."""
    text = " ".join(word for word in words if word != "in")
    for unit, pattern in WORDS.items():
        if re.search(rf"(?<!\S)(?:{pattern})(?!\S)", text):
            return unit
    return FRAMES if what == "intervals" else ""
