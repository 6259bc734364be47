"""The blocks of MGFN: glance over the whole video, focus on neighbouring snippets."""

from typing import Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from wsvad_lightning.layers.blocks import in_blocks
from wsvad_lightning.layers.rows import over_rows
from wsvad_lightning.layers.temporal_conv import TemporalConv

HEAD_DIM = 64
FOCUS_REACH = 3  # snippets to each side that a focus layer sees: of its two convolutions, one and two

GlanceOrFocus = Literal["glance", "focus"]


class ChannelNorm(nn.Module):
    """Layer normalisation over channels as MGFN has it: ``(x - mean) / (std + eps) * gain + shift``.

    Epsilon is added to the (biased) standard deviation, not to the variance. A snippet that deviates less
    than epsilon counts as deviating by epsilon: where all channels are equal, the root has no gradient.

    Args:
        dim: channels.
        eps: added to the standard deviation.
    """

    def __init__(self, dim: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.gain = nn.Parameter(torch.ones(1, dim, 1))  # the shape of the authors' weights
        self.shift = nn.Parameter(torch.zeros(1, dim, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each snippet of ``[..., T, dim]``, in float32, for weights of any type."""
        variance, mean = torch.var_mean(x.float(), dim=-1, correction=0, keepdim=True)
        deviation = variance.clamp_min(self.eps**2).sqrt()
        normalized = ((x - mean) / (deviation + self.eps)).to(self.gain)
        return normalized * self.gain.flatten() + self.shift.flatten()


class GlanceBlock(nn.Module):
    """Self-attention over all snippets of a video, heads of 64 channels.

    Args:
        dim: channels in and out, a multiple of 64.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(dim)
        self.project_in = TemporalConv(dim, 3 * dim, bias=False)
        self.project_out = TemporalConv(dim, dim)

    @over_rows
    def forward(self, x: Tensor) -> Tensor:
        """Attend along time: ``[..., T, dim]`` to ``[..., T, dim]``."""
        query, key, value = rearrange(
            self.project_in(self.norm(x)), "r t (part h d) -> part r h t d", part=3, d=HEAD_DIM
        )
        attended = F.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.project_out(rearrange(attended, "r h t d -> r t (h d)"))
        return out


class FocusBlock(nn.Module):
    """Convolution over five neighbouring snippets, one kernel for the 64 channels of a head.

    Args:
        dim: channels in and out, a multiple of 64; the channels of a head are ``dim / 64`` apart.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        heads = dim // HEAD_DIM
        self.norm = nn.BatchNorm1d(dim)
        self.to_value = TemporalConv(dim, dim, bias=False)
        self.neighbours = nn.Conv1d(heads, heads, kernel_size=5, padding=2, groups=heads)
        self.project_out = TemporalConv(dim, dim)

    @over_rows
    def forward(self, x: Tensor) -> Tensor:
        """Mix neighbours: ``[..., T, dim]`` to ``[..., T, dim]``."""
        value = self.to_value(self.norm(x.flatten(0, 1)).view_as(x))
        mixed = F.conv2d(  # over (time, channel of a head), a channel a head: nothing is copied
            rearrange(value, "r t (d h) -> r h t d", d=HEAD_DIM),
            self.neighbours.weight[..., None],
            self.neighbours.bias,
            padding=(2, 0),
            groups=self.neighbours.groups,
        )
        out: Tensor = self.project_out(rearrange(mixed, "r h t d -> r t (d h)"))
        return out


class GlanceFocusLayer(nn.Module):
    """Convolution over time, glance or focus, and a feed-forward network, each with a residual.

    Args:
        dim: channels in and out, a multiple of 64.
        kind: which of the two blocks.
    """

    def __init__(self, dim: int, kind: GlanceOrFocus) -> None:
        super().__init__()
        self.convolution = TemporalConv(dim, dim, kernel_size=3)
        self.block = GlanceBlock(dim) if kind == "glance" else FocusBlock(dim)
        self.feed_forward = nn.Sequential(
            ChannelNorm(dim), TemporalConv(dim, 4 * dim), nn.GELU(), TemporalConv(4 * dim, dim)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Transform ``[..., T, dim]``."""
        x = x + self.convolution(x)
        x = x + self.block(x)
        return in_blocks(lambda part: part + self.feed_forward(part), x, 4 * x.shape[-1])
