from typing import get_args

import numpy as np
import pytest

from wsvad_lightning.data.loading.glances import mark_segments, used_glances
from wsvad_lightning.data.loading.sampling import Sampling, sample_segments

STRIDE = 16


def segments_of(frames: list[int], snippets: int, sampling: Sampling, segments: int) -> list[int]:
    rng = np.random.default_rng(0)
    return np.flatnonzero(mark_segments(frames, snippets, STRIDE, sampling, segments, rng)).tolist()


@pytest.mark.parametrize("sampling", get_args(Sampling))
@pytest.mark.parametrize("snippets", [1, 3, 8, 9, 30])
def test_a_glance_is_in_the_segment_that_its_snippet_is_in(sampling: Sampling, snippets: int) -> None:
    """Of snippets that count up, a segment holds the number of its own, or nearly: borders differ."""
    places = np.arange(snippets, dtype=np.float32)
    bag = sample_segments(places, sampling, 8, np.random.default_rng(0))
    for snippet in range(snippets):
        found = segments_of([STRIDE * snippet + 5], snippets, sampling, 8)
        inside = sampling != "window" or bag[0] <= snippet <= bag[-1] or snippets <= 8
        assert len(found) == inside
        if found:
            assert abs(bag[found[0]] - snippet) <= max(1, snippets / 8)


def test_frames_behind_the_last_snippet_count_for_it() -> None:
    assert segments_of([16 * 10, 16 * 10 + 15], 10, "mean_bins", 4) == [3]
    assert segments_of([16 * 3 + 2], 3, "pad_or_pick", 8) == [2]
    assert segments_of([], 3, "mean_bins", 8) == []


def test_the_authors_leave_a_video_out_whose_first_glance_is_frame_0() -> None:
    assert used_glances((0, 700), "all") == (0, 700)
    assert used_glances((0, 700), "official") == ()
    assert used_glances((700, 0), "official") == (700, 0)
    assert used_glances((), "official") == ()
