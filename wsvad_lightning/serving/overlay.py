"""The score of each frame drawn on it: a coloured border, the number, and the curve of the whole video."""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Values = NDArray[np.floating[Any]]

CALM, ALARM = np.array([62, 138, 66]), np.array([214, 58, 42])
PAPER, INK = np.array([24, 27, 32], np.uint8), 255
AHEAD = 0.4  # how bright the curve is behind the frame that is shown


class Overlay:
    """Draws on the frames of one video.

    The curve goes from 0 at the bottom to 1 at the top, or further where scores do. A column of it shows the
    highest score of the frames that share it.

    Args:
        scores: ``[F]``, one a frame.
        width: of the frames in pixels.
        height: of the frames in pixels.
    """

    def __init__(self, scores: Values, width: int, height: int) -> None:
        low, high = min(0.0, float(scores.min())), max(1.0, float(scores.max()))
        self._scores, self._levels = scores, (scores - low) / (high - low)
        self._width, self._height = width, height
        self._played = self._draw_curve(max(24, height // 5))
        self._ahead = (PAPER + AHEAD * (self._played.astype(float) - PAPER)).astype(np.uint8)

    def draw(self, frame: Image, index: int) -> Image:
        """Draw on a frame.

        Args:
            frame: ``[height, width, 3]`` RGB.
            index: its number, from 0.

        Returns:
            The frame with the curve below it, of even width and height as encoders of video want them.
        """
        bottom = self._height + len(self._played)
        picture = np.zeros((bottom + bottom % 2, self._width + self._width % 2, 3), np.uint8)
        colour = colours(self._levels[index])
        border = max(2, self._height // 80)
        picture[: self._height, : self._width] = colour
        inside = np.s_[border : self._height - border, border : self._width - border]
        picture[inside] = frame[inside]
        now = index * self._width // len(self._scores)
        strip = picture[self._height : bottom, : self._width]
        strip[:, :now], strip[:, now:], strip[:, now] = self._played[:, :now], self._ahead[:, now:], INK
        letters = text(f"{self._scores[index]:.2f}", max(11, self._height // 14))
        corner = picture[: self._height, : self._width][: len(letters), : letters.shape[1]]
        shape = np.s_[: corner.shape[0], : corner.shape[1], None]
        corner[:] = colour + letters[shape] * (INK - colour.astype(float))
        return picture

    def _draw_curve(self, height: int) -> Image:
        """The curve of the whole video, ``[height, width, 3]``."""
        starts = np.arange(self._width) * len(self._levels) // self._width
        levels = np.maximum.reduceat(self._levels, starts)
        under = np.linspace(1, 0, height)[:, None] <= levels
        curve: Image = np.where(under[..., None], colours(levels), PAPER)
        return curve


def colours(levels: Values) -> Image:
    """From calm to alarming, ``[..., 3]``, for levels in [0, 1]."""
    mixed: Image = (CALM + np.asarray(levels)[..., None] * (ALARM - CALM)).astype(np.uint8)
    return mixed


@lru_cache(maxsize=1024)
def text(words: str, size: int) -> NDArray[np.float32]:
    """Words with a margin, ``[h, w]`` from 0 (paper) to 1 (ink), for letters of so many pixels."""
    from PIL import Image, ImageDraw, ImageFont

    font, margin = ImageFont.load_default(size), size // 3
    left, top, right, bottom = font.getbbox(words)
    box = Image.new("L", (round(right - left) + 2 * margin, round(bottom - top) + 2 * margin))
    ImageDraw.Draw(box).text((margin - left, margin - top), words, fill=255, font=font)
    return np.asarray(box, np.float32) / np.float32(255)
