"""The network and the losses of UR-DMU, which GlanceVAD shares and SST computes on snippets and on patches.

The docstring of :mod:`wsvad_lightning.methods.urdmu` has the equations and says what each term is for.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wsvad_lightning.layers import DistanceEncoder, MemoryUnit
from wsvad_lightning.layers.blocks import in_blocks
from wsvad_lightning.losses import probability_bce, topk_bce
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.ops import gather_mean, halves
from wsvad_lightning.types import WSVADBatch

DUAL_MEMORY_WEIGHTS = {
    "video_bce": 1.0,
    "A_mem_abnormal": 0.1,
    "N_mem_abnormal": 0.1,
    "N_mem_normal": 0.1,
    "A_mem_normal": 0.1,
    "triplet": 0.1,
    "kl": 0.001,
    "distance": 0.0001,
}
DISTANCE_MARGIN = 100.0


class DualMemoryOutput(NamedTuple):
    """What a training pass yields; of N crops of each video, b = B/2 videos in each half.

    Attributes:
        scores: ``[B, T]``, the normal half first.
        described: ``[B, N, T, 2H]`` what the scores are made of: encoded snippets and their latents.
        abnormal_of_abnormal: ``[b, N, T]`` activation of the abnormal memory by abnormal videos.
        normal_of_abnormal: ``[b, N, T]`` activation of the normal memory by abnormal videos.
        abnormal_of_normal: ``[b, N, T]`` activation of the abnormal memory by normal videos.
        normal_of_normal: ``[b, N, T]`` activation of the normal memory by normal videos.
        normal: ``[b, N, T, H]`` encoded normal videos.
        abnormal: ``[b, N, T, H]`` encoded abnormal videos.
        normal_latent: ``[b, N, T, H]`` sampled latent of the normal memory, normal videos.
        abnormal_latent: ``[b, N, T, H]`` latent of the abnormal memory, abnormal videos.
        latent_mean: ``[b, N, T, H]`` mean of the distribution behind ``normal_latent``.
        latent_logvar: ``[b, N, T, H]`` logarithm of its variance.
    """

    scores: Tensor
    described: Tensor
    abnormal_of_abnormal: Tensor
    normal_of_abnormal: Tensor
    abnormal_of_normal: Tensor
    normal_of_normal: Tensor
    normal: Tensor
    abnormal: Tensor
    normal_latent: Tensor
    abnormal_latent: Tensor
    latent_mean: Tensor
    latent_logvar: Tensor


class DualMemoryNet(nn.Module):
    """The network, usable without Lightning: ``DualMemoryNet()(features)`` scores snippets.

    Args:
        feature_dim: D, channels of the features.
        hidden_dim: H, channels of the encoder, the memories and the latents.
        abnormal_slots: size of the abnormal memory.
        normal_slots: size of the normal memory.
        depth: layers of the transformer.
        heads: its attention heads.
        head_dim: channels a head and branch.
        mlp_dim: hidden width of its feed-forward networks.
        score_dim: hidden width of the score head.
        dropout: probability inside the transformer.
        look: block in front of the score head, from ``[B, N, T, 2H]`` and what is looked at, to
            ``[B, N, T, 2H]``; None for no such block.
    """

    def __init__(
        self,
        feature_dim: int = 1024,
        hidden_dim: int = 512,
        abnormal_slots: int = 60,
        normal_slots: int = 60,
        depth: int = 2,
        heads: int = 4,
        head_dim: int = 128,
        mlp_dim: int = 512,
        score_dim: int = 128,
        dropout: float = 0.5,
        look: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.encoder = DistanceEncoder(feature_dim, hidden_dim, depth, heads, head_dim, mlp_dim, dropout)
        self.abnormal_memory = MemoryUnit(abnormal_slots, hidden_dim)
        self.normal_memory = MemoryUnit(normal_slots, hidden_dim)
        self.to_mean = nn.Linear(hidden_dim, hidden_dim)
        self.to_logvar = nn.Linear(hidden_dim, hidden_dim)
        self.to_score = nn.Sequential(
            nn.Linear(2 * hidden_dim, score_dim), nn.ReLU(), nn.Linear(score_dim, 1)
        )
        self.look = look

    def classify(self, described: Tensor, looked_at: Tensor | None = None) -> Tensor:
        """Score what :meth:`describe` gives, averaged over crops: ``[B, N, T, 2H]`` to ``[B, T]``.

        Args:
            described: ``[B, N, T, 2H]``.
            looked_at: ``[B, N, S, 2H]`` for ``look``; None to leave that block out.
        """
        if looked_at is not None:
            assert self.look is not None, "a network without the block was given what to look at"
            described = self.look(described, looked_at)
        probability = torch.sigmoid(self.to_score(described).float())
        return probability.squeeze(-1).mean(dim=1)

    def describe(self, features: Tensor) -> Tensor:
        """Encode snippets and add their latents, without sampling: ``[B, N, T, D]`` to ``[B, N, T, 2H]``."""
        return self._with_latents(self.encoder(features))

    def _with_latents(self, encoded: Tensor) -> Tensor:
        abnormal = self.abnormal_memory.retrieve(self.abnormal_memory(encoded), self.to_mean)
        normal = self.normal_memory.retrieve(self.normal_memory(encoded), self.to_mean)
        return torch.cat([encoded, abnormal + normal], dim=-1)

    def forward(self, features: Tensor, looked_at: Tensor | None = None) -> Tensor:
        """Score videos of any length: ``[B, N, T, D]`` to ``[B, T]`` in [0, 1], without sampling."""
        if looked_at is not None:
            return self.classify(self.describe(features), looked_at)
        encoded = self.encoder(features)
        described = 2 * encoded.shape[-1]  # channels
        return in_blocks(lambda part: self.classify(self._with_latents(part))[..., None], encoded, described)[
            ..., 0
        ]

    def forward_pairs(self, features: Tensor, looked_at: Tensor | None = None) -> DualMemoryOutput:
        """Training pass over ``[B, N, T, D]``, the normal half first."""
        encoded = self.encoder(features)
        normal, abnormal = halves(encoded)
        in_abnormal, in_normal = self.abnormal_memory(encoded), self.normal_memory(encoded)
        abnormal_of_normal, abnormal_of_abnormal = halves(self.abnormal_memory.activation(in_abnormal))
        normal_of_normal, normal_of_abnormal = halves(self.normal_memory.activation(in_normal))

        borrowed_by_normal, abnormal_latent = halves(self.abnormal_memory.retrieve(in_abnormal, self.to_mean))
        mean, borrowed_by_abnormal = halves(self.normal_memory.retrieve(in_normal, self.to_mean))
        logvar = self.normal_memory.retrieve(halves(in_normal)[0], self.to_logvar)
        normal_latent = mean + torch.randn_like(mean) * torch.exp(0.5 * logvar)
        latent = torch.cat([normal_latent + borrowed_by_normal, abnormal_latent + borrowed_by_abnormal])
        described = torch.cat([encoded, latent], dim=-1)
        return DualMemoryOutput(
            scores=self.classify(described, looked_at),
            described=described,
            abnormal_of_abnormal=abnormal_of_abnormal,
            normal_of_abnormal=normal_of_abnormal,
            abnormal_of_normal=abnormal_of_normal,
            normal_of_normal=normal_of_normal,
            normal=normal,
            abnormal=abnormal,
            normal_latent=normal_latent,
            abnormal_latent=abnormal_latent,
            latent_mean=mean,
            latent_logvar=logvar,
        )


class DualMemoryModule(WSVADModule):
    """Base of methods whose network is the one above.

    Args:
        feature_dim: D, channels of the features; taken from the store on the command line.
        hidden_dim: channels of the encoder, the memories and the latents.
        abnormal_slots: size of the abnormal memory.
        normal_slots: size of the normal memory.
        dropout: probability inside the transformer.
        distance_margin: by how much the abnormal latent should be longer than the normal one.
        **kwargs: arguments of :class:`WSVADModule`.
    """

    net: DualMemoryNet

    def __init__(
        self,
        feature_dim: int = 1024,
        hidden_dim: int = 512,
        abnormal_slots: int = 60,
        normal_slots: int = 60,
        dropout: float = 0.5,
        distance_margin: float = DISTANCE_MARGIN,
        **kwargs: Any,
    ) -> None:
        super().__init__(feature_dim=feature_dim, **kwargs)
        self.distance_margin = distance_margin
        self.net = DualMemoryNet(
            feature_dim,
            hidden_dim,
            abnormal_slots,
            normal_slots,
            mlp_dim=hidden_dim,
            dropout=dropout,
        )

    def score(self, batch: WSVADBatch) -> Tensor:
        """Score snippets: ``[B, T]`` in [0, 1]."""
        scores: Tensor = self.net(batch.features)
        return scores


def dual_memory_losses(
    out: DualMemoryOutput, labels: Tensor, distance_margin: float = DISTANCE_MARGIN
) -> dict[str, Tensor]:
    """Give the raw terms of a training pass, by the names in :data:`DUAL_MEMORY_WEIGHTS`.

    Args:
        out: of the pass.
        labels: ``[B]`` of the videos.
        distance_margin: by how much the abnormal latent should be longer than the normal one.
    """
    k = representative(out)
    return {"video_bce": topk_bce(out.scores, labels, k), **unlabelled_losses(out, k, distance_margin)}


def representative(out: DualMemoryOutput) -> int:
    """Number of snippets that represent a video."""
    return out.scores.shape[-1] // 16 + 1


def unlabelled_losses(out: DualMemoryOutput, k: int, distance_margin: float) -> dict[str, Tensor]:
    """Give the terms that the scores have no part in; see :func:`dual_memory_losses`."""
    return {
        **memory_losses(out, k),
        **representation_losses(out, k, distance_margin),
        "kl": gaussian_kl(out.latent_mean.float(), out.latent_logvar.float()),
    }


def memory_losses(out: DualMemoryOutput, k: int) -> dict[str, Tensor]:
    """What each half should activate in each memory (paper, dual memory loss); crops are averaged first."""
    return {
        "A_mem_abnormal": topk_bce(out.abnormal_of_abnormal.mean(dim=1), 1.0, k),
        "N_mem_abnormal": topk_bce(1.0 - out.normal_of_abnormal.mean(dim=1), 1.0, k),
        "N_mem_normal": probability_bce(out.normal_of_normal.mean(dim=1), 1.0),
        "A_mem_normal": probability_bce(out.abnormal_of_normal.mean(dim=1), 0.0),
    }


def representation_losses(out: DualMemoryOutput, k: int, distance_margin: float) -> dict[str, Tensor]:
    """Triplet and distance terms, on the mean of each video's k snippets of highest activation."""

    def represent(features: Tensor, activation: Tensor) -> Tensor:
        return gather_mean(features.float(), activation.topk(k, dim=-1).indices).mean(dim=1)

    triplet = F.triplet_margin_loss(
        F.normalize(represent(out.normal, out.normal_of_normal), dim=-1),
        F.normalize(represent(out.abnormal, out.normal_of_abnormal), dim=-1),
        F.normalize(represent(out.abnormal, out.abnormal_of_abnormal), dim=-1),
        margin=1.0,
    )
    normal_length = represent(out.normal_latent, out.normal_of_normal).norm(dim=-1)
    abnormal_length = represent(out.abnormal_latent, out.abnormal_of_abnormal).norm(dim=-1)
    distance = F.relu(distance_margin - abnormal_length + normal_length).mean()
    return {"triplet": triplet, "distance": distance}


def gaussian_kl(mean: Tensor, logvar: Tensor) -> Tensor:
    """KL divergence of N(mean, exp(logvar)) from N(0, 1), as the authors reduce it.

    The sum runs over time, the mean over crops and channels.

    Args:
        mean: ``[..., T, H]``.
        logvar: ``[..., T, H]``.
    """
    return (-0.5 * (1 + logvar - mean**2 - logvar.exp()).sum(dim=-2)).mean()
