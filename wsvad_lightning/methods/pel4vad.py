"""PEL4VAD: texts of knowledge teach what is scored (Pu et al., IEEE TIP 2024, arXiv 2306.14451).

Snippets gain context by one attention with a global and a local map; scores are causal. In training, what a
video shows where its scores are high, and where they are low, is matched with vectors of the classes: the
mean of CLIP's texts of words that a knowledge base relates to each. Scoring needs no texts.

    S_ij = q_i . k_j / sqrt(128) + exp(-|w (i - j)^2 - b|)                     w, b learnt
    u = m softmax(S) v + (1 - m) softmax(S within the window) v,  m = sigmoid(alpha)
    u <- sign(u) sqrt|u|, each channel divided by its norm over time           ``power_norm``
    V = gelu(linear(norm(x + linear(u))))                                      visual features, 512 channels
    s = sigmoid(causal convolution over ``kernel`` snippets (gelu(linear(V))))

Each crop is a row of its own; a score is the mean over crops.

Loss terms (names as in ``loss_weights``; k = T_i // 16 + 1, of the T_i valid snippets of video i):
    mil      BCE of the largest valid score of a normal video, of the mean of the k largest of an abnormal one
    prompt   mean KL divergence of softmax_r'(exp(scale) cos(z_r, p_r')) from softmax_r'(10 [c_r = c_r'])

The rows r of ``prompt`` are the foreground of every video, z = sum_t f_t V_t with f ~ exp(10 s) - 1, with the
vector p of its class c, and the background of abnormal ones, f ~ exp(10 (1 - s)) - 1, with that of normal.

The published figures are of smoothed scores, see :mod:`wsvad_lightning.methods.base.smoothing`.

Numbers equal the authors' code, with its quirks: the norm runs over time, so that a snippet counts less in a
long video; the zeros behind short videos are seen, as far as the longest video of the batch goes.

Deviations: cosines are guarded against a norm of zero. A video of several classes has the mean of their
vectors, as on ShanghaiTech, and counts as its first; on XD-Violence the authors take the first class in the
file name alone. The foreground of an abnormal video of unknown class is left out. A term that is not a number
stays one, where the authors count 0.
"""

import math
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wsvad_lightning.data.datasets.limits import read_npy
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.layers import Dropout, TemporalConv, valid_positions
from wsvad_lightning.losses import probability_bce
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.ops import cosine, pool_by_scores, topk_mean_each
from wsvad_lightning.types import FeatureRequirements, WSVADBatch

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


class PEL4VAD(WSVADModule):
    """PEL4VAD as a LightningModule; recipes ``ucf_pel4vad.yaml``, ``xd_pel4vad.yaml``, ``sht_pel4vad.yaml``.

    Args:
        feature_dim: D, channels of the features; taken from the store on the command line.
        prompt_file: ``.npy`` file ``[1 + C, P]`` of the vectors of normal and of the classes, to train.
        prompt_classes: names of its rows but the first; None for the classes of the store, sorted.
        prompt_dim: P.
        window: snippets of the local map, an odd number.
        distance: what the prior on distances starts at, w and b.
        power_norm: whether roots are taken and channels divided by their norm over time.
        kernel: snippets that a score is made of, an odd number, the last of them its own.
        temperature: of the matching with texts, at the start.
        dropout: probability.
        **kwargs: arguments of :class:`WSVADModule`.

    Raises:
        WSVADError: if an argument is out of range.
    """

    requires = FeatureRequirements(classes=True)
    default_loss_weights: ClassVar[dict[str, float]] = {"mil": 1.0, "prompt": 1.0}
    not_saved: ClassVar[tuple[str, ...]] = (*WSVADModule.not_saved, "prompt_file", "prompt_classes")

    net: PEL4VADNet
    prompts: Tensor

    def __init__(
        self,
        feature_dim: int = 1024,
        prompt_file: str | None = None,
        prompt_classes: list[str] | None = None,
        prompt_dim: int = 512,
        window: int = 9,
        distance: tuple[float, float] = (0.6, 0.2),
        power_norm: bool = True,
        kernel: int = 9,
        temperature: float = 0.09,
        dropout: float = 0.1,
        **kwargs: Any,
    ) -> None:
        super().__init__(feature_dim=feature_dim, **kwargs)
        for name, value in (("window", window), ("kernel", kernel)):
            if value < 1 or value % 2 == 0:
                raise WSVADError(f"model.{name}", value, "must be odd and at least 1", "Give snippets")
        if not temperature > 0:
            raise WSVADError("model.temperature", temperature, "must be above 0", "Give one such as 0.09")
        self.prompt_file, self.prompt_classes = prompt_file, prompt_classes
        self.net = PEL4VADNet(
            feature_dim,
            prompt_dim=prompt_dim,
            window=window,
            distance=distance,
            power_norm=power_norm,
            kernel=kernel,
            temperature=temperature,
            dropout=dropout,
        )
        self.register_buffer("prompts", torch.empty(0, prompt_dim), persistent=False)

    def check_trainable(self) -> None:
        """See :class:`WSVADModule`; the file of the vectors must be there."""
        if self.prompt_file is None:
            remedy = "Give a .npy file of a vector for normal and for each class"
            raise WSVADError("model.prompt_file", None, "training matches videos with vectors", remedy)
        read_npy("model.prompt_file", self.prompt_file)

    def setup(self, stage: str) -> None:
        """Check as every method does; read the vectors of the classes of the store.

        Raises:
            WSVADError: if the file cannot be read, or lacks a class.
        """
        super().setup(stage)
        if stage == "fit":
            assert self.prompt_file is not None, "checked before"
            self.use_prompts(read_prompts(self.prompt_file, self.prompt_classes, self.data.info.classes))

    def use_prompts(self, prompts: Tensor) -> None:
        """Match with the vectors ``[1 + C, P]`` of normal and of the classes.

        Raises:
            WSVADError: if they are of another width.
        """
        if prompts.ndim != 2 or prompts.shape[1] != self.prompts.shape[1]:
            problem = f"its shape is {tuple(prompts.shape)}, model.prompt_dim is {self.prompts.shape[1]}"
            raise WSVADError("model.prompt_file", self.prompt_file, problem, "Set model.prompt_dim")
        self.prompts = prompts.to(self.prompts)

    def score(self, batch: WSVADBatch) -> Tensor:
        """Score snippets: ``[B, T]`` in [0, 1]."""
        return self.run(batch).crop_scores.mean(dim=1)

    def run(self, batch: WSVADBatch) -> PEL4VADOutput:
        """Pass a batch through the network."""
        out: PEL4VADOutput = self.net(batch.features, batch.lengths)
        return out

    def compute_losses(self, batch: WSVADBatch) -> dict[str, Tensor]:
        """Give the raw terms that the module's docstring lists."""
        assert batch.class_targets is not None, "paired batches know the classes of their videos"
        out = self.run(batch)
        k = torch.where(batch.labels > 0, batch.lengths // 16 + 1, 1)
        scores = topk_mean_each(out.crop_scores, batch.lengths[:, None], k[:, None])
        return {
            "mil": probability_bce(scores, batch.labels[:, None]),
            "prompt": matching_loss(self.net.match(out, batch.class_targets.float(), self.prompts.float())),
        }


def read_prompts(path: str, names: list[str] | None, classes: tuple[str, ...]) -> Tensor:
    """Read the vectors of normal and of ``classes``, in their order, ``[1 + C, P]``.

    Args:
        path: ``.npy`` file, that of normal first.
        names: of its other rows; None for ``classes``.
        classes: of the store.

    Raises:
        WSVADError: if the file cannot be read, or its rows are not those named, or lack a class.
    """
    rows = read_npy("model.prompt_file", path)
    names = list(classes) if names is None else names
    if rows.ndim != 2 or len(rows) != 1 + len(names):
        problem = f"its shape is {rows.shape}, its rows are normal and {len(names)}: {', '.join(names)}"
        raise WSVADError("model.prompt_file", path, problem, "Name its rows by model.prompt_classes")
    missing = [name for name in classes if name not in names]
    if missing:
        problem = f"lacks {', '.join(missing)}, of which the store has videos"
        raise WSVADError("model.prompt_classes", ", ".join(names), problem, "Give a row for every class")
    return torch.from_numpy(rows[[0, *(1 + names.index(name) for name in classes)]].astype(np.float32))
