"""Attention among neighbouring snippets."""

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
        out: Tensor = x + self.attention(x)
        return out
