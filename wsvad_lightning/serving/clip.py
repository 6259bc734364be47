"""The frames around an alarm: few and small ones, so that those of many cameras can be held."""

from collections import deque
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsvad_lightning.video.writer import write_video

RATE = 5  # frames a second that are kept
LONGEST_SIDE = 400  # pixels of a frame that is kept
AROUND = 4 * RATE  # latest frames that are held
OPENING = 8 * RATE  # frames of a clip before its end is cut to

Picture = NDArray[np.uint8]


class Clip:
    """Holds the latest frames of a source, and from an alarm's start on those of its clip.

    A clip begins up to 4 seconds before an alarm is known, goes on for 4 seconds at least, and ends with the
    last 4 before the alarm's end is known; what lies between is left out.
    """

    def __init__(self) -> None:
        self._latest = deque[tuple[float, Picture]](maxlen=AROUND)
        self._kept: list[tuple[float, Picture]] | None = None

    def add(self, picture: Picture, seconds: float) -> None:
        """Take a frame ``[H, W, 3]`` of a source, with its time."""
        if self._latest and 0 <= seconds - self._latest[-1][0] < 1 / RATE - 1e-6:
            return
        self._latest.append((seconds, shrunk(picture)))
        if self._kept is not None and len(self._kept) < OPENING:
            self._kept.append(self._latest[-1])

    def begin(self) -> None:
        """An alarm has started."""
        self._kept = list(self._latest)

    def end(self) -> list[Picture]:
        """Give the frames of the alarm that has ended; none without a start."""
        kept, self._kept = self._kept or [], None
        known = {id(picture) for _, picture in kept}
        ending = [picture for _, picture in self._latest if id(picture) not in known]
        return [*(picture for _, picture in kept), *ending] if kept else []


def shrunk(picture: Picture) -> Picture:
    """Leave out rows and columns of a picture until it is small, and its sides are even."""
    step = -(-max(picture.shape[:2]) // LONGEST_SIDE)
    small = picture[::step, ::step]
    height, width = (side - side % 2 for side in small.shape[:2])
    return np.ascontiguousarray(small[:height, :width])


def write_clip(frames: Sequence[Picture], path: Path) -> None:
    """Write a clip as MP4.

    Raises:
        WSVADError: if it cannot be written.
    """
    with write_video(path, fps=RATE, threads=1) as video:
        for picture in frames:
            video.write(picture)
