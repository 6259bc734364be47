"""From features to scores: the head of the RTFM family."""

import torch
from torch import Tensor, nn

from wsvad_lightning.layers.blocks import in_blocks
from wsvad_lightning.layers.dropout import Dropout


class ScoreHead(nn.Module):
    """Two hidden layers with ReLU and dropout, then one probability.

    Args:
        dim: channels in.
        dropout: probability after each hidden layer.
        hidden_dims: widths of the hidden layers.
    """

    def __init__(self, dim: int, dropout: float, hidden_dims: tuple[int, int] = (512, 128)) -> None:
        first, second = hidden_dims
        super().__init__()
        self.width = first
        self.mlp = nn.Sequential(
            nn.Linear(dim, first),
            nn.ReLU(),
            Dropout(dropout),
            nn.Linear(first, second),
            nn.ReLU(),
            Dropout(dropout),
            nn.Linear(second, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Score features: ``[..., T, D]`` to ``[..., T]`` in [0, 1], float32."""
        return torch.sigmoid(in_blocks(self.mlp, x, self.width).squeeze(-1).float())
