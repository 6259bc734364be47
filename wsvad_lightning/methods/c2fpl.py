"""C2FPL: coarse-to-fine pseudo-labels for unsupervised detection (Al-lahham et al., WACV 2024).

No video has a label. Before training, the training videos are divided into two groups by the lengths of their
features, and in each video of one group a window is marked as anomalous; see
:mod:`wsvad_lightning.prepare.c2fpl_labels`. A classifier of single snippets is trained on these marks.

    score = mean_crops(sigmoid(mlp(features)))

Loss terms (names as in ``loss_weights``):
    bce     BCE of the score against the pseudo-label, over a batch of snippets of all videos

Numbers equal the authors' code. Two attention layers that their state dict holds and nothing uses are left
out.
"""

from typing import Any, ClassVar

import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn

from wsvad_lightning.data.loading.datamodule import WSVADDataModule
from wsvad_lightning.layers import ScoreHead, init_xavier
from wsvad_lightning.losses import probability_bce
from wsvad_lightning.methods.base.prepared import PreparedModule
from wsvad_lightning.prepare import c2fpl_labels
from wsvad_lightning.types import FeatureRequirements, WSVADBatch

LABELS = c2fpl_labels.NAME


class C2FPLNet(nn.Module):
    """The network, usable without Lightning: ``C2FPLNet()(features)`` scores snippets.

    Args:
        feature_dim: D, channels of the features.
        hidden_dims: widths of the two hidden layers.
        dropout: probability after each of them.
    """

    def __init__(
        self, feature_dim: int = 2048, hidden_dims: tuple[int, int] = (512, 32), dropout: float = 0.6
    ) -> None:
        super().__init__()
        self.to_score = ScoreHead(feature_dim, dropout, hidden_dims)
        init_xavier(self)

    def forward(self, features: Tensor) -> Tensor:
        """Score each snippet for itself: ``[B, N, T, D]`` to ``[B, T]`` in [0, 1]."""
        scores: Tensor = self.to_score(features).mean(dim=1)
        return scores


class C2FPL(PreparedModule):
    """C2FPL as a LightningModule; the recipe of the paper is in ``ucf_c2fpl.yaml``.

    Args:
        feature_dim: D, channels of the features; taken from the store on the command line.
        hidden_dims: widths of the two hidden layers.
        dropout: probability after each of them.
        window: part of a video taken for abnormal that is marked.
        percentile: of the normal videos to move to the abnormal ones at a time.
        ratio: abnormal videos for each normal one, at least.
        abnormal_component: which component of the first mixture is abnormal: the ``second``, an arbitrary
            one, as in the authors' code, or the one of the ``larger-mean`` variance.
        optimizer: makes the optimizer from the parameters.
        **kwargs: arguments of :class:`PreparedModule`.

    Attributes:
        pseudo_labels: one per snippet of the training videos, joined end to end; none in a new module.
    """

    field_of_view = (0, 0)
    requires = FeatureRequirements(bags="windows", prepared=(LABELS,))
    default_loss_weights: ClassVar[dict[str, float]] = {"bce": 1.0}

    net: C2FPLNet

    def __init__(
        self,
        feature_dim: int = 2048,
        hidden_dims: tuple[int, int] = (512, 32),
        dropout: float = 0.6,
        window: float = 0.2,
        percentile: float = 3.0,
        ratio: float = 1.0,
        abnormal_component: c2fpl_labels.Component = "second",
        optimizer: OptimizerCallable = torch.optim.SGD,
        **kwargs: Any,
    ) -> None:
        super().__init__(feature_dim=feature_dim, optimizer=optimizer, **kwargs)
        self.net = C2FPLNet(feature_dim, hidden_dims, dropout)
        self.window, self.percentile, self.ratio = window, percentile, ratio
        self.abnormal_component: c2fpl_labels.Component = abnormal_component
        self.pseudo_labels = torch.empty(0)  # no buffer, which several processes would share at every step

    def prepare(self, data: WSVADDataModule) -> None:
        """Put the pseudo-labels next to the store, unless they are there."""
        c2fpl_labels.prepare(data, self.window, self.percentile, self.ratio, self.abnormal_component)

    def take_prepared(self, name: str, values: Tensor) -> None:
        """Learn from the pseudo-labels that were prepared from the store."""
        self.pseudo_labels = values.float()

    def score(self, batch: WSVADBatch) -> Tensor:
        """Score snippets: ``[B, T]`` in [0, 1]."""
        scores: Tensor = self.net(batch.features)
        return scores

    def compute_losses(self, batch: WSVADBatch) -> dict[str, Tensor]:
        """Give the raw term that the module's docstring lists."""
        assert batch.positions is not None, "windows know where in the training videos they are from"
        self.pseudo_labels = self.pseudo_labels.to(batch.positions.device)
        return {"bce": probability_bce(self.net(batch.features), self.pseudo_labels[batch.positions])}
