"""What is known of the videos: labels, anomalous intervals, and which videos train and which test.

An annotations table is a CSV or TSV file with a header; unknown columns are ignored:

    video,label,num_frames,anomalous_intervals
    Train001,normal,120,
    Test001.mp4,abnormal,180,60-100;150-180
    Test002.mp4,abnormal,,20-90:fall;70-110:riot

Frames count from 0 and intervals are half-open: ``60-100`` covers the frames 60, 61, …, 99.
"""

import csv
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from wsvad_lightning.data.datasets.labels import RESERVED, label_of
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.files import write_table
from wsvad_lightning.timeline import Event
from wsvad_lightning.types import LABELS, UNKNOWN

VIDEO_SUFFIXES = (
    ".mp4",
    ".avi",
    ".mkv",
    ".mov",
    ".webm",
    ".mpg",
    ".mpeg",
    ".m4v",
    ".wmv",
    ".flv",
    ".ts",
    ".mts",
    ".m2ts",
    ".3gp",
    ".asf",
    ".ogv",
    ".vob",
    ".dav",
)
FEATURE_SUFFIXES = (".npy", ".npz", ".h5", ".hdf5", ".pt", ".pkl", ".mat", ".txt", ".csv", ".json")
SHIPPED = Path(__file__).parent / "tables"
COLUMNS = ("video", "label", "num_frames", "intervals", "classes", "split")
PARTS = ("train", "val", "test", "predict")
COLUMN_ALIASES = {"anomalous_intervals": "intervals"}
INTERVAL = re.compile(r"(\d+)\s*-\s*(\d+)(?:\s*:\s*(\S.*))?")


def canonical_id(name: str) -> str:
    """The one name of a video in stores, annotations, splits and predictions.

    That is the base name (of a path of any system) without the suffixes of video and feature files. Only
    known suffixes go, since names such as ``Bad.Boys.1995__#01-11-55_01-12-40_label_G-B2-B6`` hold dots.

    Args:
        name: file name, path or name of a video.

    Raises:
        WSVADError: if nothing is left.
    """
    base = re.split(r"[/\\]", name.strip().rstrip("/\\"))[-1].strip()
    while base.lower().endswith(VIDEO_SUFFIXES + FEATURE_SUFFIXES):
        base = base.rpartition(".")[0].rstrip()
    if base in ("", ".", ".."):
        raise WSVADError("video", name, "is not a name of a video", "Name the video by its file name")
    return base


@dataclass(frozen=True)
class VideoAnnotation:
    """What is known of one video.

    Attributes:
        video_id: canonical name.
        label: 0 normal, 1 abnormal, -1 unknown.
        classes: anomaly classes, the dominant one first; empty if only normal or abnormal is known.
        num_frames: frames of the video, None if unknown.
        intervals: anomalous frames ``[start, end)``; empty if there are none, as always in a normal video;
            None if they are unknown (weak label, or none).
        split: part of the data set, one of ``PARTS``; None if it is in none. What is only scored is in
            ``predict``.
        interval_classes: class of each interval, None for one that is of all classes of the video; empty if
            all are, as always in a video of one class.

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

    def __post_init__(self) -> None:
        if self.label not in (0, 1, UNKNOWN):
            remedy = "Give 0 for a normal, 1 for an abnormal video, -1 where that is unknown"
            self._reject(f"the label is {self.label}", remedy)
        if self.label == UNKNOWN and (self.intervals is not None or self.classes):
            self._reject("intervals or classes are given, and no label", "Give its label or leave them out")
        if self.label == 0 and self.intervals is None:
            object.__setattr__(self, "intervals", ())
        if self.label == 0 and self.intervals:
            self._reject("a normal video has anomalous intervals", "Label it abnormal or drop the intervals")
        if self.label == 0 and self.classes:
            self._reject("a normal video has anomaly classes", "Label it abnormal or drop the classes")
        for name in self.classes:
            if name.casefold() in RESERVED or ";" in name or name != name.strip() or not name:
                self._reject(
                    f"{name!r} is not a name of a class", "Choose another name; join several by ; in classes"
                )
        if self.split is not None and self.split not in PARTS:
            self._reject(
                f"{self.split!r} is not a part of a split", f"Give one of {', '.join(PARTS)}, or none"
            )
        for start, end in self.intervals or ():
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
        if len(self.interval_classes) != len(self.intervals or ()):
            problem = f"{len(self.interval_classes)} classes of {len(self.intervals or ())} intervals"
            self._reject(problem, "Give one for each, or none")
        for name in self.interval_classes:
            if name is not None and name not in self.classes:
                self._reject(f"an interval is {name!r}, the video is not", "Add it to the classes")

    def _reject(self, problem: str, remedy: str) -> NoReturn:
        raise WSVADError("video", self.video_id, problem, remedy)


@dataclass(frozen=True)
class Split:
    """Which videos train, test and (optionally) validate, by canonical names.

    Raises:
        WSVADError: if nothing trains or tests, or a video is named twice.
    """

    train: tuple[str, ...]
    test: tuple[str, ...]
    val: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        parts = {"train": self.train, "test": self.test, "val": self.val}
        for part in ("train", "test"):
            if not parts[part]:
                raise WSVADError("part", part, "names no video", f"List the videos of {part}")
        first: dict[str, str] = {}
        for part, names in parts.items():
            for name in names:
                if name in first:
                    problem = f"is in {first[name]} and again in {part}"
                    raise WSVADError("video", name, problem, "Name each video once")
                first[name] = part


def read_annotations(path: str | Path) -> dict[str, VideoAnnotation]:
    """Read an annotations table, also a shipped one by its name alone, such as ``ucf_crime``.

    Columns: ``video``; ``label``: ``normal``, ``abnormal``, ``unknown``, ``0``, ``1``, ``-1`` or the name of
    an anomaly class; and optionally ``num_frames``; ``intervals`` (or ``anomalous_intervals``):
    ``start-end;start-end:class``; ``classes``: anomaly classes separated by ``;``; ``split``.

    An abnormal video without intervals is one of which only the label is known: its ``intervals`` are None,
    never empty, so that no metric takes its frames for normal.

    Args:
        path: CSV or TSV file, or the name of a shipped table.

    Returns:
        The annotations by canonical name, in the order of the table.

    Raises:
        WSVADError: if the file cannot be read, or a row cannot; names the line.
    """
    annotations: dict[str, VideoAnnotation] = {}
    spelt: dict[str, str] = {}
    for line, row in _read_table(path, argument="annotations", required=("video", "label")):
        with _locate("annotations", f"{path}, line {line}"):
            annotation = _parse_row(row)
            if annotation.video_id in annotations:
                raise WSVADError("video", annotation.video_id, "is listed twice", "Keep one of the rows")
            for name in annotation.classes:
                if (other := spelt.setdefault(name.casefold(), name)) != name:
                    problem = f"is spelt {other} in a row before"
                    raise WSVADError("classes", name, problem, "Spell a class in one way")
        annotations[annotation.video_id] = annotation
    return annotations


def read_column(path: str | Path, column: str) -> dict[str, str]:
    """Read a column of a table that is none of the usual ones.

    Args:
        path: as for :func:`read_annotations`.
        column: its name in the header.

    Returns:
        The cells by canonical name of the video.

    Raises:
        WSVADError: if the file cannot be read or lacks the column.
    """
    rows = _read_table(path, argument="annotations", required=("video", column.lower()))
    return {canonical_id(row["video"]): row[column.lower()] for _, row in rows}


def write_annotations(path: str | Path, annotations: Mapping[str, VideoAnnotation]) -> None:
    """Write a table that :func:`read_annotations` reads back as it was.

    Args:
        path: CSV file to make or replace.
        annotations: by canonical name.

    Raises:
        WSVADError: if it cannot be written.
    """
    rows = []
    for video in annotations.values():
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
    rows = _read_table(path, argument="videos", required=("video",))
    return [Path(path).parent / row["video"] for _, row in rows]


def read_split(path: str | Path, index: int = 0) -> Split:
    """Read which videos train and which test, also of a shipped table by its name alone.

    Either JSON, ``{"train": names, "test": names, "val": names}`` (``val`` may be absent) or several of these
    as ``{"splits": [...]}``, where names is a list or ``{"normal": [...], "abnormal": [...]}``; or a CSV or
    TSV table with the columns ``video`` and ``split``, such as an annotations table.

    Args:
        path: the file.
        index: which of several splits, from 0.

    Raises:
        WSVADError: if the file cannot be read, the split does not exist, a part is empty, or parts overlap.
    """
    choices = _read_choices(path)
    if not 0 <= index < len(choices):
        problem = f"{path} holds {len(choices)} split(s), counted from 0"
        raise WSVADError("split_index", index, problem, f"Choose one up to {len(choices) - 1}")
    return _make_split(path, choices[index])


def count_splits(path: str | Path) -> int:
    """How many splits a file holds.

    Args:
        path: the file.

    Raises:
        WSVADError: if it cannot be read, or holds none.
    """
    return len(_read_choices(path))


def read_splits(path: str | Path) -> list[Split]:
    """Read every split of a file; see :func:`read_split`.

    Args:
        path: the file.

    Raises:
        WSVADError: as :func:`read_split`.
    """
    return [_make_split(path, choice) for choice in _read_choices(path)]


@contextmanager
def _locate(argument: str, place: str) -> Iterator[None]:
    """Say in which file, and where in it, a mistake was met."""
    try:
        yield
    except WSVADError as error:
        problem = f"{error.argument} {str(error.value)!r}: {error.problem}"
        raise WSVADError(argument, place, problem, error.remedy) from None


def _read_text(path: str | Path, argument: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
        raise WSVADError(argument, path, f"cannot be read: {reason}", "Give a readable file") from None


def _read_table(
    path: str | Path, argument: str, required: tuple[str, ...]
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the rows of a CSV or TSV file with a header, as ``(line, {column: cell})``."""
    shipped = SHIPPED / f"{path}.csv"
    given = shipped if shipped.is_file() and not Path(path).exists() else path
    lines = _read_text(given, argument).splitlines()
    reader = csv.reader(lines, delimiter="\t" if lines and "\t" in lines[0] else ",")
    names = [cell.strip().lower() for cell in next(reader, [])]
    header = [COLUMN_ALIASES.get(name, name) for name in names]
    for column in required:
        if column not in header:
            problem = f"the header {header} lacks the column {column!r}"
            raise WSVADError(argument, path, problem, f"Add the column {column!r}")
    for column in header:
        if header.count(column) > 1:
            problem = f"the header names {column!r} twice"
            raise WSVADError(argument, path, problem, "Keep one of the columns")
    rows = [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    if not rows:
        raise WSVADError(argument, path, "has no rows", "Give a table with one row per video")
    for line, cells in rows:
        if len(cells) != len(header):
            problem = f"{len(cells)} cells under a header of {len(header)}"
            remedy = "Give every row the cells of the header; quote cells that hold the separator"
            raise WSVADError(argument, f"{path}, line {line}", problem, remedy)
        yield line, {column: cell.strip() for column, cell in zip(header, cells, strict=True)}


def _parse_row(row: dict[str, str]) -> VideoAnnotation:
    label = label_of(row["label"])
    cell = row.get("classes", "")
    class_names = [*label.classes, *(map(str.strip, cell.split(";")) if cell else ())]
    cell = row.get("intervals", "")
    intervals = list(map(_parse_interval, cell.split(";"))) if cell else []
    interval_classes = tuple(name for _, _, name in intervals)
    return VideoAnnotation(
        video_id=canonical_id(row["video"]),
        label=label.label,
        classes=tuple(dict.fromkeys(name for name in (*class_names, *interval_classes) if name is not None)),
        num_frames=_parse_count(row.get("num_frames", "")),
        intervals=tuple((start, end) for start, end, _ in intervals) or None,
        split=row.get("split") or None,
        interval_classes=interval_classes,
    )


def _parse_interval(cell: str) -> tuple[int, int, str | None]:
    match = INTERVAL.fullmatch(cell.strip())
    if match is None:
        raise WSVADError(
            "intervals", cell, "is not an interval", "Give start-end or start-end:class, as 60-180"
        )
    return int(match[1]), int(match[2]), match[3]


def _parse_count(cell: str) -> int | None:
    if cell and not cell.isdecimal():
        raise WSVADError(
            "num_frames", cell, "is not a number of frames", "Give a whole number or leave it out"
        )
    return int(cell) if cell else None


def _read_choices(path: str | Path) -> list[Any]:
    """The splits of a file as they are written: names by part."""
    if Path(path).suffix.lower() != ".json":
        return [_read_table_split(path)]
    try:
        content = json.loads(_read_text(path, "split"))
    except json.JSONDecodeError as error:
        problem = f"is not JSON: {error.msg} at line {error.lineno}"
        raise WSVADError("split", path, problem, "Correct the file") from None
    choices = content.get("splits", [content]) if isinstance(content, dict) else None
    if not (choices and isinstance(choices, list) and all(isinstance(choice, dict) for choice in choices)):
        raise WSVADError("split", path, "holds no split", 'Give {"train": [...], "test": [...]}')
    return choices


def _read_table_split(path: str | Path) -> dict[str, list[str]]:
    parts: dict[str, list[str]] = {"train": [], "test": [], "val": []}
    for line, row in _read_table(path, argument="split", required=("video", "split")):
        if row["split"] not in parts:
            problem = f"{row['split']!r} is not a part of a split"
            raise WSVADError("split", f"{path}, line {line}", problem, f"Give one of {list(parts)}")
        parts[row["split"]].append(row["video"])
    return parts


def _make_split(path: str | Path, choice: Mapping[str, Any]) -> Split:
    with _locate("split", str(path)):
        parts = {part: _flatten(part, choice.get(part, [])) for part in ("train", "test", "val")}
        return Split(**{part: tuple(map(canonical_id, names)) for part, names in parts.items()})


def _flatten(part: str, names: object) -> Iterator[str]:
    """Names of one part of a split: a list, or lists by label."""
    for group in names.values() if isinstance(names, dict) else [names]:
        if not isinstance(group, list) or not all(isinstance(name, str) for name in group):
            remedy = 'Give a list of names, or {"normal": [...], "abnormal": [...]}'
            raise WSVADError("part", part, "is not a list of names", remedy)
        yield from group
