"""The networks of MACIL-SD: one sees and hears, its twin only sees; formulas in the package's docstring."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from wsvad_lightning.layers import Dropout, PreNormLayer, over_rows
from wsvad_lightning.layers.blocks import in_blocks


class MACILSDOutput(NamedTuple):
    """What a pass of the first network over videos yields.

    Attributes:
        visual_logits: ``[B, N, T]`` float32, of what is seen.
        audio_logits: ``[B, N, T]`` float32, of what is heard.
        visual: ``[B, N, T, H]`` what is seen, after it attended to what is heard.
        audio: ``[B, N, T, H]`` the other way round.
    """

    visual_logits: Tensor
    audio_logits: Tensor
    visual: Tensor
    audio: Tensor

    @property
    def logits(self) -> Tensor:
        """Both together: ``[B, N, T]``."""
        return self.visual_logits + self.audio_logits


class StreamAttention(nn.Module):
    """Multi-head attention to another sequence, with biases and dropout of the attention.

    Args:
        dim: channels of both sequences, and out.
        heads: number of heads, which the channels are divided among.
        dropout: probability of the attention, and after the output projection.
    """

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.attention_dropout = heads, dropout
        self.to_query, self.to_key, self.to_value, self.project_out = (nn.Linear(dim, dim) for _ in range(4))
        self.dropout = Dropout(dropout)

    @over_rows
    def forward(self, x: Tensor, attended_to: Tensor, seen: Tensor | None = None) -> Tensor:
        """Let ``x [..., T, dim]`` attend to ``[..., S, dim]`` where it is ``seen [..., S]``; None for all."""
        key, value = self._split(self.to_key(attended_to)), self._split(self.to_value(attended_to))
        mask = None if seen is None else seen[:, None, None]
        dropped = self.attention_dropout if self.training else 0.0

        def attend(part: Tensor) -> Tensor:
            query = self._split(self.to_query(part))
            attended = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropped)
            out: Tensor = self.dropout(self.project_out(rearrange(attended, "r h t d -> r t (h d)")))
            return out

        return in_blocks(attend, x, 2 * x.shape[-1])

    def _split(self, x: Tensor) -> Tensor:
        return rearrange(x, "r t (h d) -> r h t d", h=self.heads)


def attending_layer(dim: int, heads: int, mlp_dim: int, dropout: float) -> PreNormLayer:
    """Make L: it is called with the queries, what they attend to, and what of it is seen."""
    return PreNormLayer(StreamAttention(dim, heads, dropout), dim, mlp_dim, dropout, nn.ReLU)


class AudioVisualNet(nn.Module):
    """The network that sees and hears, and scores.

    Args:
        visual_dim: channels of what is seen.
        audio_dim: channels of what is heard.
        hidden_dim: H, channels of both, a multiple of ``heads``.
        heads: of the attention.
        mlp_dim: hidden width of the feed-forward network.
        dropout: probability.
    """

    def __init__(
        self, visual_dim: int, audio_dim: int, hidden_dim: int, heads: int, mlp_dim: int, dropout: float
    ) -> None:
        super().__init__()
        self.embed_visual = nn.Linear(visual_dim, hidden_dim)
        self.embed_audio = nn.Linear(audio_dim, hidden_dim)
        self.layer = attending_layer(hidden_dim, heads, mlp_dim, dropout)
        self.to_logit = nn.Linear(hidden_dim, 1)

    def forward(self, features: Tensor, seen: Tensor | None = None) -> MACILSDOutput:
        """Score ``[B, N, T, D]``, the last channels of which are sound.

        Args:
            features: of the videos.
            seen: ``[B, N, T]`` bool, what is attended to; None for all.
        """
        seen_part, heard_part = features.tensor_split([self.embed_visual.in_features], dim=-1)
        visual, audio = self.embed_visual(seen_part), self.embed_audio(heard_part)
        streams = self.layer(visual, audio, seen), self.layer(audio, visual, seen)
        visual_logits, audio_logits = (self.to_logit(stream).squeeze(-1).float() for stream in streams)
        return MACILSDOutput(visual_logits, audio_logits, *streams)


class VisualNet(nn.Module):
    """The twin, which only sees; see :class:`AudioVisualNet`."""

    def __init__(self, visual_dim: int, hidden_dim: int, heads: int, mlp_dim: int, dropout: float) -> None:
        super().__init__()
        self.embed_visual = nn.Linear(visual_dim, hidden_dim)
        self.layer = attending_layer(hidden_dim, heads, mlp_dim, dropout)
        self.to_logit = nn.Linear(hidden_dim, 1)

    def forward(self, features: Tensor, seen: Tensor | None = None) -> Tensor:
        """Give the logits ``[B, N, T]`` of ``[B, N, T, D]``, of which the sound is left out."""
        embedded = self.embed_visual(features[..., : self.embed_visual.in_features])
        logits: Tensor = self.to_logit(self.layer(embedded, embedded, seen)).squeeze(-1).float()
        return logits


class MACILSDNet(nn.Module):
    """Both networks, usable without Lightning: ``MACILSDNet().joint(features).logits``.

    Args:
        feature_dim: D, channels of what is seen and, after them, of what is heard.
        audio_dim: how many of them are heard.
        hidden_dim: H, channels of both streams.
        heads: of the attention.
        mlp_dim: hidden width of the feed-forward networks.
        dropout: probability.
        twin: whether there is the network that only sees.
    """

    def __init__(
        self,
        feature_dim: int = 1152,
        audio_dim: int = 128,
        hidden_dim: int = 128,
        heads: int = 4,
        mlp_dim: int = 128,
        dropout: float = 0.1,
        twin: bool = True,
    ) -> None:
        super().__init__()
        visual_dim = feature_dim - audio_dim
        self.joint = AudioVisualNet(visual_dim, audio_dim, hidden_dim, heads, mlp_dim, dropout)
        self.twin = VisualNet(visual_dim, hidden_dim, heads, mlp_dim, dropout) if twin else None

    @torch.no_grad()
    def pull(self, momentum: float) -> None:
        """Move the first network towards the twin.

        Args:
            momentum: share of its own weights that is kept.
        """
        assert self.twin is not None, "the network was made without it"
        own = dict(self.joint.named_parameters())
        for name, other in self.twin.named_parameters():
            own[name].lerp_(other, 1 - momentum)
