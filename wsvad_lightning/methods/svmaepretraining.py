"""SVMAE's pre-training: a masked autoencoder of surveillance video that sees what moves and what is far.

Paper: "Scene-aware Probabilistic Masking and Fusion for Video Anomaly Detection" (SVMAE). Its pre-training
was published as a figure, an abstract and tables, without code. The network, the target and the recipe are
those of VideoMAE (Z. Tong et al., NeurIPS 2022), whose numbers this reproduces.

* Weights of the tokens: ``P = a * depth + (1 - a) * motion``, both stretched to [0, 1] in each clip. Motion
  is the cube difference of each tube. The visible tokens are drawn without replacement, with probabilities
  proportional to P, by Gumbel top-k on the device.
* Loss: the squared error of the masked tubes, normalised by colour, times a weight of their depth: near to
  far 0.6, 0.8, 1.0, 1.2 (perspective loss).

Decided here, as the paper leaves it open: ``a`` is 0.2, of the 0.05 to 0.5 that it gives; the depth
network, a depth stream, or a prior that grows from the bottom to the top of the frame; the differences that
make up motion; even intervals of depth; a floor of 0.001 under P. With ``mask: tube`` and ``levels: [1.0]``
it is VideoMAE.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.distributed.fsdp import FSDPModule, fully_shard
from torchmetrics import MeanMetric

from wsvad_lightning.data.loading.frames import ClipDataModule, require_clips
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.layers import (
    MaskedAutoencoder,
    TokenSplit,
    TubeGrid,
    VideoViT,
    normalise_tubes,
    take_tokens,
)
from wsvad_lightning.layers.depth_network import DepthNetwork
from wsvad_lightning.layers.scene_maps import (
    cube_difference,
    depth_of_tubes,
    levels_of,
    perspective_prior,
    scene_weights,
)
from wsvad_lightning.layers.token_masks import num_masked, random_split, tube_split, weighted_split
from wsvad_lightning.methods.base.training import TrainingModule
from wsvad_lightning.start import take_part
from wsvad_lightning.types import ClipBatch

LEVELS = (0.6, 0.8, 1.0, 1.2)


class SVMAEPretraining(TrainingModule):
    """Pre-train a video transformer on clips without labels.

    Args:
        size: height and width of the clips.
        frames: T of the clips.
        patch: side of a tube.
        tube: frames of a tube.
        dim: channels of the encoder.
        depth: layers of the encoder.
        heads: heads of the encoder.
        norm: whether the encoder normalises its tokens at the end.
        decoder_dim: channels of the decoder.
        decoder_depth: layers of the decoder.
        decoder_heads: heads of the decoder.
        mask: what is visible: tokens drawn by ``scene``, the same ``tube`` places in all frames, or
            ``random`` tokens.
        mask_ratio: part of the tokens that is masked.
        depth_from: the perspective ``prior``, a ``stream`` that the data deliver, or a ``network``.
        depth_network: folder of a depth network as transformers saves it, for ``network``.
        depth_share: a, weight of depth against motion.
        levels: weights of the loss from near to far, any number of them.
        normalise: whether each tube's colours are reconstructed without mean and deviation.
        start_from: checkpoint whose weights the training starts from, such as imported ones.
        checkpointing: compute activations again in the backward pass, for less memory.
        kwargs: see :class:`TrainingModule`.

    Raises:
        WSVADError: if sizes do not fit together, a number is out of range, or a network cannot be opened.
    """

    default_loss_weights: ClassVar[dict[str, float]] = {"reconstruction": 1.0}
    not_saved: ClassVar[tuple[str, ...]] = (*TrainingModule.not_saved, "start_from", "depth_network")
    net: MaskedAutoencoder
    levels: Tensor
    prior: Tensor

    def __init__(
        self,
        size: tuple[int, int] = (224, 224),
        frames: int = 16,
        patch: int = 16,
        tube: int = 2,
        dim: int = 768,
        depth: int = 12,
        heads: int = 12,
        norm: bool = True,
        decoder_dim: int = 384,
        decoder_depth: int = 4,
        decoder_heads: int = 6,
        mask: Literal["scene", "tube", "random"] = "scene",
        mask_ratio: float = 0.9,
        depth_from: Literal["prior", "stream", "network"] = "prior",
        depth_network: str | None = None,
        depth_share: float = 0.2,
        levels: Sequence[float] = LEVELS,
        normalise: bool = True,
        start_from: str | None = None,
        checkpointing: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.grid = TubeGrid(frames, (size[0], size[1]), tube, patch)
        encoder = VideoViT(self.grid, dim, depth, heads, norm=norm, checkpointing=checkpointing)
        self.net = MaskedAutoencoder(
            encoder, decoder_dim, decoder_depth, decoder_heads, checkpointing=checkpointing
        )
        self.mask, self.mask_ratio = mask, mask_ratio
        self.depth_from, self.depth_share, self.normalise = depth_from, depth_share, normalise
        self.register_buffer("levels", torch.tensor(list(levels)), persistent=False)
        self.register_buffer("prior", perspective_prior(self.grid), persistent=False)
        self.held_out = MeanMetric()
        self._check_settings(depth_network)
        self.depth_network = (
            DepthNetwork.open(depth_network, "model.depth_network") if depth_network else None
        )
        if start_from is not None:
            take_part(self.net, start_from, "net", "model.start_from", method=type(self).__name__)

    def _check_settings(self, depth_network: str | None) -> None:
        places = self.grid.tokens if self.mask != "tube" else self.grid.tokens // self.grid.shape[0]
        if not 0 < self.mask_ratio < 1 or not 0 < num_masked(self.mask_ratio, places) < places:
            problem = f"leaves none of {places} places masked, or none visible"
            raise WSVADError("model.mask_ratio", self.mask_ratio, problem, "Give a part, such as 0.9")
        if not 0 <= self.depth_share <= 1:
            raise WSVADError(
                "model.depth_share", self.depth_share, "must be 0 to 1", "Give a part, such as 0.2"
            )
        if not bool(((self.levels >= 0) & self.levels.isfinite()).all()) or not bool(self.levels.any()):
            problem = "must be finite weights of at least 0, one of them positive"
            raise WSVADError("model.levels", self.levels.tolist(), problem, "Give some, such as [1.0]")
        if (self.depth_from == "network") != (depth_network is not None):
            problem = f"does not go with depth_from={self.depth_from}"
            remedy = "Give a folder exactly where depth_from is network"
            raise WSVADError("model.depth_network", depth_network, problem, remedy)

    # ------------------------------------------------------------------------------------------ training

    def split(self, clips: Tensor, depth: Tensor) -> TokenSplit:
        """Choose the tokens that are visible in this step.

        Args:
            clips: ``[B, 3, T, H, W]`` in [0, 1].
            depth: ``[B, N]`` of their tokens in [0, 1], larger is farther.
        """
        if self.mask == "scene":
            weights = scene_weights(cube_difference(clips, self.grid), depth, self.depth_share)
            return weighted_split(weights, self.mask_ratio)
        draw = tube_split if self.mask == "tube" else random_split
        return draw(len(clips), self.grid, self.mask_ratio, clips.device)

    def depth_of(self, batch: ClipBatch) -> Tensor:
        """Give the depth of each token, ``[B, N]`` in [0, 1], larger is farther.

        Raises:
            WSVADError: if it is to come from a stream that the data do not deliver, or that has another grid.
        """
        if self.depth_network is not None:
            return self.depth_network(batch.clips, self.grid)
        if self.depth_from == "prior":
            return self.prior.expand(len(batch.clips), -1)
        if batch.depth is None:
            raise no_depth()
        return depth_of_tubes(batch.depth, self.grid)

    def compute_losses(self, batch: ClipBatch) -> dict[str, Tensor]:
        """Give the squared error of the masked tubes, weighted by their depth."""
        self.grid.check_clips(batch.clips)
        depth = self.depth_of(batch)
        split = self.split(batch.clips, depth)
        errors = self.reconstruction_errors(batch.clips, split)
        weights = levels_of(depth.gather(1, split.masked), self.levels)
        return {"reconstruction": (weights * errors).mean()}

    def reconstruction_errors(self, clips: Tensor, split: TokenSplit) -> Tensor:
        """Give the mean squared error of each masked tube, ``[B, M]`` in float32."""
        tubes = self.grid.cut(clips)
        target = take_tokens(tubes, split.masked)
        if self.normalise:
            target = normalise_tubes(target)
        prediction: Tensor = self.net(tubes, split)
        return F.mse_loss(prediction.float(), target, reduction="none").mean(dim=(-2, -1))

    def validation_step(self, batch: ClipBatch, batch_idx: int) -> None:
        """Measure the loss on held-out clips, with the same masks in every validation."""
        with torch.random.fork_rng([batch.clips.device] if batch.clips.is_cuda else []):
            torch.manual_seed(batch_idx)
            total = self.total_loss(self.compute_losses(batch))
        self.held_out.update(total, len(batch.clips))

    def on_validation_epoch_end(self) -> None:
        """Log the mean over all clips, on all ranks the same."""
        self.log("val/loss/total", self.held_out)

    def trained_parameters(self) -> list[dict[str, Any]]:
        """Give two groups: without decay what is one-dimensional, and the mask token; as VideoMAE has it."""
        groups: dict[bool, list[Tensor]] = {True: [], False: []}
        for name, parameter in self.named_parameters():
            groups[parameter.ndim > 1 and not name.endswith("mask_token")].append(parameter)
        return [{"params": groups[True]}, {"params": groups[False], "weight_decay": 0.0}]

    def configure_model(self) -> None:
        """Shard the network by its layers, once, where the strategy has devices to shard over."""
        if self.device_mesh is None or isinstance(self.net, FSDPModule):
            return
        mesh = self.device_mesh["data_parallel"]
        for part in (*self.net.encoder.stack.layers, *self.net.decoder.layers, self.net):
            fully_shard(part, mesh=mesh)

    # ----------------------------------------------------------------------------------- a run of its own

    @classmethod
    def data_class(cls) -> type[LightningDataModule]:
        """See :class:`TrainingModule`."""
        return ClipDataModule

    def next_command(self) -> str:
        """See :class:`TrainingModule`."""
        return "wsvad extract VIDEOS STORE.h5 --config extract/svmae.yaml --weights"

    def setup(self, stage: str) -> None:
        """Compare the clips with the network.

        Raises:
            WSVADError: if they do not fit.
        """
        name = type(self).__name__
        data = require_clips(name, self.trainer.datamodule)  # type: ignore[attr-defined]  # typed without it
        data.check_patches(name, self.grid.tube, self.grid.patch)
        shape = data.shape
        if (shape.length, tuple(shape.size)) != (self.grid.frames, self.grid.size):
            given = f"clips of {shape.length} frames of {shape.size[0]} x {shape.size[1]}"
            problem = f"differ from data.length and data.size: {given}"
            raise WSVADError("model.frames, model.size", self.grid, problem, "Set both to the same values")
        if self.depth_from == "stream":
            if data.depth is None:
                raise no_depth()
            depth_of_tubes(
                torch.zeros(1, self.grid.frames, *data.depth.grid), self.grid
            )  # fails now if at all


def no_depth() -> WSVADError:
    """The error of clips that lack the depth stream that a method is to take."""
    remedy = "Name its store by data.depth_store, or set model.depth_from to prior"
    return WSVADError("model.depth_from", "stream", "the clips come without depth", remedy)
