"""The parts of a mask that hang together."""

import numpy as np
from numpy.typing import NDArray

Masks = NDArray[np.bool_]


def components(mask: Masks) -> list[Masks]:
    """Divide a mask into what touches, corners included.

    Args:
        mask: ``[H, W]``.

    Returns:
        A mask ``[H, W]`` of each component, from top to bottom.
    """
    links = Links()
    runs: list[tuple[int, int, int, int]] = []  # name, row, first column, column after the last
    above: list[tuple[int, int, int, int]] = []
    for row in np.flatnonzero(mask.any(axis=1)).tolist():
        edges = np.flatnonzero(np.diff(mask[row], prepend=False, append=False)).tolist()
        own = [(links.new(), row, *pair) for pair in zip(edges[::2], edges[1::2], strict=True)]
        for name, _, start, end in own:
            for other, last, first, after in above:
                if last == row - 1 and first <= end and start <= after:
                    links.join(name, other)
        runs += own
        above = own
    found: dict[int, Masks] = {}
    for name, row, start, end in runs:
        found.setdefault(links.root(name), np.zeros_like(mask))[row, start:end] = True
    return list(found.values())


class Links:
    """Disjoint sets of numbers that are joined one by one."""

    def __init__(self) -> None:
        self._parents: list[int] = []

    def new(self) -> int:
        """Add a set of one number; give the number."""
        self._parents.append(len(self._parents))
        return self._parents[-1]

    def root(self, name: int) -> int:
        """Give the number that all of its set have in common, the smallest."""
        while self._parents[name] != name:
            self._parents[name] = self._parents[self._parents[name]]
            name = self._parents[name]
        return name

    def join(self, name: int, other: int) -> None:
        """Make one set of those of two numbers."""
        first, last = sorted((self.root(name), self.root(other)))
        self._parents[last] = first
