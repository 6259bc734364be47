"""Attention that stays within windows."""

import torch

from wsvad_lightning.layers import WindowAttention, valid_positions


def test_windows_equal_attention_to_each_alone() -> None:
    torch.manual_seed(0)
    attention, whole = WindowAttention(6, window=4, heads=2), WindowAttention(6, window=8, heads=2)
    whole.load_state_dict(attention.state_dict())
    x = torch.randn(3, 8, 6)
    narrow = WindowAttention(6, window=4, heads=2)
    narrow.load_state_dict(attention.state_dict())
    torch.testing.assert_close(attention(x)[:, :4], narrow(x[:, :4]))
    assert not torch.allclose(attention(x), whole(x))


def test_it_is_pytorchs_attention() -> None:
    torch.manual_seed(0)
    ours, theirs = WindowAttention(6, window=5), torch.nn.MultiheadAttention(6, 1, batch_first=True)
    theirs.in_proj_weight.data, theirs.in_proj_bias.data = ours.project_in.weight, ours.project_in.bias
    theirs.out_proj.load_state_dict(ours.project_out.state_dict())
    x = torch.randn(2, 5, 6)
    torch.testing.assert_close(ours(x), theirs(x, x, x)[0])


def test_masked_padding_is_ignored() -> None:
    torch.manual_seed(0)
    attention, x = WindowAttention(6, window=4), torch.randn(1, 8, 6)
    valid = valid_positions(torch.tensor([3]), 8)
    padded = x.clone()
    padded[:, 3:] = 100.0
    torch.testing.assert_close(attention(x, valid)[:, :3], attention(padded, valid)[:, :3])
    assert not torch.allclose(attention(x)[:, :3], attention(padded)[:, :3])
    assert attention(padded, valid).isfinite().all()  # the second window has nothing to look at
