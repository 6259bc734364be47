import pytest
import torch
from torch import Tensor

from wsvad_lightning.methods import URDMU
from wsvad_lightning.types import WSVADBatch


def paired_batch(features: Tensor) -> WSVADBatch:
    size, _, length, _ = features.shape
    labels = torch.arange(size).ge(size // 2).float()
    names = [str(i) for i in range(size)]
    return WSVADBatch(features, torch.full((size,), length), labels, names, {})


def small() -> URDMU:
    torch.manual_seed(0)
    return URDMU(feature_dim=8, hidden_dim=16, abnormal_slots=20, normal_slots=18, dropout=0.1)


@pytest.mark.parametrize(("crops", "snippets"), [(1, 1), (1, 15), (3, 16), (10, 33)])
def test_any_crops_and_lengths(crops: int, snippets: int) -> None:
    module = small()
    batch = paired_batch(torch.randn(4, crops, snippets, 8))
    losses = module.compute_losses(batch)
    assert set(losses) == set(module.loss_weights)
    assert all(value.ndim == 0 and value.isfinite() for value in losses.values())
    scores = module.eval().score(batch)
    assert scores.shape == (4, snippets)
    assert scores.ge(0).all()
    assert scores.le(1).all()


@pytest.mark.parametrize("hazard", ["all zero", "constant", "huge", "identical halves"])
def test_hazards_give_finite_losses_and_gradients(hazard: str) -> None:
    features = torch.randn(4, 2, 20, 8)
    if hazard == "all zero":
        features.zero_()
    elif hazard == "constant":
        features.fill_(3.0)
    elif hazard == "huge":
        features *= 1e4
    else:
        features[2:] = features[:2]
    module = small()
    total = module.total_loss(module.compute_losses(paired_batch(features)))
    torch.autograd.backward(total)
    assert total.isfinite()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_a_silent_network_has_finite_gradients() -> None:
    """Without weights the representatives have no length: the unit vectors and norms meet zero."""
    module = small()
    for parameter in module.parameters():
        parameter.data.zero_()
    losses = module.compute_losses(paired_batch(torch.zeros(2, 1, 4, 8)))
    torch.autograd.backward(module.total_loss(losses))
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())


def test_scores_do_not_depend_on_the_batch_around_a_video() -> None:
    module = small().eval()
    features = torch.randn(3, 2, 12, 8)
    together = module.net(features)
    alone = torch.cat([module.net(video[None]) for video in features])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)


def test_bf16_autocast_stays_close_to_float32() -> None:
    module = small().eval()
    features = torch.randn(2, 2, 40, 8)
    exact = module.net(features)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = module.net(features)
        activation, _ = module.net.normal_memory(module.net.encoder(features))
    assert half.dtype is activation.dtype is torch.float32
    torch.testing.assert_close(half, exact, rtol=0, atol=0.02)
