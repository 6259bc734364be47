"""SVMAE's detector: visual encoders and captions (scene-aware probabilistic masking); TEVAD's network.

What is seen (here two visual encoders joined along the channels) and what a captioner says of it pass through
a temporal network each; their fusion is what RTFM selects and scores.

    V = dropout(multi-scale(x))                 [B, N, T, D]
    W = dropout(multi-scale(text))              [B, N, T, E], one text for all crops
    F = fusion(V, W)
    s = mean_crops(sigmoid(mlp(F)))             score

Fusions, with f(x) = dropout(relu(linear(x))):
    concat       [V, W]                         D + E channels
    add          f(V) + W                       E channels
    product      f(V) * W                       E channels
    add_up       f(V) + f'(W)                   D + E channels

TEVAD (Chen et al., CVPR Workshops 2023) is the same network on I3D features; without ``aggregate_text`` its W
is the text as it is.

Loss terms are RTFM's, see :mod:`wsvad_lightning.methods.base.magnitude`.

Numbers equal the authors' code, with its quirks: a text longer than the video is cut after its own temporal
network, of a shorter one the last snippets are repeated. Deviations: any number of crops and snippets; k is
clamped to T; either stream works alone, and no network is made for the other.
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.layers import MultiScaleTemporal, ScoreHead, init_xavier
from wsvad_lightning.methods.base.magnitude import MagnitudeMIL, MagnitudeOutput
from wsvad_lightning.types import FeatureRequirements, StreamShape, WSVADBatch

TEXT = "text"

Inputs = Literal["vis", "text", "both"]
FusionName = Literal["concat", "add", "product", "add_up"]


class Fusion(nn.Module):
    """Joins what is seen and what is said; the formulas are in the module's docstring.

    Args:
        visual_dim: D.
        text_dim: E.
        kind: which formula.
        dropout: probability after the linear layers.

    Attributes:
        dim: channels that come out.
    """

    def __init__(self, visual_dim: int, text_dim: int, kind: FusionName, dropout: float) -> None:
        super().__init__()
        self.kind = kind
        self.dim = text_dim if kind in ("add", "product") else visual_dim + text_dim
        self.project = _projection(visual_dim, self.dim, dropout) if kind in ("add", "product") else None
        self.project_visual, self.project_text = (
            _projection(dim, self.dim, dropout) if kind == "add_up" else None
            for dim in (visual_dim, text_dim)
        )

    def forward(self, visual: Tensor, text: Tensor) -> Tensor:
        """Fuse ``[..., D]`` and ``[..., E]``."""
        if self.project is not None:
            projected: Tensor = self.project(visual)
            return projected * text if self.kind == "product" else projected + text
        if self.project_visual is not None and self.project_text is not None:
            joined: Tensor = self.project_visual(visual) + self.project_text(text)
            return joined
        return torch.cat([visual, text], dim=-1)


def _projection(dim: int, out_dim: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Linear(dim, out_dim), nn.ReLU(), nn.Dropout(dropout))


class SVMAENet(nn.Module):
    """The network, usable without Lightning: ``SVMAENet()(visual, text).scores``.

    Args:
        visual_dim: D, channels of what is seen.
        text_dim: E, channels of what is said.
        inputs: ``vis``, ``text`` or ``both``.
        fusion: how both are joined.
        dropout: probability after the temporal networks, in the fusion and in the score head.
        aggregate_text: whether the text has a temporal network.
    """

    def __init__(
        self,
        visual_dim: int = 1536,
        text_dim: int = 768,
        inputs: Inputs = "both",
        fusion: FusionName = "concat",
        dropout: float = 0.7,
        aggregate_text: bool = True,
    ) -> None:
        super().__init__()
        self.reads_text = inputs != "vis"
        self.visual_context = MultiScaleTemporal(visual_dim) if inputs != "text" else None
        self.text_context = MultiScaleTemporal(text_dim) if self.reads_text and aggregate_text else None
        self.fuse = Fusion(visual_dim, text_dim, fusion, dropout) if inputs == "both" else None
        self.dropout = nn.Dropout(dropout)
        alone = visual_dim if inputs == "vis" else text_dim
        self.to_score = ScoreHead(self.fuse.dim if self.fuse is not None else alone, dropout)
        init_xavier(self)

    def encode_visual(self, context: MultiScaleTemporal, features: Tensor) -> Tensor:
        """Add temporal context to each crop: ``[B, N, T, D]``."""
        out: Tensor = self.dropout(context(features))
        return out

    def encode_text(self, text: Tensor, crops: int, length: int) -> Tensor:
        """Add temporal context, if any, to ``[B, T', E]``, once for all crops: ``[B, N, T, E]``."""
        encoded = text if self.text_context is None else self.text_context(text)
        for_crops = align(encoded, length)[:, None].expand(-1, crops, -1, -1)
        return for_crops if self.text_context is None else self.dropout(for_crops)

    def forward(self, features: Tensor, text: Tensor | None = None) -> MagnitudeOutput:
        """Score videos of any length.

        Args:
            features: ``[B, N, T, D]``; where only the text is used, their N and T are.
            text: ``[B, T', E]``, aligned by :func:`align`; None where it is not used.
        """
        crops, length = features.shape[1:3]
        streams = []
        if self.visual_context is not None:
            streams.append(self.encode_visual(self.visual_context, features))
        if self.reads_text:
            assert text is not None, "the network was made for a text"
            streams.append(self.encode_text(text, crops, length))
        fused = streams[0] if self.fuse is None else self.fuse(*streams)
        return MagnitudeOutput(fused, self.to_score(fused))


def align(text: Tensor, length: int) -> Tensor:
    """Cut ``[B, T', E]`` to T snippets, or repeat as many of its last ones, in order, as are missing."""
    own = text.shape[1]
    place = torch.arange(length, device=text.device)
    repeated = (place - (length - own)).clamp_min(0)
    return text[:, place.where(place < own, repeated)]


class SVMAE(MagnitudeMIL):
    """SVMAE's detector as a LightningModule; the recipe of the paper is in ``ucf_svmae.yaml``.

    TEVAD's recipes are ``ucf_tevad.yaml``, ``sht_tevad.yaml`` and ``xd_tevad.yaml``.

    Args:
        feature_dim: D, channels of the features; taken from the store on the command line.
        text_dim: E, channels of the stream ``text``, one vector a snippet.
        inputs: ``vis`` for the features alone, ``text`` for the text alone, or ``both``.
        fusion: how both are joined; one alone has nothing to join.
        dropout: probability in the network.
        aggregate_text: whether the text passes through a temporal network, or is fused as it is.
        **kwargs: arguments of :class:`MagnitudeMIL`.

    Raises:
        WSVADError: if the text has no channels.
    """

    net: SVMAENet

    def __init__(
        self,
        feature_dim: int = 1536,
        text_dim: int = 768,
        inputs: Inputs = "both",
        fusion: FusionName = "concat",
        dropout: float = 0.7,
        aggregate_text: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(feature_dim=feature_dim, **kwargs)
        if text_dim < 1:
            raise WSVADError("model.text_dim", text_dim, "a text has channels", "Give at least 1")
        if inputs != "vis":
            self.requires = FeatureRequirements(streams={TEXT: StreamShape(text_dim, num_views=1)})
        self.net = SVMAENet(feature_dim, text_dim, inputs, fusion, dropout, aggregate_text)

    def encode(self, batch: WSVADBatch) -> MagnitudeOutput:
        """Pass features and text through the network."""
        text = batch.streams[TEXT].squeeze(2) if self.net.reads_text else None
        out: MagnitudeOutput = self.net(batch.features, text)
        return out
