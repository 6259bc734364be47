"""Small tensor operations that losses and methods share."""

import torch
from torch import Tensor


def halves(x: Tensor) -> tuple[Tensor, Tensor]:
    """Split a training batch ``[B, ...]`` into its normal and its abnormal half ``[B/2, ...]``."""
    normal, abnormal = x.chunk(2)
    assert len(normal) == len(abnormal), f"a training batch holds pairs, got {len(x)} bags"
    return normal, abnormal


def topk_mean(values: Tensor, k: int) -> Tensor:
    """Mean of the k largest values along the last axis: ``[..., T]`` to ``[...]``; k is clamped to T."""
    return values.topk(min(k, values.shape[-1]), dim=-1).values.mean(dim=-1)


def gather_mean(features: Tensor, index: Tensor) -> Tensor:
    """Mean of the snippets at ``index``.

    Args:
        features: ``[R, T, D]``.
        index: ``[R, k]`` snippet positions.

    Returns:
        ``[R, D]``.
    """
    return torch.take_along_dim(features, index[..., None], dim=1).mean(dim=1)


def gather_snippets(features: Tensor, index: Tensor) -> Tensor:
    """Pick snippets of whole videos, the same in every crop.

    Args:
        features: ``[B, N, T, D]``.
        index: ``[B, k]`` snippet positions.

    Returns:
        ``[B, N, k, D]``.
    """
    return torch.take_along_dim(features, index[:, None, :, None], dim=2)
