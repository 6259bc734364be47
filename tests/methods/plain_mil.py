"""What methods that train on pseudo-labels are compared with: their encoder, trained by top-k MIL alone.

The recipes of the comparison are in ``recipes/``; ``docs/methods`` has what came out.
"""

from typing import Any, ClassVar

import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn

from wsvad_lightning.layers import DistanceEncoder
from wsvad_lightning.losses import topk_bce
from wsvad_lightning.methods.base import WSVADModule
from wsvad_lightning.methods.tpwng import TPWNGNet
from wsvad_lightning.types import WSVADBatch


class PlainMIL(WSVADModule):
    """An encoder, a linear layer, and BCE of the mean of the k = T // 16 + 1 highest scores.

    Args:
        feature_dim: D, channels of the features.
        hidden_dim: H, channels of the encoder.
        dropout: probability inside the encoder.
        optimizer: makes the optimizer from the parameters.
        **kwargs: arguments of :class:`WSVADModule`.
    """

    default_loss_weights: ClassVar[dict[str, float]] = {"mil": 1.0}

    def __init__(
        self,
        feature_dim: int,
        hidden_dim: int = 512,
        dropout: float = 0.5,
        optimizer: OptimizerCallable = torch.optim.AdamW,
        **kwargs: Any,
    ) -> None:
        super().__init__(feature_dim=feature_dim, optimizer=optimizer, **kwargs)
        self.net = nn.Sequential(
            DistanceEncoder(feature_dim, hidden_dim, 2, 4, 128, hidden_dim, dropout),
            nn.Linear(hidden_dim, 1),
        )

    def score(self, batch: WSVADBatch) -> Tensor:
        """Score snippets: ``[B, T]``."""
        scores: Tensor = self.net(batch.features).squeeze(-1).float().sigmoid()
        return scores.mean(dim=1)

    def compute_losses(self, batch: WSVADBatch) -> dict[str, Tensor]:
        """Give the only term."""
        scores = self.score(batch)
        return {"mil": topk_bce(scores, batch.labels, scores.shape[-1] // 16 + 1)}


class PlainSpanMIL(PlainMIL):
    """The same with the transformer of TPWNG.

    Args:
        feature_dim: D, channels of the features.
        dropout: probability inside the transformer.
        optimizer: makes the optimizer from the parameters.
        **kwargs: arguments of :class:`WSVADModule`.
    """

    def __init__(
        self,
        feature_dim: int,
        dropout: float = 0.1,
        optimizer: OptimizerCallable = torch.optim.Adam,
        **kwargs: Any,
    ) -> None:
        super().__init__(feature_dim=feature_dim, optimizer=optimizer, **kwargs)
        whole = TPWNGNet(feature_dim, dropout=dropout, text_dim=feature_dim)
        self.net = nn.Sequential(whole.context, whole.to_logit)
