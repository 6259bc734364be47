"""Decoding: the frames of a video, one at a time, in bounded memory."""

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsvad_lightning.errors import WSVADError


def import_av() -> ModuleType:
    """PyAV, the package that decodes.

    Raises:
        WSVADError: if it is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise WSVADError(
            "videos",
            "PyAV",
            "the package that decodes videos is not installed",
            'Install it with: pip install "wsvad-lightning[video]"',
        ) from error
    return av


class VideoReader:
    """The frames of one video, in order: ``for frame in VideoReader(path)`` gives uint8 RGB ``[H, W, 3]``.

    Every frame is decoded, and counted: the number in a file's header is often wrong. All frames get the
    size of the first. The file is closed when the iteration ends or is abandoned.

    A decoding error, or a packet or frame that is marked as corrupt, makes the whole video broken: the frames
    behind it would have wrong numbers. So does a missing end where the container shows it, as MP4 and AVI do;
    Matroska then reads as a shorter video, which a frame count in the annotations catches.

    Args:
        path: the file.
        step: give every ``step``-th frame; the others are decoded and counted only.

    Attributes:
        fps: average frames a second; known from the first frame on.
        num_frames: frames decoded so far; all of them once the iteration is over.

    Raises:
        WSVADError: if PyAV is not installed; while iterating, if the file is missing, is no video, has no
            frames or cannot be decoded to its end.
    """

    def __init__(self, path: str | Path, step: int = 1) -> None:
        self._av = import_av()
        self.path, self.step = Path(path), step
        self.fps, self.num_frames = 0.0, 0

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        self.num_frames = 0
        size: dict[str, int] = {}
        try:
            for frame in self._decoded():
                size = size or {"width": frame.width, "height": frame.height}
                if self.num_frames % self.step == 0:
                    yield frame.to_ndarray(format="rgb24", **size)
                self.num_frames += 1
        except self._av.FFmpegError as error:
            raise self._broken(f"cannot be decoded{self._where()} ({error.strerror})") from error
        if self.num_frames == 0:
            raise self._broken("has no frames")

    def _decoded(self) -> Iterator[Any]:
        with self._av.open(str(self.path)) as container:
            if not container.streams.video or container.streams.video[0].codec_context is None:
                raise self._broken("has no video stream that can be decoded")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            self.fps = float(stream.average_rate or stream.guessed_rate or 0)
            if self.fps <= 0:
                raise self._broken("states no frame rate")
            for packet in container.demux(stream):
                frames = packet.decode()
                if packet.is_corrupt or any(frame.is_corrupt for frame in frames):
                    raise self._broken(f"is damaged{self._where()}")
                yield from frames

    def _where(self) -> str:
        return f" after {self.num_frames} frames" if self.num_frames else ""

    def _broken(self, problem: str) -> WSVADError:
        return WSVADError("video", self.path, problem, "Repair, replace or skip it (--skip-broken)")
