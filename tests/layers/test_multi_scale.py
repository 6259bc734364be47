"""The multi-scale temporal network and its non-local block."""

import pytest
import torch
from torch import nn

from wsvad_lightning.layers import MultiScaleTemporal, NonLocalBlock, TemporalConv
from wsvad_lightning.layers.multi_scale import TemporalNorm
from wsvad_lightning.layers.norms import BatchNormRows, GroupNormRows


def test_a_new_non_local_block_changes_nothing() -> None:
    x = torch.randn(2, 5, 6)
    assert torch.equal(NonLocalBlock(6)(x), x)


def test_non_local_attention_by_hand() -> None:
    block = NonLocalBlock(2).eval()
    with torch.no_grad():
        for layer in (block.query, block.key, block.value, block.project_out):
            layer.weight.fill_(1.0)
            assert layer.bias is not None
            layer.bias.zero_()
        block.norm.weight.fill_(1.0)
        block.norm.eps = 0.0
    x = torch.tensor([[[1.0, 0.0], [2.0, 1.0]]])  # channel sums over time: 1 and 3
    attended = torch.tensor([[1.0], [3.0]]) * (1.0 * 1.0 + 3.0 * 3.0) / 2  # q (k v summed over time) / T
    torch.testing.assert_close(block(x), x + attended)


@pytest.mark.parametrize("norm", ["batch", "group"])
@pytest.mark.parametrize("dim", [2, 3, 30, 32, 64])
def test_any_width_keeps_its_shape(norm: TemporalNorm, dim: int) -> None:
    network = MultiScaleTemporal(dim, norm)
    assert network(torch.randn(3, 7, dim)).shape == (3, 7, dim)
    assert network.eval()(torch.randn(1, 1, dim)).shape == (1, 1, dim)


def test_the_order_of_normalisation_is_the_paper_s() -> None:
    batch, group = MultiScaleTemporal(32), MultiScaleTemporal(32, "group")
    assert [type(layer) for layer in batch.fuse] == [TemporalConv, nn.ReLU, BatchNormRows]
    assert [type(layer) for layer in group.fuse] == [TemporalConv, GroupNormRows, nn.ReLU]


def test_context_reaches_four_snippets_and_the_non_local_branch_all() -> None:
    torch.manual_seed(0)
    network = MultiScaleTemporal(64).eval()
    x = torch.randn(1, 20, 64, requires_grad=True)
    gradient = torch.autograd.grad(network(x)[0, 10].sum(), x)[0][0].abs().sum(dim=-1)
    reached = gradient.nonzero().flatten().tolist()
    assert (min(reached), max(reached)) == (5, 15)  # dilation 4, then the fusing convolution
    network.non_local.norm.weight.data.fill_(1.0)
    gradient = torch.autograd.grad(network(x)[0, 10].sum(), x)[0][0].abs().sum(dim=-1)
    assert gradient[0] > 0
    assert gradient[-1] > 0


def test_long_and_short_videos_take_the_same_product() -> None:
    torch.manual_seed(0)
    block = NonLocalBlock(8).double().eval()
    torch.nn.init.ones_(block.norm.weight)
    x = torch.randn(1, 50, 8, dtype=torch.float64)
    query, key, value = block.query(x)[0], block.key(x)[0], block.value(x)[0]
    attended = (query @ key.T) @ value / 50
    torch.testing.assert_close(block(x), x + block.norm(block.project_out(attended[None])))
