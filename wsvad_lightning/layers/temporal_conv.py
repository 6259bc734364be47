"""Convolution along time."""

import torch.nn.functional as F
from torch import Tensor, nn

from wsvad_lightning.layers.blocks import in_blocks
from wsvad_lightning.layers.rows import over_rows


class TemporalConv(nn.Conv1d):
    """``nn.Conv1d`` on ``[..., T, D]``: it keeps the length, and the weights have the shape of ``nn.Conv1d``.

    Nothing is transposed in memory. PyTorch copies the transposed input of a one-dimensional convolution, but
    takes that of a two-dimensional one as it is ("channels last"): the snippets become an image of one row.

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
        self.shift = dilation * (kernel_size // 2) if causal else 0

    @over_rows
    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``[..., T, in_dim]`` to ``[..., T, out_dim]``."""
        reach = self.kernel_size[0] // 2 * self.dilation[0] + self.shift
        return in_blocks(self._convolve, x, self.in_channels + self.out_channels, reach)

    def _convolve(self, x: Tensor) -> Tensor:
        image = x.transpose(1, 2).unsqueeze(2)
        if self.shift:
            image = F.pad(image, (self.shift, 0))
        weight, dilation = self.weight.unsqueeze(2), (1, *self.dilation)
        convolved = F.conv2d(image, weight, self.bias, padding="same", dilation=dilation)
        return convolved.squeeze(2).transpose(1, 2)[:, : x.shape[1]]
