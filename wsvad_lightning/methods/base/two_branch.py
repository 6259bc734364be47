"""What VadCLIP and its descendants share: one branch scores snippets, the other compares them with texts.

Snippets gain context, first among neighbours and then by two graphs.

    x = windowed transformer(features + position)      [R, T, D], R rows: videos x crops
    v = linear([g(x, alike); g(x, near)])              two graph layers each: by cosine, by distance in time
    l = linear(v + mlp(v))                             binary logits [R, T]
    u_c = t_c + l^T v / ||l^T v||                      what the video shows, added to the text of each class
    m = cos(v, u_c + mlp(u_c)) / 0.07                  class logits [R, T, 1 + C]

Videos are cut into chunks of T snippets.
"""

from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.layers import (
    ClassTexts,
    GraphLayer,
    PreNormLayer,
    QuickGELU,
    WindowAttention,
    proximity_graph,
    similarity_graph,
    valid_positions,
)
from wsvad_lightning.layers.blocks import blocks_of
from wsvad_lightning.losses import class_cross_entropy, probability_bce
from wsvad_lightning.methods.base.prompted import PromptedModule, PromptedNet
from wsvad_lightning.ops import cosine, topk_mean_each
from wsvad_lightning.types import WSVADBatch

TEMPERATURE = 0.07

ScoreFrom = Literal["binary", "text"]
Padding = Literal["seen", "masked"]


class TwoBranchOutput(NamedTuple):
    """What a pass over videos yields.

    Attributes:
        logits: ``[B, N, T]`` float32, of being anomalous.
        class_logits: ``[B, N, T, 1 + C]`` float32, normal first.
        texts: ``[1 + C, D]`` of the classes, before the video is added.
    """

    logits: Tensor
    class_logits: Tensor
    texts: Tensor


class TwoBranchNet(PromptedNet):
    """The network.

    Args:
        prompt: reads the classes, which are given to it.
        feature_dim: D, channels of the features.
        length: snippets of a chunk.
        layers: of the windowed transformer.
        window: snippets that see each other in it.
        heads: of its attention.
        padding: whether what fills up a chunk is seen or masked.
    """

    def __init__(
        self,
        prompt: ClassTexts,
        feature_dim: int = 512,
        length: int = 256,
        layers: int = 2,
        window: int = 8,
        heads: int = 1,
        padding: Padding = "seen",
    ) -> None:
        super().__init__()
        self.length, self.padding = length, padding
        self.position = nn.Parameter(0.01 * torch.randn(length, feature_dim))
        self.context = nn.ModuleList(
            PreNormLayer(
                WindowAttention(feature_dim, window, heads),
                feature_dim,
                4 * feature_dim,
                activation=QuickGELU,
            )
            for _ in range(layers)
        )
        half = max(1, feature_dim // 2)
        self.mix_alike, self.mix_near = (
            nn.ModuleList([GraphLayer(feature_dim, half), GraphLayer(half, half)]) for _ in range(2)
        )
        self.activate = QuickGELU()
        self.fuse = nn.Linear(2 * half, feature_dim)
        self.refine_visual, self.refine_text = (clip_mlp(feature_dim) for _ in range(2))
        self.to_logit = nn.Linear(feature_dim, 1)
        self.prompt = prompt

    def forward(self, features: Tensor, lengths: Tensor) -> TwoBranchOutput:
        """Score videos of any length, crop by crop and chunk by chunk.

        Args:
            features: ``[B, N, T, D]``.
            lengths: ``[B]`` valid snippets of each video, the first ones.
        """
        num_snippets, texts = features.shape[2], self.prompt()
        chunks, valid = self.cut(features, lengths)
        together = blocks_of(chunks.flatten(3), 4 * chunks[0, 0, 0].numel())
        parts = [
            self.compare(self.encode(chunks[:, :, some], valid[:, :, some]), valid[:, :, some], texts)
            for some in together
        ]
        logits, class_logits = (torch.cat(part, dim=2).flatten(2, 3) for part in zip(*parts, strict=True))
        return TwoBranchOutput(logits[:, :, :num_snippets], class_logits[:, :, :num_snippets], texts)

    def cut(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Cut ``[B, N, T, D]`` into K chunks, the last filled up with zeros.

        Returns:
            ``[B, N, K, length, D]``, and ``[B, N, K, length]`` bool, which snippets are valid.
        """
        num_snippets = features.shape[2]
        if torch.compiler.is_exporting():  # a chunk more than is needed: no length is a special case
            num_chunks = num_snippets // self.length + 2
        else:
            num_chunks = -(-num_snippets // self.length)
        padded = F.pad(features, (0, 0, 0, num_chunks * self.length - num_snippets))
        starts = self.length * torch.arange(num_chunks, device=lengths.device)
        chunks = padded.reshape(*padded.shape[:2], num_chunks, self.length, padded.shape[3])
        valid = valid_positions((lengths[:, None] - starts).clamp_min(1), self.length)
        return chunks, valid[:, None].expand(chunks.shape[:-1])

    def encode(self, chunks: Tensor, valid: Tensor) -> Tensor:
        """Add context to the ``valid [..., T]`` snippets of chunks ``[..., T, D]``: ``[..., T, D]``."""
        masked = self.padding == "masked"
        x = chunks + self.position
        for layer in self.context:
            x = layer(x, valid if masked else None)
        near = proximity_graph(self.length, x.device)
        if masked:
            x, near = x * valid[..., None], near * valid[..., None, :]
        branches = []
        for layers, graph in ((self.mix_alike, similarity_graph(x, valid)), (self.mix_near, near)):
            mixed = x
            for layer in layers:
                mixed = self.activate(layer(mixed, graph))
            branches.append(mixed)
        visual: Tensor = self.fuse(torch.cat(branches, dim=-1))
        return visual

    def compare(self, visual: Tensor, valid: Tensor, texts: Tensor) -> tuple[Tensor, Tensor]:
        """Score encoded chunks ``[..., T, D]``: logits ``[..., T]``, and of the texts ``[..., T, 1 + C]``."""
        logits = self.to_logit(visual + self.refine_visual(visual)).squeeze(-1).float()
        weights = logits * valid if self.padding == "masked" else logits
        shown = F.normalize((weights.to(visual.dtype)[..., None, :] @ visual).float(), dim=-1)
        adapted = texts + shown  # [..., 1 + C, D]
        adapted = adapted + self.refine_text(adapted.to(texts))
        return logits, cosine(visual, adapted) / TEMPERATURE


def clip_mlp(dim: int) -> nn.Sequential:
    """Make the feed-forward network of CLIP's blocks."""
    return nn.Sequential(nn.Linear(dim, 4 * dim), QuickGELU(), nn.Linear(4 * dim, dim))


class TwoBranchModule(PromptedModule):
    """Base of the methods; they make ``net`` of ``self.sizes`` and give ``probabilities``.

    Args:
        feature_dim: D, channels of the features; taken from the store on the command line.
        length: snippets of a chunk, what ``data.segments`` should be.
        layers: of the windowed transformer.
        window: snippets that see each other in it, a divisor of ``length``.
        heads: of its attention, a divisor of D.
        score_from: the branch that scores: ``binary``, or ``text`` for what is not normal.
        padding: ``seen`` as the authors have it, or ``masked``.
        text_dim: channels of the text tower's token vectors; None for as many as the features have.
        optimizer: makes the optimizer from the parameters.
        **kwargs: arguments of :class:`PromptedModule`.

    Raises:
        WSVADError: if a size is not positive, or is not a divisor of what it divides.
    """

    net: TwoBranchNet

    def __init__(
        self,
        feature_dim: int = 512,
        length: int = 256,
        layers: int = 2,
        window: int = 8,
        heads: int = 1,
        score_from: ScoreFrom = "binary",
        padding: Padding = "seen",
        text_dim: int | None = None,
        optimizer: OptimizerCallable = torch.optim.AdamW,
        **kwargs: Any,
    ) -> None:
        super().__init__(feature_dim=feature_dim, optimizer=optimizer, **kwargs)
        for name, size in (("length", length), ("layers", layers)):
            if size < 1:
                raise WSVADError(f"model.{name}", size, "must be at least 1", "Give a positive number")
        for name, part, whole, size in (
            ("window", window, "length", length),
            ("heads", heads, "feature_dim", feature_dim),
        ):
            if part < 1 or size % part:
                problem = f"does not divide model.{whole} {size}"
                raise WSVADError(f"model.{name}", part, problem, "Give a divisor")
        self.score_from: ScoreFrom = score_from
        self.text_dim = text_dim or feature_dim
        self.sizes: dict[str, Any] = {
            "feature_dim": feature_dim,
            "length": length,
            "layers": layers,
            "window": window,
            "heads": heads,
            "padding": padding,
        }

    def probabilities(self, out: TwoBranchOutput) -> Tensor:
        """Give the probabilities ``[B, N, T, 1 + C]`` of normal and of the classes."""
        raise NotImplementedError(f"{type(self).__name__} must give probabilities")

    def score(self, batch: WSVADBatch) -> Tensor:
        """Score snippets: ``[B, T]`` in [0, 1]."""
        return self.score_and_classify(batch)[0]

    def classify(self, batch: WSVADBatch) -> Tensor:
        """Give probabilities ``[B, T, 1 + C]`` of normal and of the classes."""
        return self.score_and_classify(batch)[1]

    def score_and_classify(self, batch: WSVADBatch) -> tuple[Tensor, Tensor]:
        """Give scores and class probabilities in one pass, each the mean over crops."""
        out = self.run(batch)
        classes = self.probabilities(out).mean(dim=1)
        scores = 1 - classes[..., 0] if self.score_from == "text" else out.logits.sigmoid().mean(dim=1)
        return scores, classes

    def run(self, batch: WSVADBatch) -> TwoBranchOutput:
        """Pass a batch through the network."""
        out: TwoBranchOutput = self.net(batch.features, batch.lengths)
        return out


def branch_losses(out: TwoBranchOutput, batch: WSVADBatch) -> dict[str, Tensor]:
    """Give the terms of both branches; k = T_i // 16 + 1, of the T_i valid snippets of video i.

    Returns:
        ``binary``: BCE of the mean of the k largest sigmoid(l) against the video label; ``align``:
        cross-entropy of the mean of the k largest m of each class against the classes of the video; ``text``:
        mean |cos(t_normal, t_c)| over the anomaly classes.
    """
    assert batch.class_targets is not None, "paired batches know the classes of their videos"
    lengths = batch.lengths[:, None]  # of every crop
    scores = topk_mean_each(out.logits.sigmoid(), lengths, lengths // 16 + 1)
    lengths = lengths[..., None]  # of every crop and class
    class_logits = topk_mean_each(out.class_logits.mT, lengths, lengths // 16 + 1)
    normal, abnormal = out.texts[:1], out.texts[1:]
    return {
        "binary": probability_bce(scores, batch.labels[:, None]),
        "align": class_cross_entropy(class_logits, batch.class_targets[:, None]),
        "text": cosine(normal, abnormal).abs().mean(),
    }
