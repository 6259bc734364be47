"""Multi-scale temporal network: RTFM's aggregation of short and long temporal context."""

import math
from functools import partial
from typing import Literal

import torch
from einops import rearrange
from torch import Tensor, nn

from wsvad_lightning.layers.blocks import blocks_of, in_blocks, joined
from wsvad_lightning.layers.non_local import NonLocalBlock
from wsvad_lightning.layers.norms import BatchNormRows, GroupNormRows
from wsvad_lightning.layers.rows import over_rows
from wsvad_lightning.layers.temporal_conv import TemporalConv

TemporalNorm = Literal["batch", "group"]
DILATIONS = (1, 2, 4)
GROUPS = 8
REACH = max(DILATIONS) + 1  # snippets to each side, the non-local branch apart


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
            _convolution(TemporalConv(dim, width, kernel_size=3, dilation=d), norm) for d in DILATIONS
        )
        self.reduce = TemporalConv(dim, width, bias=False)
        self.non_local = NonLocalBlock(width)
        self.norm = norm
        self.fuse = _convolution(TemporalConv(4 * width, dim, kernel_size=3, bias=False), norm)

    @over_rows
    def forward(self, x: Tensor) -> Tensor:
        """Add temporal context: ``[..., T, D]`` to ``[..., T, D]``."""
        width = 4 * x.shape[-1]
        blocks = blocks_of(x, width, REACH)
        if self.training or len(blocks) == 1:
            return self._join(x)
        summary = torch.stack([self._summarise(x[:, block], x.shape[1]) for block in blocks]).sum(dim=0)
        if self.norm == "group":
            return self._join_by_groups(x, summary)
        return in_blocks(partial(self._join, summary=summary), x, width, REACH)

    def _join(self, x: Tensor, summary: Tensor | None = None) -> Tensor:
        branches = [convolve(x) for convolve in self.dilated]
        branches.append(self.non_local(torch.relu(self.reduce(x)), summary))
        out: Tensor = self.fuse(torch.cat(branches, dim=-1)) + x
        return out

    def _join_by_groups(self, x: Tensor, summary: Tensor) -> Tensor:
        """Join a long video block by block, where the variances are those of the whole video."""
        width = 4 * x.shape[-1]
        *dilated, (join, norm) = map(_grouped, (*self.dilated, self.fuse))

        def convolve(part: Tensor) -> Tensor:
            branches = [convolution(part) for convolution, _ in dilated]
            return torch.cat([*branches, self.non_local(torch.relu(self.reduce(part)), summary)], dim=-1)

        def fuse(part: Tensor) -> Tensor:
            local, non_local = part.tensor_split([gain.shape[-1]], dim=-1)
            out: Tensor = join(torch.cat([torch.relu(local * gain + shift), non_local], dim=-1))
            return out

        def finish(block: slice) -> Tensor:
            return torch.relu(fused[:, block] * gain + shift) + x[:, block]

        branches = in_blocks(convolve, x, width, max(DILATIONS))
        parts = branches.chunk(len(DILATIONS) + 1, dim=-1)[:-1]
        affine = [group_affine(own, part) for (_, own), part in zip(dilated, parts, strict=True)]
        gain, shift = (torch.cat(values, dim=-1) for values in zip(*affine, strict=True))
        fused = in_blocks(fuse, branches, width, 1)
        del branches, parts
        gain, shift = group_affine(norm, fused)
        return joined(finish, blocks_of(x, width))

    def _summarise(self, x: Tensor, length: int) -> Tensor:
        return self.non_local.summarise(torch.relu(self.reduce(x)), length)


def group_affine(norm: nn.GroupNorm, x: Tensor) -> tuple[Tensor, Tensor]:
    """Give gain and shift ``[R, 1, C]`` by which a norm of groups changes ``[R, T, C]``, of long videos."""
    sums = torch.stack(
        [
            torch.stack([part.sum(dim=1), part.square().sum(dim=1)])
            for part in (x[:, block].double() for block in blocks_of(x, x.shape[-1]))
        ]
    ).sum(dim=0)
    of_groups = rearrange(sums, "moment r (g c) -> moment r g c", g=norm.num_groups)
    mean, square = of_groups.mean(dim=-1, keepdim=True) / x.shape[1]
    deviation = (square - mean.square() + norm.eps).sqrt()
    gain = (norm.weight.view(norm.num_groups, -1) / deviation).flatten(1)[:, None]
    shift = norm.bias - mean.expand_as(of_groups[0]).flatten(1)[:, None] * gain
    return gain.to(x), shift.to(x)


def _grouped(layers: nn.Module) -> tuple[TemporalConv, GroupNormRows]:
    convolution, norm, _ = layers.children()
    assert isinstance(convolution, TemporalConv)
    assert isinstance(norm, GroupNormRows)
    return convolution, norm


def _convolution(convolution: TemporalConv, norm: TemporalNorm) -> nn.Sequential:
    channels = convolution.out_channels
    if norm == "batch":
        return nn.Sequential(convolution, nn.ReLU(), BatchNormRows(channels))
    groups = math.gcd(GROUPS, channels)
    if groups == channels:  # a group of one channel and one snippet has no variance
        groups = max(1, groups // 2)
    return nn.Sequential(convolution, GroupNormRows(groups, channels), nn.ReLU())
