"""Losses of multiple-instance learning: video-level labels against the strongest snippets of each bag."""

import torch
import torch.nn.functional as F
from torch import Tensor

from wsvad_lightning.ops import topk_mean


def probability_bce(probabilities: Tensor, target: Tensor | float) -> Tensor:
    """Mean binary cross-entropy of probabilities, logarithms clamped at -100.

    Always in float32 and outside autocast: half precision has no probabilities near one, and PyTorch refuses
    this loss under autocast.

    Args:
        probabilities: any shape, in [0, 1].
        target: the same shape, or one number for all.
    """
    with torch.autocast(probabilities.device.type, enabled=False):
        probabilities = probabilities.float()
        expected = torch.as_tensor(target, dtype=torch.float32, device=probabilities.device)
        return F.binary_cross_entropy(probabilities, expected.expand_as(probabilities))


def topk_bce(scores: Tensor, target: Tensor | float, k: int) -> Tensor:
    """Binary cross-entropy of the mean of each bag's k largest scores.

    Args:
        scores: ``[B, T]`` in [0, 1].
        target: ``[B]`` video labels, or one number for all.
        k: number of snippets, clamped to T.
    """
    return probability_bce(topk_mean(scores, k), target)
