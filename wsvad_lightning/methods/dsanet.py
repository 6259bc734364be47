"""DSANet: events apart from what is normal in their videos (Yin et al., AAAI 2026, arXiv 2511.10334).

The visual side and both branches are VadCLIP's. The texts are names of classes, read by a text tower with
learnt adapters. Training has two more parts. The features of a video where its scores are high, and those
where they are low, are compared with the texts. A refiner rebuilds the features from prototypes of what is
normal in the video, which should fail where the score is high. Scoring needs no refiner.

    v, l, m = visual features, binary and class logits   see wsvad_lightning.methods.base.two_branch
    t_c = name of class c, read by the adapted tower     [1 + C, D], unit length
    e = pool(v, s),  b = pool(v, 1 - s),  s = sigmoid(l) weights exp(10 s) - 1, over time
    S = the 80 % of v whose s are lowest                 no gradient
    P <- P + attention(P to S),  P <- P + mlp(P)         16 learnt prototypes
    y = mlp(v), then layers y <- z + mlp(z), z = attention by cosines (y to P);  r = the last y
    p = [1 - q; q a],  q = sigmoid(l / temperature)      class probabilities, a = softmax(m / temperature)
                                                         of the anomaly classes, normalised

A score is s, or 1 - p[normal] (``score_from``).

Loss terms (names as in ``loss_weights``; k = T_i // 16 + 1, of the T_i valid snippets of video i):
    binary, align, text   VadCLIP's
    event                 cross-entropy of cos(e, t) / 0.07 against the smoothed classes of the video
    background            that of cos(b, t) / 0.07 against what is mostly normal, whatever the video
    consistency           mean (s - (1 - cos(v, r)) / 2)^2 over all valid snippets
    gather                mean over S of 1 - the cosine of the nearest P; it trains the prototypes only

Numbers equal the authors' code, with its quirks: what fills up a short video is pooled, selected and rebuilt
like its snippets (``padding: masked`` hides it), and both pooled features of a normal video are normal.

Deviations: the texts are read again before every test; the authors keep those of the first test, so that
their later class probabilities are of other texts. Each crop is a row of its own, and a score their mean,
where the authors score one crop. Classes are those of the store; the authors' texts follow from the number
of classes. A video of unknown class has no ``align`` and no ``event``. Unit vectors are guarded against a
norm of zero.
"""

from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.layers import AdaptedTexts, CrossAttention, PreNormLayer, valid_positions
from wsvad_lightning.layers.blocks import in_blocks
from wsvad_lightning.layers.cross_attention import Weighting
from wsvad_lightning.losses import class_cross_entropy
from wsvad_lightning.methods.base.two_branch import (
    TEMPERATURE,
    TwoBranchModule,
    TwoBranchNet,
    TwoBranchOutput,
    branch_losses,
    clip_mlp,
)
from wsvad_lightning.ops import cosine, pool_by_scores
from wsvad_lightning.optimizers import StableAdamW
from wsvad_lightning.types import WSVADBatch

NORM_EPS = 1e-8  # of the refiner
RARE = 0.01  # what a background may have of each anomaly class, relative to normal


class Refined(NamedTuple):
    """What a refiner makes of videos; P positions, padding included.

    Attributes:
        selected: ``[..., P]`` bool, taken for normal.
        prototypes: ``[..., K, D]`` of what is normal in each.
        distances: ``[..., P]`` float32, 1 - the cosine with the nearest prototype.
        errors: ``[..., P]`` float32 in [0, 1], how unlike a snippet what it is rebuilt as is.
    """

    selected: Tensor
    prototypes: Tensor
    distances: Tensor
    errors: Tensor


class DSANetOutput(NamedTuple):
    """What a training pass over videos yields; P positions, padding included.

    Attributes:
        branches: logits ``[B, N, P]`` and class logits ``[B, N, P, 1 + C]``.
        event_logits: ``[B, N, 1 + C]`` of what is seen where scores are high.
        background_logits: ``[B, N, 1 + C]`` of what is seen where they are low.
        refined: None without a refiner.
    """

    branches: TwoBranchOutput
    event_logits: Tensor
    background_logits: Tensor
    refined: Refined | None


class ReadingLayer(PreNormLayer):
    """Attention to another sequence, which has the same norm, then a feed-forward network.

    Args:
        dim: channels of both sequences, and out.
        heads: of the attention.
        weighting: see :class:`CrossAttention`.
        residual: whether what is read is added to what reads; else it takes its place.
    """

    def __init__(self, dim: int, heads: int, weighting: Weighting, residual: bool) -> None:
        attention = CrossAttention(dim, heads, max(1, dim // heads), bias=True, weighting=weighting)
        super().__init__(attention, dim, 4 * dim, norm_eps=NORM_EPS)
        self.residual = residual

    def forward(self, x: Tensor, *others: Tensor | None) -> Tensor:
        """Transform ``[..., T, dim]``, which reads ``[..., S, dim]``, of it what is ``seen [..., S]``."""
        source, *seen = others
        assert source is not None, "a sequence is read"
        read = self.attention(self.attention_norm(x), self.attention_norm(source), *seen)
        return in_blocks(self._refine, x + read if self.residual else read, self.mlp_dim)


class Refiner(nn.Module):
    """Rebuilds features from what is normal in their video.

    Args:
        dim: D, channels.
        num_prototypes: K.
        normal_part: of the positions of a video, those with the lowest scores, which are taken for normal.
        depth: layers that rebuild.
        heads: of all attention.
    """

    def __init__(self, dim: int, num_prototypes: int, normal_part: float, depth: int, heads: int) -> None:
        super().__init__()
        self.normal_part = normal_part
        self.prototypes = nn.Parameter(torch.randn(num_prototypes, dim))
        self.gather = ReadingLayer(dim, heads, "softmax", residual=True)
        self.bottleneck = clip_mlp(dim)
        self.decoder = nn.ModuleList(ReadingLayer(dim, heads, "cosine", residual=False) for _ in range(depth))
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.01, a=-0.03, b=0.03)
                nn.init.zeros_(layer.bias)

    def forward(self, visual: Tensor, scores: Tensor, counts: Tensor | None = None) -> Refined:
        """Rebuild ``[..., P, D]``.

        Args:
            visual: the features.
            scores: ``[..., P]``, low for what is normal.
            counts: ``[..., P]`` bool, what may be taken for normal; None for all.
        """
        selected = lowest(scores.detach(), self.normal_part, counts)
        known = visual.detach()
        prototypes = self.gather(self.prototypes.expand(*visual.shape[:-2], -1, -1), known, selected)
        rebuilt = self.bottleneck(visual)
        for layer in self.decoder:
            rebuilt = layer(rebuilt, prototypes)
        distances = 1 - cosine(known, prototypes).amax(dim=-1)
        errors = (1 - F.cosine_similarity(visual.float(), rebuilt.float(), dim=-1)) / 2
        return Refined(selected, prototypes, distances, errors)


def lowest(scores: Tensor, part: float, counts: Tensor | None = None) -> Tensor:
    """Mark a part of each curve, its lowest values, rounded down and at least one.

    Args:
        scores: ``[..., T]``.
        part: in (0, 1].
        counts: ``[..., T]`` bool, what the part is of; None for all.

    Returns:
        ``[..., T]`` bool.
    """
    if counts is None:
        return scores.argsort(dim=-1).argsort(dim=-1) < max(1, int(part * scores.shape[-1]))
    rank = scores.masked_fill(~counts, torch.inf).argsort(dim=-1).argsort(dim=-1)
    return rank < (part * counts.sum(dim=-1, keepdim=True)).int().clamp_min(1)


class DSANetNet(TwoBranchNet):
    """The network; its classes are given to ``prompt``.

    Args:
        feature_dim: D, channels of the features.
        text_dim: channels of the text tower's token vectors.
        adapted_blocks: blocks of the tower with an adapter behind them, the first ones.
        adapter_share: of what an adapter learns in its output.
        pooling_scale: how much more high scores weigh in pooled features.
        refiner: is trained with the branches; None for none.
        **sizes: see :class:`TwoBranchNet`.
    """

    def __init__(
        self,
        feature_dim: int = 512,
        text_dim: int = 512,
        adapted_blocks: int = 3,
        adapter_share: float = 0.1,
        pooling_scale: float = 10.0,
        refiner: Refiner | None = None,
        **sizes: Any,
    ) -> None:
        texts = AdaptedTexts(text_dim, feature_dim, adapted_blocks, adapter_share)
        super().__init__(texts, feature_dim, **sizes)
        self.pooling_scale, self.refiner = pooling_scale, refiner

    def study(self, features: Tensor, lengths: Tensor) -> DSANetOutput:
        """Pass videos ``[B, N, T, D]``, of which ``lengths [B]`` are valid, through all that is trained."""
        texts = self.prompt()
        chunks, in_chunk = self.cut(features, lengths)
        encoded = self.encode(chunks, in_chunk)
        logits, class_logits, visual = (
            part.flatten(2, 3) for part in (*self.compare(encoded, in_chunk, texts), encoded)
        )
        counts = None
        if self.padding == "masked":
            counts = valid_positions(lengths, logits.shape[-1])[:, None].expand_as(logits)
        scores = logits.sigmoid()
        pooled = [
            pool_by_scores(visual, x, counts, self.pooling_scale)[..., None, :] for x in (scores, 1 - scores)
        ]
        event, background = (cosine(shown, texts).squeeze(-2) / TEMPERATURE for shown in pooled)
        refined = self.refiner(visual, scores, counts) if self.refiner is not None else None
        return DSANetOutput(TwoBranchOutput(logits, class_logits, texts), event, background, refined)


class DSANet(TwoBranchModule):
    """DSANet as a LightningModule; the paper's recipes are ``ucf_dsanet.yaml`` and ``xd_dsanet.yaml``.

    The refiner has an optimizer and a schedule of its own. The steps that a trainer counts are those of the
    other optimizer, one per batch.

    Args:
        adapted_blocks: blocks of the text tower with an adapter behind them, the first ones.
        adapter_share: of what an adapter learns in its output.
        score_temperature: of the logits in class probabilities.
        pooling_scale: how much more high scores weigh in pooled features.
        label_smoothing: part of the targets of both pooled terms that all classes share.
        num_prototypes: of what is normal; 0 leaves the refiner out.
        normal_part: of the positions of a video, those with the lowest scores, which are taken for normal.
        decoder_depth: layers of the refiner that rebuild.
        refiner_heads: of the refiner's attention.
        refiner_optimizer: makes the refiner's optimizer from its parameters; ``optimizer`` is of all others.
        refiner_lr_scheduler: makes its scheduler from it, stepped after every batch.
        **kwargs: arguments of :class:`TwoBranchModule`.

    Raises:
        WSVADError: if an argument is out of range.
    """

    default_loss_weights: ClassVar[dict[str, float]] = {
        "binary": 1.0,
        "align": 1.1,
        "text": 1.0,
        "event": 1.0,
        "background": 1.0,
        "consistency": 1.0,
        "gather": 1.0,
    }
    not_saved: ClassVar[tuple[str, ...]] = (
        *TwoBranchModule.not_saved,
        "refiner_optimizer",
        "refiner_lr_scheduler",
    )

    net: DSANetNet

    def __init__(
        self,
        adapted_blocks: int = 3,
        adapter_share: float = 0.1,
        score_temperature: float = 5.0,
        pooling_scale: float = 10.0,
        label_smoothing: float = 0.1,
        num_prototypes: int = 16,
        normal_part: float = 0.8,
        decoder_depth: int = 8,
        refiner_heads: int = 8,
        refiner_optimizer: OptimizerCallable = StableAdamW,
        refiner_lr_scheduler: LRSchedulerCallable | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for name, value, fits, wanted in (
            ("adapted_blocks", adapted_blocks, adapted_blocks >= 0, "at least 0"),
            ("adapter_share", adapter_share, 0 <= adapter_share <= 1, "in [0, 1]"),
            ("score_temperature", score_temperature, score_temperature > 0, "above 0"),
            ("pooling_scale", pooling_scale, pooling_scale > 0, "above 0"),
            ("label_smoothing", label_smoothing, 0 <= label_smoothing < 1, "in [0, 1)"),
            ("num_prototypes", num_prototypes, num_prototypes >= 0, "at least 0"),
            ("normal_part", normal_part, 0 < normal_part <= 1, "above 0 and at most 1"),
            ("decoder_depth", decoder_depth, decoder_depth >= 0, "at least 0"),
            ("refiner_heads", refiner_heads, refiner_heads >= 1, "at least 1"),
        ):
            if not fits:
                raise WSVADError(f"model.{name}", value, f"must be {wanted}", "Change it")
        self.score_temperature, self.label_smoothing = score_temperature, label_smoothing
        self.refiner_optimizer, self.refiner_lr_scheduler = refiner_optimizer, refiner_lr_scheduler
        self.automatic_optimization = num_prototypes == 0
        refiner = None
        if num_prototypes:
            refiner = Refiner(self.feature_dim, num_prototypes, normal_part, decoder_depth, refiner_heads)
        self.net = DSANetNet(
            text_dim=self.text_dim,
            adapted_blocks=adapted_blocks,
            adapter_share=adapter_share,
            pooling_scale=pooling_scale,
            refiner=refiner,
            **self.sizes,
        )

    def probabilities(self, out: TwoBranchOutput) -> Tensor:
        """See :class:`TwoBranchModule`; the classes share what the binary branch finds."""
        abnormal = (out.logits / self.score_temperature).sigmoid()[..., None]
        classes = (out.class_logits / self.score_temperature).softmax(dim=-1)[..., 1:]
        classes = classes / (classes.sum(dim=-1, keepdim=True) + 1e-12)
        return torch.cat([1 - abnormal, abnormal * classes], dim=-1)

    def study(self, batch: WSVADBatch) -> DSANetOutput:
        """Pass a batch through all that is trained."""
        return self.net.study(batch.features, batch.lengths)

    def compute_losses(self, batch: WSVADBatch) -> dict[str, Tensor]:
        """Give the raw terms that the module's docstring lists; without a refiner, those of the others."""
        assert batch.class_targets is not None, "paired batches know the classes of their videos"
        out = self.study(batch)
        mostly_normal = torch.full_like(out.background_logits, RARE)
        mostly_normal[..., 0] = 1
        losses = {
            **branch_losses(out.branches, batch),
            "event": class_cross_entropy(
                out.event_logits, batch.class_targets[:, None], self.label_smoothing
            ),
            "background": class_cross_entropy(out.background_logits, mostly_normal, self.label_smoothing),
        }
        if out.refined is None:
            return losses
        valid = valid_positions(batch.lengths, out.branches.logits.shape[-1])[:, None]
        valid = valid.expand_as(out.branches.logits)
        apart = (out.branches.logits.sigmoid() - out.refined.errors).square()
        selected = out.refined.selected
        per_video = (out.refined.distances * selected).sum(dim=-1) / selected.sum(dim=-1)
        return losses | {"consistency": (apart * valid).sum() / valid.sum(), "gather": per_video.mean()}

    def training_step(self, batch: WSVADBatch, batch_idx: int) -> Tensor:
        """One step of both optimizers."""
        total = super().training_step(batch, batch_idx)
        if self.automatic_optimization:
            return total
        optimizers: Any = self.optimizers()
        main, refiner = optimizers
        main.zero_grad()
        refiner.zero_grad()
        self.manual_backward(total)
        main.step()
        self.step_uncounted(refiner)
        schedulers: Any = self.lr_schedulers()
        for scheduler in schedulers if isinstance(schedulers, list) else filter(None, [schedulers]):
            scheduler.step()
        return total

    def configure_optimizers(self) -> Any:  # two, where the base has one
        """Build what the recipe names: an optimizer of the refiner and one of all others, with schedulers."""
        if self.net.refiner is None:
            return super().configure_optimizers()
        of_refiner = list(self.net.refiner.parameters())
        own = {id(parameter) for parameter in of_refiner}
        main = self.optimizer([parameter for parameter in self.parameters() if id(parameter) not in own])
        refiner = self.refiner_optimizer(of_refiner)
        pairs = ((self.lr_scheduler, main), (self.refiner_lr_scheduler, refiner))
        return [main, refiner], [make(optimizer) for make, optimizer in pairs if make is not None]
