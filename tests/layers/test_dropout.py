"""The mask has the distribution of dropout, and follows from PyTorch's generator alone."""

import pytest
import torch
from torch import Tensor, nn

from wsvad_lightning.layers.dropout import BLOCK, FEW, Dropout

VALUES = 2 * BLOCK + 3  # two blocks and an odd rest


def dropped_ones(p: float, shape: tuple[int, ...] = (VALUES,), dtype: torch.dtype = torch.float32) -> Tensor:
    """Drop ones by the mask of seed 5."""
    torch.manual_seed(5)
    dropped: Tensor = Dropout(p)(torch.ones(shape, dtype=dtype))
    return dropped


@pytest.mark.parametrize("p", [0.1, 0.5, 0.7])
def test_distribution(p: float) -> None:
    dropped = dropped_ones(p).double()
    kept = dropped != 0
    sigma = (p * (1 - p) / VALUES) ** 0.5
    assert kept.double().mean().item() == pytest.approx(1 - p, abs=4 * sigma)
    torch.testing.assert_close(
        dropped[kept], torch.full_like(dropped[kept], 1 / (1 - p)), rtol=1e-4, atol=0.0
    )
    for lag in (1, 4, BLOCK):  # neighbours, next 64 bits, next block
        both = (kept[lag:] & kept[:-lag]).double().mean().item()
        assert both == pytest.approx((1 - p) ** 2, abs=6 * sigma)


def test_mask_is_the_same_whatever_the_threads_and_the_shape() -> None:
    threads = torch.get_num_threads()
    try:
        masks = []
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            masks.append(dropped_ones(0.5))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(masks[0], masks[1])
    assert torch.equal(masks[0], masks[2])
    assert torch.equal(masks[0], dropped_ones(0.5, (VALUES, 1)).flatten())
    assert torch.equal(masks[0], dropped_ones(0.5, dtype=torch.bfloat16).float())


def test_draws_follow_each_other_as_the_state_of_the_generator_says() -> None:
    dropout, x = Dropout(0.5), torch.ones(2 * FEW)
    torch.manual_seed(5)
    first, state = dropout(x), torch.get_rng_state()
    second = dropout(x)
    torch.set_rng_state(state)
    assert torch.equal(dropout(x), second)
    assert not torch.equal(first, second)


def test_gradient_has_the_mask_of_the_output() -> None:
    x = torch.randn(64, FEW // 32).transpose(0, 1).requires_grad_()
    y = Dropout(0.7)(x)
    y.sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad * x, y)


@pytest.mark.parametrize("p", [0.0, 1e-6, 1.0])
def test_extremes(p: float) -> None:
    assert torch.equal(dropped_ones(p), torch.zeros(VALUES) if p == 1 else torch.ones(VALUES))


def test_few_values_and_scoring_are_as_of_pytorch() -> None:
    x = torch.randn(FEW - 1)
    ours, theirs = Dropout(0.5), nn.Dropout(0.5)
    torch.manual_seed(5)
    y = ours(x)
    torch.manual_seed(5)
    assert torch.equal(y, theirs(x))
    x = torch.randn(2 * FEW)
    assert torch.equal(ours.eval()(x), x)
