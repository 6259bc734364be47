"""FRD-UVAD: what its parity cases do not show."""

import math
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from tests.data.loading.test_datamodule import make_trainer
from tests.methods.small import SMALLER, small
from tests.parity.batches import evaluation_batch
from wsvad_lightning.data.loading.datamodule import WSVADDataModule
from wsvad_lightning.data.store.synthetic import make_store
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.methods import C2FPL, FRDUVAD
from wsvad_lightning.methods.frduvad import (
    FRDUVADNet,
    Memory,
    Reconstructor,
    TokenAttention,
    at_most,
    running_mean,
    sinusoids,
    upper_deviation,
)
from wsvad_lightning.types import WSVADBatch

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning"),  # Lightning's use of torch
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
]


def make(**arguments: Any) -> FRDUVAD:
    torch.manual_seed(0)
    return FRDUVAD(8, **{**SMALLER["FRDUVAD"], "dropout": 0.0, "disruption": 0.0, **arguments})


class Given(FRDUVADNet):
    """Takes the first channel for the error and the second for the score."""

    def errors(self, features: Tensor) -> Tensor:
        return features[..., 0].amax(dim=1)

    def forward(self, features: Tensor) -> Tensor:
        return features[..., 1].mean(dim=1)


def windows(errors: list[list[float]], scores: list[list[float]]) -> WSVADBatch:
    features = torch.stack([torch.tensor(errors), torch.tensor(scores)], dim=-1)[:, None]
    return evaluation_batch(features.transpose(1, 2))


# ----------------------------------------------------------------------------------------- small functions


def test_positions_are_sines_and_cosines_in_turn() -> None:
    code = sinusoids(3, 4)
    expected = [math.sin(2), math.cos(2), math.sin(2 / 100), math.cos(2 / 100)]
    assert code[2].tolist() == pytest.approx(expected)
    assert code[0].tolist() == [0, 1, 0, 1]


def test_means_run_over_the_window() -> None:
    assert running_mean(torch.tensor([[1.0, 3.0, 8.0]])).tolist() == [[1, 2, 4]]


def test_a_single_value_deviates_by_nothing() -> None:
    assert upper_deviation(torch.tensor([[2.0]]), 3.0).item() == 2
    assert upper_deviation(torch.tensor([1.0, 3.0]), 2.0).item() == pytest.approx(2 + 2 * math.sqrt(2))


def test_of_many_windows_some_are_kept() -> None:
    torch.manual_seed(0)
    kept = at_most(3, torch.arange(50.0)[:, None])
    assert len(set(kept.flatten().tolist())) == 3
    assert kept.max() > 3
    assert at_most(3, torch.ones(2, 1)).shape == (2, 1)


# ------------------------------------------------------------------------------------------ reconstruction


def test_in_the_cascade_a_snippet_asks_with_the_queries_of_the_one_before() -> None:
    torch.manual_seed(0)
    own, cascade = TokenAttention(8, 2, cascade=False), TokenAttention(8, 2, cascade=True)
    cascade.load_state_dict(own.state_dict())
    x = torch.randn(2, 4, 3, 8)
    torch.testing.assert_close(cascade(x)[:, 0], own(x)[:, 0])
    changed = x.clone()
    changed[:, 1] += 1
    same = (cascade(changed) - cascade(x)).abs().amax(dim=(0, 2, 3)) < 1e-6
    assert same.tolist() == [True, False, False, True]


@pytest.mark.parametrize(("feature_dim", "tokens", "heads"), [(8, 2, 2), (9, 2, 2), (1, 16, 16), (30, 4, 3)])
def test_any_number_of_channels_is_reconstructed(feature_dim: int, tokens: int, heads: int) -> None:
    rebuild = Reconstructor(feature_dim, tokens, 1, heads, disruption=0.0)
    features = torch.randn(2, 3, 5, feature_dim)
    assert rebuild(features).shape == features.shape


def test_disruption_hides_channels_while_training_alone() -> None:
    torch.manual_seed(0)
    net = FRDUVADNet(8, tokens=2, depth=1, heads=2, disruption=0.5)
    features = torch.randn(1, 1, 4, 8)
    assert not torch.equal(net.reconstruct(features), net.reconstruct(features))
    net.eval()
    assert torch.equal(net.reconstruct(features), net.reconstruct(features))


# -------------------------------------------------------------------------------------------------- losses


def test_terms_by_hand() -> None:
    method = make()
    method.net = Given(2, 1, 1, 1)
    losses = method.compute_losses(windows([[0.0, 0.0], [0.0, 4.0]], [[0.5, 0.5], [0.5, 0.75]]))
    assert losses["reconstruction"].item() == pytest.approx(1.0)  # threshold 1 + 2: one snippet is above
    assert losses["memory"].item() == 0
    expected = -(3 * math.log(0.5) + math.log(0.625)) / 4
    assert losses["score"].item() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("memory", "margin", "expected"), [("any", 0.0, [0]), ("all", -1.0, []), ("off", 0.0, [])]
)
def test_the_memory_takes_windows_taken_for_anomalous(
    memory: Memory, margin: float, expected: list[int]
) -> None:
    method = make(memory=memory, memory_margin=margin)
    method.net = Given(2, 1, 1, 1)
    batch = windows([[9.0, 0.0], [0.0, 0.0], [0.0, 0.0]], [[0.9, 0.9], [0.9, 0.1], [0.1, 0.1]])
    method.compute_losses(batch)
    assert [row.tolist() for row in method.bank] == [batch.features[i].tolist() for i in expected]


@pytest.mark.parametrize("memory", ["any", "all"])
@pytest.mark.parametrize("shape", [(1, 1, 2, 8), (3, 2, 4, 8)])
def test_an_empty_memory_changes_no_term_and_no_gradient(memory: Memory, shape: tuple[int, ...]) -> None:
    batch = evaluation_batch(torch.randn(shape).transpose(1, 2))
    found = []
    for method in (make(memory="off"), make(memory=memory, memory_margin=1e6)):  # nothing is remembered
        for _ in range(2):
            method.zero_grad()
            losses = method.compute_losses(batch)
            torch.autograd.backward(method.total_loss(losses))
        assert len(method.bank) == 0
        assert losses["memory"].item() == 0
        gradients = {name: p.grad for name, p in method.named_parameters()}
        assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients.values())
        found.append({**losses, **gradients})
    without, empty = found
    assert all(
        torch.equal(cast(torch.Tensor, value), cast(torch.Tensor, empty[name]))
        for name, value in without.items()
    )


def test_what_is_remembered_is_pushed_above_the_threshold() -> None:
    method = make(memory="any")
    method.net = Given(2, 1, 1, 1)
    batch = windows([[1.0, 3.0]], [[0.1, 0.1]])
    method.bank = windows([[0.0, 0.0]], [[0.1, 0.1]]).features
    threshold = 1 + math.sqrt(2)  # of 1 3 0 0
    assert method.compute_losses(batch)["memory"].item() == pytest.approx(threshold, rel=1e-5)
    method.bank = windows([[9.0, 9.0]], [[0.1, 0.1]]).features
    batch = windows([[1.0, 1.0]] * 3, [[0.1, 0.1]] * 3)  # mean 3, deviation 3.7
    assert method.compute_losses(batch)["memory"].item() == 0


def test_labels_need_the_agreement_of_an_auxiliary_scorer() -> None:
    method = make(auxiliary_dims=(4, 4))
    assert method.net.auxiliary is not None
    for parameter in method.net.auxiliary.parameters():
        parameter.data.zero_()
    features, errors = torch.randn(2, 1, 3, 8), torch.ones(2, 3)
    assert method.pseudo_labels(features, errors, torch.tensor(1.0)).all()  # its score is one half
    dict(method.net.auxiliary.named_parameters())["mlp.6.bias"].data.fill_(-0.1)
    assert not method.pseudo_labels(features, errors, torch.tensor(1.0)).any()


# ------------------------------------------------------------------------------------------------ training


@pytest.fixture
def store(tmp_path: Path) -> str:
    return str(make_store(tmp_path / "s.h5", train=3, test=1, dim=8, crops=2, lengths=(6, 9)))


def train(method: FRDUVAD, store: str, steps: int, ckpt_path: Path | None = None) -> Path:
    """Train by windows of three snippets and save where the store lies."""
    folder = Path(store).parent
    trainer = make_trainer(folder, max_steps=steps, max_epochs=-1)
    data = WSVADDataModule(store, bags="windows", segments=3, batch_size=4)
    trainer.fit(method, data, ckpt_path=ckpt_path)
    trainer.save_checkpoint(folder / f"{type(method).__name__}{steps}.ckpt")
    return folder / f"{type(method).__name__}{steps}.ckpt"


def auxiliary_checkpoint(store: str, **arguments: Any) -> str:
    method = C2FPL(8, **arguments)
    method.take_prepared("c2fpl_labels", torch.zeros(1))
    trainer = make_trainer(Path(store).parent)
    trainer.strategy.connect(method)
    path = Path(store).parent / "c2fpl.ckpt"
    trainer.save_checkpoint(path)
    return str(path)


def test_a_resumed_run_equals_an_uninterrupted_one(store: str) -> None:
    arguments: dict[str, Any] = {"memory": "any", "memory_size": 400, "memory_margin": -2.0}
    whole, half, resumed = make(**arguments), make(**arguments), make(**arguments)
    train(whole, store, 8)
    train(resumed, store, 8, ckpt_path=train(half, store, 3))
    assert 0 < len(half.bank) < len(whole.bank)
    torch.testing.assert_close(resumed.bank, whole.bank)
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


@pytest.mark.parametrize(("steps", "training"), [(None, True), (4, True), (3, False), (0, False)])
def test_disruption_ends_where_asked(store: str, steps: int | None, training: bool) -> None:
    method = make(disruption_steps=steps)
    modes = []
    original = method.compute_losses

    def compute_losses(batch: WSVADBatch) -> dict[str, Tensor]:
        modes.append(method.net.training)
        return original(batch)

    method.compute_losses = compute_losses  # type: ignore[method-assign]  # to look into the steps
    train(method, store, 4)
    assert modes[3] is training
    assert modes == [steps is None or step < steps for step in range(4)]


def test_the_auxiliary_scorer_comes_from_c2fpl_and_is_not_trained(store: str) -> None:
    path = auxiliary_checkpoint(store, hidden_dims=(6, 4))
    method = make(auxiliary=path, auxiliary_dims=(6, 4))
    checkpoint = train(method, store, 3)
    trained = C2FPL.load_from_checkpoint(path).net.to_score.state_dict()
    assert method.net.auxiliary is not None
    for name, value in method.net.auxiliary.state_dict().items():
        assert torch.equal(value, trained[name]), name
    Path(path).unlink()
    loaded = FRDUVAD.load_from_checkpoint(checkpoint)
    assert loaded.net.auxiliary is not None
    train(make(auxiliary=path, auxiliary_dims=(6, 4)), store, 5, ckpt_path=checkpoint)


def test_the_auxiliary_scorer_may_be_of_the_method_itself_on_one_view(store: str) -> None:
    one_view = make_store(Path(store).parent / "one.h5", train=3, test=1, dim=8, crops=1, lengths=(6, 9))
    path = train(make(), str(one_view), 1)
    dims = SMALLER["FRDUVAD"]["hidden_dims"]
    method = make(auxiliary=str(path), auxiliary_dims=tuple(dims), auxiliary_dropout=0.7)
    path.rename(path.with_name("first.ckpt"))
    method.auxiliary = str(path.with_name("first.ckpt"))
    train(method, store, 1)
    trained = FRDUVAD.load_from_checkpoint(method.auxiliary).net.to_score.state_dict()
    assert method.net.auxiliary is not None
    for name, value in method.net.auxiliary.state_dict().items():
        assert torch.equal(value, trained[name]), name


def test_mistakes_with_the_auxiliary_scorer_are_named(store: str) -> None:
    with pytest.raises(WSVADError, match="model.auxiliary='x.ckpt': requires model.auxiliary_dims"):
        make(auxiliary="x.ckpt")
    with pytest.raises(
        WSVADError, match="model.auxiliary is required.*Give a checkpoint of C2FPL or FRDUVAD"
    ):
        train(make(auxiliary_dims=(6, 4)), store, 1)
    with pytest.raises(WSVADError, match="model.auxiliary='absent.ckpt': no such file"):
        train(make(auxiliary="absent.ckpt", auxiliary_dims=(6, 4)), store, 1)
    path = auxiliary_checkpoint(store, hidden_dims=(6, 5))
    with pytest.raises(WSVADError, match=r"mlp.3.weight of shape \[5, 6\], not \[4, 6\] \(2 more"):
        train(make(auxiliary=path, auxiliary_dims=(6, 4)), store, 1)
    other = str(Path(store).parent / "other.ckpt")
    torch.save({"method": "URDMU", "state_dict": {}}, other)
    with pytest.raises(WSVADError, match="model.auxiliary=.*is of URDMU, not C2FPL or FRDUVAD"):
        train(make(auxiliary=other, auxiliary_dims=(6, 4)), store, 1)


def test_paired_bags_are_refused(store: str) -> None:
    trainer = make_trainer(Path(store).parent, max_steps=1)
    with pytest.raises(WSVADError, match="data.bags='paired': FRDUVAD trains on windows bags"):
        trainer.fit(small("FRDUVAD"), WSVADDataModule(store))
    with pytest.raises(WSVADError, match="data.bags='windows': URDMU trains on paired bags"):
        trainer.fit(small("URDMU"), WSVADDataModule(store, bags="windows"))
