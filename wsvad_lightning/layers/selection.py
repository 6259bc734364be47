"""Which snippets represent a video: those whose features are longest (RTFM, MGFN, S3R)."""

import torch
from torch import Tensor, nn


def magnitudes(features: Tensor) -> Tensor:
    """Euclidean norm of each snippet, averaged over crops: ``[B, N, T, D]`` to ``[B, T]`` float32."""
    lengths: Tensor = features.float().norm(dim=-1)
    return lengths.mean(dim=1)


class MagnitudeSelection(nn.Module):
    """Selects the k snippets of largest magnitude, from a random part of them while training.

    A snippet that is left out has magnitude zero; it is selected only where fewer than k remain.

    Args:
        k: number of snippets, clamped to T.
        exclude: probability by which a snippet is left out in training.
    """

    def __init__(self, k: int, exclude: float = 0.7) -> None:
        super().__init__()
        self.k = k
        self.keep = nn.Dropout(exclude)

    def forward(self, features: Tensor) -> Tensor:
        """Select by features ``[B, N, T, D]``: positions ``[B, k]``, the largest magnitude first."""
        lengths = magnitudes(features.detach())
        kept = lengths * self.keep(torch.ones_like(lengths))
        index: Tensor = kept.topk(min(self.k, kept.shape[-1]), dim=-1).indices
        return index
