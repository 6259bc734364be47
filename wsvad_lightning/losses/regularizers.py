"""Priors on a score curve: it changes slowly and is mostly low.

Papers differ in the axes that they sum over, and their weights are tuned to it; callers arrange the axes.
"""

from torch import Tensor


def smoothness(scores: Tensor) -> Tensor:
    """Sum of squared differences between neighbours along the last axis, over everything.

    Args:
        scores: ``[..., T]``; videos joined end to end in one axis are smoothed across their borders too.
    """
    return scores.diff(dim=-1).square().sum()


def sparsity(scores: Tensor) -> Tensor:
    """Euclidean norm of all scores as one vector, whatever their shape."""
    norm: Tensor = scores.norm()
    return norm
