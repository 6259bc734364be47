"""Glance, focus, and the normalisation between them, against their equations."""

import torch
import torch.nn.functional as F

from wsvad_lightning.layers import ChannelNorm, GlanceFocusLayer
from wsvad_lightning.layers.glance_focus import FocusBlock, GlanceBlock


def test_channel_norm_adds_epsilon_to_the_standard_deviation() -> None:
    norm = ChannelNorm(2, eps=1.0)
    norm.gain.data, norm.shift.data = torch.tensor([[[2.0], [3.0]]]), torch.tensor([[[0.0], [1.0]]])
    normalised = norm(torch.tensor([[[2.0, 8.0]]]))  # mean 5, deviation 3
    assert normalised.flatten().tolist() == [2 * -3 / 4, 3 * 3 / 4 + 1]


def test_channel_norm_of_equal_channels_is_its_shift_with_a_finite_gradient() -> None:
    x = torch.full((1, 2, 4), 3.0, requires_grad=True)
    norm = ChannelNorm(4)
    out = norm(x)
    out.square().sum().backward()
    assert out.count_nonzero() == 0
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_glance_is_scaled_softmax_attention_of_contiguous_heads() -> None:
    block = GlanceBlock(128)
    x = torch.randn(2, 7, 128)
    query, key, value = block.project_in(block.norm(x)).view(2, 7, 3, 2, 64).permute(2, 0, 3, 1, 4)
    attended = (query / 8 @ key.mT).softmax(dim=-1) @ value
    expected = block.project_out(attended.transpose(1, 2).reshape(2, 7, 128))
    torch.testing.assert_close(block(x), expected, rtol=1e-4, atol=1e-6)


def test_focus_gives_channels_their_heads_kernel_in_turn() -> None:
    block = FocusBlock(128).eval()
    for projection in (block.to_value, block.project_out):
        projection.weight.data = torch.eye(128)[..., None]
    block.project_out.bias.data.zero_()  # type: ignore[union-attr]  # it has one
    x = torch.randn(1, 9, 128)
    mixed, normed = block(x), block.norm(x.mT).mT
    for channel in (0, 1, 64, 127):
        head = channel % 2
        kernel, bias = block.neighbours.weight[head, 0], block.neighbours.bias[head]  # type: ignore[index]
        around = F.pad(normed[0, :, channel], (2, 2)).unfold(0, 5, 1)
        torch.testing.assert_close(mixed[0, :, channel], around @ kernel + bias)


def test_a_layer_adds_its_three_parts_one_after_the_other() -> None:
    layer = GlanceFocusLayer(64, "focus").eval()
    x = torch.randn(2, 6, 64)
    convolved = x + layer.convolution(x)
    mixed = convolved + layer.block(convolved)
    torch.testing.assert_close(layer(x), mixed + layer.feed_forward(mixed))


def test_focus_counts_every_snippet_of_every_row_in_its_statistics() -> None:
    block = FocusBlock(64)
    x = torch.randn(3, 5, 64)
    block(x)
    assert block.norm.running_mean is not None
    torch.testing.assert_close(block.norm.running_mean, 0.1 * x.mean(dim=(0, 1)))
