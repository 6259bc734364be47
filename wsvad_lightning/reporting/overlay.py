"""The score of each frame drawn on it: a coloured border, number, time, and the curve of the video."""

from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsvad_lightning.metrics.cells import borders
from wsvad_lightning.reporting.fonts import legible
from wsvad_lightning.timeline import Event

Image = NDArray[np.uint8]
Values = NDArray[np.floating[Any]]

CALM, ALARM = np.array([62, 138, 66]), np.array([214, 58, 42])
PAPER, INK = np.array([24, 27, 32], np.uint8), 255
SMALLEST = 6  # pixels of a letter
OPACITY = 0.6  # of a map where it is 1
AHEAD = 0.4  # brightness of the curve after the frame that is shown
UNDER = 0.45  # brightness of the area under the curve relative to the curve
DASH = 6  # pixels of the alarm line, and of the gaps in it


class Overlay:
    """Draws on the frames of one video.

    The curve goes from 0 to 1, or further where scores do, with space below and above it. A column of it
    shows the highest score of the frames that share it. The dashed line is that of the alarm; red marks at
    the bottom are frames that reach it. While an event goes on, its class is named below the number.

    Args:
        scores: ``[F]``, one per frame.
        width: of the frames in pixels.
        height: of the frames in pixels.
        alarm: score from which on a frame is marked.
        events: of the video; they do not overlap.
        maps: ``(start, end, map [h, w])`` of successive frames, in [0, 1]; the stronger a part of the frame
            is on it, the redder it becomes.
    """

    def __init__(
        self,
        scores: Values,
        width: int,
        height: int,
        alarm: float,
        events: Sequence[Event] = (),
        maps: Sequence[tuple[int, int, Values]] = (),
    ) -> None:
        low, high = min(0.0, float(scores.min())), max(1.0, float(scores.max()))
        self._scores, self._levels = scores, (scores - low) / (high - low)
        self._alarm = (alarm - low) / (high - low)
        self._width, self._height = width, height
        self._maps, self._starts = maps, [start for start, _, _ in maps]
        self._names: list[str | None] = [None] * len(scores)
        for start, end, name, *_ in events:
            self._names[start:end] = [name] * (end - start)
        self._played = self._draw_curve(max(24, height // 5))
        self._ahead = (PAPER + AHEAD * (self._played.astype(float) - PAPER)).astype(np.uint8)

    def draw(self, frame: Image, index: int, seconds: float) -> Image:
        """Draw on a frame.

        Args:
            frame: ``[height, width, 3]`` RGB.
            index: its number, from 0.
            seconds: when it is shown.

        Returns:
            The frame with the curve below it, of even width and height as encoders of video want them.
        """
        bottom = self._height + len(self._played)
        picture = np.zeros((bottom + bottom % 2, self._width + self._width % 2, 3), np.uint8)
        colour = colours(self._levels[index])
        border = max(2, self._height // 80)
        picture[: self._height, : self._width] = colour
        inside = np.s_[border : self._height - border, border : self._width - border]
        picture[inside] = (self._tinted(frame, index) if self._maps else frame)[inside]
        now = index * self._width // len(self._scores)
        strip = picture[self._height : bottom, : self._width]
        strip[:, :now], strip[:, now:], strip[:, now] = self._played[:, :now], self._ahead[:, now:], INK
        size = max(11, self._height // 14)
        clock = text(f"{clock_time(seconds)}  {index}", size)
        self._write(picture, clock, PAPER, left=max(0, self._width - clock.shape[1]))
        number = text(f"{self._scores[index]:.2f}", size)
        self._write(picture, number, colour)
        if name := self._names[index]:
            self._write(picture, name_tag(name, size, self._width), colour, top=len(number))
        return picture

    def _tinted(self, frame: Image, index: int) -> Image:
        return tint(frame, self._maps[bisect_right(self._starts, index) - 1][2])

    def _write(
        self, picture: Image, letters: NDArray[np.float32], colour: Image, top: int = 0, left: int = 0
    ) -> None:
        """Put letters on the frame; what passes its right and lower edge is cut off."""
        place = picture[top : self._height, left : self._width][: len(letters), : letters.shape[1]]
        shape = np.s_[: place.shape[0], : place.shape[1], None]
        place[:] = colour + letters[shape] * (INK - colour.astype(float))

    def _draw_curve(self, height: int) -> Image:
        """The curve of the whole video, ``[height, width, 3]``."""
        starts = np.arange(self._width) * len(self._levels) // self._width
        levels = np.maximum.reduceat(self._levels, starts)
        space = height // 6  # above the highest score and below the lowest one
        rows = np.arange(height)[:, None]
        middle = space + np.round((1 - levels) * (height - 1 - 2 * space))
        before = np.concatenate([middle[:1], middle[:-1]])  # the line is connected from column to column
        line = (rows >= np.minimum(middle, before) - 1) & (rows <= np.maximum(middle, before) + 1)
        under = (rows > middle) & (rows < height - space)
        shade = np.where(line, 1.0, np.where(under, UNDER, 0.0))[..., None]
        curve: Image = (PAPER + shade * (colours(levels) - PAPER.astype(float))).astype(np.uint8)
        if 0 <= self._alarm <= 1:
            row = space + round((1 - self._alarm) * (height - 1 - 2 * space))
            curve[row, np.arange(self._width) // DASH % 2 == 0] = INK
        curve[height - space + 2 :, levels >= self._alarm] = ALARM
        return curve


def clock_time(seconds: float) -> str:
    """Write minutes and seconds, such as ``2:03.5``, and hours where there are any."""
    tenths = int(10 * seconds + 1e-6)
    minutes, rest = divmod(tenths, 600)
    hours, minutes_left = divmod(minutes, 60)
    start = f"{hours}:{minutes_left:02d}" if hours else f"{minutes}"
    return f"{start}:{rest // 10:02d}.{rest % 10}"


def tint(frame: Image, levels: Values) -> Image:
    """Lay a map ``[h, w]`` in [0, 1] over a frame ``[H, W, 3]``: the higher, the redder."""
    height, width, _ = frame.shape
    top, left = borders(height, levels.shape[0]), borders(width, levels.shape[1])
    over = np.repeat(np.repeat(levels, np.diff(top), axis=0), np.diff(left), axis=1)
    tinted: Image = (frame + (OPACITY * over)[..., None] * (ALARM - frame.astype(float))).astype(np.uint8)
    return tinted


def colours(levels: Values) -> Image:
    """From calm to alarming, ``[..., 3]``, for levels in [0, 1]."""
    mixed: Image = (CALM + np.asarray(levels)[..., None] * (ALARM - CALM)).astype(np.uint8)
    return mixed


def name_tag(name: str, size: int, width: int) -> NDArray[np.float32]:
    """A name as :func:`text` gives it, in smaller letters where it would be wider than ``width`` pixels."""
    words, font = legible(name)
    letters = text(words, size, font)
    if letters.shape[1] <= width:
        return letters
    return text(words, max(SMALLEST, size * width // letters.shape[1]), font)


@lru_cache(maxsize=1024)
def text(words: str, size: int, file: Path | None = None) -> NDArray[np.float32]:
    """Words with a margin, ``[h, w]`` from 0 (paper) to 1 (ink), for letters of so many pixels.

    Without the file of a font it is one that has figures and English letters.
    """
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(size) if file is None else ImageFont.truetype(file, size)
    margin = size // 3
    left, top, right, bottom = font.getbbox(words)
    box = Image.new("L", (round(right - left) + 2 * margin, round(bottom - top) + 2 * margin))
    ImageDraw.Draw(box).text((margin - left, margin - top), words, fill=255, font=font)
    return np.asarray(box, np.float32) / np.float32(255)
