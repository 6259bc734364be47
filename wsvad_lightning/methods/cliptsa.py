"""CLIP-TSA: temporal self-attention on CLIP features (Joo et al., ICIP 2023, arXiv 2212.05136).

A scorer says how relevant each snippet is; noise is added to its scores many times, and each snippet is
weighted by how often it is among the k highest (perturbed top-k). The rest is RTFM's network.

    x = features; wider than 512: sigmoid(linear(relu(linear(features))))          [B, N, T, D]
    w = share of the draws in which s + sigma z has t among its k highest, s = scorer(x), k = int(keep T)
    F = dropout(multi-scale(w x))                           temporal context
    score = mean_crops(sigmoid(mlp(F)))

Loss terms are RTFM's, see :mod:`wsvad_lightning.methods.base.magnitude`.

Numbers equal the authors' code, which does not gather k snippets as the paper has it: the time axis keeps its
length, and a snippet that is never chosen becomes zero. Habits: a video of one crop keeps at most 1000
snippets (``most_kept``); the gradient of the scorer, see :class:`wsvad_lightning.layers.PerturbedTopK`.

Deviations: the authors draw noise when they score too, so that their test scores are random; here every video
is scored with the same draws (``noise_in_scoring`` draws anew). Any number of crops and snippets, any width.
"""

from typing import Any

import torch
from torch import Tensor, nn

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.layers import Dropout, MultiScaleTemporal, PerturbedTopK, ScoreHead, init_xavier
from wsvad_lightning.layers.blocks import in_blocks
from wsvad_lightning.methods.base.magnitude import MagnitudeMIL, MagnitudeOutput
from wsvad_lightning.types import WSVADBatch

WIDTH = 512  # to which wider features are brought
NARROWING_DIM = 1024
SCORER_DIM = 256
HEAD_DIMS = (128, 32)


class CLIPTSANet(nn.Module):
    """The network, usable without Lightning: ``CLIPTSANet()(features).scores``.

    Args:
        feature_dim: D, channels of the features.
        keep: share of the snippets that a draw chooses.
        samples: draws.
        sigma: standard deviation of the noise.
        most_kept: most snippets that a draw chooses of a lone crop; None for no limit.
        noise_in_scoring: draw the noise in scoring too.
        dropout: probability after the temporal network and in the score head.
    """

    def __init__(
        self,
        feature_dim: int = 512,
        keep: float = 0.95,
        samples: int = 100,
        sigma: float = 0.05,
        most_kept: int | None = 1000,
        noise_in_scoring: bool = False,
        dropout: float = 0.7,
    ) -> None:
        super().__init__()
        dim = min(feature_dim, WIDTH)
        self.relevance = nn.Sequential(nn.Linear(dim, SCORER_DIM), nn.ReLU(), nn.Linear(SCORER_DIM, 1))
        self.gate = PerturbedTopK(keep, samples, sigma, most_kept, draw_in_scoring=noise_in_scoring)
        self.context = MultiScaleTemporal(dim)
        self.dropout = Dropout(dropout)
        self.to_score = ScoreHead(dim, dropout, HEAD_DIMS)
        init_xavier(self)
        # The authors make this after that initialisation, and leave it as PyTorch does.
        self.narrow = _narrowing(feature_dim) if feature_dim > WIDTH else nn.Identity()

    def attend(self, narrowed: Tensor) -> Tensor:
        """Give the weight of each snippet of ``[..., T, D]``: ``[..., T]``."""
        weight: Tensor = self.gate(torch.sigmoid(self.relevance(narrowed).squeeze(-1).float()))
        return weight

    def forward(self, features: Tensor) -> MagnitudeOutput:
        """Score videos of any length: ``[B, N, T, D]``."""
        narrowed = in_blocks(self.narrow, features, NARROWING_DIM)
        weighted = (self.attend(narrowed)[..., None] * narrowed).to(features)
        encoded = self.dropout(self.context(weighted))
        return MagnitudeOutput(encoded, self.to_score(encoded))


def _narrowing(feature_dim: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(feature_dim, NARROWING_DIM), nn.ReLU(), nn.Linear(NARROWING_DIM, WIDTH), nn.Sigmoid()
    )


class CLIPTSA(MagnitudeMIL):
    """CLIP-TSA as a LightningModule; the recipe of the paper is in ``ucf_cliptsa.yaml``.

    Args:
        feature_dim: D, channels of the features; taken from the store on the command line.
        keep: share of the snippets that a draw of the noise chooses, above 0 and at most 1.
        samples: draws.
        sigma: standard deviation of the noise on relevance scores in [0, 1].
        most_kept: most snippets that a draw chooses of a video with one crop, as in the authors' tests; None
            for no limit.
        noise_in_scoring: draw the noise in scoring too, as the authors do; else all videos have the same.
        dropout: probability in the network.
        **kwargs: arguments of :class:`MagnitudeMIL`.

    Raises:
        WSVADError: if ``keep``, ``samples``, ``sigma`` or ``most_kept`` is out of range.
    """

    draws_when_scoring = True
    net: CLIPTSANet

    def __init__(
        self,
        feature_dim: int = 512,
        keep: float = 0.95,
        samples: int = 100,
        sigma: float = 0.05,
        most_kept: int | None = 1000,
        noise_in_scoring: bool = False,
        dropout: float = 0.7,
        **kwargs: Any,
    ) -> None:
        super().__init__(feature_dim=feature_dim, **kwargs)
        if not 0 < keep <= 1:
            raise WSVADError("model.keep", keep, "must be in (0, 1]", "Give a share of the snippets")
        if samples < 1:
            raise WSVADError("model.samples", samples, "must be at least 1", "Give the draws of the noise")
        if not sigma > 0:  # without noise the choice has no gradient
            raise WSVADError("model.sigma", sigma, "must be above 0", "Give the noise a deviation")
        if most_kept is not None and most_kept < 1:
            raise WSVADError(
                "model.most_kept",
                most_kept,
                "must be at least 1",
                "Give null for no limit",
            )
        self.net = CLIPTSANet(feature_dim, keep, samples, sigma, most_kept, noise_in_scoring, dropout)

    def encode(self, batch: WSVADBatch) -> MagnitudeOutput:
        """Pass a batch through the network."""
        out: MagnitudeOutput = self.net(batch.features)
        return out
