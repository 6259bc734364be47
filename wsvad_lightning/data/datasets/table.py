"""Tables of what is known of videos.

An annotations table is a text of rows with a header, as people save it from an editor or a spreadsheet;
columns that are not known are named and not read:

    video,label,num_frames,anomalous_intervals
    Train001,normal,120,
    Test001.mp4,abnormal,180,60-100;150-180
    Test002.mp4,abnormal,,20-90:fall;70-110:riot

Frames count from 0 and intervals are half-open: ``60-100`` covers the frames 60, 61, …, 99.
"""

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

from wsvad_lightning.data.datasets.annotations import PARTS, VideoAnnotation
from wsvad_lightning.data.datasets.labels import (
    Label,
    counted,
    inferred_labels,
    label_of,
    label_of_codes,
    label_of_word,
    part_of,
)
from wsvad_lightning.data.datasets.names import path_id, resolve_names
from wsvad_lightning.data.datasets.reading import Row, located, read_rows
from wsvad_lightning.data.datasets.spans import SpanColumns, find_spans, read_whole
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.files import write_table
from wsvad_lightning.types import LABELS

COLUMNS = ("video", "label", "num_frames", "intervals", "classes", "split")
GLANCES = "glances"  # column of tables that give a frame inside each anomaly
PLACES = ("width", "height", "regions")  # columns of tables that say where in the frame an anomaly is


def read_annotations(
    path: str | Path, known: Mapping[str, str] | None = None, *, notes: list[str] | None = None
) -> dict[str, VideoAnnotation]:
    """Read an annotations table, also a shipped one by its name alone, such as ``ucf_crime``.

    Columns: ``video``; ``label``: a word for normal, abnormal or unknown, ``0``, ``1`` or ``-1``, codes of
    XD-Violence, or the name of an anomaly class; and optionally ``num_frames``; ``intervals`` (or
    ``anomalous_intervals``): ``start-end;start-end:class``; or ``start_frame`` and ``end_frame``, a row for
    each event; ``classes``: anomaly classes separated by ``;``; ``split``; ``glances``: frames inside
    anomalies, separated by ``;``; ``width`` and ``height`` of the frames; ``regions``, see
    :mod:`wsvad_lightning.data.datasets.regions`. Where the header says so, intervals are
    times: ``intervals_seconds``, ``start (s)``, ``end [mm:ss]``.

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
    rows = read_rows(path, "annotations", ("video", "label"), said)
    with located("annotations", str(path)):
        spans = find_spans(rows[0].cells)
    annotations: dict[str, VideoAnnotation] = {}
    spelt: dict[str, str] = {}
    repeated = 0
    for (line, row), name in zip(rows, _name_rows(path, rows, known), strict=True):
        with located("annotations", f"{path}, line {line}"):
            annotation = _parse_row(row, spans, name, Path(path).parent)
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
    rows = read_rows(path, "annotations", ("video", column.lower()))
    names = _name_rows(path, rows)
    return {name: row[column.lower()] for (_, row), name in zip(rows, names, strict=True)}


def unread_columns(path: str | Path) -> list[str]:
    """Name the columns of a table that :func:`read_annotations` passes over.

    Raises:
        WSVADError: if the file cannot be read.
    """
    rows = read_rows(path, "annotations", ("video", "label"))
    with located("annotations", str(path)):
        return _unread(rows, find_spans(rows[0].cells))


def write_annotations(path: str | Path, annotations: Mapping[str, VideoAnnotation]) -> None:
    """Write a table that :func:`read_annotations` reads back as it was.

    Args:
        path: CSV file to make or replace.
        annotations: by name.

    Raises:
        WSVADError: if it cannot be written.
    """
    rows = []
    videos = annotations.values()
    glances = (GLANCES,) if any(video.glances for video in videos) else ()
    places = PLACES if any(video.regions or video.frame_size for video in videos) else ()
    for video in annotations.values():
        if video.seconds is not None:
            problem = "its intervals are seconds, and a table holds frames"
            raise WSVADError("video", video.video_id, problem, "Turn them into frames by its frame rate")
        spans = zip_longest(video.intervals or (), video.interval_classes)
        intervals = ";".join(f"{s}-{e}:{name}" if name else f"{s}-{e}" for (s, e), name in spans)
        classes = ";".join(video.classes)
        row = (video.video_id, LABELS[video.label], video.num_frames, intervals, classes, video.split)
        marked = (";".join(map(str, video.glances)),) if glances else ()
        rows.append((*row, *marked, *(_places(video, Path(path).parent) if places else ())))
    write_table(path, (*COLUMNS, *glances, *places), rows)


def _places(video: VideoAnnotation, folder: Path) -> tuple[int | None, int | None, str | None]:
    """The cells under ``PLACES``: what is referred to is named relative to the folder of the table."""
    width, height = video.frame_size or (None, None)
    if video.regions is None:
        return width, height, None
    try:
        return width, height, Path(os.path.relpath(video.regions, folder)).as_posix()
    except ValueError:  # on another drive
        return width, height, Path(video.regions).resolve().as_posix()


def read_video_paths(path: str | Path) -> list[Path]:
    """Read which files the column ``video`` of a table names, relative to the table's folder.

    Args:
        path: CSV or TSV file, such as an annotations table.

    Raises:
        WSVADError: if the file cannot be read, or lacks the column.
    """
    rows = read_rows(path, "videos", ("video",))
    return [_existing(Path(path).parent, row["video"]) for _, row in rows]


def _name_rows(path: str | Path, rows: Sequence[Row], known: Mapping[str, str] | None = None) -> list[str]:
    """The names of the videos that the rows of a table mean, see :func:`read_annotations`."""
    for line, row in rows:
        with located("annotations", f"{path}, line {line}"):
            path_id(row["video"])
    with located("annotations", str(path)):
        return resolve_names([row["video"] for _, row in rows], known)


def _existing(folder: Path, name: str) -> Path:
    """A file by its name, in the form of Unicode that the system has it in."""
    forms = [name, *(unicodedata.normalize(form, name) for form in ("NFC", "NFD"))]
    paths = [folder / form for form in forms]
    return next((path for path in paths if os.path.exists(path)), paths[0])  # noqa: PTH110  # of any length


def _parse_row(row: Mapping[str, str], columns: SpanColumns, name: str, folder: Path) -> VideoAnnotation:
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
        frame_size=_read_size(row),
        regions=str(_existing(folder, row["regions"])) if row.get("regions") else None,
        glances=_read_glances(row.get(GLANCES, "")),
    )


def _read_glances(cell: str) -> tuple[int, ...]:
    """Frames, as ``120;960``, also separated by commas, bars or blanks."""
    return tuple(read_whole(GLANCES, frame) for frame in re.split(r"[;,|\s]+", cell.strip(";,| ")) if frame)


def _read_size(row: Mapping[str, str]) -> tuple[int, int] | None:
    """Width and height of the frames; both or none are given."""
    width, height = (read_whole(side, row[side]) if row.get(side) else None for side in ("width", "height"))
    if width is None and height is None:
        return None
    if width is None or height is None:
        raise WSVADError("height", None, "is given without width, or width without it", "Give both or none")
    return width, height


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
    for name in ("label", "num_frames", "split", "frame_size", "regions"):
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
        glances=tuple(dict.fromkeys((*known.glances, *other.glances))),
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
    if rest := _unread(rows, spans):
        yield f"{path}: columns not read as annotations: {', '.join(rest)}"


def _unread(rows: Sequence[Row], spans: SpanColumns) -> list[str]:
    of_spans = set(spans.columns.values())
    read = {*COLUMNS, GLANCES, *PLACES, *of_spans, ""} - ({"intervals"} - of_spans)
    return [name for name in rows[0].cells if name not in read]


def _inferred_parts(rows: Sequence[Row]) -> Iterator[str]:
    texts = Counter(cell for _, row in rows if (cell := row.get("split", "")) not in ("", *PARTS))
    for part in sorted({str(part_of(text)) for text in texts}):
        own = {text: count for text, count in texts.items() if part_of(text) == part}
        yield f"the part {part} is read from {counted(own)}"
