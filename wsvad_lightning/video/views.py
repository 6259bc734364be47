"""Views of a frame: the whole of it, crops, or the patches of a grid.

A view is a rectangle, which cuts images and motion fields alike.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from wsvad_lightning.errors import WSVADError

CROP = 0.875  # side of a crop relative to the shorter side of the frame: the usual 224 of 256
GRID = re.compile(r"([1-9]\d?)x([1-9]\d?)")
GRID_CELL = re.compile(r"r(\d{1,2})c(\d{1,2})")


@dataclass(frozen=True)
class View:
    """A rectangle of a frame.

    Attributes:
        name: name of the view in the store.
        extent: height and width relative to the frame's; None for a square crop.
        anchor: where it lies, from 0 (top, left) to 1 (bottom, right).
        mirrored: whether left and right are exchanged.
    """

    name: str
    extent: tuple[float, float] | None
    anchor: tuple[float, float]
    mirrored: bool = False

    def cut(self, x: Tensor) -> Tensor:
        """The view of ``[..., H, W]``, sharing its memory unless the view is mirrored."""
        height, width = x.shape[-2:]
        side = CROP * min(height, width)
        rows, columns = (
            (side, side)
            if self.extent is None
            else (
                self.extent[0] * height,
                self.extent[1] * width,
            )
        )
        x = _span(x, -2, rows, self.anchor[0])
        x = _span(x, -1, columns, self.anchor[1])
        return x.flip(-1) if self.mirrored else x


def _span(x: Tensor, dim: int, length: float, anchor: float) -> Tensor:
    whole = max(1, round(length))
    return x.narrow(dim, round(anchor * (x.shape[dim] - whole)), whole)


CENTER = View("center", None, (0.5, 0.5))
TOP_LEFT, TOP_RIGHT = View("top_left", None, (0.0, 0.0)), View("top_right", None, (0.0, 1.0))
BOTTOM_LEFT, BOTTOM_RIGHT = View("bottom_left", None, (1.0, 0.0)), View("bottom_right", None, (1.0, 1.0))
FIVE_CROPS = (TOP_LEFT, TOP_RIGHT, CENTER, BOTTOM_LEFT, BOTTOM_RIGHT)
MIRRORED_CROPS = tuple(
    View(f"{crop.name}_mirrored", None, crop.anchor, mirrored=True)
    for crop in (TOP_RIGHT, TOP_LEFT, CENTER, BOTTOM_RIGHT, BOTTOM_LEFT)
)


def parse_views(view: str) -> tuple[View, ...]:
    """Get the views of a name.

    * ``full``: the whole frame.
    * ``center``: a square in the centre, 7/8 of the shorter side (224 of 256).
    * ``five_crop``: such squares top left, top right, in the centre, bottom left and bottom right.
    * ``ten_crop``: these, then the same places of the mirrored frame, in the order of the published I3D
      features: the sixth is the mirrored top right.
    * ``2x3`` and so on: patches of 2 rows and 3 columns, row by row, named ``r0c0`` to ``r1c2``.

    Raises:
        WSVADError: if the name is none of these.
    """
    if view == "full":
        return (View("full", (1.0, 1.0), (0.0, 0.0)),)
    if view == "center":
        return (CENTER,)
    if view == "five_crop":
        return FIVE_CROPS
    if view == "ten_crop":
        return FIVE_CROPS + MIRRORED_CROPS
    if GRID.fullmatch(view):
        return patch_views(*parse_grid(view))
    raise WSVADError(
        "view", view, "no such view", "Give full, center, five_crop, ten_crop or a grid such as 2x3"
    )


def parse_grid(grid: str, argument: str = "view") -> tuple[int, int]:
    """Read the rows and columns of a patch grid such as ``2x3``.

    Args:
        grid: rows and columns, each from 1 to 99.
        argument: that names the grid, for messages.

    Raises:
        WSVADError: if it is not such a grid.
    """
    match = GRID.fullmatch(grid)
    if match is None:
        raise WSVADError(argument, grid, "is not a grid", "Give rows and columns, such as 2x3")
    return int(match[1]), int(match[2])


def patch_views(rows: int, columns: int) -> tuple[View, ...]:
    """Get the patches of a grid, row by row, named ``r0c0`` and so on."""
    extent = (1 / rows, 1 / columns)
    return tuple(
        View(f"r{r}c{c}", extent, (r / max(1, rows - 1), c / max(1, columns - 1)))
        for r in range(rows)
        for c in range(columns)
    )


def grid_of(views: Sequence[str]) -> tuple[int, int] | None:
    """Rows and columns of the grid that some views are patches of, by their names; None if of none."""
    last = GRID_CELL.fullmatch(views[-1])
    if last is None:
        return None
    rows, columns = int(last[1]) + 1, int(last[2]) + 1
    named = [view.name for view in patch_views(rows, columns)]
    return (rows, columns) if named == [*views] else None


def resize(frames: Tensor, height: int, width: int) -> Tensor:
    """Resize ``[K, C, H, W]`` uint8 frames, bilinear with antialiasing, within 1 of the unrounded result.

    On whole numbers that lie channels last in memory, as decoded frames do, this is some ten times faster
    than on floating point.
    """
    return functional.interpolate(frames, (height, width), mode="bilinear", antialias=True)


def view_images(frames: Tensor, views: tuple[View, ...], size: int | tuple[int, int]) -> Tensor:
    """Every view of every frame, as an image of one size.

    Args:
        frames: ``[K, C, H, W]`` uint8.
        views: N views.
        size: side of square images in pixels, or height and width.

    Returns:
        ``[K, N, C, height, width]`` uint8.
    """
    height, width = (size, size) if isinstance(size, int) else size
    return torch.stack([resize(view.cut(frames), height, width) for view in views], dim=1)
