"""From a video of any length T to a bag of S segments, in four named ways.

* ``mean_bins``: mean of the snippets between the borders ``linspace(0, T, S + 1)``, rounded down; where two
  borders coincide, the snippet there (RTFM, UR-DMU, CLIP-TSA, SSRL, SST).
* ``pick``: the snippets at ``linspace(0, T - 1, S)``, rounded down (HL-Net on XD-Violence, evenly spaced).
* ``pad_or_bins``: a video of at most S snippets as it is, with zeros behind it; a longer one as ``mean_bins``
  (VadCLIP).
* ``window``: a video of at most S snippets as it is, with zeros behind it; of a longer one S consecutive
  snippets from a random start (HL-Net on XD-Violence, training).

All give float32, whatever the store holds; means of float16 snippets are taken in float32.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wsvad_lightning.data.store import Features

Sampling = Literal["mean_bins", "pick", "pad_or_bins", "window"]
DETERMINISTIC: tuple[Sampling, ...] = ("mean_bins", "pick", "pad_or_bins")


def sample_segments(
    snippets: Features, sampling: Sampling, segments: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Turn the snippets of a video into segments.

    Args:
        snippets: ``[T, ...]`` with T >= 1.
        sampling: how; see the module.
        segments: S.
        rng: chooses the start of a window; the other ways are deterministic.

    Returns:
        ``[S, ...]``, of which the first :func:`valid_segments` come from the video.
    """
    if sampling == "mean_bins":
        return mean_bins(snippets, segments)
    if sampling == "pick":
        return snippets[np.linspace(0, len(snippets) - 1, segments, dtype=int)].astype(np.float32)
    if len(snippets) <= segments:
        return _pad(snippets, segments)
    if sampling == "pad_or_bins":
        return mean_bins(snippets, segments)
    start = rng.integers(len(snippets) - segments + 1)
    return snippets[start : start + segments].astype(np.float32)


def valid_segments(sampling: Sampling, num_snippets: int, segments: int) -> int:
    """Count the segments that come from a video of ``num_snippets``; the rest is padding."""
    return min(num_snippets, segments) if sampling in ("pad_or_bins", "window") else segments


def mean_bins(snippets: Features, segments: int) -> NDArray[np.float32]:
    """Average the snippets between integer borders, ``[T, ...]`` to ``[S, ...]``.

    Equal, bit for bit, to ``np.mean`` of every bin: the bins have at most two widths, and those of one width
    are averaged at once.
    """
    borders = np.linspace(0, len(snippets), segments + 1, dtype=int)
    starts, widths = borders[:-1], np.maximum(np.diff(borders), 1)
    means = np.empty((segments, *snippets.shape[1:]), dtype=np.float32)
    for width in np.unique(widths):
        bins = np.flatnonzero(widths == width)
        members = snippets[starts[bins, None] + np.arange(width)]  # [bins, width, ...]
        means[bins] = members.mean(axis=1, dtype=np.float32)
    return means


def _pad(snippets: Features, segments: int) -> NDArray[np.float32]:
    padded = np.zeros((segments, *snippets.shape[1:]), dtype=np.float32)
    padded[: len(snippets)] = snippets
    return padded
