"""MGFN: magnitude-contrastive glance-and-focus network (Chen et al., AAAI 2023, arXiv 2211.15098).

Each snippet is first seen in the whole video (glance: self-attention), then among its neighbours (focus:
convolutions). How long features are depends on the scene as much as on anomalies, so magnitudes are not
pushed to fixed values: they should differ between the classes and agree within each.

    x = conv(features) + 0.1 conv(||features||)                   the magnitude is a channel of its own
    F = norm(focus(widen(focus(widen(glance(x))))))               [B, N, T, C], widths 64, 128, 1024
    s = mean_crops(sigmoid(linear(F)))                            score
    top = the k largest of mean_crops(||F||_2), in training among a random part of the snippets
    u = ||F_top||_1                                               k magnitudes of each crop

Loss terms (names as in ``loss_weights``):
    cls          BCE of the mean score of the top snippets against the video label
    con          the u of normal and abnormal crops differ by a margin of 200
    con_n        the u of normal crops agree, in pairs
    con_a        the u of abnormal crops agree, in pairs
    smooth       squared differences of neighbouring scores, all videos
    sparsity     Euclidean norm of the scores of all normal videos together

Numbers equal the authors' code, with its quirks: row i is paired with row i + half, crop after crop, so that
an even number of crops pairs two crops of one video instead of two videos of a class (``cluster``); and
scores are kept sparse in normal instead of abnormal videos (``sparsity_on``). Magnitudes are taken after a
layer normalisation: in a new network they are almost equal, and rounding selects the top snippets.

Deviations: any number of crops, snippets and channels where the authors have 10, 32 and 2048; k is clamped to
T; of an odd number of rows the last has no partner; a snippet whose channels are all equal has a finite
gradient (see :class:`ChannelNorm`), which changes no other number.
"""

from itertools import pairwise
from typing import Any, ClassVar, Literal

import torch
from einops import rearrange
from torch import Tensor, nn

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.layers import ChannelNorm, GlanceFocusLayer, TemporalConv
from wsvad_lightning.layers.blocks import in_blocks
from wsvad_lightning.layers.glance_focus import FOCUS_REACH, HEAD_DIM, GlanceOrFocus
from wsvad_lightning.losses import (
    magnitude_clustering,
    magnitude_contrast,
    probability_bce,
    smoothness,
    sparsity,
)
from wsvad_lightning.methods.base.magnitude import MagnitudeModule
from wsvad_lightning.ops import gather_snippets, halves
from wsvad_lightning.types import WSVADBatch

STAGES: tuple[GlanceOrFocus, ...] = ("glance", "focus", "focus")


class MGFNNet(nn.Module):
    """The network, usable without Lightning: ``MGFNNet()(features)`` scores snippets.

    Args:
        feature_dim: D, channels of the features.
        dims: channels of the glance stage and the two focus stages, multiples of 64.
        depths: layers of the stages.
        magnitude_ratio: weight of the magnitude, added to the features.
    """

    def __init__(
        self,
        feature_dim: int = 2048,
        dims: tuple[int, int, int] = (64, 128, 1024),
        depths: tuple[int, int, int] = (3, 3, 2),
        magnitude_ratio: float = 0.1,
    ) -> None:
        super().__init__()
        self.magnitude_ratio = magnitude_ratio
        self.embed = TemporalConv(feature_dim, dims[0], kernel_size=3)
        self.embed_magnitude = TemporalConv(1, dims[0], kernel_size=3)
        self.stages = nn.ModuleList(
            nn.Sequential(*(GlanceFocusLayer(dim, kind) for _ in range(depth)))
            for dim, depth, kind in zip(dims, depths, STAGES, strict=True)
        )
        self.widen = nn.ModuleList(
            nn.Sequential(ChannelNorm(dim), TemporalConv(dim, wider)) for dim, wider in pairwise(dims)
        )
        self.norm = nn.LayerNorm(dims[-1])
        self.reach = FOCUS_REACH * sum(depths[1:])
        self.to_score = nn.Linear(dims[-1], 1)

    def encode(self, features: Tensor) -> Tensor:
        """Glance and focus, crop by crop: ``[B, N, T, D]`` to ``[B, N, T, C]``."""
        magnitude = features.float().norm(dim=-1, keepdim=True)
        x: Tensor = self.embed(features) + self.magnitude_ratio * self.embed_magnitude(magnitude.to(features))
        glance, *focus = self.stages
        widen, *behind = [*self.widen, self.norm]
        parts = [part for stage, after in zip(focus, behind, strict=True) for part in (stage, after)]
        local = nn.Sequential(widen, *parts)  # after the glance, only neighbours are seen
        x = glance(x)
        if self.training:
            encoded: Tensor = local(x)
            return encoded
        return in_blocks(local, x, 4 * self.norm.normalized_shape[0], self.reach)

    def classify(self, encoded: Tensor) -> Tensor:
        """Score ``[B, N, T, C]``, averaged over crops: ``[B, T]``, float32."""
        return torch.sigmoid(self.to_score(encoded).squeeze(-1).float()).mean(dim=1)

    def forward(self, features: Tensor) -> Tensor:
        """Score videos of any length: ``[B, N, T, D]`` to ``[B, T]`` in [0, 1]."""
        return self.classify(self.encode(features))


class MGFN(MagnitudeModule):
    """MGFN as a LightningModule; the recipe of the authors is in ``ucf_mgfn.yaml``.

    Args:
        feature_dim: D, channels of the features; taken from the store on the command line.
        dims: channels of the glance stage and the two focus stages, multiples of 64.
        depths: layers of the stages.
        margin: by how much the magnitudes of normal and abnormal crops should differ.
        cluster: what ``con_n`` and ``con_a`` pair: ``rows``, as the authors do, or different ``videos`` of a
            class, the same crop of each.
        sparsity_on: videos whose scores ``sparsity`` takes: ``normal``, as the authors do, or ``abnormal``.
        **kwargs: arguments of :class:`MagnitudeModule`.

    Raises:
        WSVADError: if a stage cannot be split into heads.
    """

    default_loss_weights: ClassVar[dict[str, float]] = {
        "cls": 1.0,
        "con": 1e-6,
        "con_n": 1e-3,
        "con_a": 1e-3,
        "smooth": 8e-4,
        "sparsity": 8e-3,
    }

    net: MGFNNet

    def __init__(
        self,
        feature_dim: int = 2048,
        dims: tuple[int, int, int] = (64, 128, 1024),
        depths: tuple[int, int, int] = (3, 3, 2),
        margin: float = 200.0,
        cluster: Literal["rows", "videos"] = "rows",
        sparsity_on: Literal["normal", "abnormal"] = "normal",
        **kwargs: Any,
    ) -> None:
        super().__init__(feature_dim=feature_dim, **kwargs)
        if any(dim < 1 or dim % HEAD_DIM for dim in dims):
            raise WSVADError(
                "model.dims", dims, f"a head has {HEAD_DIM} channels", f"Give multiples of {HEAD_DIM}"
            )
        self.margin, self.cluster, self.sparsity_on = margin, cluster, sparsity_on
        self.net = MGFNNet(feature_dim, dims, depths)

    def score(self, batch: WSVADBatch) -> Tensor:
        """Score snippets: ``[B, T]`` in [0, 1]."""
        scores: Tensor = self.net(batch.features)
        return scores

    def compute_losses(self, batch: WSVADBatch) -> dict[str, Tensor]:
        """Give the raw terms that the module's docstring lists."""
        encoded = self.net.encode(batch.features)
        scores = self.net.classify(encoded)
        index = self.select(encoded)
        normal, abnormal = halves(gather_snippets(encoded, index).float().norm(p=1, dim=-1))
        normal_scores, abnormal_scores = halves(scores)
        return {
            "cls": probability_bce(scores.take_along_dim(index, dim=-1).mean(dim=-1), batch.labels),
            "con": magnitude_contrast(normal, abnormal, self.margin),
            "con_n": magnitude_clustering(self.clustered(normal)),
            "con_a": magnitude_clustering(self.clustered(abnormal)),
            "smooth": smoothness(scores),
            "sparsity": sparsity(normal_scores if self.sparsity_on == "normal" else abnormal_scores),
        }

    def clustered(self, magnitudes: Tensor) -> Tensor:
        """Put what is to be paired along the first axis of one class's magnitudes ``[B, N, k]``."""
        return rearrange(magnitudes, "b n k -> (n b) k") if self.cluster == "rows" else magnitudes
