"""Attention within windows of time."""

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor, nn

from wsvad_lightning.layers.rows import over_rows


class WindowAttention(nn.Module):
    """Self-attention in windows side by side: no snippet sees another window.

    Args:
        dim: channels in and out.
        window: snippets of a window.
        heads: number of heads.
    """

    def __init__(self, dim: int, window: int, heads: int = 1) -> None:
        super().__init__()
        self.window, self.heads = window, heads
        self.project_in = nn.Linear(dim, 3 * dim)
        self.project_out = nn.Linear(dim, dim)
        nn.init.xavier_uniform_(self.project_in.weight)  # as PyTorch's own multi-head attention is
        nn.init.zeros_(self.project_in.bias)
        nn.init.zeros_(self.project_out.bias)

    @over_rows
    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Attend along time.

        Args:
            x: ``[..., T, dim]``, T a multiple of the window.
            valid: ``[..., T]`` bool, snippets that may be attended to; None for all.

        Returns:
            ``[..., T, dim]``.
        """
        query, key, value = rearrange(
            self.project_in(x), "r (w s) (part h d) -> part (r w) h s d", part=3, h=self.heads, s=self.window
        )
        mask = None if valid is None else self._mask(valid)
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        joined = rearrange(attended, "(r w) h s d -> r (w s) (h d)", r=x.shape[0])
        out: Tensor = self.project_out(joined)
        return out

    def _mask(self, valid: Tensor) -> Tensor:
        """Give the keys that each query may attend to; all of them in a window that is only padding."""
        keys = rearrange(valid, "r (w s) -> (r w) s", s=self.window)
        keys = keys | ~keys.any(dim=1, keepdim=True)
        return repeat(keys, "rw key -> rw 1 query key", query=self.window)


def valid_positions(lengths: Tensor, num_snippets: int) -> Tensor:
    """Mark the snippets that are not padding: ``[...]`` lengths to ``[..., T]`` bool."""
    return torch.arange(num_snippets, device=lengths.device) < lengths[..., None]
