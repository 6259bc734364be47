"""Multi-scale temporal network: RTFM's aggregation of short and long temporal context."""

import math
from typing import Literal

import torch
from einops import rearrange
from torch import Tensor, nn

from wsvad_lightning.layers.non_local import NonLocalBlock
from wsvad_lightning.layers.rows import over_rows

TemporalNorm = Literal["batch", "group"]
DILATIONS = (1, 2, 4)
GROUPS = 8


class MultiScaleTemporal(nn.Module):
    """Three dilated convolutions and a non-local branch, joined, fused, and added to the input.

    ``batch`` is RTFM's: convolution, ReLU, then BatchNorm. ``group`` is S3R's: convolution, GroupNorm of 8
    groups (or fewer, that divide the channels), then ReLU. Each branch has a quarter of the channels.

    Args:
        dim: channels in and out.
        norm: how the convolutions are normalised; the non-local block has BatchNorm in either case.
    """

    def __init__(self, dim: int, norm: TemporalNorm = "batch") -> None:
        super().__init__()
        width = max(2, dim // 4)
        self.dilated = nn.ModuleList(
            _convolution(nn.Conv1d(dim, width, kernel_size=3, dilation=d, padding=d), norm) for d in DILATIONS
        )
        self.reduce = nn.Conv1d(dim, width, kernel_size=1, bias=False)
        self.non_local = NonLocalBlock(width)
        fuse = nn.Conv1d(4 * width, dim, kernel_size=3, padding=1, bias=False)
        self.fuse = _convolution(fuse, norm)

    @over_rows
    def forward(self, x: Tensor) -> Tensor:
        """Add temporal context: ``[..., T, D]`` to ``[..., T, D]``."""
        channels_first = rearrange(x, "r t d -> r d t").contiguous()
        branches = [convolve(channels_first) for convolve in self.dilated]
        branches.append(self.non_local(torch.relu(self.reduce(channels_first))))
        fused = self.fuse(torch.cat(branches, dim=1)) + channels_first
        out: Tensor = rearrange(fused, "r d t -> r t d")
        return out


def _convolution(convolution: nn.Conv1d, norm: TemporalNorm) -> nn.Sequential:
    channels = convolution.out_channels
    if norm == "batch":
        return nn.Sequential(convolution, nn.ReLU(), nn.BatchNorm1d(channels))
    groups = math.gcd(GROUPS, channels)
    if groups == channels:  # a group of one channel and one snippet has no variance
        groups = max(1, groups // 2)
    return nn.Sequential(convolution, nn.GroupNorm(groups, channels), nn.ReLU())
