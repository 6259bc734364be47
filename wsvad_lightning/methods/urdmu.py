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

from typing import ClassVar

from torch import Tensor

from wsvad_lightning.methods.base.dual_memory import (
    DUAL_MEMORY_WEIGHTS,
    DualMemoryModule,
    dual_memory_losses,
)
from wsvad_lightning.types import WSVADBatch


class URDMU(DualMemoryModule):
    """UR-DMU as a LightningModule; the recipe of the paper is in ``ucf_urdmu.yaml``.

    Its arguments are those of :class:`DualMemoryModule`.
    """

    default_loss_weights: ClassVar[dict[str, float]] = DUAL_MEMORY_WEIGHTS

    def compute_losses(self, batch: WSVADBatch) -> dict[str, Tensor]:
        """Give the raw terms that the module's docstring lists."""
        out = self.net.forward_pairs(batch.features)
        return dual_memory_losses(out, batch.labels, self.distance_margin)
