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

from typing import Any, ClassVar

from torch import Tensor

from wsvad_lightning.methods.base.dual_memory import (
    DISTANCE_MARGIN,
    DUAL_MEMORY_WEIGHTS,
    DualMemoryNet,
    dual_memory_losses,
)
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.types import WSVADBatch


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

    default_loss_weights: ClassVar[dict[str, float]] = DUAL_MEMORY_WEIGHTS

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

    def compute_losses(self, batch: WSVADBatch) -> dict[str, Tensor]:
        """Give the raw terms that the module's docstring lists."""
        out = self.net.forward_pairs(batch.features)
        return dual_memory_losses(out, batch.labels, self.distance_margin)
