"""CLIP-TSA: what its parity cases do not show."""

from typing import Any

import pytest
import torch

from tests.parity.batches import evaluation_batch, training_batch
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.interop import export_official, load_official
from wsvad_lightning.interop.cliptsa import TABLE, init_args
from wsvad_lightning.methods import CLIPTSA


def test_wide_features_are_brought_to_512_channels() -> None:
    method = CLIPTSA(feature_dim=520)
    batch = training_batch(*torch.rand(2, 1, 2, 6, 520))
    torch.autograd.backward(method.total_loss(method.compute_losses(batch)))
    assert all(p.grad is not None and p.grad.isfinite().all() for p in method.parameters())
    assert method.encode(batch).features.shape == (2, 2, 6, 512)


def test_wide_weights_come_back_and_those_unused_are_named() -> None:
    state = export_official(CLIPTSA(feature_dim=520).net, TABLE)
    method = CLIPTSA(feature_dim=init_args(state)["feature_dim"])
    assert init_args(state) == {"feature_dim": 520}
    assert load_official(method.net, state, TABLE) == []
    narrow = {**export_official(CLIPTSA().net, TABLE), "mlp.fc1.weight": torch.zeros(1024, 512)}
    assert init_args(narrow) == {"feature_dim": 512}
    assert load_official(CLIPTSA().net, narrow, TABLE) == ["mlp.fc1.weight"]


def test_the_gate_weighs_what_the_network_sees() -> None:
    method = CLIPTSA(feature_dim=8, keep=0.5, sigma=1e-9).eval()
    rows = torch.randn(1, 10, 8)
    weights = method.net.attend(rows)
    assert weights.sum() == 5
    scores = method.score(evaluation_batch(rows))
    gone = rows * weights[..., None]  # what has no weight does not matter
    torch.testing.assert_close(method.net.to_score(method.net.context(gone))[0], scores[0])


def test_the_scorer_learns_from_noise_alone() -> None:
    batch = training_batch(*torch.rand(2, 2, 1, 12, 8))
    gradients = []
    for sigma in (0.05, 1e6):
        torch.manual_seed(0)
        method = CLIPTSA(feature_dim=8, keep=0.5, sigma=sigma, dropout=0.0, exclude=0.0)
        torch.autograd.backward(method.total_loss(method.compute_losses(batch)))
        gradient = method.net.get_parameter("relevance.0.weight").grad
        assert gradient is not None
        gradients.append(gradient.norm())
    assert gradients[0] > 1000 * gradients[1]  # the estimate falls with the spread of the noise


def test_drawing_in_scoring_is_the_authors_way() -> None:
    method = CLIPTSA(feature_dim=8, sigma=1.0, keep=0.5, noise_in_scoring=True).eval()
    batch = evaluation_batch(torch.randn(2, 12, 8))
    assert not torch.equal(method.score(batch), method.score(batch))


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("keep", 0.0, "must be in"),
        ("keep", 1.5, "must be in"),
        ("samples", 0, "must be at least 1"),
        ("sigma", 0.0, "must be above 0"),
        ("most_kept", 0, "must be at least 1"),
    ],
)
def test_a_gate_that_cannot_choose_or_learn_is_refused(name: str, value: float, problem: str) -> None:
    arguments: dict[str, Any] = {name: value}
    with pytest.raises(WSVADError, match=f"model.{name}='{value}': {problem}"):
        CLIPTSA(**arguments)
