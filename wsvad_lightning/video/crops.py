"""The part of a frame that a clip shows, and how it is drawn."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wsvad_lightning.video.reader import Picture, draw

Size = tuple[int, int]  # height and width in pixels


class Crop(NamedTuple):
    """The part of a frame that a clip shows.

    Attributes:
        extent: how large it is, relative to the largest rectangle of the clip's shape that fits into the
            frame; None for the whole frame, squeezed into that shape.
        anchor: where it lies, from 0 (top, left) to 1 (bottom, right).
    """

    extent: float | None = None
    anchor: tuple[float, float] = (0.5, 0.5)

    def layout(self, frame: Size, size: Size | None) -> "Layout":
        """Find where the clip lies in the scaled frame.

        Args:
            frame: height and width of the upright frame.
            size: of the clip; None for that of the frame.
        """
        size = size or frame
        if self.extent is None:
            return Layout(size, (0, 0), size)
        scale = self.extent * min(frame[0] / size[0], frame[1] / size[1])
        height, width = (max(own, round(full / scale)) for own, full in zip(size, frame, strict=True))
        top, left = round(self.anchor[0] * (height - size[0])), round(self.anchor[1] * (width - size[1]))
        return Layout((height, width), (top, left), size)


WHOLE = Crop()


class Layout(NamedTuple):
    """A rectangle of a scaled frame, in pixels.

    Attributes:
        scaled: height and width that the frame is scaled to.
        offset: row and column where the rectangle begins.
        size: height and width of the rectangle.
    """

    scaled: Size
    offset: Size
    size: Size

    def draw(self, picture: Picture, scaler: Any) -> NDArray[np.uint8]:
        """Draw the rectangle ``[height, width, 3]``."""
        height, width = self.scaled
        pixels = draw(scaler, picture.frame, picture.orientation, width=width, height=height)
        (top, left), (rows, columns) = self.offset, self.size
        return pixels[top : top + rows, left : left + columns]

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Top, left, bottom and right of the rectangle, relative to the frame."""
        begin = [offset / full for offset, full in zip(self.offset, self.scaled, strict=True)]
        extent = [size / full for size, full in zip(self.size, self.scaled, strict=True)]
        return begin[0], begin[1], begin[0] + extent[0], begin[1] + extent[1]
