"""Temporal Gaussian splatting: the peaks of a score curve become soft labels around them (GS-MoE)."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from wsvad_lightning.losses.mil import probability_bce
from wsvad_lightning.ops import run_lengths

LEAST_DEVIATION = 1e-3

Sigma = Literal["snippets", "score"]
"""The spread of a Gaussian: half the width of its peak in snippets, or the deviation of scores around it."""


def splat(curves: Tensor, prominence: float, neighbours: int | None, sigma: Sigma) -> Tensor:
    """Put a Gaussian on every prominent peak of each curve, and add them up.

        exp(-(t - p)^2 / (2 sigma^2))   where |t - p| <= w and s_t >= s_p - d, else 0

    w is the length of the strict rise before the peak or of the strict fall after it, whichever is shorter,
    and at least 1; d is the standard deviation of s over [p - w, p + w], at least 1e-3.

    Args:
        curves: ``[R, T]`` scores.
        prominence: least prominence of a peak.
        neighbours: snippets on each side that it is measured against; None for all.
        sigma: ``snippets`` for w / 2, ``score`` for d.

    Returns:
        ``[R, T]`` in [0, 1], 1 at the largest sum; all 0 where no peak is prominent.
    """
    row, place, is_peak = _places(local_maxima(curves))
    counts = is_peak & (prominences(curves[row], place, neighbours) >= prominence)
    width = _half_widths(curves)[row, place].clamp_min(1)[:, None]
    around, offset = curves[row], _offsets(curves, place)
    inside = offset.abs() <= width
    deviation = _deviation(around, inside).clamp_min(LEAST_DEVIATION)
    near = inside & (around >= around.gather(1, place[:, None]) - deviation)
    spread = width / 2 if sigma == "snippets" else deviation
    gaussians = torch.exp(-offset.square() / (2 * spread.square())) * (near & counts[:, None])
    summed = torch.zeros_like(curves).index_add(0, row, gaussians.to(curves.dtype))
    return summed / summed.amax(dim=-1, keepdim=True).clamp_min(1)  # a peak alone has 1


def splatting_bce(scores: Tensor, labels: Tensor) -> Tensor:
    """Binary cross-entropy against the labels of :func:`splat`; curves without a peak do not count.

    Args:
        scores: ``[R, T]`` in [0, 1].
        labels: ``[R, T]``.
    """
    return probability_bce(scores, labels, counts=labels.any(dim=-1, keepdim=True))


def local_maxima(curves: Tensor) -> Tensor:
    """Find peaks as ``scipy.signal.find_peaks`` does: of a plateau the middle, rounded down; never an end.

    Args:
        curves: ``[R, T]``.

    Returns:
        ``[R, T]`` bool.
    """
    step = curves.diff(dim=-1)
    level = step == 0
    before, behind = run_lengths(F.pad(level, (1, 0))), _run_back(F.pad(level, (0, 1)))
    middle = (behind - before == 0) | (behind - before == 1)
    rises, falls = F.pad(step > 0, (1, 0)), F.pad(step < 0, (0, 1))
    place = torch.arange(curves.shape[-1], device=curves.device)
    return middle & rises.gather(-1, place - before) & falls.gather(-1, place + behind)


def _places(peaks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """List peaks ``[R, T]`` in the order of rows and time, in as many places K as there may be peaks.

    Their number does not depend on the curves, so that a GPU need not wait to know it.

    Returns:
        ``[K]`` each: the row, the place in it, and whether a peak is there.
    """
    rows, length = peaks.shape
    place = peaks.to(torch.uint8).argsort(dim=-1, descending=True, stable=True)[:, : max(0, length - 1) // 2]
    row = torch.arange(rows, device=peaks.device)[:, None].expand_as(place)
    return row.flatten(), place.flatten(), peaks.gather(-1, place).flatten()


def prominences(curves: Tensor, place: Tensor, neighbours: int | None) -> Tensor:
    """Measure how far peaks stand out, as ``scipy.signal.peak_prominences`` does.

    From the peak on, to either side, a curve is followed until it is higher than the peak; the higher of the
    two lowest points met is the base, which the peak is compared with.

    Args:
        curves: ``[K, T]``.
        place: ``[K]`` where the peak of each is.
        neighbours: snippets on each side that are compared (scipy's ``wlen`` is twice as many and one); None
            for all.

    Returns:
        ``[K]``.
    """
    top, offset = curves.gather(1, place[:, None]), _offsets(curves, place)
    end = curves.shape[-1] if neighbours is None else neighbours + 1
    lowest = []
    for away in (offset, -offset):
        border = away.where((away > 0) & (curves > top), end).clamp_max(end).amin(dim=-1, keepdim=True)
        followed = (away >= 0) & (away < border)
        lowest.append(curves.masked_fill(~followed, torch.inf).amin(dim=-1))
    return top.squeeze(-1) - torch.maximum(*lowest)


def _half_widths(curves: Tensor) -> Tensor:
    """Count the steps up to each snippet that rise, and those after it that fall: the fewer, ``[R, T]``."""
    step = curves.diff(dim=-1)
    return torch.minimum(run_lengths(F.pad(step > 0, (1, 0))), _run_back(F.pad(step < 0, (0, 1))))


def _run_back(holds: Tensor) -> Tensor:
    """Count the same as :func:`run_lengths` from each place on."""
    return run_lengths(holds.flip(-1)).flip(-1)


def _offsets(curves: Tensor, place: Tensor) -> Tensor:
    """Give how many snippets each of ``[K, T]`` is after the position ``[K]`` of its row."""
    return torch.arange(curves.shape[-1], device=curves.device) - place[:, None]


def _deviation(curves: Tensor, inside: Tensor) -> Tensor:
    """Give the (population) standard deviation of the values that are inside: ``[K, T]`` to ``[K, 1]``."""
    count = inside.sum(dim=-1, keepdim=True)
    mean = (curves * inside).sum(dim=-1, keepdim=True) / count
    return (((curves - mean).square() * inside).sum(dim=-1, keepdim=True) / count).sqrt()
