import torch

from wsvad_lightning.layers import MemoryUnit


def test_activation_is_the_mean_of_the_strongest_slots() -> None:
    memory = MemoryUnit(num_slots=33, dim=4)
    x = torch.randn(2, 5, 4)
    similarity = torch.sigmoid(x @ memory.slots.T / 2.0)
    activation, augmentation = memory(x)
    torch.testing.assert_close(activation, similarity.sort(dim=-1).values[..., -3:].mean(-1))
    torch.testing.assert_close(augmentation, torch.einsum("rts,sd->rtd", similarity, memory.slots))
