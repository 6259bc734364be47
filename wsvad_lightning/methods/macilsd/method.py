"""The training of MACIL-SD; formulas in the package's docstring."""

import math
from typing import Any, ClassVar

import torch
from torch import Tensor

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.layers import valid_positions
from wsvad_lightning.losses import probability_bce
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.methods.macilsd.contrast import CONTRASTS, contrast
from wsvad_lightning.methods.macilsd.networks import MACILSDNet, MACILSDOutput
from wsvad_lightning.ops import topk_mean_each
from wsvad_lightning.types import WSVADBatch


class MACILSD(WSVADModule):
    """MACIL-SD as a LightningModule; the recipe of the paper is in ``xd_macilsd.yaml``.

    Args:
        feature_dim: D, channels of the features, sound included; taken from the store on the command line.
        audio_dim: how many of them, the last ones, are sound.
        hidden_dim: channels of both streams, a multiple of ``heads``.
        heads: of the attention.
        mlp_dim: hidden width of the feed-forward networks.
        dropout: probability.
        temperature: that cosines of the contrast are divided by.
        growth: by how much the weights of the contrast grow in an epoch, up to those of ``loss_weights``.
        distill: whether there is the twin, which the network is moved towards; scoring needs none.
        momentum: share of its own weights that the network keeps after the first epoch.
        epochs: after which it would keep all.
        epoch_steps: steps of an epoch.
        visual_lr: learning rate of the twin; None for that of the optimizer.
        **kwargs: arguments of :class:`WSVADModule`.

    Attributes:
        epoch: of the training, from 0.

    Raises:
        WSVADError: if an argument is out of range.
    """

    default_loss_weights: ClassVar[dict[str, float]] = {
        "mil": 1.0,
        **dict.fromkeys(CONTRASTS, 1.5),
        "single": 1.0,
    }

    net: MACILSDNet

    def __init__(
        self,
        feature_dim: int = 1152,
        audio_dim: int = 128,
        hidden_dim: int = 128,
        heads: int = 4,
        mlp_dim: int = 128,
        dropout: float = 0.1,
        temperature: float = 0.1,
        growth: float = 0.1,
        distill: bool = True,
        momentum: float = 0.91,
        epochs: int = 50,
        epoch_steps: int = 155,
        visual_lr: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(feature_dim=feature_dim, **kwargs)
        if not 1 <= audio_dim < feature_dim:
            problem = f"sound is a part of the {feature_dim} channels of the features"
            remedy = "Join it by data.features, such as [features, audio], and give its channels"
            raise WSVADError("model.audio_dim", audio_dim, problem, remedy)
        if heads < 1 or hidden_dim < heads or hidden_dim % heads:
            problem = f"its channels are divided among {heads} heads"
            raise WSVADError("model.hidden_dim", hidden_dim, problem, "Give a multiple of model.heads")
        for name, least in (("mlp_dim", mlp_dim), ("epochs", epochs), ("epoch_steps", epoch_steps)):
            if least < 1:
                raise WSVADError(f"model.{name}", least, "must be at least 1", "Give a larger number")
        for name, rate in (("temperature", temperature), ("visual_lr", visual_lr)):
            if rate is not None and not rate > 0:
                raise WSVADError(f"model.{name}", rate, "must be above 0", "Give a positive number")
        if not 0 <= momentum <= 1:
            raise WSVADError("model.momentum", momentum, "must be in [0, 1]", "Give a share of the weights")
        self.temperature, self.growth, self.momentum = temperature, growth, momentum
        self.epochs, self.epoch_steps, self.visual_lr = epochs, epoch_steps, visual_lr
        self.epoch = 0
        self.net = MACILSDNet(feature_dim, audio_dim, hidden_dim, heads, mlp_dim, dropout, twin=distill)
        if not distill:
            del self.loss_weights["single"]

    def score(self, batch: WSVADBatch) -> Tensor:
        """Score snippets: ``[B, T]`` in [0, 1]."""
        out: MACILSDOutput = self.net.joint(batch.features)
        return out.logits.sigmoid().mean(dim=1)

    def seen(self, batch: WSVADBatch) -> Tensor:
        """Mark what is attended to in a training batch, up to its longest video: ``[B, N, T]``."""
        longest = valid_positions(batch.lengths.amax(), batch.features.shape[2])
        return longest.expand(batch.features.shape[:-1])

    def compute_losses(self, batch: WSVADBatch) -> dict[str, Tensor]:
        """Give the raw terms that the module's docstring lists."""
        seen = self.seen(batch)
        lengths = batch.lengths[:, None].expand(seen.shape[:2])
        out: MACILSDOutput = self.net.joint(batch.features, seen)

        def of_videos(logits: Tensor) -> Tensor:
            return probability_bce(video_probability(logits, lengths), batch.labels[:, None])

        losses = {"mil": of_videos(out.logits), **contrast(out, lengths, self.temperature)}
        if self.net.twin is not None:
            losses["single"] = of_videos(self.net.twin(batch.features, seen))
        return losses

    def total_loss(self, losses: dict[str, Tensor]) -> Tensor:
        """Sum the terms by weight; that of the contrast is at most what it has grown to."""
        grown = self.growth * self.epoch
        weighted = [
            (min(self.loss_weights[term], grown) if term in CONTRASTS else self.loss_weights[term]) * value
            for term, value in losses.items()
        ]
        return torch.stack(weighted).sum()

    def momentum_after(self, epoch: int) -> float:
        """Give the share of its own weights that the network keeps after an epoch, counted from 0."""
        done = min(epoch / self.epochs, 1)
        return 1 + (self.momentum - 1) * (1 + math.cos(math.pi * done)) / 2

    def on_train_batch_start(self, batch: WSVADBatch, batch_idx: int) -> None:
        """Know the epoch, also where a training is resumed."""
        self.epoch = self.global_step // self.epoch_steps

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Step; at the end of an epoch move the network towards the twin, before a checkpoint is written."""
        super().optimizer_step(*args, **kwargs)
        ended, steps = divmod(self.global_step + 1, self.epoch_steps)
        if steps == 0 and self.net.twin is not None:
            self.net.pull(self.momentum_after(ended - 1))

    def trained_parameters(self) -> list[dict[str, Any]]:
        """Give two groups: the network, and the twin with its learning rate if it has one."""
        rate = {} if self.visual_lr is None else {"lr": self.visual_lr}
        groups: list[dict[str, Any]] = [{"params": list(self.net.joint.parameters())}]
        if self.net.twin is not None:
            groups.append({"params": list(self.net.twin.parameters()), **rate})
        return groups


def video_probability(logits: Tensor, lengths: Tensor) -> Tensor:
    """Sigmoid of the mean of the k largest valid logits ``[..., T]`` of videos of ``lengths [...]``."""
    return topk_mean_each(logits, lengths, lengths // 16 + 1).sigmoid()
