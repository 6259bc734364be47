"""Smoothness and sparsity, by hand."""

import torch

from wsvad_lightning.losses import smoothness, sparsity


def test_smoothness_stays_within_rows_and_sums_them() -> None:
    scores = torch.tensor([[0.0, 1.0, 0.5], [1.0, 1.0, 0.0]])
    assert smoothness(scores).item() == 1.25 + 1.0
    assert smoothness(scores.flatten()).item() == 1.25 + 0.25 + 1.0


def test_one_snippet_is_smooth() -> None:
    assert smoothness(torch.tensor([[0.3]])).item() == 0.0


def test_sparsity_is_one_norm_and_finite_at_zero() -> None:
    assert sparsity(torch.tensor([[3.0], [4.0]])).item() == 5.0
    silent = torch.zeros(2, 3, requires_grad=True)
    torch.autograd.backward(sparsity(silent))
    assert silent.grad is not None
    assert not silent.grad.any()
