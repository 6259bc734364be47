"""Attention with learnt spans: the mask by hand, and its two forms."""

import math

import torch

from wsvad_lightning.layers import AdaptiveSpanAttention
from wsvad_lightning.layers.adaptive_span import log_fading


def test_the_mask_by_hand() -> None:
    # ramp 4: chi = (4 + z - d) / 4, at most 1 and at least 0; z = 2 of the first query, 0 of the others
    chi = log_fading(torch.tensor([[2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]]), ramp=4)[0].exp()
    assert chi[0].tolist() == [1, 1, 1, 0.75, 0.5, 0.25, 0, 0]
    assert chi[3].tolist() == [0.25, 0.5, 0.75, 1, 0.75, 0.5, 0.25, 0]


def test_a_span_is_a_share_of_the_video() -> None:
    attention = AdaptiveSpanAttention(3, heads=1, head_dim=2, ramp=4, dropout=0.0)
    attention.to_span.weight.data = torch.tensor([[1.0, 0.0, 0.0]])
    attention.to_span.bias.data.zero_()
    x = torch.zeros(1, 10, 3)
    x[0, 4, 0] = math.log(3)
    spans = attention.spans(x)[0]
    torch.testing.assert_close(spans, torch.full((10,), 5.0).index_fill(0, torch.tensor(4), 7.5))


def test_adding_the_logarithm_is_multiplying_before_the_softmax_is_normalised() -> None:
    torch.manual_seed(0)
    attention = AdaptiveSpanAttention(8, heads=2, head_dim=4, ramp=5, dropout=0.0).double()
    attention.to_span.bias.data.fill_(-2.0)  # short spans: some keys are out of sight
    x = torch.randn(3, 20, 8, dtype=torch.double)
    query, key, value = attention.project_in(x).unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4)
    place = torch.arange(20)
    distance = (place[:, None] - place).abs()
    chi = ((5 + attention.spans(x)[..., None] - distance) / 5).clamp(0, 1)[:, None]
    assert (chi == 0).any()
    weights = chi * torch.exp(query @ key.transpose(-1, -2) / 2)
    attended = (weights / weights.sum(dim=-1, keepdim=True)) @ value
    expected = attention.project_out(attended.transpose(1, 2).flatten(2))
    torch.testing.assert_close(attention(x), expected, rtol=1e-5, atol=1e-6)


def test_spans_learn_where_keys_are_out_of_sight() -> None:
    torch.manual_seed(0)
    attention = AdaptiveSpanAttention(4, heads=1, head_dim=4, ramp=2, dropout=0.0)
    attention.to_span.bias.data.fill_(-3.0)
    torch.autograd.backward(attention(torch.randn(2, 12, 4)).square().sum())
    assert attention.to_span.weight.grad is not None
    assert attention.to_span.weight.grad.isfinite().all()
    assert attention.to_span.weight.grad.any()


def test_a_wide_ramp_is_plain_attention() -> None:
    assert not log_fading(torch.full((1, 6), 6.0), ramp=256).any()
