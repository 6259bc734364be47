"""UR-DMU: dual memory units with uncertainty regulation (Zhou, Yu and Yang, AAAI 2023, arXiv 2302.05160).

Two memory banks, one for normal and one for abnormal patterns, are read by every snippet. What a snippet
activates in them supervises it (dual memory loss), what it retrieves augments it; for normal videos the
retrieved feature is a Gaussian latent whose spread is regulated (uncertainty learning).

    x = transformer(relu(conv(features)))                                     temporal context
    a_M, m_M = memory M (x)      for M in normal, abnormal                    activation, augmentation
    z = mu(m_normal) + mu(m_abnormal)                                         latent
    score = sigmoid(mlp([x; z]))

In training, mu(m_normal) of the normal videos is sampled: mu + eps * exp(logvar / 2).

Loss terms (names as in ``loss_weights``; k = T // 16 + 1):
    video_bce        top-k BCE of the scores against the video label
    A_mem_abnormal   top-k BCE: abnormal videos activate the abnormal memory somewhere
    N_mem_abnormal   top-k BCE: abnormal videos leave the normal memory unused somewhere
    N_mem_normal     BCE: normal videos activate the normal memory everywhere
    A_mem_normal     BCE: normal videos leave the abnormal memory unused everywhere
    triplet          margin 1, on unit vectors: what abnormal videos share with the normal memory is close to
                     the normal videos, what they share with the abnormal memory is far from them
    kl               the normal latent against a standard Gaussian
    distance         the abnormal latent is longer than the normal one by a margin of 100

Numbers equal the authors' code, with its quirks: the KL term sums over time (so it grows with T), and the
columns instead of the rows of the distance prior sum to one. Deviation: unit vectors are guarded against a
norm of zero (below 1e-12), which changes no other number.
"""

from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wsvad_lightning.layers import DistanceEncoder, MemoryUnit
from wsvad_lightning.losses import probability_bce, topk_bce
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.ops import gather_mean, halves
from wsvad_lightning.types import WSVADBatch


class URDMUOutput(NamedTuple):
    """What a training pass yields; of N crops of each video, b = B/2 videos in each half.

    Attributes:
        scores: ``[B, T]``, the normal half first.
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


class URDMUNet(nn.Module):
    """The network, usable without Lightning: ``URDMUNet()(features)`` scores snippets.

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

    def classify(self, encoded: Tensor, latent: Tensor) -> Tensor:
        """Score ``[B, N, T, H]`` features and latents, averaged over crops: ``[B, T]``."""
        probability = torch.sigmoid(self.to_score(torch.cat([encoded, latent], dim=-1)).float())
        return probability.squeeze(-1).mean(dim=1)

    def forward(self, features: Tensor) -> Tensor:
        """Score videos of any length: ``[B, N, T, D]`` to ``[B, T]`` in [0, 1], without sampling."""
        encoded = self.encoder(features)
        _, abnormal = self.abnormal_memory(encoded)
        _, normal = self.normal_memory(encoded)
        return self.classify(encoded, self.to_mean(abnormal) + self.to_mean(normal))

    def forward_pairs(self, features: Tensor) -> URDMUOutput:
        """Training pass over ``[B, N, T, D]``, the normal half first."""
        encoded = self.encoder(features)
        normal, abnormal = halves(encoded)
        abnormal_of_abnormal, abnormal_augment = self.abnormal_memory(abnormal)
        normal_of_abnormal, borrowed_by_abnormal = self.normal_memory(abnormal)
        abnormal_of_normal, borrowed_by_normal = self.abnormal_memory(normal)
        normal_of_normal, normal_augment = self.normal_memory(normal)

        mean, logvar = self.to_mean(normal_augment), self.to_logvar(normal_augment)
        normal_latent = mean + torch.randn_like(mean) * torch.exp(0.5 * logvar)
        abnormal_latent = self.to_mean(abnormal_augment)
        latent = torch.cat(
            [
                normal_latent + self.to_mean(borrowed_by_normal),
                abnormal_latent + self.to_mean(borrowed_by_abnormal),
            ]
        )
        return URDMUOutput(
            scores=self.classify(encoded, latent),
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


class URDMU(WSVADModule):
    """UR-DMU as a LightningModule; the recipe of the paper is in ``ucf_urdmu.yaml``.

    Args:
        feature_dim: D, channels of the features; taken from the store on the command line.
        hidden_dim: channels of the encoder, the memories and the latents.
        abnormal_slots: size of the abnormal memory.
        normal_slots: size of the normal memory.
        dropout: probability inside the transformer.
        distance_margin: by how much the abnormal latent should be longer than the normal one.
        **kwargs: arguments of :class:`WSVADModule`.
    """

    default_loss_weights: ClassVar[dict[str, float]] = {
        "video_bce": 1.0,
        "A_mem_abnormal": 0.1,
        "N_mem_abnormal": 0.1,
        "N_mem_normal": 0.1,
        "A_mem_normal": 0.1,
        "triplet": 0.1,
        "kl": 0.001,
        "distance": 0.0001,
    }

    net: URDMUNet

    def __init__(
        self,
        feature_dim: int = 1024,
        hidden_dim: int = 512,
        abnormal_slots: int = 60,
        normal_slots: int = 60,
        dropout: float = 0.5,
        distance_margin: float = 100.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(feature_dim=feature_dim, **kwargs)
        self.distance_margin = distance_margin
        self.net = URDMUNet(
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

    def compute_losses(self, batch: WSVADBatch) -> dict[str, Tensor]:
        """Give the raw terms that the module's docstring lists."""
        k = batch.features.shape[2] // 16 + 1
        out = self.net.forward_pairs(batch.features)
        return {
            "video_bce": topk_bce(out.scores, batch.labels, k),
            **dual_memory_losses(out, k),
            **self.representation_losses(out, k),
            "kl": gaussian_kl(out.latent_mean.float(), out.latent_logvar.float()),
        }

    def representation_losses(self, out: URDMUOutput, k: int) -> dict[str, Tensor]:
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
        distance = F.relu(self.distance_margin - abnormal_length + normal_length).mean()
        return {"triplet": triplet, "distance": distance}


def dual_memory_losses(out: URDMUOutput, k: int) -> dict[str, Tensor]:
    """What each half should activate in each memory (paper, dual memory loss); crops are averaged first."""
    return {
        "A_mem_abnormal": topk_bce(out.abnormal_of_abnormal.mean(dim=1), 1.0, k),
        "N_mem_abnormal": topk_bce(1.0 - out.normal_of_abnormal.mean(dim=1), 1.0, k),
        "N_mem_normal": probability_bce(out.normal_of_normal.mean(dim=1), 1.0),
        "A_mem_normal": probability_bce(out.abnormal_of_normal.mean(dim=1), 0.0),
    }


def gaussian_kl(mean: Tensor, logvar: Tensor) -> Tensor:
    """KL divergence of N(mean, exp(logvar)) from N(0, 1), as the authors reduce it.

    The sum runs over time, the mean over crops and channels.

    Args:
        mean: ``[..., T, H]``.
        logvar: ``[..., T, H]``.
    """
    return (-0.5 * (1 + logvar - mean**2 - logvar.exp()).sum(dim=-2)).mean()
