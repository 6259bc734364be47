"""What is written of a scored video: tables, a curve, and the video with its scores drawn on it."""

import csv
import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from wsvad_lightning.backbones.video import VideoReader, import_av
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.files import replacing
from wsvad_lightning.reporting.figures import VideoCurve, report_figure
from wsvad_lightning.serving.overlay import Image, Overlay

CRF = "23"
CLOCK = 90_000  # ticks a second, as in most containers


def write_scored_video(path: Path, curve: VideoCurve, resample: float | None, folder: Path) -> None:
    """Write ``scored.mp4``, ``scores.csv``, ``scores.json`` and ``scores.png``, each whole or not at all.

    Args:
        path: the video.
        curve: score of each frame.
        resample: frames a second that it was played at when it was scored; None for every frame of the file.
        folder: where to write.

    Raises:
        WSVADError: if the video does not have these frames, matplotlib is not installed, or the folder cannot
            be written.
    """
    reader = VideoReader(path, resample=resample)
    seconds = write_drawn(reader, curve, folder / "scored.mp4")
    rows = list(zip(seconds, curve.scores.tolist(), strict=True))
    with replacing(folder / "scores.csv") as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("frame", "seconds", "score"))
        writer.writerows((i, f"{time:.3f}", f"{score:.6g}") for i, (time, score) in enumerate(rows))
    table = {"video": curve.video_id, "fps": reader.fps, "seconds": seconds, "scores": curve.scores.tolist()}
    with replacing(folder / "scores.json") as temporary:
        temporary.write_text(json.dumps(table) + "\n")
    report_figure([curve], folder / "scores.png")


def write_drawn(reader: VideoReader, curve: VideoCurve, path: Path) -> list[float]:
    """Write a video with its scores drawn on it, each frame shown as long as in the original.

    Args:
        reader: of the video.
        curve: score of each frame.
        path: of the MP4 (H.264) to write.

    Returns:
        When each frame is shown, in seconds after the first.

    Raises:
        WSVADError: if the video has another number of frames than there are scores, or ``path`` cannot be
            written.
    """
    av, seconds, ticks = import_av(), list[float](), -1
    with replacing(path) as temporary, av.open(temporary, "w", format="mp4") as container:
        stream = container.add_stream("libx264", options={"preset": "veryfast", "crf": CRF})
        stream.pix_fmt, stream.codec_context.time_base = "yuv420p", Fraction(1, CLOCK)
        for picture in draw(reader, curve):
            if not seconds:
                stream.height, stream.width = picture.shape[:2]
            ticks = max(ticks + 1, round(reader.seconds * CLOCK))  # rising, whatever the file says
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = ticks, Fraction(1, CLOCK)
            container.mux(stream.encode(frame))
            seconds.append(reader.seconds)
        container.mux(stream.encode())
    return seconds


def draw(reader: VideoReader, curve: VideoCurve) -> Iterator[Image]:
    """Draw its score on each frame of a video.

    Args:
        reader: of the video.
        curve: score of each frame.

    Raises:
        WSVADError: if the video has another number of frames than there are scores.
    """
    overlay: Overlay | None = None
    for frame, index in zip(reader, range(len(curve.scores)), strict=False):  # the numbers are compared below
        overlay = overlay or Overlay(curve.scores, frame.shape[1], frame.shape[0])
        yield overlay.draw(frame, index)
    if reader.num_frames != len(curve.scores):
        problem = f"has {reader.num_frames} frames now and had {len(curve.scores)} when it was scored"
        raise WSVADError("--videos", reader.path, problem, "Score it again")
