"""Attention of one sequence to another."""

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from wsvad_lightning.layers.blocks import in_blocks
from wsvad_lightning.layers.dropout import Dropout
from wsvad_lightning.layers.rows import over_rows


class CrossAttention(nn.Module):
    """Multi-head attention whose keys and values come from elsewhere.

    Args:
        dim: channels of both sequences, and out.
        heads: number of heads.
        head_dim: channels a head.
        dropout: probability after the output projection.
    """

    def __init__(self, dim: int, heads: int, head_dim: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads = heads
        self.to_query = nn.Linear(dim, heads * head_dim, bias=False)
        self.to_key_value = nn.Linear(dim, 2 * heads * head_dim, bias=False)
        self.project_out = nn.Linear(heads * head_dim, dim)
        self.dropout = Dropout(dropout)

    @over_rows
    def forward(self, x: Tensor, attended_to: Tensor) -> Tensor:
        """Let ``x [..., T, dim]`` attend to ``[..., S, dim]``: ``[..., T, dim]``."""
        key, value = rearrange(
            self.to_key_value(attended_to), "r s (part h d) -> part r h s d", part=2, h=self.heads
        )

        def attend(part: Tensor) -> Tensor:
            query = rearrange(self.to_query(part), "r t (h d) -> r h t d", h=self.heads)
            attended = F.scaled_dot_product_attention(query, key, value)
            out: Tensor = self.dropout(self.project_out(rearrange(attended, "r h t d -> r t (h d)")))
            return out

        return in_blocks(attend, x, 2 * self.to_query.out_features)
