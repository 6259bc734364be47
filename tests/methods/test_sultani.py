"""Sultani MIL: what its parity cases do not show."""

import math

import pytest
import torch
from torch import Tensor

from tests.methods.small import small
from tests.parity.batches import training_batch
from tests.parity.cases.sultani_mil import frame_scores
from wsvad_lightning.data.loading.sampling import c3d_borders
from wsvad_lightning.losses import Pairing
from wsvad_lightning.methods.sultani import Init, Sultani, SultaniNet
from wsvad_lightning.types import WSVADBatch


class Echo(SultaniNet):
    """Takes the mean channel for the score, so that losses can be computed by hand."""

    def forward(self, features: Tensor) -> Tensor:
        return features.mean(dim=(1, 3))


def batch_of_scores() -> WSVADBatch:
    normal = torch.tensor([[0.1, 0.3, 0.2], [0.6, 0.5, 0.5]])
    abnormal = torch.tensor([[0.2, 0.9, 0.4], [0.1, 0.1, 0.4]])
    return training_batch(normal[..., None], abnormal[..., None])


@pytest.mark.parametrize(
    ("pairing", "hinge", "smooth", "sparsity"),
    [("all", (0.4 + 0.7 + 0.9 + 1.2) / 2, 0.83, 2.1), ("matched", (0.4 + 1.2) / 2, 0.415, 1.05)],
)
def test_terms_by_hand(pairing: Pairing, hinge: float, smooth: float, sparsity: float) -> None:
    method = Sultani(feature_dim=1, hidden_dim=2, narrow_dim=2, pairing=pairing)
    method.net = Echo(1, 2, 2)
    for parameter, value in zip(method.net.parameters(), (3, 5, 2, 5, 1, 5), strict=True):
        parameter.data.fill_(value)
    losses = {term: value.item() for term, value in method.compute_losses(batch_of_scores()).items()}
    l2 = 2 * 9 + 4 * 4 + 2 * 1  # weights without biases
    assert losses == pytest.approx({"hinge": hinge, "smooth": smooth, "sparsity": sparsity, "l2": l2})


def test_scores_are_averaged_over_crops() -> None:
    net = small("Sultani").eval().net
    features = torch.randn(2, 3, 5, 8)
    crops = torch.stack([net(features[:, [n]]) for n in range(3)])
    torch.testing.assert_close(net(features), crops.mean(dim=0))


def test_the_second_layer_is_linear_unless_asked() -> None:
    torch.manual_seed(0)
    features = torch.randn(4, 1, 3, 8)
    linear = SultaniNet(8, dropout=0.0)
    relu = SultaniNet(8, dropout=0.0, narrow_activation="relu")
    relu.load_state_dict(linear.state_dict())
    assert linear.embed(features).lt(0).any()
    torch.testing.assert_close(relu.embed(features), linear.embed(features).clamp(min=0))


def test_output_dropout_acts_on_scores_while_training() -> None:
    net = SultaniNet(8, dropout=0.0, output_dropout=0.6)
    features = torch.zeros(4, 1, 50, 8)  # of which every score is one half
    assert set(net(features).unique().tolist()) == {0.0, 1.25}
    assert set(net.eval()(features).unique().tolist()) == {0.5}


@pytest.mark.parametrize("init", ["xavier_normal", "xavier_uniform"])
def test_weights_start_with_the_spread_of_xavier(init: Init) -> None:
    torch.manual_seed(0)
    net = SultaniNet(1024, init=init)
    spread = math.sqrt(2 / (1024 + 512))
    assert net.widen.weight.std().item() == pytest.approx(spread, rel=0.01)
    bounded = net.widen.weight.abs().max().item() <= math.sqrt(3) * spread
    assert bounded == (init == "xavier_uniform")
    assert all(layer.bias.eq(0).all() for layer in net.layers)


def test_reference_expansion_leaves_the_last_clip_at_zero() -> None:
    scores = torch.arange(1.0, 5.0).numpy()
    many = frame_scores(scores, c3d_borders(11, 4), num_clips=11, num_frames=11 * 16 + 5)
    assert many[::16].tolist() == [1, 1, 1, 2, 2, 3, 3, 3, 4, 4, 0, 0]
    assert len(many) == 181
    few = frame_scores(scores, c3d_borders(2, 4), num_clips=2, num_frames=40)
    assert few[::16].tolist() == [2, 4, 4]
