"""How often a snippet is among the highest under noise."""

import pytest
import torch
from torch import Tensor

from wsvad_lightning.layers import PerturbedTopK
from wsvad_lightning.layers.perturbed_topk import SelectionFrequency


def frequency(scores: Tensor, noise: Tensor, k: int, sigma: float = 1.0) -> Tensor:
    chosen: Tensor = SelectionFrequency.apply(scores, noise, k, sigma)  # type: ignore[no-untyped-call]
    return chosen


def test_frequencies_by_hand() -> None:
    scores = torch.tensor([[0.0, 1.0, 2.0]])
    noise = torch.tensor([[[0.0, 0.0, 0.0], [5.0, 0.0, 0.0]]])
    assert frequency(scores, noise, 1).tolist() == [[0.5, 0.0, 0.5]]
    assert frequency(scores, noise, 2).tolist() == [[0.5, 0.5, 1.0]]


def test_gradient_by_hand() -> None:
    scores = torch.tensor([[0.0, 1.0]], requires_grad=True)
    noise = torch.tensor([[[3.0, -1.0], [0.5, 2.0]]])  # the first sample chooses 0, the second 1
    torch.autograd.backward(frequency(scores, noise, 1), torch.tensor([[10.0, 1.0]]))
    assert scores.grad is not None
    assert scores.grad.tolist() == [[(30.0 - 1.0) / 2, (5.0 + 2.0) / 2]]


def test_the_gradient_approaches_that_of_the_expected_frequency() -> None:
    torch.manual_seed(0)
    scores, step = torch.tensor([[0.3, 0.5, 0.6, 0.2]]), 0.05
    noise, toward = torch.randn(1, 200_000, 4), torch.tensor([[1.0, -2.0, 0.5, 3.0]])
    leaf = scores.clone().requires_grad_()
    torch.autograd.backward(frequency(leaf, noise, 2, sigma=0.3), toward)
    for t in range(4):
        nudge = step * torch.eye(4)[t]
        above, below = (frequency(scores + sign * nudge, noise, 2, sigma=0.3) for sign in (1, -1))
        expected = ((above - below) * toward).sum() / (2 * step)
        assert leaf.grad is not None
        torch.testing.assert_close(leaf.grad[0, t], expected, rtol=0.03, atol=0.03)


@pytest.mark.parametrize(
    ("keep", "rows", "length", "expected"),
    [(0.95, 4, 32, 30), (0.01, 4, 32, 1), (1.0, 4, 1, 1), (0.95, 1, 2000, 1000), (0.95, 2, 2000, 1900)],
)
def test_k_is_the_authors(keep: float, rows: int, length: int, expected: int) -> None:
    gate = PerturbedTopK(keep, samples=3)
    assert gate.count(rows, length) == expected
    weights = gate(torch.rand(rows, length))
    torch.testing.assert_close(weights.sum(dim=1), torch.full((rows,), float(expected)))


def test_no_limit_keeps_the_share_of_a_long_lone_row() -> None:
    assert PerturbedTopK(0.95, most=None).count(1, 2000) == 1900


def test_noise_is_drawn_anew_in_training_alone() -> None:
    scores = torch.rand(2, 40)
    gate = PerturbedTopK(0.5, samples=5, sigma=1.0)
    assert not torch.equal(gate(scores), gate(scores))
    gate.eval()
    fixed = gate(scores)
    torch.manual_seed(1)
    assert torch.equal(gate(scores), fixed)
    assert torch.equal(gate(scores[1:]), fixed[1:])
    drawing = PerturbedTopK(0.5, samples=5, sigma=1.0, draw_in_scoring=True).eval()
    assert not torch.equal(drawing(scores), drawing(scores))
