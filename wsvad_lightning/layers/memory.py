"""Memory unit of UR-DMU: a learnt bank of prototypes that every snippet is read against."""

import torch
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

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Read the memory with features ``x [..., T, dim]``.

        Returns:
            The activation ``[..., T]`` in (0, 1), the mean of the largest sixteenth (plus one) of the slot
            similarities, and the augmentation ``[..., T, dim]``, the sum of the slots weighted by them.
        """
        similarity = torch.sigmoid((x @ self.slots.T).float() * x.shape[-1] ** -0.5)
        strongest = similarity.topk(self.slots.shape[0] // 16 + 1, dim=-1).values
        return strongest.mean(dim=-1), similarity.to(self.slots) @ self.slots
