"""Memory unit of UR-DMU: a learnt bank of prototypes that every snippet is read against."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MemoryUnit(nn.Module):
    """Bank of prototype features, read by sigmoid similarity.

    Args:
        num_slots: number of prototypes.
        dim: channels.
    """

    def __init__(self, num_slots: int, dim: int) -> None:
        super().__init__()
        self.slots = nn.Parameter(torch.empty(num_slots, dim))
        nn.init.uniform_(self.slots, -(dim**-0.5), dim**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Compare features ``[..., T, dim]`` with the slots: similarities ``[..., T, slots]`` in (0, 1)."""
        return torch.sigmoid((x @ self.slots.T).float() * x.shape[-1] ** -0.5)

    def activation(self, similarity: Tensor) -> Tensor:
        """Give ``[..., T]`` in (0, 1), the mean of the largest sixteenth (plus one) of the similarities."""
        return similarity.topk(self.slots.shape[0] // 16 + 1, dim=-1).values.mean(dim=-1)

    def retrieve(self, similarity: Tensor, layer: nn.Linear) -> Tensor:
        """Sum the slots weighted by similarities, and apply a linear layer to the sum.

        The layer is applied to the slots, of which there are far fewer than snippets.

        Args:
            similarity: ``[..., T, slots]``.
            layer: from dim channels to E.

        Returns:
            ``[..., T, E]``.
        """
        slots = F.linear(self.slots, layer.weight)
        return F.linear(similarity.to(slots), slots.T, layer.bias)
