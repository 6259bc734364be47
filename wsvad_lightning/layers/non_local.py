"""Non-local block: every snippet attends to every other one (Wang et al., CVPR 2018, dot-product version)."""

import torch
from einops import rearrange
from torch import Tensor, nn


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
        self.query = nn.Conv1d(dim, inner, kernel_size=1)
        self.key = nn.Conv1d(dim, inner, kernel_size=1)
        self.value = nn.Conv1d(dim, inner, kernel_size=1)
        self.project_out = nn.Conv1d(inner, dim, kernel_size=1)
        self.norm = nn.BatchNorm1d(dim)
        nn.init.zeros_(self.norm.weight)

    def forward(self, x: Tensor, summary: Tensor | None = None) -> Tensor:
        """Attend along time: ``[R, D, T]`` to ``[R, D, T]``, channels first as convolutions have them.

        Args:
            x: the snippets, or some of a video.
            summary: the mean over the whole video of :meth:`summarise`; None if these are the whole video.
        """
        query = self.query(x).transpose(1, 2)
        if summary is not None:
            attended = query @ summary
        elif not torch.compiler.is_exporting() and x.shape[-1] <= query.shape[-1]:
            attended = (query @ (self.key(x) / x.shape[-1])) @ self.value(x).transpose(1, 2)
        else:  # also in exported programs, which are for any length
            attended = query @ self.summarise(x, x.shape[-1])
        out: Tensor = self.norm(self.project_out(rearrange(attended, "r t d -> r d t"))) + x
        return out

    def summarise(self, x: Tensor, length: int) -> Tensor:
        """Sum key by value over ``[R, D, T]``, divided by a length: ``[R, D / 2, D / 2]``."""
        summary: Tensor = (self.key(x) / length) @ self.value(x).transpose(1, 2)
        return summary
