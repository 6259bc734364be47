"""Losses on the length of features: abnormal snippets long and normal ones short, or just apart."""

import torch.nn.functional as F
from torch import Tensor

from wsvad_lightning.losses.mil import probability_bce
from wsvad_lightning.losses.regularizers import smoothness, sparsity
from wsvad_lightning.ops import gather_snippets, halves


def magnitude_margin(normal: Tensor, abnormal: Tensor, margin: float) -> Tensor:
    """Push the mean feature of abnormal videos to a length, that of normal ones to zero (RTFM, eq. 3).

    ``mean((|margin - ||mean_k abnormal||| + ||mean_k normal||)^2)``; the sum of both parts is squared, so
    each abnormal crop is tied to the normal crop at the same place of the batch.

    Args:
        normal: ``[B, N, k, D]`` selected features of normal videos.
        abnormal: ``[B, N, k, D]`` selected features of abnormal videos.
        margin: length that abnormal features should have.
    """
    normal_length = normal.float().mean(dim=2).norm(dim=-1)
    abnormal_length = abnormal.float().mean(dim=2).norm(dim=-1)
    loss: Tensor = ((margin - abnormal_length).abs() + normal_length).square().mean()
    return loss


def magnitude_mil(
    scores: Tensor, features: Tensor, index: Tensor, labels: Tensor, margin: float, across_videos: bool
) -> dict[str, Tensor]:
    """Give the terms of RTFM's loss, which its descendants share.

    Args:
        scores: ``[B, T]``, the normal half first.
        features: ``[B, N, T, D]`` whose magnitudes selected the snippets.
        index: ``[B, k]`` selected snippets.
        labels: ``[B]`` of the videos.
        margin: see :func:`magnitude_margin`.
        across_videos: smooth the abnormal scores as one long curve, also where one video ends and the next
            begins, as the authors do; otherwise each curve for itself.

    Returns:
        ``cls``: BCE of the mean score of the selected snippets; ``magnitude``; ``smooth`` and ``sparsity`` of
        the abnormal scores.
    """
    _, abnormal_scores = halves(scores)
    return {
        "cls": probability_bce(scores.take_along_dim(index, dim=-1).mean(dim=-1), labels),
        "magnitude": magnitude_margin(*halves(gather_snippets(features, index)), margin),
        "smooth": smoothness(abnormal_scores.flatten() if across_videos else abnormal_scores),
        "sparsity": sparsity(abnormal_scores),
    }


def magnitude_contrast(normal: Tensor, abnormal: Tensor, margin: float) -> Tensor:
    """Keep the magnitudes of the two classes apart (MGFN): ``mean(max(margin - distance, 0)^2)``.

    The distance is Euclidean, over the k magnitudes; 1e-6 is added to each difference.

    Args:
        normal: ``[..., k]`` magnitudes of the selected snippets of normal videos.
        abnormal: ``[..., k]`` of abnormal videos.
        margin: distance that is enough.
    """
    return (margin - F.pairwise_distance(abnormal, normal)).clamp_min(0.0).square().mean()


def magnitude_clustering(magnitudes: Tensor) -> Tensor:
    """Pull the magnitudes of one class together (MGFN): mean squared distance of i and i + R // 2.

    The distance is that of :func:`magnitude_contrast`.

    Args:
        magnitudes: ``[R, ..., k]``, paired along the first axis. The last of an odd number has no partner;
            without any pair the loss is zero.
    """
    half = len(magnitudes) // 2
    distance = F.pairwise_distance(magnitudes[half : 2 * half], magnitudes[:half])
    return distance.square().sum() / max(1, distance.numel())
