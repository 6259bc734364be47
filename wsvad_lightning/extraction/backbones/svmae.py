"""The encoder of a masked autoencoder that this program pre-trained, and scene-aware token fusion.

Source: SVMAE, "Scene-aware Probabilistic Masking and Fusion for Video Anomaly Detection", part 2: of the
tokens of a snippet those that move most are kept, and their mean is weighted by depth.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from wsvad_lightning.checkpoint import content_checksum, read_checkpoint, record_of
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.extraction.backbones.weights import hash_file
from wsvad_lightning.layers import TubeGrid, VideoViT, take_tokens
from wsvad_lightning.layers.depth_network import DepthNetwork
from wsvad_lightning.layers.scene_maps import cube_difference, perspective_prior
from wsvad_lightning.start import take_part

METHOD = "SVMAEPretraining"
REMEDY = f"Give a checkpoint of {METHOD}"
MOST_VALUES = 2**28  # of the table of positions: no encoder has more
Depth = Callable[[Tensor, TubeGrid], Tensor]


@dataclass(frozen=True)
class TokenFusion:
    """How the tokens of a clip become one vector.

    Attributes:
        motion_share: part of the tokens that is kept, those that move most; 1 keeps all.
        depth_weight: how much more the farthest token weighs than the nearest one; 0 for a plain mean.
        depth_network: folder of a depth network; None for the perspective prior.
    """

    motion_share: float = 0.5
    depth_weight: float = 0.05
    depth_network: str | None = None

    def recorded(self) -> dict[str, Any]:
        """What a store is to say of it: values, but no paths."""
        folder = self.depth_network
        network = None if folder is None else hash_file(Path(folder) / "model.safetensors")
        return {
            "motion_share": self.motion_share,
            "depth_weight": self.depth_weight,
            "depth": "prior" if network is None else network,
        }


@dataclass(frozen=True)
class Sizes:
    """What a checkpoint says of its encoder; see the method."""

    size: tuple[int, int]
    frames: int
    patch: int
    tube: int
    dim: int
    depth: int
    heads: int
    norm: bool


def fuse_tokens(
    tokens: Tensor, motion: Tensor, depth: Tensor, motion_share: float, depth_weight: float
) -> Tensor:
    """Pool the tokens that move most, the far ones with a little more weight.

    Args:
        tokens: ``[B, N, D]``.
        motion: ``[B, N]``.
        depth: ``[B, N]`` in [0, 1], larger is farther.
        motion_share: part of the tokens that is kept, at least one of them.
        depth_weight: alpha; a token weighs ``1 + alpha * depth``, and all weights sum to 1.

    Returns:
        ``[B, D]``.
    """
    kept = motion.topk(max(1, int(motion_share * motion.shape[1])), dim=1).indices
    weights = 1 + depth_weight * depth.gather(1, kept)
    weights = weights / weights.sum(dim=1, keepdim=True)
    return (weights[..., None] * take_tokens(tokens, kept)).sum(dim=1)


class FusedEncoder:
    """Turns clips into vectors.

    Args:
        encoder: of all tokens.
        fusion: of the tokens.
        device: where it runs.
    """

    def __init__(self, encoder: VideoViT, fusion: TokenFusion, device: torch.device) -> None:
        self.encoder = encoder.eval().requires_grad_(False).to(device)
        self.grid, self.fusion = encoder.grid, fusion
        self._prior = perspective_prior(self.grid).to(device)
        folder = fusion.depth_network
        self._network = None if folder is None else DepthNetwork.open(folder, "streams.depth_network")

    def __call__(self, clips: Tensor) -> Tensor:
        """Give the vectors ``[B, D]`` of clips ``[B, T, 3, H, W]`` uint8."""
        pixels = clips.transpose(1, 2).float() / 255
        tokens = self.encoder(self.grid.cut(pixels))
        depth = (
            self._prior.expand(len(pixels), -1) if self._network is None else self._network(pixels, self.grid)
        )
        motion = cube_difference(pixels, self.grid)
        return fuse_tokens(tokens, motion, depth, self.fusion.motion_share, self.fusion.depth_weight)


def load_encoder(path: str) -> tuple[VideoViT, str]:
    """Load the encoder of a checkpoint, which may come from a stranger: tensors and plain values.

    Args:
        path: of the checkpoint.

    Returns:
        The encoder, and the checksum of its weights.

    Raises:
        WSVADError: if the file is not such a checkpoint, or its sizes and weights do not fit together.
    """
    checkpoint = read_checkpoint(path, "weights")
    if (method := checkpoint.get("method")) != METHOD:
        raise WSVADError("weights", path, f"is of {method}, which has no encoder of clips", REMEDY)
    try:
        sizes = record_of(Sizes, checkpoint.get("hyper_parameters", {}))
        grid = TubeGrid(sizes.frames, (sizes.size[0], sizes.size[1]), sizes.tube, sizes.patch)
        grid.check()
        weights = sum(value.numel() for value in checkpoint["state_dict"].values())
        if grid.tokens * sizes.dim > MOST_VALUES or sizes.depth * sizes.dim**2 > weights:
            raise ValueError("they are larger than its weights")
        encoder = VideoViT(grid, sizes.dim, sizes.depth, sizes.heads, norm=sizes.norm)
    except (ValueError, ArithmeticError, RuntimeError, IndexError) as error:
        problem = f"its sizes are not those of an encoder ({error})"
        raise WSVADError("weights", path, problem, REMEDY) from None
    take_part(encoder, path, "net.encoder", "weights", method=METHOD)
    return encoder, content_checksum(encoder.state_dict())
