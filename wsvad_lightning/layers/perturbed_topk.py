"""Differentiable top-k: how often a snippet is among the highest scores when noise is added to them."""

from typing import Any

import torch
from torch import Tensor, nn

SEED = 0  # of the noise that scoring uses


class PerturbedTopK(nn.Module):
    """Selection frequency of each snippet (after Cordonnier et al., CVPR 2021, on image patches).

    ``f_t = mean_n [t among the k highest of s + sigma z_n]`` with ``z_n ~ N(0, I)``; the sum over t is k. The
    gradient is that of CLIP-TSA's code,

        dL/ds_t = mean_n [t chosen by n] (sum_u z_n[u] dL/df_u) / sigma

    The estimator of the paper has noise and choice exchanged, ``z_n[t]`` outside and ``[u chosen by n]`` in
    the sum. Both have the same mean, since the Jacobian of f is symmetric, and differ in any one draw.

    Training draws the noise anew each time. Scoring takes the same noise for every row, unless it is to be
    drawn there too.

    Args:
        keep: share of the snippets that are chosen: k = int(keep T), at least 1.
        samples: draws of the noise.
        sigma: its standard deviation; scores are in [0, 1].
        most: greatest k where there is one row only; None for no limit.
        draw_in_scoring: whether scoring draws its noise as training does.
    """

    def __init__(
        self,
        keep: float,
        samples: int = 100,
        sigma: float = 0.05,
        most: int | None = 1000,
        *,
        draw_in_scoring: bool = False,
    ) -> None:
        super().__init__()
        self.keep, self.samples, self.sigma, self.most = keep, samples, sigma, most
        self.draw_in_scoring = draw_in_scoring

    def count(self, rows: int, length: int) -> int:
        """Give k for rows of so many snippets."""
        k = max(1, int(length * self.keep))
        return k if self.most is None or rows > 1 else min(k, self.most)

    def noise(self, scores: Tensor) -> Tensor:
        """Give noise ``[R or 1, samples, T]`` for rows of scores ``[R, T]``."""
        rows, length = scores.shape
        if self.training or self.draw_in_scoring:
            return torch.randn_like(scores[:, None].expand(rows, self.samples, length))
        generator = torch.Generator().manual_seed(SEED)
        return torch.randn(1, self.samples, length, generator=generator).to(scores)

    def forward(self, scores: Tensor) -> Tensor:
        """Choose by scores ``[..., T]``: frequencies ``[..., T]`` in [0, 1]."""
        rows = scores.reshape(-1, scores.shape[-1])
        noise, k = self.noise(rows), self.count(*rows.shape)
        frequency: Tensor = SelectionFrequency.apply(rows, noise, k, self.sigma)  # type: ignore[no-untyped-call]
        return frequency.view_as(scores)


class SelectionFrequency(torch.autograd.Function):
    """The frequencies and their gradient, both in :class:`PerturbedTopK`."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, noise: Tensor, k: int, sigma: float) -> Tensor:
        """Count in which samples each snippet is chosen."""
        perturbed = scores[:, None] + sigma * noise
        chosen = torch.zeros_like(perturbed, dtype=torch.bool)
        chosen.scatter_(-1, perturbed.topk(k, dim=-1, sorted=False).indices, value=True)
        ctx.save_for_backward(chosen, noise)
        ctx.sigma = sigma
        return chosen.to(scores.dtype).mean(dim=1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        """Estimate the gradient of the scores."""
        chosen, noise = ctx.saved_tensors
        weight = (noise * gradient[:, None]).sum(dim=-1, keepdim=True)
        estimate = (chosen * weight).mean(dim=1) / ctx.sigma
        return estimate, None, None, None
