import torch
from torch import nn

from wsvad_lightning.layers import MemoryUnit


def test_a_memory_is_read_by_similarity() -> None:
    memory, layer = MemoryUnit(num_slots=33, dim=4), nn.Linear(4, 6)
    x = torch.randn(2, 5, 4)
    similarity = torch.sigmoid(x @ memory.slots.T / 2.0)
    torch.testing.assert_close(memory(x), similarity)
    strongest = similarity.sort(dim=-1).values[..., -3:]
    torch.testing.assert_close(memory.activation(similarity), strongest.mean(-1))
    torch.testing.assert_close(memory.retrieve(similarity, layer), layer(similarity @ memory.slots))
