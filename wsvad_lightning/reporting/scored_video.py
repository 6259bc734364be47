"""The results of one scored video: tables, a figure, and the video with its scores drawn on it."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from wsvad_lightning.calibration import Calibration
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.files import write_json
from wsvad_lightning.reporting.figures import VideoCurve, optional, report_figure
from wsvad_lightning.reporting.overlay import Image, Overlay
from wsvad_lightning.reporting.tables import NOWHERE, REGION, SPAN, write_curve, write_events
from wsvad_lightning.timeline import Event
from wsvad_lightning.video.frames import Footage
from wsvad_lightning.video.reader import VideoReader
from wsvad_lightning.video.writer import write_video


def read_times(path: Footage, curve: VideoCurve, resample: float | None) -> list[float]:
    """Read when the frames of a scored video are shown.

    Args:
        path: the video.
        curve: score of each frame.
        resample: frames a second that it was played at when it was scored; None for every frame of the file.

    Returns:
        Seconds ``[F + 1]`` after the first frame: when each frame is shown, and when the last one ends.

    Raises:
        WSVADError: if the video cannot be read any more, or has another number of frames than there are
            scores.
    """
    times = VideoReader(path, resample=resample).times()
    _check_same(len(times) - 1, curve, path)
    return times


def frame_size(path: Footage) -> tuple[int, int]:
    """Read width and height of the frames of a video.

    Raises:
        WSVADError: if the video cannot be read any more.
    """
    height, width, _ = next(iter(VideoReader(path))).shape
    return width, height


def write_scored_tables(
    curve: VideoCurve,
    times: Sequence[float],
    fps: float,
    folder: Path,
    calibration: Calibration | None = None,
) -> None:
    """Write ``curve.csv`` and ``scores.json``, each whole or not at all.

    Where the events are known, even if there are none, ``events.csv`` is added, and ``events`` to
    ``scores.json``.

    Args:
        curve: score of each frame, and events.
        times: of the frames, as :func:`read_times` gives them.
        fps: frames a second.
        folder: where to write.
        calibration: of the model, if any; ``curve.csv`` then has what scores mean.

    Raises:
        WSVADError: if the folder cannot be written.
    """
    clock, scores = times.__getitem__, curve.scores.tolist()
    write_curve(folder / "curve.csv", scores, clock, calibration)
    record = {"video": curve.video_id, "fps": fps, "seconds": [*times[:-1]], "scores": scores}
    if curve.events is not None:
        write_events(folder / "events.csv", {curve.video_id: curve.events}, {curve.video_id: clock})
        record["events"] = [timed(event, times) for event in curve.events]
    write_json(record, folder / "scores.json", indent=None)


def write_scored_pictures(
    path: Footage, curve: VideoCurve, alarm: float, resample: float | None, folder: Path
) -> None:
    """Write ``scores.png`` and ``scored.mp4``, each whole or not at all; one that fails is a note.

    Args:
        path: the video.
        curve: score of each frame and when it is shown, and events.
        alarm: score from which on frames are marked.
        resample: see :func:`read_times`.
        folder: where to write.
    """
    with optional(folder / "scores.png"):
        report_figure([curve], folder / "scores.png", alarm=alarm)
    with optional(folder / "scored.mp4"):
        write_drawn(VideoReader(path, resample=resample), curve, alarm, folder / "scored.mp4")


def timed(event: Event, times: Sequence[float]) -> dict[str, Any]:
    """Describe an event by the names of the columns of ``events.csv``, in full precision."""
    values = (event.start, event.end, times[event.start], times[event.end])
    region = dict(zip(REGION, event.region or NOWHERE, strict=True))
    return {**dict(zip(SPAN, values, strict=True)), "class": event.name, "score": event.score, **region}


def write_drawn(reader: VideoReader, curve: VideoCurve, alarm: float, path: Path) -> None:
    """Write a video with its scores drawn on it, each frame shown as long as in the original.

    Args:
        reader: of the video.
        curve: score of each frame and when it is shown, and events.
        alarm: score from which on frames are marked.
        path: of the MP4 (H.264) to write.

    Raises:
        WSVADError: if the video has another number of frames than there are scores, or ``path`` cannot be
            written.
    """
    with write_video(path) as video:
        for picture, (start, end) in zip(draw(reader, curve, alarm), pairwise(_times(curve)), strict=True):
            video.write(picture, start, end)


def draw(reader: VideoReader, curve: VideoCurve, alarm: float) -> Iterator[Image]:
    """Draw its score on each frame of a video, and the class of the event that goes on.

    Args:
        reader: of the video.
        curve: score of each frame and when it is shown, and events.
        alarm: score from which on frames are marked.

    Raises:
        WSVADError: if the video has another number of frames than there are scores.
    """
    overlay, times = None, _times(curve)
    for frame, index in zip(reader, range(len(curve.scores)), strict=False):  # the numbers are compared below
        if overlay is None:
            height, width = frame.shape[:2]
            overlay = Overlay(curve.scores, width, height, alarm, curve.events or (), curve.maps)
        yield overlay.draw(frame, index, times[index])
    _check_same(reader.num_frames, curve, reader.path)


def _times(curve: VideoCurve) -> list[float]:
    assert curve.times is not None, "a video that is drawn is timed"
    times: list[float] = curve.times.tolist()
    return times


def _check_same(num_frames: int, curve: VideoCurve, path: Footage) -> None:
    if num_frames != len(curve.scores):
        problem = f"has {num_frames} frames now and had {len(curve.scores)} when it was scored"
        raise WSVADError("--videos", path, problem, "Score it again")
