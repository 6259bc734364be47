"""Temporal blocks that several methods share: ``[R, T, D]`` in and out."""

from wsvad_lightning.layers.distance_transformer import (
    DistanceEncoder,
    DistanceTransformer,
    distance_prior,
)
from wsvad_lightning.layers.glance_focus import ChannelNorm, GlanceFocusLayer
from wsvad_lightning.layers.init import init_xavier
from wsvad_lightning.layers.local_attention import LocalAttention
from wsvad_lightning.layers.memory import MemoryUnit
from wsvad_lightning.layers.multi_scale import MultiScaleTemporal
from wsvad_lightning.layers.non_local import NonLocalBlock
from wsvad_lightning.layers.pre_norm import PreNormLayer
from wsvad_lightning.layers.score_head import ScoreHead
from wsvad_lightning.layers.selection import MagnitudeSelection, magnitudes
from wsvad_lightning.layers.self_attention import SelfAttention
from wsvad_lightning.layers.temporal_conv import TemporalConv

__all__ = [
    "ChannelNorm",
    "DistanceEncoder",
    "DistanceTransformer",
    "GlanceFocusLayer",
    "LocalAttention",
    "MagnitudeSelection",
    "MemoryUnit",
    "MultiScaleTemporal",
    "NonLocalBlock",
    "PreNormLayer",
    "ScoreHead",
    "SelfAttention",
    "TemporalConv",
    "distance_prior",
    "init_xavier",
    "magnitudes",
]
