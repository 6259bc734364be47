"""Encoding: frames as H.264 in MP4."""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsvad_lightning.files import replacing
from wsvad_lightning.video.film import import_av

CRF = 23  # the encoder's own constant rate factor: 0 is lossless, 51 the worst
CLOCK = 90_000  # ticks a second of frames that have times, as in most containers


class VideoWriter:
    """Encodes the frames of one video; made by :func:`write_video`.

    Args:
        container: an open PyAV container.
        fps: frames a second; None for frames that come with their times.
        crf: constant rate factor.
        threads: of the encoder; 0 for one per core.
    """

    def __init__(self, container: Any, fps: int | None, crf: int, threads: int) -> None:
        self._container, self._num_frames, self._ticks = container, 0, -1
        options = {"preset": "veryfast", "crf": str(crf)}
        self._stream = container.add_stream("libx264", fps, options)
        self._stream.pix_fmt, self._stream.thread_count = "yuv420p", threads
        self._stream.codec_context.flags |= import_av().codec.context.Flags.frame_duration
        self._clock = fps or CLOCK
        self._stream.codec_context.time_base = Fraction(1, self._clock)

    def write(
        self, picture: NDArray[np.uint8], seconds: float | None = None, until: float | None = None
    ) -> None:
        """Encode the next frame.

        Args:
            picture: ``[H, W, 3]`` RGB, with even H and W that are the same for all frames.
            seconds: when the frame is shown, where the video has no constant frame rate. A time that is not
                later than that of the frame before counts as one tick after it.
            until: when the next frame is shown; of the last frame, when the video ends. One tick later unless
                given, which is a whole frame at a constant frame rate.
        """
        if self._num_frames == 0:
            self._stream.height, self._stream.width = picture.shape[:2]
        due = self._num_frames if seconds is None else round(seconds * self._clock)
        self._ticks = max(self._ticks + 1, due)
        frame = import_av().VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = self._ticks, Fraction(1, self._clock)
        end = self._ticks + 1 if until is None else round(until * self._clock)
        frame.duration = max(1, end - self._ticks)
        self._container.mux(self._stream.encode(frame))
        self._num_frames += 1

    def finish(self) -> None:
        """Encode what the encoder still holds."""
        self._container.mux(self._stream.encode())


@contextmanager
def write_video(
    path: str | Path, fps: int | None = None, crf: int = CRF, threads: int = 0
) -> Iterator[VideoWriter]:
    """Write a video, whole or not at all.

    ``with write_video(path, fps=25) as video: video.write(picture)``. At least one frame must be written.

    Args:
        path: the MP4 to write.
        fps: frames a second; None where every frame comes with its time.
        crf: constant rate factor, from 0 (lossless) to 51.
        threads: of the encoder; 0 for one per core.

    Raises:
        WSVADError: if PyAV is not installed, or the file cannot be written.
    """
    av = import_av()
    with replacing(path) as temporary, av.open(temporary, "w", format="mp4") as container:
        writer = VideoWriter(container, fps, crf, threads)
        yield writer
        writer.finish()
