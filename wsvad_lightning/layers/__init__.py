"""Temporal blocks that several methods share: ``[..., T, D]`` in and out, whatever the leading axes."""

from wsvad_lightning.layers.adapted_texts import AdaptedTexts
from wsvad_lightning.layers.adaptive_span import AdaptiveSpanAttention
from wsvad_lightning.layers.class_texts import ClassTexts
from wsvad_lightning.layers.cross_attention import CrossAttention
from wsvad_lightning.layers.distance_transformer import (
    DistanceEncoder,
    DistanceTransformer,
    attend_by_distance,
)
from wsvad_lightning.layers.dropout import Dropout
from wsvad_lightning.layers.glance_focus import ChannelNorm, GlanceFocusLayer
from wsvad_lightning.layers.init import init_xavier
from wsvad_lightning.layers.learned_prompt import LearnedPrompt
from wsvad_lightning.layers.local_attention import LocalAttention
from wsvad_lightning.layers.memory import MemoryUnit
from wsvad_lightning.layers.multi_scale import MultiScaleTemporal
from wsvad_lightning.layers.non_local import NonLocalBlock
from wsvad_lightning.layers.perturbed_topk import PerturbedTopK
from wsvad_lightning.layers.pre_norm import PreNormLayer
from wsvad_lightning.layers.quick_gelu import QuickGELU
from wsvad_lightning.layers.rows import over_rows
from wsvad_lightning.layers.score_head import ScoreHead
from wsvad_lightning.layers.selection import MagnitudeSelection, magnitudes
from wsvad_lightning.layers.self_attention import SelfAttention
from wsvad_lightning.layers.snippet_graph import (
    GraphLayer,
    normalise_edges,
    proximity_graph,
    similarity_graph,
)
from wsvad_lightning.layers.temporal_conv import TemporalConv
from wsvad_lightning.layers.text_tower import TextTower
from wsvad_lightning.layers.vit import (
    MaskedAutoencoder,
    TokenSplit,
    TubeGrid,
    VideoViT,
    normalise_tubes,
    take_tokens,
)
from wsvad_lightning.layers.window_attention import WindowAttention, valid_positions

__all__ = [
    "AdaptedTexts",
    "AdaptiveSpanAttention",
    "ChannelNorm",
    "ClassTexts",
    "CrossAttention",
    "DistanceEncoder",
    "DistanceTransformer",
    "Dropout",
    "GlanceFocusLayer",
    "GraphLayer",
    "LearnedPrompt",
    "LocalAttention",
    "MagnitudeSelection",
    "MaskedAutoencoder",
    "MemoryUnit",
    "MultiScaleTemporal",
    "NonLocalBlock",
    "PerturbedTopK",
    "PreNormLayer",
    "QuickGELU",
    "ScoreHead",
    "SelfAttention",
    "TemporalConv",
    "TextTower",
    "TokenSplit",
    "TubeGrid",
    "VideoViT",
    "WindowAttention",
    "attend_by_distance",
    "init_xavier",
    "magnitudes",
    "normalise_edges",
    "normalise_tubes",
    "over_rows",
    "proximity_graph",
    "similarity_graph",
    "take_tokens",
    "valid_positions",
]
