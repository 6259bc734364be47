import math

import pytest
import torch

from wsvad_lightning.layers import (
    DistanceEncoder,
    DistanceTransformer,
    attend_by_distance,
    distance_transformer,
    proximity_graph,
)
from wsvad_lightning.layers.distance_transformer import DistanceAttention


def test_prior_is_normalised_by_columns() -> None:
    prior = attend_by_distance(torch.eye(7))
    torch.testing.assert_close(prior.sum(dim=0), torch.ones(7))
    row_sum = sum(math.exp(-abs(5 - m) / math.e) for m in range(7))
    torch.testing.assert_close(prior[2, 5], torch.tensor(math.exp(-3 / math.e) / row_sum))


def test_distance_branch_follows_the_prior() -> None:
    torch.manual_seed(0)
    attention = DistanceAttention(dim=4, heads=1, head_dim=4, dropout=0.0)
    attention.project_in.weight.data.zero_()
    attention.project_in.weight.data[12:].copy_(torch.eye(4))  # the distance branch reads its input
    attention.project_out.weight.data.copy_(torch.eye(4, 8).roll(4, dims=1))
    attention.project_out.bias.data.zero_()
    x = torch.randn(2, 5, 4)
    torch.testing.assert_close(attention(x), attend_by_distance(x))


def test_long_videos_are_averaged_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    values = torch.randn(2, 700, 3, generator=torch.Generator().manual_seed(0))
    weights = proximity_graph(700)
    expected = weights / weights.sum(dim=-1) @ values
    torch.testing.assert_close(attend_by_distance(values), expected, rtol=0, atol=1e-6)
    monkeypatch.setattr(distance_transformer, "WHOLE", 700)
    torch.testing.assert_close(attend_by_distance(values, slice(5, 90)), expected[:, 5:90])


def test_what_is_left_out_is_less_than_rounding() -> None:
    weights = proximity_graph(700).double()[350]
    inside = weights[350 - distance_transformer.REACH :][: 2 * distance_transformer.REACH + 1]
    assert 1 - inside.sum() / weights.sum() < 2**-32


@pytest.mark.parametrize("snippets", [3, 50])  # fewer than channels, and more
def test_branches_are_joined_by_heads(snippets: int) -> None:
    torch.manual_seed(0)
    attention, x = DistanceAttention(8, heads=2, head_dim=3, dropout=0.0), torch.randn(1, snippets, 8)
    query, key, value, distant = attention.project_in(x).unflatten(-1, (4, 2, 3)).permute(2, 0, 3, 1, 4)
    by_content = (query @ key.mT * 3**-0.5).softmax(dim=-1) @ value
    both = torch.cat([by_content, attend_by_distance(distant)], dim=-1)  # [1, heads, T, 2 * head_dim]
    torch.testing.assert_close(attention(x), attention.project_out(both.transpose(1, 2).flatten(2)))


def test_one_snippet_is_enough() -> None:
    transformer = DistanceTransformer(dim=4, depth=2, heads=2, head_dim=3, mlp_dim=5, dropout=0.5)
    assert transformer(torch.zeros(3, 1, 4)).isfinite().all()


def test_encoder_treats_every_crop_by_itself() -> None:
    torch.manual_seed(0)
    encoder = DistanceEncoder(6, dim=4, depth=1, heads=2, head_dim=3, mlp_dim=5, dropout=0.0)
    features = torch.randn(2, 3, 7, 6)
    encoded = encoder(features)
    assert encoded.shape == (2, 3, 7, 4)
    torch.testing.assert_close(encoded[1, 1], encoder(features[1, 1]))
