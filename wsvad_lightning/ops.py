"""Small tensor operations that losses and methods share."""

import torch
import torch.nn.functional as F
from torch import Tensor


def halves(x: Tensor) -> tuple[Tensor, Tensor]:
    """Split a training batch ``[B, ...]`` into its normal and its abnormal half ``[B/2, ...]``."""
    normal, abnormal = x.chunk(2)
    assert len(normal) == len(abnormal), f"a training batch holds pairs, got {len(x)} bags"
    return normal, abnormal


def topk_mean(values: Tensor, k: int) -> Tensor:
    """Mean of the k largest values along the last axis: ``[..., T]`` to ``[...]``; k is clamped to T."""
    return values.topk(min(k, values.shape[-1]), dim=-1).values.mean(dim=-1)


def topk_mean_each(values: Tensor, lengths: Tensor, k: Tensor) -> Tensor:
    """Mean of the k largest valid values along the last axis; each curve has a length and k of its own.

    Args:
        values: ``[..., T]``.
        lengths: ``[...]``, or what expands to it: valid values of each curve, the first ones.
        k: likewise, how many to average, at most as many as are valid.

    Returns:
        ``[...]``.
    """
    place = torch.arange(values.shape[-1], device=values.device)
    padded = values.masked_fill(place >= lengths[..., None], -torch.inf)
    largest = padded.sort(dim=-1, descending=True).values
    return largest.masked_fill(place >= k[..., None], 0.0).sum(dim=-1) / k


def min_max(curves: Tensor) -> Tensor:
    """Stretch ``[..., T]`` to [0, 1] along time; a constant curve becomes zero."""
    low, high = curves.aminmax(dim=-1, keepdim=True)
    return (curves - low) / (high - low + 1e-8)


def run_lengths(holds: Tensor) -> Tensor:
    """Count how many places in a row, up to each, something holds at: bool ``[..., T]`` to ``[..., T]``."""
    place = torch.arange(holds.shape[-1], device=holds.device)
    return place - place.where(~holds, -1).cummax(dim=-1).values


def cosine(x: Tensor, y: Tensor) -> Tensor:
    """Cosines between all vectors of x and all of y, in float32 and outside autocast.

    A vector of length zero has the cosine zero with all.

    Args:
        x: ``[..., T, D]``.
        y: ``[..., C, D]``.

    Returns:
        ``[..., T, C]``.
    """
    with torch.autocast(x.device.type, enabled=False):
        return F.normalize(x.float(), dim=-1) @ F.normalize(y.float(), dim=-1).transpose(-1, -2)


def pool_by_scores(
    features: Tensor, scores: Tensor, counts: Tensor | None = None, scale: float = 10.0
) -> Tensor:
    """Mean of features over time in float32, weighted by ``exp(scale s) - 1``: high scores by far the most.

    Args:
        features: ``[..., T, D]``.
        scores: ``[..., T]`` in [0, 1].
        counts: bool, what expands to ``[..., T]``: what the mean is of; None for all.
        scale: of the scores.

    Returns:
        ``[..., D]``, zero if all scores are.
    """
    weights = (scale * scores.float()).exp() - 1
    weights = F.normalize(weights if counts is None else weights * counts, p=1, dim=-1)
    with torch.autocast(features.device.type, enabled=False):
        return (weights[..., None, :] @ features.float()).squeeze(-2)


def gather_mean(features: Tensor, index: Tensor) -> Tensor:
    """Mean of the snippets at ``index``.

    Args:
        features: ``[..., T, D]``.
        index: ``[..., k]`` snippet positions.

    Returns:
        ``[..., D]``.
    """
    return torch.take_along_dim(features, index[..., None], dim=-2).mean(dim=-2)


def gather_snippets(features: Tensor, index: Tensor) -> Tensor:
    """Pick snippets of whole videos, the same in every crop.

    Args:
        features: ``[B, N, T, D]``.
        index: ``[B, k]`` snippet positions.

    Returns:
        ``[B, N, k, D]``.
    """
    return torch.take_along_dim(features, index[:, None, :, None], dim=2)
