"""A Gaussian of normal motion: the baseline of a camera of which only normal videos are at hand.

No video has a label, and nothing abnormal is needed. Each channel of the features of normal videos follows a
Gaussian, which is fitted by maximum likelihood. A snippet scores by how far its patch that deviates most lies
above the mean:

    z = max_crops((x_c - mean_c) / deviation_c)               c: one channel; the mean of z over c otherwise
    s = max(z, 0) / (max(z, 0) + 5)                           score in [0, 1), 0.5 at five deviations

Loss terms (names as in ``loss_weights``):
    likelihood   mean over snippets, crops and channels of log(deviation) + z^2 / 2

It is a baseline, of no paper. With z-scores of each patch (``data.normalize: zscore``) it starts at the
solution: mean 0 and deviation 1. Normal video does not reach the highest score, so that a threshold can be
found on it. Abnormal videos of a paired batch are left out of the likelihood.
"""

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.types import FeatureRequirements, WSVADBatch

HALF = 5.0  # deviations at which the score is 0.5


class GaussianNet(nn.Module):
    """The Gaussian, usable without Lightning: ``GaussianNet(240)(features)`` scores snippets.

    Args:
        feature_dim: D, channels of the features.
        channel: the one that scores; None for the mean of all.
    """

    def __init__(self, feature_dim: int, channel: int | None = None) -> None:
        super().__init__()
        self.channel = channel
        self.mean = nn.Parameter(torch.zeros(feature_dim))
        self.log_deviation = nn.Parameter(torch.zeros(feature_dim))

    def deviations(self, features: Tensor) -> Tensor:
        """Give z, in deviations: ``[B, N, T, D]`` to the same shape, float32."""
        return (features.float() - self.mean.float()) * (-self.log_deviation.float()).exp()

    def forward(self, features: Tensor) -> Tensor:
        """Score each snippet for itself: ``[B, N, T, D]`` to ``[B, T]`` in [0, 1)."""
        z = self.deviations(features)
        of_crops = z.mean(dim=-1) if self.channel is None else z[..., self.channel]
        above = F.relu(of_crops.amax(dim=1))
        return above / (above + HALF)


class Gaussian(WSVADModule):
    """The baseline as a LightningModule; the recipe is ``ped2_gaussian.yaml``.

    Args:
        feature_dim: D, channels of the features; taken from the store on the command line.
        channel: the one that scores, from 0; None for the mean of all.
        **kwargs: arguments of :class:`WSVADModule`.

    Raises:
        WSVADError: if there is no such channel.
    """

    field_of_view = (0, 0)
    requires = FeatureRequirements(bags="windows")
    default_loss_weights: ClassVar[dict[str, float]] = {"likelihood": 1.0}

    net: GaussianNet

    def __init__(self, feature_dim: int = 10, channel: int | None = None, **kwargs: Any) -> None:
        super().__init__(feature_dim=feature_dim, **kwargs)
        if channel is not None and not 0 <= channel < feature_dim:
            problem = f"the features have {feature_dim} channels"
            raise WSVADError("model.channel", channel, problem, f"Give 0 to {feature_dim - 1}, or none")
        self.net = GaussianNet(feature_dim, channel)

    def score(self, batch: WSVADBatch) -> Tensor:
        """Score snippets: ``[B, T]`` in [0, 1)."""
        scores: Tensor = self.net(batch.features)
        return scores

    def compute_losses(self, batch: WSVADBatch) -> dict[str, Tensor]:
        """Give the term that the module's docstring lists."""
        likelihood = self.net.log_deviation.float() + self.net.deviations(batch.features).square() / 2
        counts = (batch.labels != 1).float()  # NaN: without a label
        return {"likelihood": (counts * likelihood.mean(dim=(1, 2, 3))).sum() / counts.sum().clamp(min=1)}
