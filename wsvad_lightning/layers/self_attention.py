"""Plain self-attention."""

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from wsvad_lightning.layers.blocks import blocks_of, joined
from wsvad_lightning.layers.dropout import Dropout
from wsvad_lightning.layers.rows import over_rows

FEW = 128  # tokens


class SelfAttention(nn.Module):
    """Multi-head attention of all snippets to all.

    Args:
        dim: channels in and out.
        heads: number of heads.
        head_dim: channels a head.
        dropout: probability after the output projection.
        bias: whether queries and values have one; a bias of the keys would not change the attention.
    """

    def __init__(
        self, dim: int, heads: int, head_dim: int, dropout: float = 0.0, *, bias: bool = False
    ) -> None:
        super().__init__()
        self.heads, self.width = heads, heads * head_dim
        self.project_in = nn.Linear(dim, 3 * heads * head_dim, bias=False)
        if bias:
            self.query_bias = nn.Parameter(torch.zeros(heads * head_dim))
            self.value_bias = nn.Parameter(torch.zeros(heads * head_dim))
        self.bias = bias
        self.project_out = nn.Linear(heads * head_dim, dim)
        self.dropout = Dropout(dropout)

    @over_rows
    def forward(self, x: Tensor) -> Tensor:
        """Attend along time: ``[..., T, dim]`` to ``[..., T, dim]``."""
        blocks = blocks_of(x, self.project_in.out_features)
        if self.bias or len(blocks) == 1:
            projected = self._biased(x) if self.bias else self.project_in(x)
            return self._attend(*projected.chunk(3, dim=-1))
        of_query, of_others = self.project_in.weight.tensor_split([self.width])
        key, value = F.linear(x, of_others).chunk(2, dim=-1)
        return joined(lambda block: self._attend(F.linear(x[:, block], of_query), key, value), blocks)

    def _attend(self, *projected: Tensor) -> Tensor:
        query, key, value = (rearrange(part, "r t (h d) -> r h t d", h=self.heads) for part in projected)
        attended = attend(query, key, value)
        out: Tensor = self.dropout(self.project_out(rearrange(attended, "r h t d -> r t (h d)")))
        return out

    def _biased(self, x: Tensor) -> Tensor:
        none = torch.zeros_like(self.query_bias)
        return F.linear(x, self.project_in.weight, torch.cat([self.query_bias, none, self.value_bias]))


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attend, ``[..., T, D]``: fused, or in two products.

    On a CPU, PyTorch's fused attention takes several times as long for few tokens, above all backwards. An
    exported program, which takes any number of them, has the fused one.
    """
    if key.is_cpu and not torch.compiler.is_exporting() and key.shape[-2] <= FEW:
        scores = query / math.sqrt(query.shape[-1]) @ key.transpose(-1, -2)
        return scores.softmax(dim=-1) @ value
    return F.scaled_dot_product_attention(query, key, value)
