"""Convolution along time."""

from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wsvad_lightning.layers.blocks import in_blocks
from wsvad_lightning.layers.rows import over_rows


class TemporalConv(nn.Conv1d):
    """``nn.Conv1d`` on ``[..., T, D]``: it keeps the length, and the weights have the shape of ``nn.Conv1d``.

    One matrix product multiplies every snippet with all taps of the kernel, and what the taps give is shifted
    along time and summed. The taps lie one after the other in memory: the product takes them as they are.
    Training on a CPU is faster than by PyTorch's convolutions in either memory layout, and so is scoring in
    bf16. Where a CPU scores in float32, PyTorch's convolution is faster and takes over.

    Args:
        in_dim: channels in.
        out_dim: channels out.
        kernel_size: snippets that a kernel sees, an odd number; with one, a linear layer.
        dilation: from one of these snippets to the next.
        bias: whether a bias is added.
        causal: whether a kernel ends at its snippet and sees none after it, in place of lying around it.
    """

    def __init__(
        self,
        in_dim: int,
        out_dim: int,
        kernel_size: int = 1,
        dilation: int = 1,
        bias: bool = True,
        causal: bool = False,
    ) -> None:
        super().__init__(in_dim, out_dim, kernel_size, dilation=dilation, bias=bias)
        self.weight = nn.Parameter(self.weight.detach().permute(2, 0, 1).contiguous().permute(1, 2, 0))
        self.before = dilation * (kernel_size - 1 if causal else kernel_size // 2)
        self.after = dilation * (kernel_size - 1) - self.before

    @over_rows
    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``[..., T, in_dim]`` to ``[..., T, out_dim]``."""
        (taps,) = self.kernel_size
        width = self.in_channels + taps * self.out_channels
        return in_blocks(self._convolve, x, width, max(self.before, self.after))

    def _convolve(self, x: Tensor) -> Tensor:
        (taps,), (dilation,), length = self.kernel_size, self.dilation, x.shape[1]
        if taps == 1:
            return F.linear(x, self.weight.squeeze(-1), self.bias)
        if _scores_in_float32(x):
            out = F.conv1d(x.mT, self.weight, self.bias, padding=self.before, dilation=dilation)
            return out[..., :length].mT  # a causal one has zeros behind as well

        def shifted(tap: int, part: Tensor) -> Tensor:
            first = tap * dilation
            if first == self.before:
                return part if self.bias is None else part + self.bias.to(part)
            return F.pad(part, (0, 0, self.before, self.after))[:, first : first + length]

        products = F.linear(x, self.weight.permute(2, 0, 1).flatten(0, 1)).chunk(taps, dim=-1)
        return reduce(torch.add, map(shifted, range(taps), products))


def _scores_in_float32(x: Tensor) -> bool:
    precise = x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    return x.is_cpu and precise and not torch.is_grad_enabled()
