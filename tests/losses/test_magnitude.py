"""Losses on lengths, against numbers worked out by hand."""

import torch

from wsvad_lightning.losses import magnitude_margin, magnitude_mil


def test_margin_squares_the_sum_of_both_parts() -> None:
    normal = torch.tensor([[[[3.0, 4.0], [3.0, 4.0]]]])  # mean feature of length 5
    abnormal = torch.tensor([[[[0.0, 8.0], [0.0, 16.0]]]])  # mean feature of length 12
    assert magnitude_margin(normal, abnormal, margin=10.0).item() == (2 + 5) ** 2


def test_margin_ties_crops_pairwise() -> None:
    normal = torch.tensor([[[[1.0]], [[3.0]]]])
    abnormal = torch.tensor([[[[10.0]], [[8.0]]]])
    assert magnitude_margin(normal, abnormal, margin=10.0).item() == (1**2 + 5**2) / 2


def test_terms_of_a_worked_example() -> None:
    scores = torch.tensor([[0.5, 0.0], [0.5, 0.0], [0.5, 0.25], [1.0, 0.5]])
    features = torch.ones(4, 1, 2, 3)
    index = torch.zeros(4, 1, dtype=torch.long)
    labels = torch.tensor([0.0, 0.0, 1.0, 1.0])
    apart = magnitude_mil(scores, features, index, labels, margin=0.0, across_videos=False)
    joined = magnitude_mil(scores, features, index, labels, margin=0.0, across_videos=True)
    assert apart["smooth"].item() == 0.25**2 + 0.5**2
    assert joined["smooth"].item() == 0.25**2 + 0.75**2 + 0.5**2
    assert torch.isclose(apart["sparsity"], torch.tensor(0.5**2 + 0.25**2 + 1 + 0.5**2).sqrt())
    expected = (3 * torch.log(torch.tensor(2.0)) + 0) / 4  # three scores of one half, one sure and right
    assert torch.isclose(apart["cls"], expected)
    assert torch.isclose(apart["magnitude"], torch.tensor(12.0))  # (sqrt 3 + sqrt 3) squared


def test_zero_features_have_finite_gradients() -> None:
    features = torch.zeros(2, 1, 4, 3, requires_grad=True)
    scores = torch.zeros(2, 4, requires_grad=True)
    index = torch.zeros(2, 3, dtype=torch.long)
    terms = magnitude_mil(scores, features, index, torch.tensor([0.0, 1.0]), 100.0, across_videos=True)
    torch.autograd.backward(torch.stack([*terms.values()]).sum())
    assert features.grad is not None
    assert scores.grad is not None
    assert features.grad.isfinite().all()
    assert scores.grad.isfinite().all()
