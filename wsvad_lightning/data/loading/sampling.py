"""From a video of any length T to a bag of S segments, in named ways.

* ``mean_bins``: mean of the snippets between the borders ``linspace(0, T, S + 1)``, rounded down; where two
  borders coincide, the snippet there (RTFM, UR-DMU, CLIP-TSA, SSRL, SST).
* ``c3d_bins``: the same between :func:`c3d_borders`, which mostly leave the last snippet out (Sultani).
* ``pick``: the snippets at ``linspace(0, T - 1, S)``, rounded down.
* ``linear``: linear interpolation between the snippets, at the times ``(i + 0.5) * T / S - 0.5`` limited to
  0 … T - 1; no more than two snippets enter a segment, so most of a long video is never read (S3R).
* ``pad_or_bins``: a video of at most S snippets as it is, padded with zeros; a longer one as ``mean_bins``
  (VadCLIP).
* ``pad_or_pick``: a video of at most S snippets as it is, padded with zeros; a longer one as ``pick``
  (HL-Net, PEL4VAD).
* ``window``: a video of at most S snippets as it is, padded with zeros; of a longer one S consecutive
  snippets from a random start.

All give float32, whatever the store holds; means of float16 snippets are taken in float32.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wsvad_lightning.data.store import Features

Sampling = Literal["mean_bins", "c3d_bins", "pick", "linear", "pad_or_bins", "pad_or_pick", "window"]
PADDED: tuple[Sampling, ...] = ("pad_or_bins", "pad_or_pick", "window")  # short videos, with zeros
DETERMINISTIC: tuple[Sampling, ...] = (
    "mean_bins",
    "c3d_bins",
    "pick",
    "linear",
    "pad_or_bins",
    "pad_or_pick",
)


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
    if sampling in PADDED and len(snippets) <= segments:
        return _pad(snippets, segments)
    if sampling in ("mean_bins", "pad_or_bins"):
        return mean_bins(snippets, segments)
    if sampling == "c3d_bins":
        return bin_means(snippets, c3d_borders(len(snippets), segments))
    if sampling in ("pick", "pad_or_pick"):
        return snippets[np.linspace(0, len(snippets) - 1, segments, dtype=int)].astype(np.float32)
    if sampling == "linear":
        return interpolate(snippets, segments)
    start = rng.integers(len(snippets) - segments + 1)
    return snippets[start : start + segments].astype(np.float32)


def valid_segments(sampling: Sampling, num_snippets: int, segments: int) -> int:
    """Count the segments that come from a video of ``num_snippets``; the rest is padding."""
    return min(num_snippets, segments) if sampling in PADDED else segments


def mean_bins(snippets: Features, segments: int) -> NDArray[np.float32]:
    """Average the snippets between even borders, rounded down: ``[T, ...]`` to ``[S, ...]``."""
    return bin_means(snippets, np.linspace(0, len(snippets), segments + 1, dtype=int))


def c3d_borders(num_snippets: int, segments: int) -> NDArray[np.int_]:
    """Give the borders ``[S + 1]`` of Sultani's segments: even from the first snippet to the last, rounded.

    Halves are rounded up. Border i + 1 ends segment i without belonging to it, the last one too: the last
    snippet belongs to no segment where T > S / 2 + 1.
    """
    return np.floor(np.linspace(0, num_snippets - 1, segments + 1) + 0.5).astype(int)


def bin_means(snippets: Features, borders: NDArray[np.int_]) -> NDArray[np.float32]:
    """Average the snippets between borders; where two coincide, take the snippet there.

    Equal, bit for bit, to ``np.mean`` of every bin; the bins of one width are averaged at once.

    Args:
        snippets: ``[T, ...]``.
        borders: ``[S + 1]`` positions in ascending order, of few widths.

    Returns:
        ``[S, ...]``.
    """
    starts, widths = borders[:-1], np.maximum(np.diff(borders), 1)
    means = np.empty((len(starts), *snippets.shape[1:]), dtype=np.float32)
    for width in np.unique(widths):
        bins = np.flatnonzero(widths == width)
        members = snippets[starts[bins, None] + np.arange(width)]  # [bins, width, ...]
        means[bins] = members.mean(axis=1, dtype=np.float32)
    return means


def interpolate(snippets: Features, segments: int) -> NDArray[np.float32]:
    """Interpolate between neighbouring snippets, ``[T, ...]`` to ``[S, ...]``.

    Equal to ``cv2.resize`` with ``INTER_LINEAR`` along time: pixel centres lie at halves, the ends are
    repeated, and nothing is smoothed before a long video is made short.
    """
    times = (np.arange(segments) + 0.5) * len(snippets) / segments - 0.5
    times = times.clip(0, len(snippets) - 1)
    before = times.astype(int)
    after = np.minimum(before + 1, len(snippets) - 1)
    share = np.expand_dims((times - before).astype(np.float32), tuple(range(1, snippets.ndim)))
    early, late = snippets[before].astype(np.float32), snippets[after].astype(np.float32)
    mixed: NDArray[np.float32] = early + share * (late - early)
    return mixed


def _pad(snippets: Features, segments: int) -> NDArray[np.float32]:
    padded = np.zeros((segments, *snippets.shape[1:]), dtype=np.float32)
    padded[: len(snippets)] = snippets
    return padded
