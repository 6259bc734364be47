"""The vision transformer of video that VideoMAE pre-trains, and the masked autoencoder around it.

Source: Z. Tong et al., "VideoMAE: Masked Autoencoders are Data-Efficient Learners for Self-Supervised Video
Pre-Training", NeurIPS 2022.

A token is a tube: the pixels of a square patch over a few frames. Tokens are ordered by time, row and column.
Letters: B clips, T frames, N tokens, V visible and M masked ones of these, D channels, P pixel values of a
colour in a tube. Pixels of one colour lie next to each other, as in a convolution's kernel: what is computed
by colour reads memory in its order. The authors' code has the colours of a pixel next to each other.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.layers.init import init_xavier
from wsvad_lightning.layers.pre_norm import PreNormLayer
from wsvad_lightning.layers.self_attention import SelfAttention

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's colours
NORM_EPS = 1e-6
MLP_RATIO = 4
COLOURS = 3


class TubeGrid(NamedTuple):
    """How a clip is cut into tubes.

    Attributes:
        frames: T of the clip.
        size: height and width of the clip.
        tube: frames of a tube.
        patch: side of a tube.
    """

    frames: int
    size: tuple[int, int]
    tube: int = 2
    patch: int = 16

    @property
    def shape(self) -> tuple[int, int, int]:
        """Tubes along time, rows and columns."""
        return self.frames // self.tube, self.size[0] // self.patch, self.size[1] // self.patch

    @property
    def tokens(self) -> int:
        """N."""
        times, rows, columns = self.shape
        return times * rows * columns

    @property
    def pixels(self) -> int:
        """P."""
        return self.tube * self.patch**2

    def check(self) -> None:
        """Validate the sizes.

        Raises:
            WSVADError: if a clip cannot be cut into whole tubes.
        """
        named = (
            ("model.frames", self.frames, self.tube, "model.tube"),
            ("model.size", self.size[0], self.patch, "model.patch"),
            ("model.size", self.size[1], self.patch, "model.patch"),
        )
        for argument, value, step, unit in named:
            if min(value, step) < 1 or value % step:
                problem = f"must be a multiple of {unit}={step}"
                raise WSVADError(argument, value, problem, f"Give {max(1, value // max(1, step)) * step}")

    def check_clips(self, clips: Tensor) -> None:
        """Validate that clips ``[B, 3, T, H, W]`` have the size of the grid.

        Raises:
            WSVADError: if they do not.
        """
        if clips.shape[1:] != (COLOURS, self.frames, *self.size):
            _, found, height, width = clips.shape[1:]
            problem = f"has clips of {found} frames of {height} x {width}, the network is for {self}"
            raise WSVADError("data", None, problem, "Set model.frames and model.size to those of the clips")

    def cut(self, clips: Tensor) -> Tensor:
        """Cut clips ``[B, 3, T, H, W]`` into tubes ``[B, N, 3, P]``, pixels by frame, row and column.

        Raises:
            WSVADError: if the clips have another size.
        """
        self.check_clips(clips)
        pattern = "b c (t l) (h p) (w q) -> b (t h w) c (l p q)"
        return rearrange(clips, pattern, l=self.tube, p=self.patch, q=self.patch)

    def __str__(self) -> str:
        return f"{self.frames} of {self.size[0]} x {self.size[1]}"


class TokenSplit(NamedTuple):
    """Which tokens of each clip the encoder sees, and which it does not.

    Attributes:
        visible: ``[B, V]`` places of the visible tokens, ascending.
        masked: ``[B, M]`` places of the others, ascending.
    """

    visible: Tensor
    masked: Tensor


def take_tokens(tokens: Tensor, places: Tensor) -> Tensor:
    """Take the tokens ``[B, V, ...]`` at the places ``[B, V]`` out of ``[B or 1, N, ...]``."""
    clip = torch.arange(len(places), device=places.device)[:, None]
    return tokens.expand(len(places), *tokens.shape[1:])[clip, places]


def sine_cosine_table(length: int, dim: int) -> Tensor:
    """Fixed positions ``[length, dim]``: sines on even channels, cosines on odd ones, computed in float64."""
    channel = torch.arange(dim, dtype=torch.float64)
    angle = torch.arange(length, dtype=torch.float64)[:, None] / 10000 ** (2 * (channel // 2) / dim)
    return torch.where(channel % 2 == 0, angle.sin(), angle.cos()).float()


def normalise_tubes(tubes: Tensor) -> Tensor:
    """What is reconstructed of tubes ``[..., 3, P]``: each colour without its mean, by its deviation."""
    centred = tubes - tubes.mean(dim=-1, keepdim=True)
    # The norm gives the unbiased deviation; on a CPU, torch.var_mean takes ten times as long.
    deviation = torch.linalg.vector_norm(centred, dim=-1, keepdim=True)
    deviation /= math.sqrt(max(1, tubes.shape[-1] - 1))
    return centred.mul_((deviation + 1e-6).reciprocal_())


class TransformerStack(nn.Module):
    """Pre-norm layers, ``[B, N, D]`` to ``[B, N, D]``.

    Args:
        dim: D.
        depth: number of layers.
        heads: number of heads.
        checkpointing: whether activations are computed again in the backward pass, which takes a third more
            time and the memory of one layer.
    """

    def __init__(self, dim: int, depth: int, heads: int, *, checkpointing: bool = False) -> None:
        super().__init__()
        if dim % heads:
            raise WSVADError("model.heads", heads, f"does not divide {dim} channels", "Give a divisor")
        self.checkpointing = checkpointing
        self.layers = nn.ModuleList(
            PreNormLayer(
                SelfAttention(dim, heads, dim // heads, bias=True), dim, MLP_RATIO * dim, norm_eps=NORM_EPS
            )
            for _ in range(depth)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Transform ``[B, N, D]``."""
        for layer in self.layers:
            if self.checkpointing and torch.is_grad_enabled():
                x = checkpoint(layer, x, use_reentrant=False)
            else:
                x = layer(x)
        return x


class VideoViT(nn.Module):
    """Encoder: tubes, fixed positions, transformer layers.

    The parameter of the tube embedding has the shape of the authors' 3-D convolution. It is applied to the
    visible tubes alone.

    Args:
        grid: how clips are cut.
        dim: D.
        depth: number of layers.
        heads: number of heads.
        norm: whether the tokens are normalised at the end.
        checkpointing: see :class:`TransformerStack`.

    Raises:
        WSVADError: if the sizes do not fit together.
    """

    mean: Tensor
    std: Tensor
    positions: Tensor

    def __init__(
        self,
        grid: TubeGrid,
        dim: int = 768,
        depth: int = 12,
        heads: int = 12,
        *,
        norm: bool = True,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        grid.check()
        self.grid, self.dim = grid, dim
        kernel = (grid.tube, grid.patch, grid.patch)
        self.embedding = nn.Conv3d(COLOURS, dim, kernel, stride=kernel)
        self.stack = TransformerStack(dim, depth, heads, checkpointing=checkpointing)
        self.norm = nn.LayerNorm(dim, NORM_EPS) if norm else nn.Identity()
        for name, value in (("mean", MEAN), ("std", STD)):
            self.register_buffer(name, torch.tensor(value), persistent=False)
        self.register_buffer("positions", sine_cosine_table(grid.tokens, dim)[None], persistent=False)

    def forward(self, tubes: Tensor, visible: Tensor | None = None) -> Tensor:
        """Encode.

        Args:
            tubes: ``[B, N, 3, P]`` in [0, 1], see :meth:`TubeGrid.cut`.
            visible: ``[B, V]`` places of the tokens to encode; None for all.

        Returns:
            ``[B, V, D]``.
        """
        positions = self.positions
        if visible is not None:
            tubes, positions = take_tokens(tubes, visible), take_tokens(positions, visible)
        tokens = self.embed(tubes) + positions
        out: Tensor = self.norm(self.stack(tokens))
        return out

    def embed(self, tubes: Tensor) -> Tensor:
        """Embed tubes ``[B, V, 3, P]`` in [0, 1] without positions: ``[B, V, D]``."""
        coloured = (tubes - self.mean[:, None]) / self.std[:, None]
        return F.linear(coloured.flatten(-2), self.embedding.weight.flatten(1), self.embedding.bias)


class MaskedAutoencoder(nn.Module):
    """VideoMAE's pre-training network: encode what is visible, reconstruct what is not.

    Args:
        encoder: of the visible tokens.
        dim: channels of the decoder.
        depth: layers of the decoder.
        heads: heads of the decoder.
        checkpointing: see :class:`TransformerStack`.
    """

    positions: Tensor

    def __init__(
        self,
        encoder: VideoViT,
        dim: int = 384,
        depth: int = 4,
        heads: int = 6,
        *,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.to_decoder = nn.Linear(encoder.dim, dim, bias=False)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.decoder = TransformerStack(dim, depth, heads, checkpointing=checkpointing)
        self.decoder_norm = nn.LayerNorm(dim, NORM_EPS)
        self.head = nn.Linear(dim, COLOURS * encoder.grid.pixels)
        self.register_buffer("positions", sine_cosine_table(encoder.grid.tokens, dim)[None], persistent=False)
        init_xavier(self)
        nn.init.trunc_normal_(self.mask_token, std=0.02, a=-0.02, b=0.02)

    def forward(self, tubes: Tensor, split: TokenSplit) -> Tensor:
        """Predict the masked tubes.

        Args:
            tubes: ``[B, N, 3, P]`` in [0, 1].
            split: which of them are visible.

        Returns:
            ``[B, M, 3, P]``, in the order of ``split.masked``.
        """
        seen = self.to_decoder(self.encoder(tubes, split.visible))
        seen = seen + take_tokens(self.positions, split.visible)
        hidden = self.mask_token + take_tokens(self.positions, split.masked)
        decoded = self.decoder(torch.cat([seen, hidden.to(seen.dtype)], dim=1))
        # The head's rows are the authors': pixel by pixel, and of each its colours.
        weight = rearrange(self.head.weight, "(p c) d -> (c p) d", c=COLOURS)
        bias = rearrange(self.head.bias, "(p c) -> (c p)", c=COLOURS)
        predicted = F.linear(self.decoder_norm(decoded[:, seen.shape[1] :]), weight, bias)
        return rearrange(predicted, "b m (c p) -> b m c p", c=COLOURS)
