"""Decoding: the frames of a video one at a time, in bounded memory."""

import math
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsvad_lightning.errors import WSVADError

IRREGULAR = 1.5  # of a constant rate: the longest step between frames by the shortest, as stamps are rounded


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


class TimeStamps:
    """Duration, order and rate of a video by the time stamps of its frames, while these come in.

    Attributes:
        num_frames: frames that came.
        elapsed: seconds from the first frame to the last; NaN if the stamps are missing.
        backwards: whether a frame was stamped earlier than the one before.
    """

    def __init__(self) -> None:
        self.num_frames, self.elapsed, self.backwards = 0, 0.0, False
        self._first = 0.0
        self._shortest, self._longest = math.inf, 0.0  # steps from frame to frame

    def add(self, seconds: float) -> None:
        """Take the stamp of the next frame, NaN if it has none."""
        if self.num_frames == 0:
            self._first = seconds
        step = seconds - self._first - self.elapsed
        if self.num_frames > 0:
            self._shortest, self._longest = min(self._shortest, step), max(self._longest, step)
        self.backwards |= step < 0
        self.elapsed += step
        self.num_frames += 1

    def elapsed_at(self, stated: float) -> float:
        """Seconds from the first frame to the last; by the stated rate where stamps are missing."""
        steps = self.num_frames - 1
        return steps / (stated or 1.0) if math.isnan(self.elapsed) else self.elapsed

    @property
    def irregular(self) -> bool:
        """Whether the frame rate is variable."""
        return self._longest > IRREGULAR * self._shortest

    def rate(self, stated: float) -> float:
        """Average frames a second: what the file states, unless its stamps differ by half a frame or more."""
        steps = self.num_frames - 1
        differs = self.elapsed > 0 and abs(stated * self.elapsed - steps) > 0.5
        return steps / self.elapsed if differs else stated


class VideoReader:
    """The frames of one video, in order: ``for frame in VideoReader(path)`` gives uint8 RGB ``[H, W, 3]``.

    Every frame is decoded, and counted: the number in a file's header is often wrong. All frames get the
    size of the first. The file is closed when the iteration ends or is abandoned.

    Without ``resample``, every decoded frame counts once, however long it is shown. With ``resample``, the
    video is played at a constant rate by its time stamps: frame k is the last one that is due by
    ``(k + 1/2) / resample`` seconds after the first. Frames are repeated where the file has too few of them
    and left out where it has too many. The last frame lasts as long as the average one.

    A decoding error, or a packet or frame that is marked as corrupt, makes the whole video broken, as the
    frames after it would have wrong numbers. A missing end does too where the container shows it, as MP4 and
    AVI do. Matroska then reads as a shorter video; a frame count in the annotations catches that.

    Args:
        path: the file.
        step: give every ``step``-th frame; the others are decoded and counted only.
        resample: frames a second to play the video at; None for every decoded frame.

    Attributes:
        num_frames: frames so far, given or not; all of them once the iteration is over.
        seconds: when the latest frame is shown, after the first.
        fps: average frames a second; known once the iteration is over.
        irregular: whether the file has a variable frame rate; known once the iteration is over.

    Raises:
        WSVADError: if PyAV is not installed; while iterating, if the file is missing, is not a video, has no
            frames, cannot be decoded to its end, or lacks the time stamps to resample it.
    """

    def __init__(self, path: str | Path, step: int = 1, resample: float | None = None) -> None:
        self._av = import_av()
        self.path, self.step, self.resample = Path(path), step, resample
        self._restart()

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        self._restart()
        size: dict[str, int] = {}
        try:
            for frame in self._decoded() if self.resample is None else self._resampled(self.resample):
                size = size or {"width": frame.width, "height": frame.height}
                self.num_frames += 1
                if (self.num_frames - 1) % self.step == 0:
                    yield frame.to_ndarray(format="rgb24", **size)
        except self._av.FFmpegError as error:
            raise self._broken(f"cannot be decoded{self._where()} ({error.strerror})") from error
        if self.num_frames == 0:
            raise self._broken("has no frames")
        self.fps = self.resample or self._stamps.rate(self._stated)
        self.irregular = self._stamps.irregular
        if self.fps <= 0:
            raise self._broken("states no frame rate")

    def _restart(self) -> None:
        self._stamps, self._stated = TimeStamps(), 0.0
        self.num_frames, self.seconds, self.fps, self.irregular = 0, 0.0, 0.0, False

    def _decoded(self) -> Iterator[Any]:
        """Every frame of the file."""
        with self._av.open(str(self.path)) as container:
            if not container.streams.video or container.streams.video[0].codec_context is None:
                raise self._broken("has no video stream that can be decoded")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            self._stated = float(stream.average_rate or stream.guessed_rate or 0)
            for packet in container.demux(stream):
                frames = packet.decode()
                if packet.is_corrupt or any(frame.is_corrupt for frame in frames):
                    raise self._broken(f"is damaged{self._where()}")
                for frame in frames:
                    self._stamps.add(math.nan if frame.time is None else frame.time)
                    self.seconds = self._stamps.elapsed_at(self._stated)
                    yield frame

    def _resampled(self, rate: float) -> Iterator[Any]:
        """The frames that are due, at an even rate."""
        given = 0
        for frame, until in self._shown(rate):
            while given < until:
                self.seconds = given / rate
                yield frame
                given += 1

    def _shown(self, rate: float) -> Iterator[tuple[Any, int]]:
        """Every frame of the file, with the number of the frame that follows it at an even rate."""
        shown = None
        for frame in self._decoded():
            if self._stamps.backwards or math.isnan(self._stamps.elapsed):
                raise self._broken(f"lacks rising time stamps{self._where()}, which --fps requires")
            if shown is not None:
                yield shown, math.floor(self._stamps.elapsed * rate + 0.5)
            shown = frame
        if shown is not None:
            end = self._stamps.elapsed + 1 / (self._stamps.rate(self._stated) or rate)
            yield shown, max(1, math.floor(end * rate + 0.5))

    def _where(self) -> str:
        return f" after {self._stamps.num_frames} frames" if self._stamps.num_frames else ""

    def _broken(self, problem: str) -> WSVADError:
        remedy = "Repair or replace it, or leave it out (extract: --skip-broken)"
        return WSVADError("video", self.path, problem, remedy)
