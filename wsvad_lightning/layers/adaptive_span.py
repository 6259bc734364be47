"""Attention whose reach along time each snippet chooses for itself."""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from wsvad_lightning.layers.blocks import blocks_of, joined
from wsvad_lightning.layers.dropout import Dropout
from wsvad_lightning.layers.rows import over_rows


class AdaptiveSpanAttention(nn.Module):
    """Self-attention with learnt spans (temporal context self-adaptive learning of TPWNG).

    Before the softmax is normalised, what query i gives to key j is multiplied by

        chi(z_i, |i - j|) = clamp((ramp + z_i - |i - j|) / ramp, 0, 1),   z_i = T sigmoid(c . x_i + b)

    which is adding log chi to the logits. Every head of a query has the same span.

    Args:
        dim: channels in and out.
        heads: number of heads.
        head_dim: channels a head.
        ramp: snippets over which attention fades out beyond the span.
        dropout: probability after the output projection.
    """

    def __init__(self, dim: int, heads: int, head_dim: int, ramp: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.ramp = heads, ramp
        self.to_span = nn.Linear(dim, 1)
        self.project_in = nn.Linear(dim, 3 * heads * head_dim, bias=False)
        self.project_out = nn.Linear(heads * head_dim, dim)
        self.dropout = Dropout(dropout)

    @over_rows
    def forward(self, x: Tensor) -> Tensor:
        """Attend along time: ``[..., T, dim]`` to ``[..., T, dim]``."""
        query, key, value = rearrange(
            self.project_in(x), "r t (part h d) -> part r h t d", part=3, h=self.heads
        )
        spans = self.spans(x)

        def attend(block: slice) -> Tensor:
            fading = log_fading(spans, self.ramp, block)[:, None].to(query.dtype)
            return F.scaled_dot_product_attention(query[:, :, block], key, value, attn_mask=fading)

        attended = joined(attend, blocks_of(x, width=x.shape[1]))
        out: Tensor = self.dropout(self.project_out(rearrange(attended, "r h t d -> r t (h d)")))
        return out

    def spans(self, x: Tensor) -> Tensor:
        """Give the snippets that each of ``[..., T, dim]`` attends to in full to each side: ``[..., T]``."""
        part: Tensor = torch.sigmoid(self.to_span(x).squeeze(-1).float())
        return x.shape[-2] * part


def log_fading(spans: Tensor, ramp: int, queries: slice = slice(None)) -> Tensor:
    """Give log chi (:class:`AdaptiveSpanAttention`): ``[..., T]`` spans to ``[..., Q, T]``, queries first."""
    place = torch.arange(spans.shape[-1], device=spans.device)
    distance = (place[queries, None] - place).abs()
    chi = ((ramp + spans[..., queries, None] - distance) / ramp).clamp(0, 1)
    seen = chi > 0
    return chi.where(seen, 1.0).log().masked_fill(~seen, -torch.inf)  # the logarithm of 0 has no gradient
