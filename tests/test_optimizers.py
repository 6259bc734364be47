"""StableAdamW against AdamW and its formula, and the schedule against PyTorch's and NumPy's."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.optimizers import StableAdamW, WarmUpCosine

NEVER = 1e9  # a threshold that no step reaches


def gradients(steps: int) -> list[list[Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [[torch.randn(shape, generator=generator) * 4**i for shape in (3, 2)] for i in range(steps)]


def weights() -> list[nn.Parameter]:
    torch.manual_seed(1)
    return [nn.Parameter(torch.randn(shape)) for shape in (3, 2)]


def run(optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter], of: list[list[Tensor]]) -> None:
    for step in of:
        for parameter, gradient in zip(parameters, step, strict=True):
            parameter.grad = gradient.to(parameter)
        optimizer.step()


def test_without_a_threshold_it_is_adamw() -> None:
    mine, theirs = weights(), weights()
    run(StableAdamW(mine, lr=0.1, weight_decay=0.2, clip_threshold=NEVER), mine, gradients(4))
    run(torch.optim.AdamW(theirs, lr=0.1, weight_decay=0.2), theirs, gradients(4))
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one, other)


def test_the_deviation_is_of_the_highest_square_and_steps_of_grown_gradients_are_shorter() -> None:
    (parameter,) = weights()[:1]
    start, optimizer = parameter.detach().clone(), StableAdamW([parameter], lr=0.1, amsgrad=True)
    first, second = torch.full((3,), 100.0), torch.tensor([1.0, 2.0, 400.0])
    run(optimizer, [parameter], [[first], [second]])
    squares = [0.001 * first**2]
    squares.append(torch.maximum(squares[0], 0.999 * squares[0] + 0.001 * second**2))
    expected, mean = start, torch.zeros(3)
    for step, (gradient, square) in enumerate(zip((first, second), squares, strict=True), start=1):
        mean = 0.9 * mean + 0.1 * gradient
        deviation = square.sqrt() / (1 - 0.999**step) ** 0.5 + 1e-8
        longer = max(1.0, (gradient / deviation).square().mean().sqrt().item())
        expected = expected * (1 - 0.1 * 0.01) - 0.1 / (1 - 0.9**step) / longer * mean / deviation
    torch.testing.assert_close(parameter.detach(), expected)


def test_it_goes_on_from_its_state() -> None:
    parts = gradients(4)
    whole, resumed = weights(), weights()
    run(StableAdamW(whole, amsgrad=True), whole, parts)
    first = StableAdamW(resumed, amsgrad=True)
    run(first, resumed, parts[:2])
    state = copy.deepcopy(first.state_dict())
    second = StableAdamW(resumed)
    second.load_state_dict(state)
    run(second, resumed, parts[2:])
    assert all(map(torch.equal, whole, resumed))


def test_half_precision_has_finite_steps() -> None:
    parameter = nn.Parameter(torch.zeros(3, dtype=torch.float16))
    optimizer = StableAdamW([parameter], eps=1e-10, amsgrad=True)
    run(optimizer, [parameter], [[torch.tensor([0.0, 1e-6, 1.0])]] * 2)
    assert parameter.isfinite().all()


def test_a_closure_gives_the_loss() -> None:
    parameter = nn.Parameter(torch.ones(2))
    optimizer = StableAdamW([parameter], lr=0.5)

    def closure() -> float:
        optimizer.zero_grad()
        loss = parameter.square().sum()
        torch.autograd.backward(loss)
        return loss.item()

    assert optimizer.step(closure) == 2.0
    assert optimizer.step(closure) < 2.0


# ---------------------------------------------------------------------------------------- schedule


def rates(make: Callable[[torch.optim.Optimizer], Any], steps: int, every: int = 1) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.5)
    scheduler, found = make(optimizer), []
    for step in range(1, steps + 1):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if step % every == 0:
            scheduler.step()
    return found


def test_it_rises_from_zero_and_falls_along_a_cosine() -> None:
    found = rates(lambda one: WarmUpCosine(one, 20, warm_up=5, lowest=0.1), 25)
    falls = 0.05 + 0.225 * (1 + np.cos(np.pi * np.arange(15) / 15))
    expected = [*np.linspace(0, 0.5, 5), *falls, *[0.05] * 5]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_rate_lasts_as_many_steps_as_asked() -> None:
    per_epoch = rates(lambda one: torch.optim.lr_scheduler.CosineAnnealingLR(one, 4), 12, every=3)
    np.testing.assert_allclose(rates(lambda one: WarmUpCosine(one, 12, every=3), 12), per_epoch, rtol=1e-12)


def test_a_schedule_goes_on_from_its_state() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.5)
    scheduler = WarmUpCosine(optimizer, 9, warm_up=2)
    for _ in range(4):
        optimizer.step()
        scheduler.step()
    again = WarmUpCosine(torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.5), 9, warm_up=2)
    again.load_state_dict(scheduler.state_dict())
    assert again.get_lr() == scheduler.get_lr() == [0.5 * scheduler.part(4)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lr": -1.0}, "StableAdamW.lr='-1.0': must be at least 0"),
        ({"betas": (0.9, 1.0)}, r"StableAdamW.betas='\(0.9, 1.0\)': must be two numbers in \[0, 1\)"),
        ({"clip_threshold": 0.0}, "StableAdamW.clip_threshold='0.0': must be above 0"),
    ],
)
def test_arguments_of_the_optimizer_are_validated(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(WSVADError, match=message):
        StableAdamW(weights(), **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"total_steps": 5, "warm_up": 5}, "WarmUpCosine.total_steps='5': must be above warm_up, 5"),
        ({"total_steps": 5, "lowest": 2.0}, "WarmUpCosine.lowest='2.0'"),
        ({"total_steps": 5, "every": 0}, "WarmUpCosine.every='0': must be at least 1"),
    ],
)
def test_arguments_of_the_schedule_are_validated(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(WSVADError, match=message):
        WarmUpCosine(torch.optim.SGD(weights()), **arguments)
