"""What is written of a scored video: tables, a curve, and the video with its scores drawn on it."""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.files import replacing
from wsvad_lightning.reporting.figures import VideoCurve, report_figure
from wsvad_lightning.serving.overlay import Image, Overlay
from wsvad_lightning.video.reader import VideoReader
from wsvad_lightning.video.writer import write_video

SCORE_COLUMNS = {"frame": "d", "seconds": ".3f", "score": ".6g"}  # of a table, and how they are written
EVENT_COLUMNS = {
    "start_frame": "d",
    "end_frame": "d",
    "start_seconds": ".3f",
    "end_seconds": ".3f",
    "class": "s",
    "score": ".6g",
}

Row = Mapping[str, Any]


def write_scored_video(path: Path, curve: VideoCurve, resample: float | None, folder: Path) -> list[Row]:
    """Write ``scored.mp4``, ``scores.csv``, ``scores.json`` and ``scores.png``, each whole or not at all.

    Where events are known or known to be none, there are ``events.csv`` and, in ``scores.json``, ``events``.

    Args:
        path: the video.
        curve: score of each frame, and events.
        resample: frames a second that it was played at when it was scored; None for every frame of the file.
        folder: where to write.

    Returns:
        The events, a row each, by the names of the columns.

    Raises:
        WSVADError: if the video does not have these frames, matplotlib is not installed, or the folder cannot
            be written.
    """
    report_figure([curve], folder / "scores.png")
    reader = VideoReader(path, resample=resample)
    seconds, scores = write_drawn(reader, curve, folder / "scored.mp4"), curve.scores.tolist()
    rows = [
        {"frame": i, "seconds": time, "score": score}
        for i, (time, score) in enumerate(zip(seconds, scores, strict=True))
    ]
    write_table(folder / "scores.csv", SCORE_COLUMNS, rows)
    table = {"video": curve.video_id, "fps": reader.fps, "seconds": seconds, "scores": scores}
    events = timed_events(curve, [*seconds, seconds[-1] + 1 / reader.fps])
    if curve.events is not None:
        write_table(folder / "events.csv", EVENT_COLUMNS, events)
        table["events"] = events
    with replacing(folder / "scores.json") as temporary:
        temporary.write_text(json.dumps(table, ensure_ascii=False) + "\n", "utf-8")
    return events


def timed_events(curve: VideoCurve, times: list[float]) -> list[Row]:
    """Give a row an event, with seconds by the ``[F + 1]`` ones at which frames begin and end."""
    return [
        {
            "start_frame": start,
            "end_frame": end,
            "start_seconds": times[start],
            "end_seconds": times[end],
            "class": name,
            "score": score,
        }
        for start, end, name, score in curve.events or ()
    ]


def write_table(path: Path, columns: Mapping[str, str], rows: Iterable[Row]) -> None:
    """Write a CSV table, whole or not at all.

    Args:
        path: the file.
        columns: name and format of each.
        rows: values by column.

    Raises:
        WSVADError: if it cannot be written.
    """
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([format(row[name], form) for name, form in columns.items()] for row in rows)


def write_drawn(reader: VideoReader, curve: VideoCurve, path: Path) -> list[float]:
    """Write a video with its scores drawn on it, each frame shown as long as in the original.

    Args:
        reader: of the video.
        curve: score of each frame, and events.
        path: of the MP4 (H.264) to write.

    Returns:
        When each frame is shown, in seconds after the first.

    Raises:
        WSVADError: if the video has another number of frames than there are scores, or ``path`` cannot be
            written.
    """
    seconds = []
    with write_video(path) as video:
        for picture in draw(reader, curve):
            video.write(picture, reader.seconds)
            seconds.append(reader.seconds)
    return seconds


def draw(reader: VideoReader, curve: VideoCurve) -> Iterator[Image]:
    """Draw its score on each frame of a video, and the class of the event that goes on.

    Args:
        reader: of the video.
        curve: score of each frame, and events.

    Raises:
        WSVADError: if the video has another number of frames than there are scores.
    """
    overlay: Overlay | None = None
    for frame, index in zip(reader, range(len(curve.scores)), strict=False):  # the numbers are compared below
        overlay = overlay or Overlay(curve.scores, frame.shape[1], frame.shape[0], curve.events or ())
        yield overlay.draw(frame, index)
    if reader.num_frames != len(curve.scores):
        problem = f"has {reader.num_frames} frames now and had {len(curve.scores)} when it was scored"
        raise WSVADError("--videos", reader.path, problem, "Score it again")
