"""Attention of one sequence to another."""

from typing import Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from wsvad_lightning.layers.blocks import in_blocks
from wsvad_lightning.layers.dropout import Dropout
from wsvad_lightning.layers.rows import over_rows
from wsvad_lightning.ops import cosine

Weighting = Literal["softmax", "cosine"]


class CrossAttention(nn.Module):
    """Multi-head attention whose keys and values come from elsewhere.

    Args:
        dim: channels of both sequences, and out.
        heads: number of heads.
        head_dim: channels a head.
        dropout: probability after the output projection.
        bias: whether queries, keys and values have one.
        weighting: ``softmax`` of the scaled dot products, or ``cosine``: the positive cosines, each times a
            learnt factor of the head (DSANet).
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        head_dim: int,
        dropout: float = 0.0,
        *,
        bias: bool = False,
        weighting: Weighting = "softmax",
    ) -> None:
        super().__init__()
        self.heads = heads
        self.to_query = nn.Linear(dim, heads * head_dim, bias=bias)
        self.to_key_value = nn.Linear(dim, 2 * heads * head_dim, bias=bias)
        self.factor = nn.Parameter(torch.ones(heads, 1, 1)) if weighting == "cosine" else None
        self.project_out = nn.Linear(heads * head_dim, dim)
        self.dropout = Dropout(dropout)

    @over_rows
    def forward(self, x: Tensor, attended_to: Tensor, seen: Tensor | None = None) -> Tensor:
        """Let ``x [..., T, dim]`` attend to ``[..., S, dim]``: ``[..., T, dim]``.

        Args:
            x: what asks.
            attended_to: what is asked.
            seen: ``[..., S]`` bool, what of it is attended to; None for all.
        """
        key, value = rearrange(
            self.to_key_value(attended_to), "r s (part h d) -> part r h s d", part=2, h=self.heads
        )
        mask = None if seen is None else seen[:, None, None]

        def attend(part: Tensor) -> Tensor:
            query = rearrange(self.to_query(part), "r t (h d) -> r h t d", h=self.heads)
            attended = self._attend(query, key, value, mask)
            out: Tensor = self.dropout(self.project_out(rearrange(attended, "r h t d -> r t (h d)")))
            return out

        return in_blocks(attend, x, 2 * self.to_query.out_features)

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        if self.factor is None:
            return F.scaled_dot_product_attention(query, key, value, mask)
        weights = F.relu(cosine(query, key) * self.factor)
        return (weights if mask is None else weights * mask).to(value) @ value
