"""Losses of class scores."""

import torch.nn.functional as F
from torch import Tensor


def class_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy against one or several classes a video, each of them of the same weight (VadCLIP).

    ``-mean_i sum_c (y_ic / sum_c y_ic) log softmax(logits_i)_c``

    Args:
        logits: ``[..., C]``.
        targets: ``[..., C]``, or what expands to it: 1 for every class of a video; a video without a known
            class does not count.
    """
    targets = targets.expand_as(logits)
    number = targets.sum(dim=-1)
    spread = targets / number.clamp_min(1)[..., None]
    entropy = -(spread * F.log_softmax(logits.float(), dim=-1)).sum(dim=-1)
    return entropy.sum() / number.gt(0).sum().clamp_min(1)
