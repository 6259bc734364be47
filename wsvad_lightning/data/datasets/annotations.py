"""What is known of the videos: labels, anomalous intervals, and which videos train and which test.

An annotations table is a text of rows with a header, as people save it from an editor or a spreadsheet;
columns that are not known are named and not read:

    video,label,num_frames,anomalous_intervals
    Train001,normal,120,
    Test001.mp4,abnormal,180,60-100;150-180
    Test002.mp4,abnormal,,20-90:fall;70-110:riot

Frames count from 0 and intervals are half-open: ``60-100`` covers the frames 60, 61, …, 99.
"""

import json
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from wsvad_lightning.data.datasets.labels import (
    RESERVED,
    Label,
    counted,
    inferred_labels,
    label_of,
    label_of_codes,
    label_of_word,
    part_of,
)
from wsvad_lightning.data.datasets.names import match_videos, name_videos, path_id, stem_of
from wsvad_lightning.data.datasets.reading import Row, read_rows, read_text
from wsvad_lightning.data.datasets.spans import SpanColumns, find_spans, read_whole
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.files import write_table
from wsvad_lightning.timeline import Event
from wsvad_lightning.types import LABELS, UNKNOWN

SHIPPED = Path(__file__).parent / "tables"
COLUMNS = ("video", "label", "num_frames", "intervals", "classes", "split")
PARTS = ("train", "val", "test", "predict")


@dataclass(frozen=True)
class VideoAnnotation:
    """What is known of one video.

    Attributes:
        video_id: name of the video, see :mod:`wsvad_lightning.data.datasets.names`.
        label: 0 normal, 1 abnormal, -1 unknown.
        classes: anomaly classes, the dominant one first; empty if only normal or abnormal is known.
        num_frames: frames of the video, None if unknown.
        intervals: anomalous frames ``[start, end)``; empty if there are none, as always in a normal video;
            None if they are unknown (weak label, or none).
        split: part of the data set, one of ``PARTS``; None if it is in none. What is only scored is in
            ``predict``.
        interval_classes: class of each interval, None for one that is of all classes of the video; empty if
            all are, as always in a video of one class.
        seconds: anomalous ``[start, end)`` by the clock, which :meth:`in_frames` turns into intervals; None
            if the intervals are given, or nothing is.

    Raises:
        WSVADError: if the fields contradict each other, an interval is reversed or passes the end, a class
            has a reserved name, or the part does not exist.
    """

    video_id: str
    label: int
    classes: tuple[str, ...] = ()
    num_frames: int | None = None
    intervals: tuple[tuple[int, int], ...] | None = None
    split: str | None = None
    interval_classes: tuple[str | None, ...] = ()
    seconds: tuple[tuple[float, float], ...] | None = None

    def __post_init__(self) -> None:
        if self.label not in (0, 1, UNKNOWN):
            remedy = "Give 0 for a normal, 1 for an abnormal video, -1 where that is unknown"
            self._reject(f"the label is {self.label}", remedy)
        spans = self.seconds if self.intervals is None else self.intervals
        if self.label == UNKNOWN and (spans is not None or self.classes):
            self._reject("intervals or classes are given, and no label", "Give its label or leave them out")
        if self.label == 0 and self.intervals is None:
            object.__setattr__(self, "intervals", ())
        if self.label == 0 and spans:
            self._reject("a normal video has anomalous intervals", "Label it abnormal or drop the intervals")
        if self.label == 0 and self.classes:
            self._reject("a normal video has anomaly classes", "Label it abnormal or drop the classes")
        for name in self.classes:
            if name.casefold() in RESERVED or not name or name != name.strip() or re.search("[;\n]", name):
                self._reject(
                    f"{name!r} is not a name of a class", "Choose another name; join several by ; in classes"
                )
        if self.split is not None and self.split not in PARTS:
            self._reject(
                f"{self.split!r} is not a part of a split", f"Give one of {', '.join(PARTS)}, or none"
            )
        for start, end in spans or ():
            if not 0 <= start < end:
                self._reject(f"the interval {start}-{end} is empty or reversed", "Give start < end")
        if self.num_frames is not None:
            self.check_num_frames(self.num_frames)
        if self.interval_classes:
            self._check_interval_classes()
            if len(self.classes) == 1 or not any(self.interval_classes):
                object.__setattr__(self, "interval_classes", ())

    @property
    def events(self) -> tuple[Event, ...] | None:
        """The anomalies with their classes; None if their frames or classes are unknown."""
        if self.intervals is None or (self.intervals and not self.classes):
            return None
        named = zip_longest(self.intervals, self.interval_classes)
        return tuple(
            Event(start, end, name)
            for (start, end), own in named
            for name in ([own] if own else self.classes)
        )

    def check_num_frames(self, num_frames: int) -> None:
        """Compare with a frame count, that of the decoded video for example.

        Args:
            num_frames: frames of the video.

        Raises:
            WSVADError: without frames, or if another number is annotated or an interval passes the end.
        """
        if num_frames < 1:
            self._reject(f"the video has {num_frames} frames", "Give the true number or leave it out")
        if self.num_frames not in (None, num_frames):
            self._reject(
                f"{self.num_frames} frames are annotated and the video has {num_frames}",
                "Correct num_frames in the annotations or leave it out",
            )
        for start, end in self.intervals or ():
            if end > num_frames:
                self._reject(
                    f"the interval {start}-{end} passes the end of the video at frame {num_frames}",
                    "Correct the interval; frames count from 0 and the end is excluded",
                )

    def in_frames(self, fps: float, num_frames: int) -> "VideoAnnotation":
        """Give the annotation with its seconds as frames; unchanged if it has none.

        A second ``t`` is the frame ``t * fps``, rounded. An end less than a second after the end of the video
        is the end: people write whole seconds.

        Args:
            fps: frames a second.
            num_frames: frames of the video.

        Raises:
            WSVADError: if an interval is later than that.
        """
        if self.seconds is None:
            return self
        intervals = []
        for start, end in self.seconds:
            first, last = round(start * fps), round(end * fps)
            if num_frames < last < num_frames + fps:
                last = num_frames
            if last > num_frames or first >= num_frames:
                problem = f"the interval from {start:g} to {end:g} seconds passes the end of the video"
                length = f"{num_frames} frames at {fps:g} a second are {num_frames / fps:.3f} seconds"
                self._reject(f"{problem}: {length}", "Correct the times, or give frames")
            intervals.append((first, max(last, first + 1)))
        return replace(self, intervals=tuple(intervals), seconds=None)

    def frame_labels(self, num_frames: int) -> NDArray[np.uint8]:
        """Ground truth of each frame.

        Args:
            num_frames: F, frames of the video.

        Returns:
            ``[F]``, 0 normal and 1 anomalous.

        Raises:
            WSVADError: if the intervals of an abnormal video are unknown, or ``num_frames`` does not fit.
        """
        if self.intervals is None:
            self._reject("the anomalous frames are unknown", "Add its intervals to the annotations")
        self.check_num_frames(num_frames)
        labels = np.zeros(num_frames, dtype=np.uint8)
        for start, end in self.intervals:
            labels[start:end] = 1
        return labels

    def _check_interval_classes(self) -> None:
        count = len(self.intervals or self.seconds or ())
        if len(self.interval_classes) != count:
            problem = f"{len(self.interval_classes)} classes of {count} intervals"
            self._reject(problem, "Give one for each, or none")
        for name in self.interval_classes:
            if name is not None and name not in self.classes:
                self._reject(f"an interval is {name!r}, the video is not", "Add it to the classes")

    def _reject(self, problem: str, remedy: str) -> NoReturn:
        raise WSVADError("video", self.video_id, problem, remedy)


@dataclass(frozen=True)
class Split:
    """Which videos train, test and validate, by their names; what a stage needs it asks for itself.

    Raises:
        WSVADError: if no video is named, or one twice.
    """

    train: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    val: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        parts = {"train": self.train, "test": self.test, "val": self.val}
        if not any(parts.values()):
            remedy = "List the videos to train with, to test with, or both"
            raise WSVADError("parts", ", ".join(parts), "name no video", remedy)
        first: dict[str, str] = {}
        for part, names in parts.items():
            for name in names:
                if name in first:
                    problem = f"is in {first[name]} and again in {part}"
                    raise WSVADError("video", name, problem, "Name each video once")
                first[name] = part


def read_annotations(
    path: str | Path, known: Mapping[str, str] | None = None, *, notes: list[str] | None = None
) -> dict[str, VideoAnnotation]:
    """Read an annotations table, also a shipped one by its name alone, such as ``ucf_crime``.

    Columns: ``video``; ``label``: a word for normal, abnormal or unknown, ``0``, ``1`` or ``-1``, codes of
    XD-Violence, or the name of an anomaly class; and optionally ``num_frames``; ``intervals`` (or
    ``anomalous_intervals``): ``start-end;start-end:class``; or ``start_frame`` and ``end_frame``, a row for
    each event; ``classes``: anomaly classes separated by ``;``; ``split``. Where the header says so,
    intervals are times: ``intervals_seconds``, ``start (s)``, ``end [mm:ss]``.

    An abnormal video without intervals is one of which only the label is known: its ``intervals`` are None,
    never empty, so that no metric takes its frames for normal.

    Args:
        path: text of rows, or the name of a shipped table.
        known: videos that the table may name, see :func:`match_videos`. Rows of others, and all rows
            without it, have the names that :func:`name_videos` gives to the videos of the table.
        notes: takes a line for each thing that was inferred or passed over.

    Returns:
        The annotations by name, in the order of the table.

    Raises:
        WSVADError: if the file cannot be read, or a row cannot; names the line.
    """
    said: list[str] = []
    rows = _read_table(path, "annotations", ("video", "label"), said)
    with _locate("annotations", str(path)):
        spans = find_spans(rows[0].cells)
    annotations: dict[str, VideoAnnotation] = {}
    spelt: dict[str, str] = {}
    repeated = 0
    for (line, row), name in zip(rows, _name_rows(path, rows, known), strict=True):
        with _locate("annotations", f"{path}, line {line}"):
            annotation = _parse_row(row, spans, name)
            first = annotations.setdefault(name, annotation)
            if first is not annotation and first == annotation:
                repeated += 1
            elif first is not annotation:
                annotations[name] = _join(first, annotation, spans)
            for name in annotation.classes:
                if (other := spelt.setdefault(name.casefold(), name)) != name:
                    problem = f"is spelt {other} in a row before"
                    raise WSVADError("classes", name, problem, "Spell a class in one way")
    if notes is not None:
        notes += [*said, *_notes_on(path, rows, spans, repeated)]
    return annotations


def read_column(path: str | Path, column: str) -> dict[str, str]:
    """Read a column of a table that is none of the usual ones.

    Args:
        path: as for :func:`read_annotations`.
        column: its name in the header.

    Returns:
        The cells by name of the video, as :func:`read_annotations` names it.

    Raises:
        WSVADError: if the file cannot be read or lacks the column.
    """
    rows = _read_table(path, "annotations", ("video", column.lower()))
    names = _name_rows(path, rows)
    return {name: row[column.lower()] for (_, row), name in zip(rows, names, strict=True)}


def write_annotations(path: str | Path, annotations: Mapping[str, VideoAnnotation]) -> None:
    """Write a table that :func:`read_annotations` reads back as it was.

    Args:
        path: CSV file to make or replace.
        annotations: by name.

    Raises:
        WSVADError: if it cannot be written.
    """
    rows = []
    for video in annotations.values():
        if video.seconds is not None:
            problem = "its intervals are seconds, and a table holds frames"
            raise WSVADError("video", video.video_id, problem, "Turn them into frames by its frame rate")
        spans = zip_longest(video.intervals or (), video.interval_classes)
        intervals = ";".join(f"{s}-{e}:{name}" if name else f"{s}-{e}" for (s, e), name in spans)
        classes = ";".join(video.classes)
        rows.append((video.video_id, LABELS[video.label], video.num_frames, intervals, classes, video.split))
    write_table(path, COLUMNS, rows)


def read_video_paths(path: str | Path) -> list[Path]:
    """Read which files the column ``video`` of a table names, relative to the table's folder.

    Args:
        path: CSV or TSV file, such as an annotations table.

    Raises:
        WSVADError: if the file cannot be read, or lacks the column.
    """
    rows = _read_table(path, "videos", ("video",))
    return [_existing(Path(path).parent, row["video"]) for _, row in rows]


def read_split(path: str | Path, index: int = 0, known: Mapping[str, str] | None = None) -> Split:
    """Read which videos train and which test, also of a shipped table by its name alone.

    Either JSON, ``{"train": names, "test": names, "val": names}`` (``val`` may be absent) or several of these
    as ``{"splits": [...]}``, where names is a list or ``{"normal": [...], "abnormal": [...]}``; or a CSV or
    TSV table with the columns ``video`` and ``split``, such as an annotations table.

    Args:
        path: the file.
        index: which of several splits, from 0.
        known: videos that the names may mean, as for :func:`read_annotations`.

    Raises:
        WSVADError: if the file cannot be read, the split does not exist, a part is empty, or parts overlap.
    """
    choices = _read_choices(path)
    if not 0 <= index < len(choices):
        problem = f"{path} holds {len(choices)} split(s), counted from 0"
        raise WSVADError("split_index", index, problem, f"Choose one up to {len(choices) - 1}")
    return _make_split(path, choices[index], known)


def count_splits(path: str | Path) -> int:
    """How many splits a file holds.

    Args:
        path: the file.

    Raises:
        WSVADError: if it cannot be read, or holds none.
    """
    return len(_read_choices(path))


def read_splits(path: str | Path, known: Mapping[str, str] | None = None) -> list[Split]:
    """Read every split of a file; see :func:`read_split`.

    Args:
        path: the file.
        known: as for :func:`read_split`.

    Raises:
        WSVADError: as :func:`read_split`.
    """
    return [_make_split(path, choice, known) for choice in _read_choices(path)]


@contextmanager
def _locate(argument: str, place: str) -> Iterator[None]:
    """Say in which file, and where in it, a mistake was met."""
    try:
        yield
    except WSVADError as error:
        problem = f"{error.argument} {str(error.value)!r}: {error.problem}"
        raise WSVADError(argument, place, problem, error.remedy) from None


def _read_table(
    path: str | Path, argument: str, required: tuple[str, ...], notes: list[str] | None = None
) -> list[Row]:
    """The rows of a table, also of a shipped one by its name."""
    shipped = SHIPPED / f"{path}.csv"
    given = shipped if shipped.is_file() and not Path(path).exists() else Path(path)
    return read_rows(given, argument, required, [] if notes is None else notes)


def _name_rows(path: str | Path, rows: Sequence[Row], known: Mapping[str, str] | None = None) -> list[str]:
    """The names of the videos that the rows of a table mean, see :func:`read_annotations`."""
    for line, row in rows:
        with _locate("annotations", f"{path}, line {line}"):
            path_id(row["video"])
    with _locate("annotations", str(path)):
        return _name([row["video"] for _, row in rows], known)


def _name(names: Sequence[str], known: Mapping[str, str] | None) -> list[str]:
    """The known videos that names mean, or else what they are among each other; a suffix may be left out."""
    given = {path_id(name) for name in names}
    paths = [stem if (stem := stem_of(name)) in given else path_id(name) for name in names]
    unique = list(dict.fromkeys(paths))
    named = dict(zip(unique, name_videos(unique), strict=True))
    if known is not None:
        for path, video in zip(unique, match_videos(unique, known), strict=True):
            named[path] = stem_of(path) if video is None else video
    return [named[path] for path in paths]


def _existing(folder: Path, name: str) -> Path:
    """A file by its name, in the form of Unicode that the system has it in."""
    forms = [name, *(unicodedata.normalize(form, name) for form in ("NFC", "NFD"))]
    paths = [folder / form for form in forms]
    return next((path for path in paths if os.path.exists(path)), paths[0])  # noqa: PTH110  # of any length


def _parse_row(row: Mapping[str, str], columns: SpanColumns, name: str) -> VideoAnnotation:
    label, spans = label_of(row["label"]), columns.read(row)
    named = [*label.classes, *_read_classes(row.get("classes", "").strip("; "), label)]
    if columns.of_events and len(named) == 1:
        spans = [span._replace(name=named[0]) for span in spans]
    interval_classes = tuple(span.name for span in spans)
    bounds = tuple((span.start, span.end) for span in spans) or None
    frames = None if bounds is None else tuple((int(start), int(end)) for start, end in bounds)
    return VideoAnnotation(
        video_id=name,
        label=label.label,
        classes=tuple(dict.fromkeys(name for name in (*named, *interval_classes) if name is not None)),
        num_frames=read_whole("num_frames", count) if (count := row.get("num_frames")) else None,
        intervals=frames if columns.in_frames else None,
        split=part_of(row.get("split", "")) or row.get("split") or None,
        interval_classes=interval_classes,
        seconds=None if columns.in_frames else bounds,
    )


def _read_classes(cell: str, label: Label) -> Iterator[str]:
    """The classes in a cell; a word that repeats the label is none."""
    for text in map(str.strip, cell.split(";") if cell else ()):
        known = label_of_codes(text) or label_of_word(text)
        if known is not None and known.label != label.label:
            problem = f"means {known}, and the label is {LABELS[label.label]}"
            raise WSVADError("classes", text, problem, "Correct one of them")
        yield from (text,) if known is None else known.classes


def _join(known: VideoAnnotation, other: VideoAnnotation, columns: SpanColumns) -> VideoAnnotation:
    """Two events of a video; in a table of a row a video they are a contradiction."""
    for name in ("label", "num_frames", "split"):
        then, now = getattr(known, name), getattr(other, name)
        if then != now or not columns.of_events:
            problem = f"is listed twice, with {name} {then} and {now}" if then != now else "is listed twice"
            raise WSVADError("video", known.video_id, problem, "Keep one of the rows")
    events = dict.fromkeys(event for video in (known, other) for event in _named_spans(video))
    spans, interval_classes = tuple(span for span, _ in events), tuple(name for _, name in events)
    return replace(
        known,
        classes=tuple(dict.fromkeys((*known.classes, *other.classes))),
        intervals=tuple((int(start), int(end)) for start, end in spans) if known.seconds is None else None,
        seconds=None if known.seconds is None else spans,
        interval_classes=interval_classes,
    )


def _named_spans(video: VideoAnnotation) -> Iterator[tuple[tuple[float, float], str | None]]:
    only = video.classes[0] if len(video.classes) == 1 else None
    spans = (video.seconds if video.intervals is None else video.intervals) or ()
    return zip(spans, video.interval_classes or [only] * len(spans), strict=True)


def _notes_on(path: str | Path, rows: Sequence[Row], spans: SpanColumns, repeated: int) -> Iterator[str]:
    """What was inferred from the cells of a table, how often, and what was passed over."""
    for said in (*inferred_labels(row["label"] for _, row in rows), *_inferred_parts(rows)):
        yield f"{path}: {said}"
    if not spans.in_frames:
        yield f"{path}: times are read from {' and '.join(map(repr, spans.columns.values()))}"
    if repeated:
        yield f"{path}: rows that repeat another were taken once: {repeated}"
    read = {*COLUMNS, *spans.columns.values(), ""} - ({"intervals"} - set(spans.columns.values()))
    if rest := [name for name in rows[0].cells if name not in read]:
        yield f"{path}: columns not read as annotations: {', '.join(rest)}"


def _inferred_parts(rows: Sequence[Row]) -> Iterator[str]:
    texts = Counter(cell for _, row in rows if (cell := row.get("split", "")) not in ("", *PARTS))
    for part in sorted({str(part_of(text)) for text in texts}):
        own = {text: count for text, count in texts.items() if part_of(text) == part}
        yield f"the part {part} is read from {counted(own)}"


def _read_choices(path: str | Path) -> list[Any]:
    """The splits of a file as they are written: names by part."""
    if Path(path).suffix.lower() != ".json":
        return [_read_table_split(path)]
    try:
        content = json.loads(read_text(Path(path), "split", []))
    except (json.JSONDecodeError, RecursionError) as error:
        problem = f"is not JSON: {error}"
        raise WSVADError("split", path, problem, "Correct the file") from None
    choices = content.get("splits", [content]) if isinstance(content, dict) else None
    if not (choices and isinstance(choices, list) and all(isinstance(choice, dict) for choice in choices)):
        raise WSVADError("split", path, "holds no split", 'Give {"train": [...], "test": [...]}')
    return choices


def _read_table_split(path: str | Path) -> dict[str, list[str]]:
    parts: dict[str, list[str]] = {"train": [], "test": [], "val": []}
    for line, row in _read_table(path, "split", ("video", "split")):
        part = part_of(row["split"])
        if row["split"] and part is None:
            problem = f"{row['split']!r} is not a part of a split"
            raise WSVADError("split", f"{path}, line {line}", problem, f"Give one of {list(parts)}")
        if part in parts:  # a video of no part, or one that is only scored, is left out
            parts[part].append(row["video"])
    return parts


def _make_split(path: str | Path, choice: Mapping[str, Any], known: Mapping[str, str] | None) -> Split:
    with _locate("split", str(path)):
        parts: dict[str, list[str]] = {}
        for key, names in choice.items():
            part = part_of(key)
            if part not in ("train", "test", "val"):
                if part is None and _holds_names(names):  # whatever else a file says is left alone
                    remedy = "Name the parts train, test and val"
                    raise WSVADError("part", key, "is not a part of a split", remedy)
            elif part in parts:
                raise WSVADError("part", key, f"is a second part {part}", "Join them")
            else:
                parts[part] = list(_flatten(key, names))
        named = iter(_name([name for own in parts.values() for name in own], known))
        return Split(**{part: tuple(islice(named, len(own))) for part, own in parts.items()})


def _holds_names(value: object) -> bool:
    groups = list(value.values()) if isinstance(value, dict) else [value]
    return bool(groups) and all(
        isinstance(g, list) and g and all(isinstance(n, str) for n in g) for g in groups
    )


def _flatten(part: str, names: object) -> Iterator[str]:
    """Names of one part of a split: a list, or lists by label."""
    for group in names.values() if isinstance(names, dict) else [names]:
        if not isinstance(group, list) or not all(isinstance(name, str) for name in group):
            remedy = 'Give a list of names, or {"normal": [...], "abnormal": [...]}'
            raise WSVADError("part", part, "is not a list of names", remedy)
        yield from group
