"""Glances, frames that a person marked inside anomalies, become soft labels around them (GlanceVAD)."""

import torch
from torch import Tensor

from wsvad_lightning.ops import run_lengths


def mine_glances(marks: Tensor, scores: Tensor, alpha: float) -> Tensor:
    """Mark the segments next to marked ones whose scores are nearly as high.

    From each mark c a run goes to either side, up to the next mark, while ``s_j >= alpha * s_c``. The last
    segment is marked by itself alone: a run to the right ends before it.

    Args:
        marks: ``[R, T]`` bool.
        scores: ``[R, T]``, at least 0.
        alpha: share of the score of a mark that a run goes down to.

    Returns:
        ``[R, T]`` bool, ``marks`` among them.
    """
    to_right = _run_from(marks, scores, alpha)
    to_right[:, -1] = False
    to_left = _run_from(marks.flip(-1), scores.flip(-1), alpha).flip(-1)
    return marks | to_right | to_left


def _run_from(marks: Tensor, scores: Tensor, alpha: float) -> Tensor:
    """Mark what runs to the right reach; each ends where the next mark is, from which another one starts."""
    place = torch.arange(marks.shape[-1], device=marks.device)
    start = place.where(marks, -1).cummax(dim=-1).values
    held = run_lengths(scores >= alpha * scores.gather(-1, start.clamp_min(0)))
    return (start >= 0) & (held >= place - start)


def splat_marks(marks: Tensor, sigma: float) -> Tensor:
    """Put a Gaussian on every mark, and take the largest at each segment.

        w_c(i) = exp(-(2 (i - c) / (T - 1))^2 / (2 sigma^2))

    Each Gaussian, and then each curve, is stretched to [0, 1]. A curve that is 1 everywhere stays.

    Args:
        marks: ``[R, T]`` bool.
        sigma: width, where the whole video has 2.

    Returns:
        ``[R, T]`` float32 in [0, 1]; all 0 without a mark.
    """
    length = marks.shape[-1]
    place = torch.arange(length, device=marks.device)
    apart = (place - place[:, None]) * (2 / max(length - 1, 1))
    gaussians = _stretched(torch.exp(-apart.square() / (2 * sigma**2)))
    return _stretched((marks[..., None] * gaussians).amax(dim=-2))


def _stretched(curves: Tensor) -> Tensor:
    low, high = curves.aminmax(dim=-1, keepdim=True)
    span = high - low
    return torch.where(span > 0, (curves - low) / span, curves)
