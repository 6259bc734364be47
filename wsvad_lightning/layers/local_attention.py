"""Attention among neighbouring snippets."""

import torch
import torch.nn.functional as F
from einops import rearrange
from local_attention import LocalMHA
from torch import Tensor, nn

from wsvad_lightning.layers.rows import over_rows


class LocalAttention(nn.Module):
    """Learnt positions, then multi-head attention to the snippets at most ``window`` away, with a residual.

    The attention is that of the ``local-attention`` package. Two of its quirks are part of what it computes:
    the rotary positions of queries are a window ahead of those of keys, and the zeros that fill T up to a
    multiple of the window can be attended to.

    Args:
        dim: channels in and out.
        window: greatest distance between a query and a key.
        positions: size of the table of positions, the greatest T.
        heads: attention heads.
        head_dim: channels a head.
    """

    def __init__(self, dim: int, window: int, positions: int, heads: int = 8, head_dim: int = 64) -> None:
        super().__init__()
        self.position = nn.Embedding(positions, dim)
        self.attention = LocalMHA(dim=dim, window_size=window, heads=heads, dim_head=head_dim, prenorm=True)
        rotary = self.attention.attn_fn.rel_pos
        rotary.register_buffer("inv_freq", rotary.inv_freq, persistent=False)  # constants, no weights

    @over_rows
    def forward(self, x: Tensor) -> Tensor:
        """Attend along time: ``[..., T, dim]`` to ``[..., T, dim]``."""
        x = x + self.position.weight[: x.shape[1]]
        attended = self._attend(x) if torch.compiler.is_exporting() else self.attention(x)
        out: Tensor = x + attended
        return out

    def _attend(self, x: Tensor) -> Tensor:
        """Compute the same for any T, for exported programs; the package fills up known lengths only.

        Two windows more than are full, one of which may be masked: no length is a special case.
        """
        attention, count, window = self.attention, x.shape[1], self.attention.window_size
        length = (count // window + 2) * window
        projected = rearrange(
            attention.to_qkv(attention.norm(x)), "r t (part h d) -> part r h t d", part=3, h=attention.heads
        )
        query, key, value = F.pad(projected, (0, 0, 0, length - count))
        seen = torch.arange(length, device=x.device) < (count + window - 1) // window * window
        attended = attention.attn_fn(query, key, value, mask=seen[None])[:, :, :count]
        out: Tensor = attention.to_out(rearrange(attended, "r h t d -> r t (h d)"))
        return out
