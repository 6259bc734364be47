"""Losses of multiple-instance learning: video-level labels against the strongest snippets of each bag."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from wsvad_lightning.ops import topk_mean

Pairing = Literal["all", "matched"]
"""Which halves of a batch are compared: every abnormal with every normal video, or the i-th with the i-th."""


def probability_bce(probabilities: Tensor, target: Tensor | float, counts: Tensor | None = None) -> Tensor:
    """Mean binary cross-entropy of probabilities, logarithms clamped at -100.

    Always in float32 and outside autocast: half precision has no probabilities near one, and PyTorch refuses
    this loss under autocast.

    Args:
        probabilities: any shape, in [0, 1].
        target: the same shape, or one number for all.
        counts: bool, of a shape that expands to it: what the mean is of, zero if it is of nothing; None for
            all. No value is gathered by it, for which a GPU would have to wait.
    """
    with torch.autocast(probabilities.device.type, enabled=False):
        probabilities = probabilities.float()
        expected = torch.as_tensor(target, dtype=torch.float32, device=probabilities.device)
        expected = expected.expand_as(probabilities)
        if counts is None:
            return F.binary_cross_entropy(probabilities, expected)
        weight = counts.expand_as(probabilities).float()
        total = F.binary_cross_entropy(probabilities, expected, weight, reduction="sum")
        return total / weight.sum().clamp_min(1)


def topk_bce(scores: Tensor, target: Tensor | float, k: int) -> Tensor:
    """Binary cross-entropy of the mean of each bag's k largest scores.

    Args:
        scores: ``[B, T]`` in [0, 1].
        target: ``[B]`` video labels, or one number for all.
        k: number of snippets, clamped to T.
    """
    return probability_bce(topk_mean(scores, k), target)


def ranking_hinge(normal: Tensor, abnormal: Tensor, pairing: Pairing, margin: float = 1.0) -> Tensor:
    """Ask the strongest snippet of abnormal bags to outscore the strongest of normal bags by a margin.

    ``relu(margin - max abnormal + max normal)`` of two bags; the gradient of equal maxima is shared.

    Args:
        normal: ``[B, T]`` scores of normal bags.
        abnormal: ``[B, T]`` scores of abnormal bags.
        pairing: ``all``: every abnormal bag with every normal one, sum over the abnormal and mean over the
            normal bags (Sultani); ``matched``: mean over the bags at the same place of the batch (DeepMIL).
        margin: smallest difference that costs nothing.
    """
    strongest_normal, strongest_abnormal = normal.amax(dim=-1), abnormal.amax(dim=-1)
    if pairing == "all":
        return F.relu(margin - strongest_abnormal[:, None] + strongest_normal).mean(dim=1).sum()
    return F.relu(margin - strongest_abnormal + strongest_normal).mean()
