import pytest
import torch
from torch import nn

from wsvad_lightning.layers import blocks
from wsvad_lightning.layers.temporal_conv import TemporalConv


@pytest.mark.parametrize(("kernel_size", "dilation"), [(1, 1), (3, 1), (3, 4), (5, 2)])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("length", [1, 3, 9])
def test_it_is_conv1d_along_time(kernel_size: int, dilation: int, bias: bool, length: int) -> None:
    torch.manual_seed(0)
    ours = TemporalConv(4, 6, kernel_size, dilation, bias)
    theirs = nn.Conv1d(4, 6, kernel_size, padding="same", dilation=dilation, bias=bias)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, length, 4)
    found, expected = x.clone().requires_grad_(), x.clone().requires_grad_()
    out, reference = ours(found), theirs(expected.transpose(1, 2)).transpose(1, 2)
    torch.testing.assert_close(out, reference)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), reference)
    torch.autograd.backward([out.square().sum(), reference.square().sum()])
    torch.testing.assert_close(found.grad, expected.grad)
    torch.testing.assert_close(ours.weight.grad, theirs.weight.grad)


@pytest.mark.parametrize(("kernel_size", "dilation"), [(1, 1), (5, 1), (3, 4)])
@pytest.mark.parametrize("length", [1, 9])
def test_a_causal_one_is_conv1d_behind_zeros(kernel_size: int, dilation: int, length: int) -> None:
    torch.manual_seed(0)
    ours = TemporalConv(4, 6, kernel_size, dilation, causal=True)
    theirs = nn.Conv1d(4, 6, kernel_size, dilation=dilation)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, length, 4)
    padded = nn.functional.pad(x.transpose(1, 2), (dilation * (kernel_size - 1), 0))
    expected = theirs(padded).transpose(1, 2)
    torch.testing.assert_close(ours(x), expected)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), expected)


def test_nothing_is_transposed_in_memory() -> None:
    assert TemporalConv(4, 6, kernel_size=3)(torch.randn(2, 9, 4)).is_contiguous()


@pytest.mark.parametrize(("wanted", "grad"), [(torch.float64, False), (torch.float32, True)])
def test_pytorchs_convolution_takes_over_only_where_a_cpu_scores_in_float32(
    wanted: torch.dtype, grad: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    convolution = TemporalConv(4, 6, kernel_size=3)
    with torch.no_grad():
        torch.testing.assert_close(
            convolution(x := torch.randn(2, 9, 4)), convolution.double()(x.double()).float()
        )
    monkeypatch.setattr(nn.functional, "conv1d", None)
    with torch.set_grad_enabled(grad):
        assert convolution.to(wanted)(x.to(wanted)).dtype == wanted
    with torch.no_grad(), pytest.raises(TypeError):
        convolution.float()(x)


@pytest.mark.parametrize("causal", [False, True])
def test_a_long_video_is_convolved_block_by_block(causal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    convolution, x = TemporalConv(4, 6, kernel_size=5, dilation=2, causal=causal), torch.randn(2, 50, 4)
    with torch.no_grad():
        whole = convolution(x)
        monkeypatch.setattr(blocks, "AT_ONCE", 200)
        torch.testing.assert_close(convolution(x), whole)


def test_the_product_takes_the_weights_as_they_are() -> None:
    convolution = TemporalConv(4, 6, kernel_size=3)
    convolution.load_state_dict(nn.Conv1d(4, 6, kernel_size=3).state_dict())
    assert convolution.weight.permute(2, 0, 1).is_contiguous()
