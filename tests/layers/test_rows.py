"""Every block gives of videos with crops what it gives of each crop as a row."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from wsvad_lightning.layers import (
    AdaptiveSpanAttention,
    CrossAttention,
    DistanceEncoder,
    GlanceFocusLayer,
    GraphLayer,
    LocalAttention,
    MemoryUnit,
    MultiScaleTemporal,
    PerturbedTopK,
    PreNormLayer,
    ScoreHead,
    SelfAttention,
    TemporalConv,
    WindowAttention,
    over_rows,
)

DIM = 64
BLOCKS: dict[str, Callable[[], nn.Module]] = {
    "adaptive span": lambda: AdaptiveSpanAttention(DIM, 2, 4, ramp=3, dropout=0.0),
    "distance encoder": lambda: DistanceEncoder(DIM, 8, 1, 2, 4, 8, dropout=0.0),
    "focus": lambda: GlanceFocusLayer(DIM, "focus"),
    "glance": lambda: GlanceFocusLayer(DIM, "glance"),
    "local": lambda: LocalAttention(DIM, window=2, positions=8),
    "memory": lambda: MemoryUnit(20, DIM),
    "multi-scale": lambda: MultiScaleTemporal(DIM),
    "score head": lambda: ScoreHead(DIM, 0.0),
    "self": lambda: PreNormLayer(SelfAttention(DIM, 2, 4, 0.0), DIM, 8),
    "temporal convolution": lambda: TemporalConv(DIM, 4, kernel_size=3),
}


def outputs(block: nn.Module, *inputs: Tensor) -> tuple[Tensor, ...]:
    out = block(*inputs)
    return out if isinstance(out, tuple) else (out,)


@pytest.mark.parametrize("name", BLOCKS)
def test_crops_are_an_axis_like_any_other(name: str) -> None:
    torch.manual_seed(0)
    block, x = BLOCKS[name]().eval(), torch.randn(2, 3, 8, DIM)
    rows = outputs(block, x.flatten(0, 1))
    for of_crops, of_rows in zip(outputs(block, x), rows, strict=True):
        assert of_crops.shape[:2] == (2, 3)
        torch.testing.assert_close(of_crops.flatten(0, 1), of_rows)
    for alone, of_rows in zip(outputs(block, x[0, 0]), rows, strict=True):
        torch.testing.assert_close(alone, of_rows[0])


def test_what_is_attended_to_has_the_same_axes() -> None:
    torch.manual_seed(0)
    attention, window = CrossAttention(8, 2, 4), WindowAttention(8, window=3)
    x, other, valid = torch.randn(2, 3, 6, 8), torch.randn(2, 3, 5, 8), torch.rand(2, 3, 6) < 0.5
    expected = attention(x.flatten(0, 1), other.flatten(0, 1)).view(2, 3, 6, 8)
    torch.testing.assert_close(attention(x, other), expected)
    expected = window(x.flatten(0, 1), valid.flatten(0, 1)).view(2, 3, 6, 8)
    torch.testing.assert_close(window(x, valid), expected)
    torch.testing.assert_close(window(x, None), window(x.flatten(0, 1)).view(2, 3, 6, 8))


def test_a_graph_has_the_axes_of_its_snippets() -> None:
    layer, x, graph = GraphLayer(8, 4), torch.randn(2, 3, 6, 8), torch.rand(2, 3, 6, 6)
    expected = layer(x.flatten(0, 1), graph.flatten(0, 1)).view(2, 3, 6, 4)
    torch.testing.assert_close(layer(x, graph), expected)


def test_draws_differ_between_crops_and_a_lone_crop_keeps_its_limit() -> None:
    scores = torch.zeros(1, 2, 10)
    frequency = PerturbedTopK(0.5, samples=50, draw_in_scoring=True)(scores)
    assert frequency.shape == scores.shape
    assert not torch.equal(frequency[0, 0], frequency[0, 1])
    limited = PerturbedTopK(0.5, most=3)
    assert limited(scores).sum(dim=-1).flatten().tolist() == pytest.approx([5.0, 5.0])
    assert limited(scores[:, :1]).sum().item() == pytest.approx(3.0)


class Reversal(nn.Module):
    """Reverses rows, to see the axes of what a block is given."""

    seen: tuple[int, ...] = ()

    @over_rows
    def forward(self, x: Tensor) -> Tensor:
        self.seen = tuple(x.shape)
        return x.flip(1)


@pytest.mark.parametrize("leading", [(), (4,), (2, 3), (2, 3, 4), (0, 3)])
def test_any_number_of_leading_axes_becomes_one(leading: tuple[int, ...]) -> None:
    block, x = Reversal(), torch.randn(*leading, 5, 2)
    assert torch.equal(block(x), x.flip(-2))
    assert block.seen[1:] == (5, 2)
    assert len(block.seen) == 3
