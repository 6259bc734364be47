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


def test_long_videos_are_averaged_in_blocks_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    values = torch.randn(2, 700, 3, generator=torch.Generator().manual_seed(0))
    weights = proximity_graph(700)
    monkeypatch.setattr(distance_transformer, "ROWS", 70)
    torch.testing.assert_close(attend_by_distance(values), weights / weights.sum(dim=-1) @ values)


def test_no_weight_is_left_out() -> None:
    assert proximity_graph(2 * distance_transformer.REACH)[0, distance_transformer.REACH :].max() == 0


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
