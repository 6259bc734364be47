"""Class names that a text tower reads with learnt layers behind its first blocks."""

import pytest
import torch
import torch.nn.functional as F

from tests.methods.towers import tiny_tower
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.layers import AdaptedTexts


def make(blocks: int = 1, share: float = 0.3) -> AdaptedTexts:
    torch.manual_seed(0)
    texts = AdaptedTexts(6, 8, blocks, share)
    texts.use(tiny_tower(8, width=6), ["a", "abc"])
    return texts


def test_the_first_blocks_are_adapted_and_the_projection_is_replaced() -> None:
    texts = make()
    assert texts.tower is not None
    text = texts.tower.model.text_model
    first, second = text.encoder.layers
    x = first(text.embeddings(inputs_embeds=texts.given), None, is_causal=True)
    learnt = F.leaky_relu(x @ texts.adapters[0].weight.T)
    same_length = learnt / learnt.norm(dim=-1, keepdim=True) * x.norm(dim=-1, keepdim=True)
    x = second(0.3 * same_length + 0.7 * x, None, is_causal=True)
    ends = text.final_layer_norm(x)[[0, 1], [2, 4]]
    expected = F.normalize(F.leaky_relu(ends @ texts.adapters[1].weight.T), dim=-1)
    torch.testing.assert_close(texts(), expected, rtol=1e-4, atol=1e-5)


def test_without_a_share_the_tower_reads_as_it_is() -> None:
    adapted, plain = make(share=0.0), make(blocks=0)
    adapted.adapters[-1].load_state_dict(plain.adapters[-1].state_dict())
    torch.testing.assert_close(adapted(), plain())


def test_only_the_layers_learn_and_scoring_follows_them() -> None:
    texts = make(blocks=2)
    torch.autograd.backward(texts()[0].sum())
    assert list(texts.state_dict()) == [f"adapters.{i}.weight" for i in range(3)]
    assert all(one.grad is not None and one.grad.abs().sum() > 0 for one in texts.parameters())
    assert texts.tower is not None
    assert all(parameter.grad is None for parameter in texts.tower.model.parameters())
    before = texts.eval()()
    texts.load_state_dict({name: torch.randn_like(value) for name, value in texts.state_dict().items()})
    assert not torch.allclose(texts(), before)
    torch.testing.assert_close(texts(), texts.train()())


def test_a_tower_of_fewer_blocks_is_refused() -> None:
    with pytest.raises(WSVADError, match="model.adapted_blocks='3': the text tower has 2 blocks"):
        make(blocks=3)
