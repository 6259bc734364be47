"""Every frame gets a score: overlaps, gaps and both ways of treating the tail."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.metrics import expand_scores
from wsvad_lightning.timeline import SnippetGrid

GRID = SnippetGrid(16, 16)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_adjacent_snippets_are_repeated_exactly(dtype: type) -> None:
    scores: NDArray[np.float32 | np.float64] = np.random.default_rng(0).random(5).astype(dtype)
    frames = expand_scores(scores, 80, SnippetGrid(16, 16))
    assert frames.dtype == dtype
    np.testing.assert_array_equal(frames, np.repeat(scores, 16))


def test_frames_behind_a_dropped_tail_take_the_last_score() -> None:
    frames = expand_scores(np.array([1.0, 2.0]), 11, SnippetGrid(4, 4))
    assert frames.tolist() == [1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2]


def test_a_padded_tail_is_cut_at_the_last_frame() -> None:
    frames = expand_scores(np.array([1.0, 2.0, 3.0]), 9, SnippetGrid(4, 4))
    assert frames.tolist() == [1, 1, 1, 1, 2, 2, 2, 2, 3]


def test_overlapping_snippets_are_averaged() -> None:
    # Snippets cover the frames 0-3, 2-5 and 4-7; frame 8 is behind them.
    frames = expand_scores(np.array([1.0, 3.0, 8.0]), 9, SnippetGrid(4, 2))
    assert frames.tolist() == [1, 1, 2, 2, 5.5, 5.5, 8, 8, 8]


def test_a_length_that_is_no_multiple_of_the_stride() -> None:
    # Snippets cover the frames 0-4, 2-6 and 4-8.
    frames = expand_scores(np.array([3.0, 6.0, 12.0]), 9, SnippetGrid(5, 2))
    assert frames.tolist() == [3, 3, 4.5, 4.5, 7, 9, 9, 12, 12]


def test_frames_in_a_gap_take_the_snippet_before() -> None:
    frames = expand_scores(np.array([1.0, 2.0]), 10, SnippetGrid(2, 5))
    assert frames.tolist() == [1, 1, 1, 1, 1, 2, 2, 2, 2, 2]


@pytest.mark.parametrize("num_frames", [1, 3, 16])
def test_one_snippet_covers_a_short_video(num_frames: int) -> None:
    assert expand_scores(np.array([0.25]), num_frames, GRID).tolist() == [0.25] * num_frames


@pytest.mark.parametrize(("stride", "length"), [(16, 16), (8, 16), (5, 3), (1, 1), (4, 64)])
@pytest.mark.parametrize("num_frames", [1, 15, 16, 17, 64, 100])
def test_exactly_the_counts_between_both_tail_rules_are_taken(
    num_frames: int, stride: int, length: int
) -> None:
    fewest = max(1, math.floor((num_frames - length) / stride) + 1)
    most = math.ceil(num_frames / stride)
    for count in range(most + 3):
        scores = np.full(count, 0.5)
        if fewest <= count <= most:
            assert (
                expand_scores(scores, num_frames, SnippetGrid(length, stride)).tolist() == [0.5] * num_frames
            )
        else:
            with pytest.raises(WSVADError):
                expand_scores(scores, num_frames, SnippetGrid(length, stride))


def test_the_error_names_the_counts_the_bounds_and_the_video() -> None:
    with pytest.raises(WSVADError, match=r"'door': 8 snippets do not fit 100 frames.* give 6 .* to 7 "):
        expand_scores(np.zeros(8), 100, GRID, video_id="door")


@pytest.mark.parametrize(
    "scores", [torch.zeros(2), np.zeros(2, dtype=np.int64), np.zeros((2, 1)), [0.0, 0.0]], ids=str
)
def test_only_floating_numpy_vectors_are_taken(scores: Any) -> None:
    with pytest.raises(WSVADError, match="floating NumPy array"):
        expand_scores(scores, 32, GRID)
