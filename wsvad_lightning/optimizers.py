"""An optimizer and a schedule that recipes name and PyTorch does not have."""

import math
from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from wsvad_lightning.errors import WSVADError


class StableAdamW(Optimizer):
    """AdamW with shorter steps of tensors whose gradients have grown (Wortsman et al., NeurIPS 2023).

        p <- p - lr w p
        m <- b1 m + (1 - b1) g,  v <- b2 v + (1 - b2) g^2,  D = sqrt(v) / sqrt(1 - b2^t) + eps
        p <- p - lr / (1 - b1^t) / max(1, rms(g / D) / threshold) * m / D

    rms is over a tensor; no number is read off the device. AMSGrad's D in all of this is DSANet's.

    Args:
        params: parameters, or groups of them.
        lr: learning rate.
        betas: b1 and b2.
        eps: added to the denominator.
        weight_decay: w.
        amsgrad: whether D is of the highest v so far.
        clip_threshold: of rms, above which a step is shortened.

    Raises:
        WSVADError: if an argument is out of range.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        clip_threshold: float = 1.0,
    ) -> None:
        for name, value, fits, wanted in (
            ("lr", lr, lr >= 0, "at least 0"),
            ("betas", betas, all(0 <= beta < 1 for beta in betas), "two numbers in [0, 1)"),
            ("eps", eps, eps >= 0, "at least 0"),
            ("weight_decay", weight_decay, weight_decay >= 0, "at least 0"),
            ("clip_threshold", clip_threshold, clip_threshold > 0, "above 0"),
        ):
            if not fits:
                raise WSVADError(f"StableAdamW.{name}", value, f"must be {wanted}", "Change the recipe")
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "clip_threshold": clip_threshold,
        }
        super().__init__(params, defaults)

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Take a step.

        Args:
            closure: computes the loss and the gradients.

        Returns:
            The loss, if there is a closure.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group)
        return loss

    def _update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        """Update one parameter."""
        state = self.state[parameter]
        if not state:
            state["step"] = 0
            for name in ("exp_avg", "exp_avg_sq", *(["max_exp_avg_sq"] if group["amsgrad"] else [])):
                state[name] = torch.zeros_like(parameter)
        state["step"] += 1
        beta1, beta2 = group["betas"]
        mean = state["exp_avg"].lerp_(gradient, 1 - beta1)
        square = state["exp_avg_sq"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        if group["amsgrad"]:
            square = torch.maximum(state["max_exp_avg_sq"], square, out=state["max_exp_avg_sq"])
        wide = square.to(torch.promote_types(square.dtype, torch.float32))  # half precision rounds eps to 0
        deviation = wide.sqrt().div_(math.sqrt(1 - beta2 ** state["step"])).add_(group["eps"])
        surprise = (gradient / deviation).square().mean().sqrt()
        shortened = (surprise / group["clip_threshold"]).clamp_min(1)
        change = mean / deviation * (group["lr"] / (1 - beta1 ** state["step"]) / shortened)
        parameter.mul_(1 - group["lr"] * group["weight_decay"]).sub_(change)


class WarmUpCosine(LRScheduler):
    """Raises the learning rate from 0, then lets it fall along half a cosine.

    Args:
        optimizer: whose rate is the highest.
        total_steps: after which it stays lowest.
        warm_up: steps of the rise, the first at rate 0 and the last at the highest.
        lowest: part of the highest rate.
        every: steps that have one rate, such as those of an epoch.
        last_epoch: see PyTorch.

    Raises:
        WSVADError: if an argument is out of range.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        total_steps: int,
        warm_up: int = 0,
        lowest: float = 0.0,
        every: int = 1,
        last_epoch: int = -1,
    ) -> None:
        for name, value, fits, wanted in (
            ("total_steps", total_steps, total_steps > warm_up, f"above warm_up, {warm_up}"),
            ("warm_up", warm_up, warm_up >= 0, "at least 0"),
            ("lowest", lowest, 0 <= lowest <= 1, "in [0, 1]"),
            ("every", every, every >= 1, "at least 1"),
        ):
            if not fits:
                raise WSVADError(f"WarmUpCosine.{name}", value, f"must be {wanted}", "Change the recipe")
        self.total_steps, self.warm_up, self.lowest, self.every = total_steps, warm_up, lowest, every
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float | Tensor]:
        """Give the rate of each group of parameters."""
        return [self.part(self.last_epoch) * base for base in self.base_lrs]

    def part(self, step: int) -> float:
        """Give the part of the highest rate in a step, counted from 0."""
        step -= step % self.every
        if step < self.warm_up:
            return step / max(1, self.warm_up - 1)
        fallen = min(1.0, (step - self.warm_up) / (self.total_steps - self.warm_up))
        return self.lowest + (1 - self.lowest) * (1 + math.cos(math.pi * fallen)) / 2
