"""What holds for every method: the contract of the base, and the hazards of real data."""

from collections.abc import Callable
from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F
from lightning.fabric.utilities import move_data_to_device
from lightning.pytorch.plugins.precision import DoublePrecision, HalfPrecision, Precision
from torch import Tensor

from tests.methods.small import CLASSES, small
from tests.parity.batches import evaluation_batch, training_batch
from wsvad_lightning import methods
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.types import WSVADBatch

UNBOUNDED = {"BNWVAD"}
NAMES = pytest.mark.parametrize("name", methods.__all__)


def paired(features: Tensor) -> WSVADBatch:
    positions = torch.arange(len(features) * features.shape[2]).view(len(features), -1)
    batch = training_batch(*features.chunk(2))
    kinds = (batch.labels * (1 + torch.arange(len(features)) % len(CLASSES))).long()
    targets = F.one_hot(kinds, 1 + len(CLASSES)).float()
    glances = (torch.arange(features.shape[2]) % 7 == 0) & (batch.labels[:, None] > 0)
    return batch._replace(positions=positions, class_targets=targets, glances=glances)


def train_once(method: WSVADModule, batch: WSVADBatch) -> Tensor:
    losses = method.compute_losses(batch)
    assert set(losses) == set(method.loss_weights)
    total = method.total_loss(losses)
    torch.autograd.backward(total)
    return total


@NAMES
@pytest.mark.parametrize(("videos", "crops", "snippets"), [(1, 1, 1), (1, 3, 2), (2, 1, 15), (3, 10, 33)])
def test_any_batch_crops_and_length(name: str, videos: int, crops: int, snippets: int) -> None:
    method = small(name)
    losses = method.compute_losses(paired(torch.randn(2 * videos, crops, snippets, 8).abs()))
    assert set(losses) == set(method.loss_weights)
    assert all(value.ndim == 0 and value.isfinite() for value in losses.values()), losses
    scores = method.eval().score(evaluation_batch(torch.randn(crops, snippets, 8).abs()))
    assert scores.shape == (1, snippets)
    assert scores.isfinite().all()
    assert scores.ge(0).all()
    assert name in UNBOUNDED or scores.le(1).all()


HAZARDS: dict[str, Callable[[Tensor], Tensor]] = {
    "all zero": torch.zeros_like,
    "zero normal videos": lambda x: torch.cat([torch.zeros_like(x[:2]), x[2:]]),
    "one zero snippet": lambda x: x * (torch.arange(x.shape[2]) != 3)[:, None],
    "one zero crop": lambda x: x * (torch.arange(x.shape[1]) != 0)[:, None, None],
    "constant": lambda x: torch.full_like(x, 3.0),
    "constant in time": lambda x: x[:, :, :1].expand_as(x).contiguous(),
    "huge": lambda x: 1e4 * x,
    "identical halves": lambda x: torch.cat([x[:2], x[:2]]),
}


@NAMES
@pytest.mark.parametrize("hazard", HAZARDS)
def test_hazards_give_finite_losses_and_gradients(name: str, hazard: str) -> None:
    method = small(name)
    features = HAZARDS[hazard](torch.randn(4, 2, 20, 8).abs())
    assert train_once(method, paired(features)).isfinite()
    for parameter_name, parameter in method.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name
    method.eval()
    with torch.no_grad():
        assert method.score(evaluation_batch(features[0])).isfinite().all()


@NAMES
def test_a_silent_network_has_finite_gradients(name: str) -> None:
    """Without weights nothing has a length: unit vectors, norms and variances meet zero."""
    method = small(name)
    for parameter in method.parameters():
        parameter.data.zero_()
    assert train_once(method, paired(torch.zeros(2, 1, 4, 8))).isfinite()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in method.parameters())


@NAMES
def test_scores_do_not_depend_on_the_batch_around_a_video(name: str) -> None:
    method = small(name).eval()
    features = torch.randn(3, 2, 12, 8).abs()
    with torch.no_grad():
        together = method.score(evaluation_batch(features.transpose(1, 2)))
        alone = torch.cat([method.score(evaluation_batch(video)) for video in features])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)


@NAMES
def test_scoring_draws_nothing_at_random(name: str) -> None:
    method = small(name).eval()
    batch = evaluation_batch(torch.randn(2, 12, 8).abs())
    with torch.no_grad():
        assert torch.equal(method.score(batch), method.score(batch))


WAITS = {  # for numbers, in training: what a GPU computes is read by the CPU
    "ADPLG": "it keeps the attention of earlier visits on the CPU",
}


@NAMES
def test_nothing_waits_for_numbers(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors of the device ``meta`` have shapes and no numbers; autocast does not know it."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    method, device = small(name).to("meta"), torch.device("meta")
    batch = move_data_to_device(paired(torch.randn(4, 2, 20, 8)), device)
    if name in WAITS:
        with pytest.raises(RuntimeError, match="no data|item"):
            method.compute_losses(batch)
    else:
        assert train_once(method, batch).is_meta
    scored = move_data_to_device(evaluation_batch(torch.randn(2, 12, 8)), device)
    assert method.eval().score(scored).is_meta


@NAMES
def test_bf16_autocast_stays_close_to_float32(name: str) -> None:
    method = small(name).eval()
    features = torch.randn(2, 40, 8).abs()
    with torch.no_grad():
        exact = method.score(evaluation_batch(features))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = method.score(evaluation_batch(features))
    assert half.dtype is torch.float32
    torch.testing.assert_close(half, exact, rtol=0.05, atol=0.02)


@NAMES
def test_bf16_autocast_trains(name: str) -> None:
    method = small(name)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = method.compute_losses(paired(torch.randn(4, 2, 20, 8).abs()))
    assert all(value.dtype is torch.float32 for value in losses.values())
    total = method.total_loss(losses)
    torch.autograd.backward(total)
    assert total.isfinite()


@NAMES
@pytest.mark.parametrize("kind", ["64-true", "bf16-true", "16-true"])
def test_weights_of_another_type_train_and_score(name: str, kind: str) -> None:
    """As Lightning's precisions change weights and batches."""
    precision: Precision = DoublePrecision() if kind == "64-true" else HalfPrecision(kind)  # type: ignore[arg-type]
    method = precision.convert_module(small(name))
    assert isinstance(method, WSVADModule)
    with precision.train_step_context():
        assert train_once(method, precision.convert_input(paired(torch.randn(4, 2, 20, 8).abs()))).isfinite()
    with precision.val_step_context(), torch.no_grad():
        scores = method.eval().score(precision.convert_input(evaluation_batch(torch.randn(2, 12, 8).abs())))
    assert scores.isfinite().all()
