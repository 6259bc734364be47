"""Sultani MIL: deep ranking of video segments (Sultani, Chen and Shah, CVPR 2018, arXiv 1801.04264).

The first of its kind: the strongest snippet of an abnormal video should score higher than the strongest
snippet of a normal one.

    score = sigmoid(to_score(dropout(narrow(dropout(relu(widen(features)))))))       mean over crops

Loss terms (names as in ``loss_weights``):
    hinge       relu(1 - max score of an abnormal video + max score of a normal one)
    smooth      squared differences between neighbouring scores of abnormal videos
    sparsity    sum of the scores of abnormal videos
    l2          squared entries of the three weight matrices, biases left out

With ``pairing="all"``, as in the authors' code, every abnormal video meets every normal one, and the terms
are sums over the abnormal videos (the hinge is a mean over the normal ones): their size, against l2, depends
on the batch.

DeepMIL (Roc-Ng/DeepMIL), an unofficial version in PyTorch, is this class with
``narrow_activation="relu", pairing="matched", output_dropout=0.6, init="xavier_uniform"`` and the weight 0
for l2: there ``pairing="matched"`` ties each abnormal video to the normal one at the same place of the batch
and the terms are means over the abnormal videos, and dropout acts on the scores while training, which makes
them 0 or 2.5 times as large.

Numbers equal the authors' code. They take one crop; of several the scores are averaged.
"""

from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn

from wsvad_lightning.layers import Dropout
from wsvad_lightning.losses import Pairing, ranking_hinge, smoothness
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.ops import halves
from wsvad_lightning.types import WSVADBatch

NarrowActivation = Literal["linear", "relu"]
Init = Literal["xavier_normal", "xavier_uniform"]


class SultaniNet(nn.Module):
    """The network, usable without Lightning: ``SultaniNet()(features)`` scores snippets.

    Args:
        feature_dim: D, channels of the features.
        hidden_dim: channels of the first layer.
        narrow_dim: channels of the second layer.
        narrow_activation: what follows the second layer.
        dropout: probability after both layers.
        output_dropout: probability at the scores.
        init: distribution of the weights; biases start at zero.
    """

    def __init__(
        self,
        feature_dim: int = 4096,
        hidden_dim: int = 512,
        narrow_dim: int = 32,
        narrow_activation: NarrowActivation = "linear",
        dropout: float = 0.6,
        output_dropout: float = 0.0,
        init: Init = "xavier_normal",
    ) -> None:
        super().__init__()
        self.widen = nn.Linear(feature_dim, hidden_dim)
        self.narrow = nn.Linear(hidden_dim, narrow_dim)
        self.to_score = nn.Linear(narrow_dim, 1)
        self.narrow_activation = narrow_activation
        self.dropout, self.output_dropout = Dropout(dropout), Dropout(output_dropout)
        draw = nn.init.xavier_normal_ if init == "xavier_normal" else nn.init.xavier_uniform_
        for layer in self.layers:
            draw(layer.weight)
            nn.init.zeros_(layer.bias)

    @property
    def layers(self) -> tuple[nn.Linear, nn.Linear, nn.Linear]:
        """The three layers in order."""
        return self.widen, self.narrow, self.to_score

    def embed(self, features: Tensor) -> Tensor:
        """Reduce ``[..., D]`` to the second layer's ``[..., narrow_dim]``."""
        narrowed: Tensor = self.narrow(self.dropout(F.relu(self.widen(features))))
        return F.relu(narrowed) if self.narrow_activation == "relu" else narrowed

    def forward(self, features: Tensor) -> Tensor:
        """Score videos of any length: ``[B, N, T, D]`` to ``[B, T]`` in [0, 1]."""
        logits = self.to_score(self.dropout(self.embed(features))).squeeze(-1)
        scores: Tensor = self.output_dropout(torch.sigmoid(logits.float())).mean(dim=1)
        return scores


class Sultani(WSVADModule):
    """Sultani MIL as a LightningModule; recipes in ``ucf_sultani.yaml`` and ``ucf_deepmil.yaml``.

    Args:
        feature_dim: D, channels of the features; taken from the store on the command line.
        hidden_dim: channels of the first layer.
        narrow_dim: channels of the second layer.
        narrow_activation: what follows the second layer.
        dropout: probability after both layers.
        output_dropout: probability at the scores while training.
        init: distribution of the weights.
        pairing: which videos are compared, and how the terms are reduced; see the module.
        optimizer: makes the optimizer from the parameters.
        **kwargs: arguments of :class:`WSVADModule`.
    """

    field_of_view = (0, 0)
    default_loss_weights: ClassVar[dict[str, float]] = {
        "hinge": 1.0,
        "smooth": 8e-5,
        "sparsity": 8e-5,
        "l2": 1e-3,
    }

    net: SultaniNet

    def __init__(
        self,
        feature_dim: int = 4096,
        hidden_dim: int = 512,
        narrow_dim: int = 32,
        narrow_activation: NarrowActivation = "linear",
        dropout: float = 0.6,
        output_dropout: float = 0.0,
        init: Init = "xavier_normal",
        pairing: Pairing = "all",
        optimizer: OptimizerCallable = torch.optim.Adagrad,
        **kwargs: Any,
    ) -> None:
        super().__init__(feature_dim=feature_dim, optimizer=optimizer, **kwargs)
        self.pairing: Pairing = pairing
        self.net = SultaniNet(
            feature_dim, hidden_dim, narrow_dim, narrow_activation, dropout, output_dropout, init
        )

    def score(self, batch: WSVADBatch) -> Tensor:
        """Score snippets: ``[B, T]`` in [0, 1]."""
        scores: Tensor = self.net(batch.features)
        return scores

    def compute_losses(self, batch: WSVADBatch) -> dict[str, Tensor]:
        """Give the raw terms that the module's docstring lists."""
        normal, abnormal = halves(self.net(batch.features))
        divisor = 1 if self.pairing == "all" else len(abnormal)
        return {
            "hinge": ranking_hinge(normal, abnormal, self.pairing),
            "smooth": smoothness(abnormal) / divisor,
            "sparsity": abnormal.sum() / divisor,
            "l2": torch.stack([layer.weight.square().sum() for layer in self.net.layers]).sum(),
        }
