import itertools
from typing import get_args

import numpy as np
import pytest

from wsvad_lightning.data.loading.sampling import (
    DETERMINISTIC,
    Sampling,
    c3d_borders,
    mean_bins,
    sample_segments,
    valid_segments,
)

SAMPLINGS = get_args(Sampling)
RNG = np.random.default_rng(0)


def noise(num_snippets: int, *shape: int, dtype: str = "float32") -> np.ndarray:
    return np.random.default_rng(num_snippets).standard_normal((num_snippets, *shape)).astype(dtype)


def bins_in_a_loop(snippets: np.ndarray, segments: int) -> np.ndarray:
    borders = np.linspace(0, len(snippets), segments + 1, dtype=int)
    bag = np.zeros((segments, *snippets.shape[1:]), dtype=np.float32)
    for i in range(segments):
        if borders[i] == borders[i + 1]:
            bag[i] = snippets[borders[i]]
        else:
            bag[i] = np.mean(snippets[borders[i] : borders[i + 1]].astype(np.float32), axis=0)
    return bag


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("segments", [1, 7, 32, 200])
def test_mean_bins_equal_the_loop_bit_for_bit(segments: int, dtype: str) -> None:
    for num_snippets in [1, 2, 6, 7, 8, 31, 32, 33, 63, 199, 200, 201, 399, 1001, 4000]:
        snippets = noise(num_snippets, 2, 5, dtype=dtype)
        means = mean_bins(snippets, segments)
        assert means.dtype == np.float32
        np.testing.assert_array_equal(means, bins_in_a_loop(snippets, segments))


def test_mean_bins_of_a_read_only_crop() -> None:
    snippets = noise(90, 3, 4)
    snippets.setflags(write=False)
    np.testing.assert_array_equal(mean_bins(snippets[:, 1:2], 8), bins_in_a_loop(snippets[:, 1:2].copy(), 8))


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("num_snippets", [1, 5, 16, 17, 300])
def test_every_length_fills_the_segments(sampling: Sampling, num_snippets: int) -> None:
    bag = sample_segments(noise(num_snippets, 2, 3, dtype="float16"), sampling, 16, RNG)
    assert bag.shape == (16, 2, 3)
    assert bag.dtype == np.float32
    valid = valid_segments(sampling, num_snippets, 16)
    assert np.all(bag[:valid] != 0)
    assert np.all(bag[valid:] == 0)


@pytest.mark.parametrize(
    ("num_snippets", "borders"),
    [
        (1, [0, 0, 0, 0, 0]),
        (3, [0, 1, 1, 2, 2]),  # 0.5 and 1.5 round up
        (11, [0, 3, 5, 8, 10]),  # 2.5 and 7.5 round up
    ],
)
def test_c3d_bins_average_between_rounded_borders_and_leave_the_last_snippet(
    num_snippets: int, borders: list[int]
) -> None:
    assert c3d_borders(num_snippets, 4).tolist() == borders
    snippets = noise(num_snippets, 3, dtype="float16")
    bag = sample_segments(snippets, "c3d_bins", 4, RNG)
    for i, (start, stop) in enumerate(itertools.pairwise(borders)):
        members = snippets[start : max(stop, start + 1)].astype(np.float32)
        np.testing.assert_array_equal(bag[i], members.mean(axis=0))


def test_pick_takes_first_last_and_evenly_between() -> None:
    snippets = np.arange(11, dtype=np.float32)[:, None]
    assert sample_segments(snippets, "pick", 6, RNG)[:, 0].tolist() == [0, 2, 4, 6, 8, 10]
    assert sample_segments(snippets[:2], "pick", 4, RNG)[:, 0].tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize(
    ("snippets", "segments", "expected"),
    [
        ([0, 4], 4, [0, 1, 3, 4]),  # times -0.25, 0.25, 0.75, 1.25
        ([0, 1, 2, 30, 4, 5], 2, [1, 4]),  # times 1 and 4: what lies between is never read
        ([1, 2, 3, 5], 3, [1 + 1 / 6, 2.5, 5 - 2 / 6]),  # times 1/6, 1.5, 17/6
        ([3, 7, 8], 3, [3, 7, 8]),
        ([6], 3, [6, 6, 6]),
        ([2, 4, 6], 1, [4]),
    ],
)
def test_linear_interpolates_at_half_pixel_centres(
    snippets: list[float], segments: int, expected: list[float]
) -> None:
    bag = sample_segments(np.array(snippets, dtype=np.float16)[:, None], "linear", segments, RNG)
    np.testing.assert_allclose(bag[:, 0], expected, rtol=1e-6)


def test_pad_or_bins_pads_short_videos_and_averages_long_ones() -> None:
    short, long = noise(5, 3), noise(23, 3)
    np.testing.assert_array_equal(sample_segments(short, "pad_or_bins", 8, RNG)[:5], short)
    np.testing.assert_array_equal(sample_segments(long, "pad_or_bins", 8, RNG), bins_in_a_loop(long, 8))
    assert [valid_segments("pad_or_bins", n, 8) for n in (5, 8, 23)] == [5, 8, 8]


def test_pad_or_pick_pads_short_videos_and_thins_long_ones() -> None:
    snippets = np.arange(1, 12, dtype=np.float32)
    assert sample_segments(snippets, "pad_or_pick", 6, RNG).tolist() == [1, 3, 5, 7, 9, 11]
    assert sample_segments(snippets[:4], "pad_or_pick", 6, RNG).tolist() == [1, 2, 3, 4, 0, 0]
    assert [valid_segments("pad_or_pick", n, 6) for n in (4, 6, 11)] == [4, 6, 6]


def test_windows_are_contiguous_and_reach_both_ends() -> None:
    snippets = np.arange(10, dtype=np.float32)
    starts = set()
    for seed in range(100):
        window = sample_segments(snippets, "window", 7, np.random.default_rng(seed))
        np.testing.assert_array_equal(np.diff(window), 1)
        starts.add(int(window[0]))
    assert starts == {0, 1, 2, 3}


@pytest.mark.parametrize("sampling", DETERMINISTIC)
def test_deterministic_ways_leave_the_generator_alone(sampling: Sampling) -> None:
    rng = np.random.default_rng(1)
    sample_segments(noise(50, 3), sampling, 8, rng)
    assert rng.bit_generator.state == np.random.default_rng(1).bit_generator.state
