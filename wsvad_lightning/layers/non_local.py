"""Non-local block: every snippet attends to every other one (Wang et al., CVPR 2018, dot-product version)."""

import torch
from torch import Tensor, nn

from wsvad_lightning.layers.norms import BatchNormRows
from wsvad_lightning.layers.temporal_conv import TemporalConv


class NonLocalBlock(nn.Module):
    """Attention along time without softmax, with a residual.

    ``x + BN(W (theta(x) phi(x)^T / T) g(x))``. Gain and bias of the normalisation start at zero, so that a
    new block changes nothing.

    Without a softmax the products may be taken in either order; the shorter one keeps the memory linear in T.

    Args:
        dim: channels in and out; attention works on half of them.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        inner = max(1, dim // 2)
        self.query = TemporalConv(dim, inner)
        self.key = TemporalConv(dim, inner)
        self.value = TemporalConv(dim, inner)
        self.project_out = TemporalConv(inner, dim)
        self.norm = BatchNormRows(dim)
        nn.init.zeros_(self.norm.weight)

    def forward(self, x: Tensor, summary: Tensor | None = None) -> Tensor:
        """Attend along time: ``[R, T, D]`` to ``[R, T, D]``.

        Args:
            x: the snippets, or some of a video.
            summary: the mean over the whole video of :meth:`summarise`; None if these are the whole video.
        """
        query = self.query(x)
        if summary is not None:
            attended = query @ summary
        elif not torch.compiler.is_exporting() and x.shape[1] <= query.shape[-1]:
            attended = (query @ (self.key(x) / x.shape[1]).mT) @ self.value(x)
        else:  # also in exported programs, which are for any length
            attended = query @ self.summarise(x, x.shape[1])
        out: Tensor = self.norm(self.project_out(attended)) + x
        return out

    def summarise(self, x: Tensor, length: int) -> Tensor:
        """Sum key by value over ``[R, T, D]``, divided by a length: ``[R, D / 2, D / 2]``."""
        summary: Tensor = (self.key(x) / length).mT @ self.value(x)
        return summary
