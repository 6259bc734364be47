"""The layer that transformers are stacked of: attention, then a feed-forward network."""

from torch import Tensor, nn

from wsvad_lightning.layers.blocks import in_blocks
from wsvad_lightning.layers.dropout import Dropout


class PreNormLayer(nn.Module):
    """Attention, then a feed-forward network, each after a layer norm and with a residual.

    Args:
        attention: from ``[..., T, dim]`` to ``[..., T, dim]``.
        dim: channels in and out.
        mlp_dim: hidden width of the feed-forward network.
        dropout: probability after both of its layers.
        activation: between them.
        norm_eps: added to the variance in both layer norms.
    """

    def __init__(
        self,
        attention: nn.Module,
        dim: int,
        mlp_dim: int,
        dropout: float = 0.0,
        activation: type[nn.Module] = nn.GELU,
        norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(dim, norm_eps)
        self.attention = attention
        self.mlp_norm = nn.LayerNorm(dim, norm_eps)
        self.mlp_dim = mlp_dim
        self.mlp = nn.Sequential(
            nn.Linear(dim, mlp_dim),
            activation(),
            Dropout(dropout),
            nn.Linear(mlp_dim, dim),
            Dropout(dropout),
        )

    def forward(self, x: Tensor, *others: Tensor | None) -> Tensor:
        """Transform ``[..., T, dim]``; the attention takes the other tensors too."""
        x = x + self.attention(self.attention_norm(x), *others)
        return in_blocks(self._refine, x, self.mlp_dim)

    def _refine(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.mlp(self.mlp_norm(x))
        return out
