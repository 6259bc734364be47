"""The results of one scored video: tables, a figure, and the video with its scores drawn on it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.files import write_json
from wsvad_lightning.reporting.figures import VideoCurve, report_figure
from wsvad_lightning.reporting.tables import SPAN, write_curve, write_events
from wsvad_lightning.serving.overlay import Image, Overlay
from wsvad_lightning.timeline import Event
from wsvad_lightning.video.reader import VideoReader
from wsvad_lightning.video.writer import write_video


def write_scored_video(path: Path, curve: VideoCurve, resample: float | None, folder: Path) -> list[float]:
    """Write ``scored.mp4``, ``curve.csv``, ``scores.json`` and ``scores.png``, each whole or not at all.

    Where the events are known, even if there are none, ``events.csv`` is added, and ``events`` to
    ``scores.json``.

    Args:
        path: the video.
        curve: score of each frame, and events.
        resample: frames a second that it was played at when it was scored; None for every frame of the file.
        folder: where to write.

    Returns:
        Seconds ``[F + 1]`` after the first frame: when each frame is shown, and when the last one ends.

    Raises:
        WSVADError: if the video does not have these frames, matplotlib is not installed, or the folder cannot
            be written.
    """
    report_figure([curve], folder / "scores.png")
    reader = VideoReader(path, resample=resample)
    seconds, scores = write_drawn(reader, curve, folder / "scored.mp4"), curve.scores.tolist()
    times = [*seconds, seconds[-1] + 1 / reader.fps]
    clock = times.__getitem__
    write_curve(folder / "curve.csv", scores, clock)
    record = {"video": curve.video_id, "fps": reader.fps, "seconds": seconds, "scores": scores}
    if curve.events is not None:
        write_events(folder / "events.csv", {curve.video_id: curve.events}, {curve.video_id: clock})
        record["events"] = [timed(event, times) for event in curve.events]
    write_json(record, folder / "scores.json", indent=None)
    return times


def timed(event: Event, times: Sequence[float]) -> dict[str, Any]:
    """Describe an event by the names of the columns of ``events.csv``, in full precision."""
    values = (event.start, event.end, times[event.start], times[event.end])
    return {**dict(zip(SPAN, values, strict=True)), "class": event.name, "score": event.score}


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
