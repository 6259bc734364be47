"""The network of PEL4VAD, and the matching with texts; formulas in the package's docstring."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wsvad_lightning.layers import Dropout, TemporalConv, valid_positions
from wsvad_lightning.ops import cosine, pool_by_scores

NEVER = -1e9  # a logit of what does not count
SHARPNESS = 10.0  # of what scores weigh, and of which rows match


class PEL4VADOutput(NamedTuple):
    """What a pass over videos yields.

    Attributes:
        crop_scores: ``[B, N, T]`` float32 in [0, 1].
        visual: ``[B, N, T, P]``, what is compared with texts.
        seen: ``[T]`` bool, up to the longest video.
    """

    crop_scores: Tensor
    visual: Tensor
    seen: Tensor


class MatchedRows(NamedTuple):
    """Rows that are matched with the vectors of their classes.

    Attributes:
        features: ``[R, P]`` foreground and background of each video, in their order.
        classes: ``[R]``, 0 for normal.
        logits: ``[R, R]`` how alike the features of a row and the vector of another are.
        counts: ``[R]`` bool, all but the background of normal videos, and what is of no known class.
    """

    features: Tensor
    classes: Tensor
    logits: Tensor
    counts: Tensor


class ContextAttention(nn.Module):
    """Attention with a global and a local map, which share all but where they look.

    Args:
        dim: D, channels in and out.
        width: channels that are compared.
        window: snippets of the local map, an odd number.
        distance: what the learnt w and b of the prior on distances start at.
        power_norm: whether roots are taken and channels divided by their norm over time.
    """

    def __init__(
        self, dim: int, width: int, window: int, distance: tuple[float, float], power_norm: bool
    ) -> None:
        super().__init__()
        self.reach, self.power_norm = window // 2, power_norm
        self.query, self.key, self.value = (nn.Linear(dim, width) for _ in range(3))
        self.project_out = nn.Linear(width, dim)
        self.mix = nn.Parameter(torch.tensor(0.0))
        self.scale, self.shift = (nn.Parameter(torch.tensor([value])) for value in distance)

    def prior(self, num_snippets: int) -> Tensor:
        """Give what is added to how alike snippets are: ``[T, T]``."""
        squared = self.offsets(num_snippets).square()
        return torch.exp(-(self.scale * squared - self.shift).abs())

    def offsets(self, num_snippets: int) -> Tensor:
        """Give how far snippets are apart: ``[T, T]``."""
        place = torch.arange(num_snippets, device=self.scale.device)
        return (place - place[:, None]).abs()

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:
        """Gather context for ``[..., T, D]`` from the snippets that are ``seen [T]``."""
        num_snippets, value = x.shape[-2], self.value(x)
        alike = self.query(x) @ self.key(x).transpose(-1, -2) / math.sqrt(value.shape[-1])
        alike = (alike.float() + self.prior(num_snippets)).masked_fill(~seen, NEVER)
        near = alike.masked_fill(self.offsets(num_snippets) > self.reach, NEVER)
        share = self.mix.sigmoid()
        weights = share * alike.softmax(dim=-1) + (1 - share) * near.softmax(dim=-1)
        mixed = weights.to(value.dtype) @ value
        if self.power_norm:
            mixed = mixed.float() * seen[:, None]
            rooted = F.relu(mixed).sqrt() - F.relu(-mixed).sqrt()  # no gradient at 0
            mixed = F.normalize(rooted, dim=-2).to(value.dtype)
        out: Tensor = self.project_out(mixed)
        return out


class PEL4VADNet(nn.Module):
    """The network.

    Args:
        feature_dim: D, channels of the features.
        attention_dim: channels of the attention.
        prompt_dim: P, channels of what is compared with texts.
        context_dim: channels of what is scored.
        window: snippets of the local map, an odd number.
        distance: see :class:`ContextAttention`.
        power_norm: see :class:`ContextAttention`.
        kernel: snippets that a score is made of, the last of them its own.
        temperature: of the matching with texts, at the start.
        dropout: probability.
    """

    def __init__(
        self,
        feature_dim: int = 1024,
        attention_dim: int = 128,
        prompt_dim: int = 512,
        context_dim: int = 300,
        window: int = 9,
        distance: tuple[float, float] = (0.6, 0.2),
        power_norm: bool = True,
        kernel: int = 9,
        temperature: float = 0.09,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.attend = ContextAttention(feature_dim, attention_dim, window, distance, power_norm)
        self.norm = nn.LayerNorm(feature_dim)
        self.to_visual = TemporalConv(feature_dim, prompt_dim)
        self.to_context = TemporalConv(prompt_dim, context_dim)
        self.to_logit = TemporalConv(context_dim, 1, kernel_size=kernel, causal=True)
        self.dropout = Dropout(dropout)
        self.logit_scale = nn.Parameter(torch.tensor(-math.log(temperature)))
        for layer in self.modules():
            if isinstance(layer, nn.Conv1d | nn.Linear):
                nn.init.xavier_uniform_(layer.weight)

    def encode(self, features: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Give what is compared with texts ``[..., T, P]``, and what is scored ``[..., T, C]``."""
        visual = self.dropout(F.gelu(self.to_visual(self.norm(features + self.attend(features, seen)))))
        return visual, self.dropout(F.gelu(self.to_context(visual)))

    def forward(self, features: Tensor, lengths: Tensor) -> PEL4VADOutput:
        """Score videos of any length.

        Args:
            features: ``[B, N, T, D]``.
            lengths: ``[B]`` valid snippets of each video, the first ones. What is behind the longest video is
                not seen, as if it were cut off.
        """
        seen = valid_positions(lengths.amax(), features.shape[2])
        visual, context = self.encode(features, seen)
        return PEL4VADOutput(self.to_logit(context).squeeze(-1).float().sigmoid(), visual, seen)

    def match(self, out: PEL4VADOutput, targets: Tensor, prompts: Tensor) -> MatchedRows:
        """Compare what videos show with the vectors of classes.

        Args:
            out: of the videos.
            targets: ``[B, 1 + C]``, 1 for every class of a video, that of normal first.
            prompts: ``[1 + C, P]`` their vectors.
        """
        crops = out.crop_scores.shape[1]
        targets = targets.repeat_interleave(crops, dim=0)
        scores, visual = out.crop_scores.flatten(0, 1), out.visual.flatten(0, 1)
        shown = torch.stack(
            [pool_by_scores(visual, x, out.seen, SHARPNESS) for x in (scores, 1 - scores)], dim=1
        )
        normal = torch.zeros_like(targets)
        normal[:, 0] = 1
        classes = torch.stack([targets, normal], dim=1).flatten(0, 1)  # as features: [2 R, 1 + C]
        counts = torch.stack([targets.any(dim=-1), targets[:, 0] == 0], dim=1).flatten()
        features = shown.flatten(0, 1)
        texts = (classes / classes.sum(dim=-1, keepdim=True).clamp_min(1)) @ prompts
        logits = self.logit_scale.float().exp() * cosine(features, texts)
        return MatchedRows(features, classes.argmax(dim=-1), logits, counts)


def matching_loss(rows: MatchedRows) -> Tensor:
    """KL divergence of which rows match from which classes do, summed over columns, the mean of rows."""
    same = (rows.classes[:, None] == rows.classes).float()
    expected, found = (
        logits.masked_fill(~rows.counts, NEVER).log_softmax(dim=-1)
        for logits in (SHARPNESS * same, rows.logits)
    )
    divergence = F.kl_div(found, expected, reduction="none", log_target=True).sum(dim=-1)
    return (divergence * rows.counts).sum() / rows.counts.sum()
