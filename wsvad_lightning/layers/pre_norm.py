"""The layer that transformers are stacked of: attention, then a feed-forward network."""

from torch import Tensor, nn


class PreNormLayer(nn.Module):
    """Attention, then a GELU feed-forward network, each behind a layer norm and with a residual.

    Args:
        attention: from ``[..., dim]`` to ``[..., dim]``.
        dim: channels in and out.
        mlp_dim: hidden width of the feed-forward network.
        dropout: probability after both of its layers.
    """

    def __init__(self, attention: nn.Module, dim: int, mlp_dim: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(dim)
        self.attention = attention
        self.mlp_norm = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(
            nn.Linear(dim, mlp_dim),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(mlp_dim, dim),
            nn.Dropout(dropout),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Transform ``[..., dim]``."""
        x = x + self.attention(self.attention_norm(x))
        out: Tensor = x + self.mlp(self.mlp_norm(x))
        return out
