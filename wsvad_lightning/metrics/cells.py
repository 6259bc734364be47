"""Maps, their cells and the regions that they have: what :mod:`wsvad_lightning.metrics.region` counts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsvad_lightning.errors import WSVADError

TOP = 65535  # the highest level: a score of 1
STEEPEST = 16.0  # log-odds from which scores equal 0 or 1 for the metric; those of float32 end there
PREDICTED = 5  # numbers of a predicted box

Levels = NDArray[np.uint16]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Candidates:
    """Predicted regions of a frame: K of them, each called at the thresholds ``low < level <= high``.

    Attributes:
        low: ``[K]``.
        high: ``[K]``.
        overlaps: ``[K, R]`` intersection over union with each true region.
    """

    low: Counts
    high: Counts
    overlaps: NDArray[np.float64]


class Cells:
    """How the pixels ``[H, W]`` of a frame are divided among the cells ``[h, w]`` of a map.

    A pixel is of the cell that its centre lies in.
    """

    def __init__(self, height: int, width: int, rows: int, columns: int) -> None:
        self.height, self.width = height, width
        self.top, self.left = borders(height, rows), borders(width, columns)
        self.areas: Counts = np.outer(np.diff(self.top), np.diff(self.left))
        self.none: Counts = np.zeros((0, rows, columns), dtype=np.int64)

    def share(self, masks: NDArray[np.bool_]) -> Counts:
        """Count the pixels of masks ``[R, H, W]`` in each cell: ``[R, h, w]``."""
        if self.areas.shape == (self.height, self.width):
            return masks.astype(np.int64)
        by_row = np.add.reduceat(masks, self.top[:-1], axis=1, dtype=np.int64)
        counts: Counts = np.add.reduceat(by_row, self.left[:-1], axis=2)
        return counts

    def at_centers(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """What a mask ``[H, W]`` says of the pixel in the centre of each cell: ``[h, w]``."""
        rows, columns = (self.top[:-1] + self.top[1:]) // 2, (self.left[:-1] + self.left[1:]) // 2
        at_centers: NDArray[np.bool_] = mask[np.ix_(rows, columns)]
        return at_centers


def borders(pixels: int, cells: int) -> Counts:
    """First pixel of each of the cells along one side, and the number of pixels: ``[cells + 1]``."""
    return np.ceil(np.arange(cells + 1) * pixels / cells - 0.5).astype(np.int64)


def check_maps(maps: NDArray[Any], video_id: str) -> None:
    """Refuse what is not maps ``[T, h, w]`` in [0, 1].

    Raises:
        WSVADError: if so; names the video.
    """
    if maps.ndim != 3 or not maps.size or maps.dtype.kind != "f":
        problem = f"floating maps [T, h, w] are needed, not {maps.dtype} of shape {maps.shape}"
        raise WSVADError("maps", video_id, problem, "Give a grid of scores for each snippet")
    low, high = float(maps.min()), float(maps.max())
    if not (low >= 0 and high <= 1):
        problem = f"scores of maps must be in [0, 1], these go from {low:g} to {high:g}"
        raise WSVADError("maps", video_id, problem, "Scale them")


def to_levels(scores: NDArray[np.floating[Any]]) -> Levels:
    """Round scores in [0, 1] to whole levels from 0 to 65535.

    Levels are even steps of the log-odds, of 5e-4, as scores crowd near 0 and 1. Only 0 and 1 themselves have
    the lowest and the highest level.
    """
    values = scores.astype(np.float64)
    with np.errstate(divide="ignore"):
        odds = np.clip(np.log(values) - np.log1p(-values), -STEEPEST, STEEPEST)
    inner = 1 + np.floor((odds + STEEPEST) / (2 * STEEPEST) * (TOP - 2) + 0.5)
    levels: Levels = np.select([values == 0, values == 1], [0, TOP], inner).astype(np.uint16)
    return levels


def render(boxes: Sequence[Sequence[float]], height: int, width: int) -> NDArray[np.float64]:
    """Draw boxes ``(left, top, right, bottom, score)`` into a frame: ``[H, W]``.

    Where boxes overlap, a pixel has the mean of their scores; 0 outside of all.

    Raises:
        WSVADError: if a box leaves the frame or is empty, or a score is not in [0, 1].
    """
    total, count = np.zeros((height, width)), np.zeros((height, width), dtype=np.int64)
    for box in boxes:
        if len(box) != PREDICTED or not all(map(np.isfinite, box)) or not 0 <= box[4] <= 1:
            problem = "is not left, top, right, bottom and a score in [0, 1]"
            raise WSVADError("predicted", list(box), problem, "Give these five numbers")
        left, top, right, bottom = map(int, box[:4])
        if not (0 <= left < right <= width and 0 <= top < bottom <= height):
            problem = f"is empty or leaves the frame of {width} x {height}"
            raise WSVADError("predicted", list(box), problem, "Cut it to the frame")
        total[top:bottom, left:right] += box[4]
        count[top:bottom, left:right] += 1
    return total / np.maximum(count, 1)


def grow_regions(levels: Levels, areas: Counts, inside: Counts) -> Candidates:
    """Find every region that a map has at any threshold above 0.

    The cells are added from the highest to the lowest. A region exists from the level of the last cell that
    was added to it down to the level at which the next one is.

    Args:
        levels: ``[h, w]``.
        areas: ``[h, w]`` pixels of each cell.
        inside: ``[R, h, w]`` pixels of each true region in each cell.
    """
    rows, columns = levels.shape
    flat = levels.ravel().astype(np.int64)
    order = np.argsort(-flat, kind="stable")[: np.count_nonzero(flat)].tolist()
    area = areas.ravel().astype(np.float64)
    hits = inside.reshape(len(inside), levels.size).T.astype(np.float64)  # [cells, R], added up at the roots
    sizes = hits.sum(axis=0)
    values = flat.tolist()
    parents = [-1] * len(values)
    born: dict[int, int] = {}  # roots of the regions at the present level, and when they took this form
    low, high, overlaps = [], [], []

    def root(cell: int) -> int:
        while parents[cell] != cell:
            parents[cell] = parents[parents[cell]]
            cell = parents[cell]
        return cell

    def end(region: int, level: int) -> None:
        since = born.pop(region, level)
        if since > level:
            low.append(level)
            high.append(since)
            overlaps.append(hits[region] / (area[region] + sizes - hits[region]))

    for cell in order:
        parents[cell], level = cell, values[cell]
        row, column = divmod(cell, columns)
        around = {
            root(r * columns + c)
            for r in range(max(0, row - 1), min(rows, row + 2))
            for c in range(max(0, column - 1), min(columns, column + 2))
            if parents[r * columns + c] >= 0
        }
        for region in around - {cell}:
            end(region, level)
        for region in around - {cell}:
            parents[region] = cell
            area[cell] += area[region]
            hits[cell] += hits[region]
        born[cell] = level
    for region in list(born):
        end(region, 0)
    shape = (len(low), len(inside))
    return Candidates(np.array(low, np.int64), np.array(high, np.int64), np.reshape(overlaps, shape))


def boxes_as_regions(boxes: Sequence[Sequence[float]], masks: NDArray[np.bool_]) -> Candidates:
    """Boxes with the score of each; they neither grow nor merge."""
    high = to_levels(np.array([box[4] for box in boxes], dtype=np.float64)).astype(np.int64)
    overlaps = np.zeros((len(boxes), len(masks)))
    for k, (left, top, right, bottom) in enumerate([map(int, box[:4]) for box in boxes]):
        for r, mask in enumerate(masks):
            common = np.count_nonzero(mask[top:bottom, left:right])
            overlaps[k, r] = common / ((right - left) * (bottom - top) + np.count_nonzero(mask) - common)
    return Candidates(np.zeros_like(high), high, overlaps)
