"""The two networks of ADPLG."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.layers import Dropout, LocalAttention, PreNormLayer, SelfAttention, TemporalConv
from wsvad_lightning.ops import halves


class VideoOutput(NamedTuple):
    """What the video network yields; N crops a bag, b = B/2 bags in each half.

    Attributes:
        scores: ``[B, N]`` in [0, 1], the normal half first.
        normal: ``[b, N, H]`` normal bags, as they attend to themselves.
        abnormal: ``[b, N, H]`` abnormal bags, as they attend to themselves.
        normal_in_abnormal: ``[b, N, H]`` abnormal bags, as the queries of normal ones attend to them.
        attention: ``[b, N, T]`` over abnormal bags, by their own queries.
        cross_attention: ``[b, N, T]`` over abnormal bags, by the queries of normal ones.
    """

    scores: Tensor
    normal: Tensor
    abnormal: Tensor
    normal_in_abnormal: Tensor
    attention: Tensor
    cross_attention: Tensor


def score_head(dim: int, dropout: float) -> nn.Sequential:
    """Turn features ``[..., dim]`` into logits ``[..., 1]``; weights are drawn as Xavier's normal ones."""
    first, last = nn.Linear(dim, 32), nn.Linear(32, 1)
    for layer in (first, last):
        nn.init.xavier_normal_(layer.weight)
    return nn.Sequential(first, nn.ReLU(), Dropout(dropout), last)


def attend(query: Tensor, key: Tensor) -> Tensor:
    """Give the attention ``[..., T]`` that each snippet draws by its own query: ``[..., T, H]`` both."""
    likeness = (query.float() * key.float()).sum(dim=-1)
    return torch.softmax(likeness / math.sqrt(query.shape[-1]), dim=-1)


def fuse(attention: Tensor, value: Tensor) -> Tensor:
    """Average ``[..., T, H]`` by the attention ``[..., T]``: ``[..., H]``."""
    return (attention[..., None] * value.float()).sum(dim=-2)


class VideoNet(nn.Module):
    """Fuses the snippets of a bag by attention and classifies the bag; trained with video labels alone.

    Args:
        feature_dim: D, channels of the features.
        hidden_dim: H, channels of queries, keys and values.
        dropout: probability in the score head.
    """

    def __init__(self, feature_dim: int = 1024, hidden_dim: int = 512, dropout: float = 0.7) -> None:
        super().__init__()
        self.query = TemporalConv(feature_dim, hidden_dim)
        self.key = TemporalConv(feature_dim, hidden_dim)
        self.value = TemporalConv(feature_dim, hidden_dim)
        self.to_score = score_head(hidden_dim, dropout)

    def forward(self, features: Tensor) -> VideoOutput:
        """Training pass over ``[B, N, T, D]``, the normal half first."""
        normal_query, query = halves(self.query(features))
        normal_key, key = halves(self.key(features))
        normal_value, value = halves(self.value(features))
        attention, cross_attention = attend(query, key), attend(normal_query, key)
        normal, abnormal = fuse(attend(normal_query, normal_key), normal_value), fuse(attention, value)
        logits = self.to_score(torch.cat([normal, abnormal]).to(features)).squeeze(-1)
        return VideoOutput(
            scores=torch.sigmoid(logits.float()),
            normal=normal,
            abnormal=abnormal,
            normal_in_abnormal=fuse(cross_attention, value),
            attention=attention,
            cross_attention=cross_attention,
        )


class LocalBranch(nn.Sequential):
    """Local attention, then a narrower normalised view of it: ``[..., T, dim]`` to ``[..., T, out_dim]``."""

    def __init__(self, dim: int, out_dim: int, window: int, positions: int) -> None:
        super().__init__(
            LocalAttention(dim, window, positions),
            nn.LayerNorm(dim),
            nn.Linear(dim, out_dim, bias=False),
        )


class SnippetNet(nn.Module):
    """Scores snippets: local attention at several distances, then attention over all of the video.

    Args:
        feature_dim: D, channels of the features.
        hidden_dim: channels inside, a multiple of the number of windows and of the 4 heads.
        windows: distances of the local attention.
        depth: layers of attention over the video.
        positions: snippets whose positions are learnt; a longer video is scored in pieces of that length.
        dropout: probability in the score head.
        attention_dropout: probability in the attention over the video.

    Raises:
        WSVADError: if there is no window, one is not positive, ``depth`` is negative, or ``hidden_dim``
            cannot be divided so.
    """

    def __init__(
        self,
        feature_dim: int = 1024,
        hidden_dim: int = 1024,
        windows: Sequence[int] = (2, 4, 6, 8),
        depth: int = 2,
        positions: int = 6750,
        dropout: float = 0.7,
        attention_dropout: float = 0.5,
    ) -> None:
        super().__init__()
        heads = 4
        if not windows or min(windows) < 1:
            problem = "must be one distance in snippets or more, each at least 1"
            raise WSVADError("model.windows", [*windows], problem, "Give such as [2, 4, 6, 8]")
        if depth < 0:
            raise WSVADError("model.depth", depth, "must be at least 0", "Give the number of layers")
        if hidden_dim < 1 or hidden_dim % heads or hidden_dim % len(windows):
            problem = f"it is divided among {heads} heads and {len(windows)} windows"
            raise WSVADError("model.hidden_dim", hidden_dim, problem, "Give a multiple of both, such as 1024")
        self.positions = positions
        self.embed = TemporalConv(feature_dim, hidden_dim, kernel_size=3)
        self.branches = nn.ModuleList(
            LocalBranch(hidden_dim, hidden_dim // len(windows), window, positions) for window in windows
        )
        self.transformer = nn.Sequential(
            *(
                PreNormLayer(
                    SelfAttention(hidden_dim, heads, hidden_dim // heads, attention_dropout),
                    hidden_dim,
                    hidden_dim,
                    attention_dropout,
                )
                for _ in range(depth)
            )
        )
        self.to_score = score_head(hidden_dim, dropout)

    def forward(self, features: Tensor) -> Tensor:
        """Score every crop by itself: ``[B, N, T, D]`` to ``[B, N, T]`` in [0, 1]."""
        if torch.compiler.is_exporting():  # how many pieces there will be is not known
            return self.score_piece(features)
        pieces = torch.split(features, self.positions, dim=-2)
        return torch.cat([self.score_piece(piece) for piece in pieces], dim=-1)

    def score_piece(self, features: Tensor) -> Tensor:
        """Score ``[..., T, D]``, T at most ``positions``: ``[..., T]``."""
        embedded = F.relu(self.embed(features))
        local = torch.cat([branch(embedded) for branch in self.branches], dim=-1)
        logits = self.to_score(self.transformer(local)).squeeze(-1)
        return torch.sigmoid(logits.float())


class ADPLGNet(nn.Module):
    """Both networks, usable without Lightning: ``ADPLGNet()(features)`` scores snippets.

    Args:
        video: learns from video labels; its attention is what pseudo-labels are made of.
        snippet: learns from pseudo-labels; the detector.
    """

    def __init__(self, video: VideoNet, snippet: SnippetNet) -> None:
        super().__init__()
        self.video = video
        self.snippet = snippet

    def forward(self, features: Tensor) -> Tensor:
        """Score videos of any length: ``[B, N, T, D]`` to ``[B, T]`` in [0, 1], the mean over crops."""
        scores: Tensor = self.snippet(features)
        return scores.mean(dim=1)
