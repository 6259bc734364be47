"""Graphs whose nodes are the snippets of a video (HL-Net, VadCLIP)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wsvad_lightning.layers.temporal_conv import TemporalConv
from wsvad_lightning.ops import cosine


class GraphLayer(nn.Module):
    """Graph convolution ``A (x W)`` with a residual; a convolution over five snippets where widths differ.

    Args:
        in_dim: channels in.
        out_dim: channels out.
    """

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(in_dim, out_dim))
        nn.init.xavier_uniform_(self.weight)
        self.residual = nn.Identity() if in_dim == out_dim else TemporalConv(in_dim, out_dim, kernel_size=5)

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        """Mix snippets ``[..., T, in_dim]`` along ``adjacency [..., T, T]``: ``[..., T, out_dim]``."""
        residual: Tensor = self.residual(x)
        return adjacency.to(residual.dtype) @ (x @ self.weight) + residual


def similarity_graph(x: Tensor, valid: Tensor, threshold: float = 0.7) -> Tensor:
    """Connect snippets by how alike they are.

    Cosines up to the threshold count as 0, and each row is a softmax over all valid snippets: also those that
    are not alike have weight.

    Args:
        x: ``[..., T, D]``.
        valid: ``[..., T]`` bool; a snippet that is not valid has no edge.
        threshold: of the cosine.

    Returns:
        ``[..., T, T]`` float32.
    """
    return normalise_edges(F.threshold(cosine(x, x), threshold, 0.0), valid)


def normalise_edges(edges: Tensor, valid: Tensor) -> Tensor:
    """Take the softmax of each row ``[..., T, T]`` over ``valid [..., T]`` snippets; others have no edge."""
    weights = edges.masked_fill(~valid[..., None, :], -torch.inf).softmax(dim=-1)
    return weights * valid[..., None]


def proximity_graph(
    num_snippets: int,
    device: torch.device | None = None,
    rows: slice = slice(None),
    columns: slice = slice(None),
) -> Tensor:
    """Connect snippets by how near they are in time: ``exp(-|i - j| / e)``, ``[T, T]`` or a part of it."""
    position = torch.arange(num_snippets, device=device, dtype=torch.float32)
    return torch.exp(-(position[rows, None] - position[columns]).abs() / torch.e)
