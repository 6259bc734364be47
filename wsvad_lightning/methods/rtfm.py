"""RTFM: robust temporal feature magnitude learning (Tian et al., ICCV 2021, arXiv 2101.10030).

Features gain temporal context at several scales; abnormal snippets should then have longer features than
normal ones, and the k snippets of longest features, averaged over crops, represent their video.

    F = dropout(multi-scale(features))                      temporal context, [B, N, T, D]
    s = mean_crops(sigmoid(mlp(F)))                         score
    top = the k largest of mean_crops(||F||), in training among a random part of the snippets

Loss terms (names as in ``loss_weights``):
    cls          BCE of the mean score of the top snippets against the video label
    magnitude    (|margin - ||mean_top F_abnormal||| + ||mean_top F_normal||)^2, crop by crop (eq. 3)
    smooth       squared differences of neighbouring scores of abnormal videos
    sparsity     Euclidean norm of the scores of all abnormal videos together

Numbers equal the authors' code, with its quirks: abnormal scores are smoothed as one curve, also from the end
of a video to the start of the next (``smooth_across_videos``), and sparsity is one norm over the whole batch.
Deviation: any number of crops and snippets where the authors have 10 and 32; k is clamped to T.
"""

from typing import Any

from torch import Tensor, nn

from wsvad_lightning.layers import Dropout, MultiScaleTemporal, ScoreHead, init_xavier
from wsvad_lightning.methods.base.magnitude import MagnitudeMIL, MagnitudeOutput
from wsvad_lightning.types import WSVADBatch


class RTFMNet(nn.Module):
    """The network, usable without Lightning: ``RTFMNet()(features).scores``.

    Args:
        feature_dim: D, channels of the features.
        dropout: probability after the temporal network and in the score head.
    """

    def __init__(self, feature_dim: int = 2048, dropout: float = 0.7) -> None:
        super().__init__()
        self.context = MultiScaleTemporal(feature_dim, norm="batch")
        self.dropout = Dropout(dropout)
        self.to_score = ScoreHead(feature_dim, dropout)
        init_xavier(self)

    def forward(self, features: Tensor) -> MagnitudeOutput:
        """Score videos of any length: ``[B, N, T, D]``."""
        encoded = self.dropout(self.context(features))
        return MagnitudeOutput(encoded, self.to_score(encoded))


class RTFM(MagnitudeMIL):
    """RTFM as a LightningModule; the recipe of the paper is in ``ucf_rtfm.yaml``.

    Args:
        feature_dim: D, channels of the features; taken from the store on the command line.
        dropout: probability in the network.
        **kwargs: arguments of :class:`MagnitudeMIL`.
    """

    net: RTFMNet

    def __init__(
        self,
        feature_dim: int = 2048,
        dropout: float = 0.7,
        **kwargs: Any,
    ) -> None:
        super().__init__(feature_dim=feature_dim, **kwargs)
        self.net = RTFMNet(feature_dim, dropout)

    def encode(self, batch: WSVADBatch) -> MagnitudeOutput:
        """Pass a batch through the network."""
        out: MagnitudeOutput = self.net(batch.features)
        return out
