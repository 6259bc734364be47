"""How a picture is turned upright: the display matrix of a file, or its older tag ``rotate``."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

ONE = 1 << 16  # 1.0 in the matrix
ROUNDED = ONE // 100


class Orientation(NamedTuple):
    """Where the pixel of column x and row y is shown: in column a x + c y and row b x + d y.

    Attributes:
        a: see above; each is -1, 0 or 1, and the two that go together are 0 or not.
        b: see above.
        c: see above.
        d: see above.
    """

    a: int
    b: int
    c: int
    d: int

    def turn(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Turn a picture ``[H, W, 3]`` upright."""
        if self == AS_STORED:
            return picture
        rows, columns = (self.b, self.c) if self.transposes else (self.d, self.a)
        picture = picture.swapaxes(0, 1) if self.transposes else picture
        return np.ascontiguousarray(picture[::rows, ::columns])

    @property
    def transposes(self) -> bool:
        """Whether height and width change places."""
        return self.a == 0


AS_STORED = Orientation(1, 0, 0, 1)
WORDS = {
    Orientation(0, 1, -1, 0): "turned upright, by 90 degrees clockwise",
    Orientation(-1, 0, 0, -1): "turned upright, by 180 degrees",
    Orientation(0, -1, 1, 0): "turned upright, by 90 degrees counter-clockwise",
    Orientation(-1, 0, 0, 1): "mirrored left to right, as the file asks",
    Orientation(1, 0, 0, -1): "mirrored top to bottom, as the file asks",
    Orientation(0, 1, 1, 0): "turned by 90 degrees and mirrored, as the file asks",
    Orientation(0, -1, -1, 0): "turned by 90 degrees and mirrored, as the file asks",
}
TURNED = {0: AS_STORED, -90: Orientation(0, 1, -1, 0), 90: Orientation(0, -1, 1, 0)}  # 180 may be mirrored
TAGS = {"90": (0, 1, -1, 0), "180": (-1, 0, 0, -1), "270": (0, -1, 1, 0), "-90": (0, -1, 1, 0)}


def orientation_of(frame: Any, tags: Mapping[str, str]) -> Orientation | None:
    """Get how a frame is turned upright; None if its file asks for another angle.

    Args:
        frame: of PyAV.
        tags: of its track.
    """
    try:
        matrix = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV 18 cannot list what comes with a picture that has EXIF data
        return TURNED.get(frame.rotation)
    if matrix is None:
        tag = next((value.strip() for name, value in tags.items() if name.lower() == "rotate"), "0")
        return Orientation(*TAGS.get(tag, AS_STORED))
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].tolist()
    if any(abs(value) > ROUNDED and abs(abs(value) - ONE) > ROUNDED for value in (a, b, c, d)):
        return None
    found = Orientation(*(round(value / ONE) for value in (a, b, c, d)))
    return found if found == AS_STORED or found in WORDS else None
