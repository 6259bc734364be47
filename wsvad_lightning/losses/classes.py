"""Losses of class scores."""

import torch.nn.functional as F
from torch import Tensor


def class_cross_entropy(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """Cross-entropy against one or several classes a video, each of them of the same weight (VadCLIP).

    ``-mean_i sum_c ((1 - e) y_ic / sum_c y_ic + e / C) log softmax(logits_i)_c``

    Args:
        logits: ``[..., C]``.
        targets: ``[..., C]``, or what expands to it: 1 for every class of a video; a video without a known
            class does not count.
        smoothing: e, what is shared out among all classes.
    """
    targets = targets.expand_as(logits)
    number = targets.sum(dim=-1)
    spread = (1 - smoothing) * targets / number.clamp_min(1)[..., None] + smoothing / targets.shape[-1]
    entropy = -(spread * F.log_softmax(logits.float(), dim=-1)).sum(dim=-1)
    known = number.gt(0)
    return (entropy * known).sum() / known.sum().clamp_min(1)
