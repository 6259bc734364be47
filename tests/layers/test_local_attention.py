import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from wsvad_lightning.layers import LocalAttention


def rotated(x: Tensor, positions: Tensor) -> Tensor:
    """Turn each pair of channels (i, i + half) by its angle, pair by pair."""
    half = x.shape[-1] // 2
    out = x.clone()
    for i in range(half):
        cos, sin = (f(positions / 10000 ** (i / half)) for f in (torch.cos, torch.sin))
        out[..., i] = x[..., i] * cos - x[..., i + half] * sin
        out[..., i + half] = x[..., i + half] * cos + x[..., i] * sin
    return out


@pytest.mark.parametrize(("window", "length"), [(2, 9), (3, 9), (4, 1), (8, 5)])
def test_it_is_attention_to_neighbours_with_shifted_queries(window: int, length: int) -> None:
    """All keys at once: filled up with zeros, no farther than the window, queries a window ahead."""
    torch.manual_seed(0)
    block = LocalAttention(dim=6, window=window, positions=12, heads=1, head_dim=4)
    x = torch.randn(2, length, 6)
    placed = x + block.position.weight[:length]
    fill = (0, 0, 0, -length % window)
    projected = block.attention.to_qkv(block.attention.norm(placed)).chunk(3, dim=-1)
    query, key, value = (F.pad(part, fill) for part in projected)
    at = torch.arange(query.shape[1])
    logits = rotated(query, at + window) @ rotated(key, at).transpose(1, 2) / math.sqrt(4)
    far = (at[:, None] - at).abs() > window
    attended = logits.masked_fill(far, -torch.inf).softmax(dim=-1) @ value
    expected = placed + block.attention.to_out(attended[:, :length])
    torch.testing.assert_close(block(x), expected, rtol=1e-4, atol=1e-5)


def test_weights_alone_are_saved() -> None:
    names = set(LocalAttention(dim=6, window=2, positions=12).state_dict())
    inside = {"norm.weight", "norm.bias", "to_qkv.weight", "to_out.weight"}
    assert names == {"position.weight", *(f"attention.{name}" for name in inside)}
