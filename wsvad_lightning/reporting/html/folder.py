"""What a run left in its folder, read as data that a stranger may have written."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import yaml
from numpy.typing import NDArray

from wsvad_lightning.data.datasets.names import usable_as_path
from wsvad_lightning.data.datasets.reading import Row, read_json, read_rows
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.metrics import expand_maps, expand_scores
from wsvad_lightning.reporting.figures import VideoCurve, highest_snippet
from wsvad_lightning.reporting.maps import read_maps
from wsvad_lightning.reporting.tables import SPAN
from wsvad_lightning.reporting.videos import VideoRow, describe_video
from wsvad_lightning.timeline import Event, SnippetGrid
from wsvad_lightning.types import LABELS

FILES = ("scores.csv", "videos.csv")  # without which there is no report
AGAIN = "Run `wsvad test` or `wsvad predict` of this version again"
NUMBERS = {label: number for number, label in LABELS.items()}
MOST_MAPS = 4  # of a video
LONGEST = 50_000_000  # frames of a video: 19 days at 30 a second
Ends = tuple[float, float] | None  # of an interval
FloatArray = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class ReportedVideo:
    """A video of a run.

    Attributes:
        row: how it was scored.
        curve: frame scores, ground truth, and events in frames; its ``truths`` are all annotated anomalies.
        times: ``[2, K]`` frames and when they are shown, in seconds; None where the frame rate is unknown.
        maps: ``[h, w]`` in [0, 1], where in the frame, by number of the frame: of the highest score first,
            then of the highest in the strongest events; none where the run has no maps.
        drawn: the video with its scores drawn on it, below the folder; None if there is none.
    """

    row: VideoRow
    curve: VideoCurve
    times: FloatArray | None = None
    maps: Mapping[int, FloatArray] = field(default_factory=dict)
    drawn: Path | None = None


@dataclass(frozen=True)
class ReportedRun:
    """A run of ``wsvad test`` or ``wsvad predict``.

    Attributes:
        folder: of the run.
        settings: its configuration as text.
        method: that scored the videos; ``?`` where the configuration does not say.
        data: the store and the split, or the videos.
        alarm: score from which on a prediction marks frames; NaN where it does not.
        record: ``metrics.json``; empty for a prediction.
        videos: in the order of their names.
    """

    folder: Path
    settings: str
    method: str
    data: str
    alarm: float
    record: Mapping[str, Any]
    videos: Sequence[ReportedVideo]

    def numbers(self, part: str) -> dict[str, Any]:
        """A mapping of ``metrics.json``, such as ``metrics`` or ``intervals``; empty if it is not there."""
        given = self.record.get(part)
        return given if isinstance(given, dict) else {}

    def metric(self, name: str) -> float:
        """A metric in [0, 1]; NaN if it is undefined or was not measured."""
        return number_or_nan(self.numbers("metrics").get(name))

    def interval(self, name: str) -> Ends:
        """The 95 % interval of a metric; None without any."""
        return ends_in(self.numbers("intervals"), name)


def ends_in(intervals: object, name: str) -> Ends:
    """The interval of a metric among those of a JSON file; None without any."""
    ends = intervals.get(name) if isinstance(intervals, dict) else None
    if not isinstance(ends, list) or len(ends) != 2:
        return None
    low, high = map(number_or_nan, ends)
    return None if math.isnan(low) or math.isnan(high) else (low, high)


def number_or_nan(value: object) -> float:
    """A finite number of a JSON file, or NaN for anything else."""
    usable = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if usable and isinstance(value, int | float) else math.nan


def read_run(folder: Path) -> ReportedRun:
    """Read what ``wsvad test`` or ``wsvad predict`` wrote.

    Args:
        folder: of the run.

    Raises:
        WSVADError: if it is none, an older version wrote it, or a file in it is damaged.
    """
    if not folder.is_dir():
        raise WSVADError("RUN", folder, "no such folder", "Correct the path")
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing == ["videos.csv"]:
        raise WSVADError("RUN", folder, "was made before runs had videos.csv", AGAIN)
    if missing:
        problem = f"has no {' and no '.join(missing)}"
        raise WSVADError("RUN", folder, problem, "Give a folder that `wsvad test` or `wsvad predict` made")
    record = read_json(folder / "metrics.json", "RUN") if (folder / "metrics.json").is_file() else {}
    if not isinstance(record, dict):
        raise WSVADError("RUN", folder / "metrics.json", "is not a mapping", AGAIN)
    return ReportedRun(folder, *_read_settings(folder), record, _read_videos(folder))


def _read_settings(folder: Path) -> tuple[str, str, str, float]:
    """The configuration as text; method and data, as far as it names them; and the score of an alarm."""
    path = next((folder / name for name in ("test.yaml", "predict.yaml") if (folder / name).is_file()), None)
    if path is None:
        return "", "?", "?", math.nan
    text = path.read_text("utf-8", errors="replace")
    try:
        settings = yaml.safe_load(text)
        method = str(settings["model"]["class_path"]).rpartition(".")[2]
        return text, method, _name_data(settings), number_or_nan(settings.get("alarm"))
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, RecursionError):
        return text, "?", "?", math.nan


def _name_data(settings: Mapping[str, Any]) -> str:
    """Name what was scored: the videos of a prediction, or the store with the split."""
    data = settings["data"]
    if settings.get("videos"):
        return Path(str(settings["videos"])).name
    stores = data["store"] if isinstance(data["store"], list) else [data["store"]]
    named = " + ".join(Path(str(store)).stem for store in stores)
    if not data.get("split"):
        return named
    return f"{named}, split {data.get('split_index', 0)} of {Path(str(data['split'])).name}"


def _read_videos(folder: Path) -> list[ReportedVideo]:
    rows = {row.cells["video"]: row for row in _rows(folder / "videos.csv", VideoRow._fields[:5])}
    snippets = _by_video(_rows(folder / "scores.csv", ("video", *SPAN, "score")))
    if rows.keys() != snippets.keys():
        odd = sorted(rows.keys() ^ snippets.keys())[0]
        raise WSVADError("RUN", folder, f"{odd} is not in both, scores.csv and videos.csv", AGAIN)
    truths = _by_video(_rows(folder / "truth.csv", ("video", *SPAN, "class")))
    has_events = (folder / "events.csv").is_file()
    events = _by_video(_rows(folder / "events.csv", ("video", *SPAN, "class", "score")))
    grid = _grid_of(snippets.values(), folder)
    videos = []
    for name, row in sorted(rows.items()):
        num_frames = _whole(row, "num_frames")
        scores = _scores(snippets[name], grid, name)
        frames = expand_scores(scores, num_frames, grid, name)
        curve = VideoCurve(
            name,
            frames,
            None,
            tuple(filter(None, row.cells["classes"].split(";"))),
            tuple(_event(own, num_frames) for own in truths.get(name, ())),
            tuple(_event(own, num_frames) for own in events.get(name, ())) if has_events else None,
            peak=highest_snippet(scores, frames, grid),
        )
        if row.cells["anomalous_frames"]:  # else the ground truth is unknown
            labels = np.zeros(num_frames, np.uint8)
            for event in curve.truths:
                labels[event.start : event.end] = 1
            curve = replace(curve, labels=labels)
        fps = _number(row, "fps") if row.cells["fps"] else math.nan
        maps = _strongest_maps(folder, curve, grid)
        novelty = _number(row, "novelty") if row.cells.get("novelty") else None
        described = describe_video(curve, NUMBERS.get(row.cells["label"], -1), fps, curve.truths)._replace(
            novelty=novelty, coding=row.cells.get("coding", "")
        )
        times = None if math.isnan(fps) else _times(snippets[name], num_frames, fps)
        videos.append(ReportedVideo(described, curve, times, maps, _drawn(folder, name)))
    return videos


def _rows(path: Path, required: Sequence[str]) -> list[Row]:
    """The rows of a table; none where the file is not there or has a header alone."""
    if not path.is_file():
        return []
    with path.open("rb") as file:
        if not any(line.strip() for line in islice(file, 1, None)):
            return []
    return read_rows(path, "RUN", required)


def _by_video(rows: Iterable[Row]) -> dict[str, list[Row]]:
    groups = defaultdict(list)
    for row in rows:
        groups[row.cells["video"]].append(row)
    return dict(groups)


def _grid_of(videos: Iterable[Sequence[Row]], folder: Path) -> SnippetGrid:
    """Find length and stride of the snippets, which only the end of a video cuts."""
    spans = [[(_whole(row, "start_frame"), _whole(row, "end_frame")) for row in rows[:2]] for rows in videos]
    length = max((end - start for own in spans for start, end in own), default=0)
    strides = {own[1][0] - own[0][0] for own in spans if len(own) > 1} or {length}
    if min(strides) < 1 or length < 1 or len(strides) > 1:
        raise WSVADError("RUN", folder / "scores.csv", "its snippets do not follow each other evenly", AGAIN)
    return SnippetGrid(length, strides.pop())


def _scores(rows: Sequence[Row], grid: SnippetGrid, name: str) -> FloatArray:
    """Read the scores of the snippets of a video."""
    scores = np.array([_number(row, "score") for row in rows], np.float32)
    if any(_whole(row, "start_frame") != t * grid.stride for t, row in enumerate(rows)):
        raise WSVADError("RUN", f"scores.csv, {name}", "its snippets do not follow each other evenly", AGAIN)
    return scores


def _event(row: Row, num_frames: int) -> Event:
    start, end = _whole(row, "start_frame"), _whole(row, "end_frame")
    if not start < end <= num_frames:
        _reject(row, f"frames {start} to {end} of {num_frames} are not an interval")
    return Event(start, end, row.cells["class"], _number(row, "score") if row.cells.get("score") else 1.0)


def _times(rows: Sequence[Row], num_frames: int, fps: float) -> FloatArray:
    """When frames are shown: by the time stamps that a prediction of videos read, or by the frame rate."""
    known = {}
    for row in rows:
        for frame, seconds in (("start_frame", "start_seconds"), ("end_frame", "end_seconds")):
            if row.cells[seconds]:
                known[_whole(row, frame)] = _number(row, seconds)
    frames = np.array(sorted(known), float)
    times = np.array([known[frame] for frame in sorted(known)])
    steady = np.abs(times - frames / fps) <= max(0.5 / fps, 0.01)
    if not len(frames) or steady.all() or (np.diff(times) <= 0).any():
        return np.array([[0.0, num_frames], [0.0, num_frames / fps]])
    return np.stack([frames, times])


def _strongest_maps(folder: Path, curve: VideoCurve, grid: SnippetGrid) -> dict[int, FloatArray]:
    """The maps of a video where its score is highest, in all and in its strongest events."""
    path = folder / "maps.h5"
    if not path.is_file():
        return {}
    try:
        maps = read_maps(path, curve.video_id)
    except WSVADError as error:
        if "has no maps of" in error.problem:
            return {}
        raise
    peaks = [own.start + int(curve.scores[own.start : own.end].argmax()) for own in curve.events or ()]
    assert curve.peak is not None
    frames = [curve.peak[1], *sorted(peaks, key=lambda frame: -curve.scores[frame])]
    spans = expand_maps(maps, len(curve.scores), grid, curve.video_id)
    found: dict[int, tuple[int, FloatArray]] = {}  # by span: an event may hold the highest score
    for frame in frames:
        span, own = next((i, own) for i, (start, end, own) in enumerate(spans) if start <= frame < end)
        found.setdefault(span, (frame, own))
    return dict(list(found.values())[:MOST_MAPS])


def _drawn(folder: Path, name: str) -> Path | None:
    path = folder / usable_as_path(name) / "scored.mp4"
    inside = path.resolve().is_relative_to(folder.resolve())
    return path if inside and path.is_file() else None


def _whole(row: Row, column: str) -> int:
    value = _number(row, column)
    if value != int(value) or not 0 <= value <= LONGEST:
        _reject(row, f"{column} is {row.cells[column]!r}, which is not a number of frames")
    return int(value)


def _number(row: Row, column: str) -> float:
    try:
        value = float(row.cells[column])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        _reject(row, f"{column} is {row.cells[column]!r}, not a number")
    return value


def _reject(row: Row, problem: str) -> NoReturn:
    raise WSVADError("RUN", f"{row.cells['video']}, line {row.line}", problem, AGAIN)
