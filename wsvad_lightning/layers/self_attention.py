"""Plain self-attention."""

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from wsvad_lightning.layers.rows import over_rows


class SelfAttention(nn.Module):
    """Multi-head attention of all snippets to all.

    Args:
        dim: channels in and out.
        heads: number of heads.
        head_dim: channels a head.
        dropout: probability after the output projection.
    """

    def __init__(self, dim: int, heads: int, head_dim: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.project_in = nn.Linear(dim, 3 * heads * head_dim, bias=False)
        self.project_out = nn.Linear(heads * head_dim, dim)
        self.dropout = nn.Dropout(dropout)

    @over_rows
    def forward(self, x: Tensor) -> Tensor:
        """Attend along time: ``[..., T, dim]`` to ``[..., T, dim]``."""
        query, key, value = rearrange(
            self.project_in(x), "r t (part h d) -> part r h t d", part=3, h=self.heads
        )
        attended = F.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.dropout(self.project_out(rearrange(attended, "r h t d -> r t (h d)")))
        return out
