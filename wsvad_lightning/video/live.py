"""Cameras: frames as they come over a network or from a device, and their play at an even rate."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wsvad_lightning.video.film import choose_track, import_av
from wsvad_lightning.video.reader import draw, make_scaler, upright_size
from wsvad_lightning.video.upright import AS_STORED, orientation_of

SCHEMES = {"rtsp": "rtsp,rtp,udp,tcp", "rtsps": "rtsp,rtp,udp,tcp,tls", "tcp": "tcp"}  # and what each may use
DEVICE = "/dev/video"
PROBED = "2000000"  # microseconds of a stream that are looked at before its first frame
USUAL_RATE = 25.0  # frames a second of a camera that states neither rate nor time stamps
MOST_SIZES = 10  # that are named
LONGEST_STEP = 2.0  # seconds between frames; more is a gap, not a pause of the camera


class CameraError(Exception):
    """A camera cannot be reached, or gives no more frames."""


class CameraFrame(NamedTuple):
    """A frame of a camera.

    Attributes:
        picture: ``[H, W, 3]`` RGB, upright; the size is that of the first frame.
        stamp: seconds, as the camera counts them.
    """

    picture: NDArray[np.uint8]
    stamp: float


class Camera:
    """An open camera; made by :func:`open_camera`.

    Args:
        container: of PyAV.
        track: its video stream.
        silence: seconds without a frame after which the camera counts as lost.

    Attributes:
        rate: frames a second that it states; 0 if it does not.
        damaged: packets that could not be decoded, or not without damage.
        sizes: width and height of the frames so far, each once.
    """

    def __init__(self, container: Any, track: Any, silence: float) -> None:
        self._container, self._track, self._silence = container, track, silence
        self.rate = float(track.average_rate or track.guessed_rate or 0)
        self.damaged, self.sizes = 0, dict[tuple[int, int], None]()

    def __iter__(self) -> Iterator[CameraFrame]:
        """Give frames until the camera ends.

        Raises:
            CameraError: if it is lost.
        """
        size: dict[str, int] = {}
        scaler, step = make_scaler(), 1 / (self.rate or USUAL_RATE)
        stamp = -step
        for frame in self._frames():
            orientation = orientation_of(frame, {}) or AS_STORED
            size = size or upright_size(frame, orientation)
            if len(self.sizes) < MOST_SIZES:
                self.sizes[frame.width, frame.height] = None
            stamp = stamp + step if frame.pts is None else float(frame.pts * self._track.time_base)
            yield CameraFrame(draw(scaler, frame, orientation, **size), stamp)

    def _frames(self) -> Iterator[Any]:
        mistakes, latest = import_av().FFmpegError, time.monotonic()
        try:
            for packet in self._container.demux(self._track):
                if time.monotonic() - latest > self._silence:
                    raise CameraError(f"no frames for {self._silence:g} s")
                try:
                    frames = self._track.decode(packet)
                except mistakes:
                    self.damaged += 1
                    continue
                self.damaged += packet.is_corrupt or any(frame.is_corrupt for frame in frames)
                for frame in frames:
                    latest = time.monotonic()
                    yield frame
        except mistakes as error:
            raise CameraError(explain(error, self._silence)) from error


@contextmanager
def open_camera(address: str, silence: float) -> Iterator[Camera]:
    """Open a camera.

    Args:
        address: ``rtsp://``, ``rtsps://`` or ``tcp://``, or a device such as ``/dev/video0``.
        silence: seconds without data after which it counts as lost.

    Raises:
        CameraError: if it cannot be reached, or has no video.
    """
    av = import_av()
    scheme = address.partition("://")[0]
    options = {"analyzeduration": PROBED}
    if scheme in SCHEMES:
        options["protocol_whitelist"] = SCHEMES[scheme]
    if scheme.startswith("rtsp"):
        options["rtsp_transport"] = "tcp"
    kind = "v4l2" if address.startswith(DEVICE) else None
    try:
        container = av.open(address, format=kind, options=options, timeout=silence)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise CameraError(explain(error, silence)) from error
    with container:
        try:
            track, _ = choose_track(Path(address), container.streams.video)
        except ValueError as error:
            raise CameraError("gives no video") from error
        track.thread_count = 1  # threads hold frames back
        yield Camera(container, track, silence)


def explain(error: Exception, silence: float) -> str:
    """Say in a few words what happened to a camera."""
    if isinstance(error, import_av().error.ExitError):  # of the time limit
        return f"no frames for {silence:g} s"
    return " ".join(str(getattr(error, "strerror", None) or error).split()).lower()


class EvenRate:
    """Plays frames at a constant rate by their time stamps, as :class:`VideoReader` does with ``resample``.

    Frame k is the last one that is due by ``(k + 1/2) / rate`` seconds after the first.

    Args:
        rate: frames a second.
    """

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._first = self._last = math.nan
        self._shown: CameraFrame | None = None
        self._given = 0

    def follows(self, stamp: float) -> bool:
        """Whether a stamp goes on after the latest one; not if it goes back, or leaves out seconds."""
        return self._shown is None or 0 <= stamp - self._last <= LONGEST_STEP

    def add(self, frame: CameraFrame) -> Iterator[CameraFrame]:
        """Take the next frame, and give those that are due before it, with seconds after the first."""
        if self._shown is None:
            self._first = frame.stamp
        yield from self._until(frame.stamp)
        self._shown, self._last = frame, frame.stamp

    def finish(self) -> Iterator[CameraFrame]:
        """Give the last frame, which lasts as long as one of an even rate."""
        if self._shown is not None:
            yield from self._until(max(self._last, self._first) + 1 / self.rate)
            self._shown = None

    def _until(self, stamp: float) -> Iterator[CameraFrame]:
        due = math.floor((stamp - self._first) * self.rate + 0.5)
        while self._shown is not None and self._given < due:
            yield CameraFrame(self._shown.picture, self._given / self.rate)
            self._given += 1
