"""Snippet grids, runs of marked frames, joined intervals."""

import numpy as np
import pytest

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.timeline import SnippetGrid, join, runs


@pytest.mark.parametrize(
    ("length", "stride", "num_frames", "bounds"),
    [
        (16, 16, 160, (10, 10)),
        (16, 16, 161, (10, 11)),
        (16, 16, 5, (1, 1)),
        (16, 8, 32, (3, 4)),
        (4, 10, 25, (3, 3)),
    ],
)
def test_bounds_are_those_of_a_dropped_and_of_a_padded_tail(
    length: int, stride: int, num_frames: int, bounds: tuple[int, int]
) -> None:
    assert SnippetGrid(length, stride).bounds(num_frames) == bounds


def test_spans_and_the_frames_they_cover() -> None:
    grid = SnippetGrid(length=16, stride=8)
    assert grid.span(0) == (0, 16)
    assert grid.span(3) == (24, 40)
    assert grid.span(3, num_frames=30) == (24, 30)
    assert grid.covered(4) == grid.span(3)[1] == 40


@pytest.mark.parametrize(
    ("length", "stride", "named"), [(0, 16, "snippet_length"), (16, -1, "snippet_stride")]
)
def test_a_grid_of_no_frames_is_refused(length: int, stride: int, named: str) -> None:
    with pytest.raises(WSVADError, match=f"{named}='(0|-1)': must be at least 1"):
        SnippetGrid(length, stride)


def test_runs_of_marked_frames() -> None:
    marked = [0, 2, 1, 0, 0, 255, 0, 1, 1, 1]
    assert runs(marked) == [(1, 3), (5, 6), (7, 10)]
    assert runs(marked, shortest=2) == [(1, 3), (7, 10)]
    assert runs(np.ones(3, bool)) == [(0, 3)]
    assert runs([0, 0]) == runs([]) == []


def test_intervals_that_overlap_repeat_or_touch_are_joined() -> None:
    assert join([(5, 9), (20, 30), (2, 6), (20, 30), (30, 31)]) == [(2, 9), (20, 31)]
    assert join([(0, 10), (2, 5), (11, 12)]) == [(0, 10), (11, 12)]
    assert join([]) == []
