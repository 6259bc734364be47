"""Scores smoothed along time: an option of scoring that every method has, and that receipts record.

    slide    s_t <- mean of s_t ... s_{t+k-1}, of zeros behind the end: it looks ahead
    blocks   mean of consecutive blocks of k, the last one filled up with zeros

Both are those of PEL4VAD's authors, whose published figures are smoothed.
"""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

Smoothing = Literal["none", "slide", "blocks"]


def smooth(scores: Tensor, smoothing: Smoothing, over: int) -> Tensor:
    """Smooth the scores of whole videos.

    Args:
        scores: ``[..., T]``.
        smoothing: how.
        over: k, snippets that are averaged.

    Returns:
        ``[..., T]``.
    """
    if smoothing == "slide":
        return smooth_ahead(scores, over)
    return scores if smoothing == "none" else smooth_blocks(scores, over)


def smooth_ahead(scores: Tensor, over: int) -> Tensor:
    """Average each of ``[..., T]`` with those that follow, ``over`` in all; zeros follow the last."""
    return F.pad(scores, (0, over - 1)).unfold(-1, over, 1).mean(dim=-1)


def smooth_blocks(scores: Tensor, over: int) -> Tensor:
    """Average consecutive blocks of ``over`` among ``[..., T]``; zeros fill up the last one."""
    length = scores.shape[-1]
    means = F.pad(scores, (0, -length % over)).unfold(-1, over, over).mean(dim=-1)
    return means.repeat_interleave(over, dim=-1)[..., :length]
