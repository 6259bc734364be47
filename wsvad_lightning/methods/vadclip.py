"""VadCLIP: CLIP's two towers adapted to weak labels (Wu et al., AAAI 2024, arXiv 2308.11681).

Snippets gain context, first among neighbours and then by two graphs; one branch scores them, the other
compares them with texts of the classes: prompts learnt around their names, which take the video in as well.

    x = windowed transformer(features + position)      [R, T, D], R rows: videos x crops
    v = linear([g(x, alike); g(x, near)])              two graph layers each: by cosine, by distance in time
    l = linear(v + mlp(v))                             binary logits [R, T]
    t_c = text tower(learnt vectors, name of class c)  [1 + C, D]
    u_c = t_c + l^T v / ||l^T v||                      what the video shows, added to each class
    m = cos(v, u_c + mlp(u_c)) / 0.07                  class logits [R, T, 1 + C]

A score is sigmoid(l) or 1 - softmax(m)[normal] (``score_from``); longer videos are cut into chunks.

Loss terms (names as in ``loss_weights``; k = T_i // 16 + 1, of the T_i valid snippets of video i):
    binary   BCE of the mean of the k largest sigmoid(l) against the video label
    align    cross-entropy of the mean of the k largest m of each class against the classes of the video
    text     mean |cos(t_normal, t_c)| over the anomaly classes

Numbers equal the authors' code, with its quirk: a video shorter than a chunk is filled up with zeros, which
windows, the graph of distances and the texts see like snippets. ``padding: masked`` hides them.

Deviations: each crop is a row of its own, as the authors' files are; a score is their mean, where the authors
score one crop. Unit vectors are guarded against a norm of zero. Behind a video whose length is a multiple of
the chunk the authors score one more chunk, of zeros, which changes nothing; it is left out.
"""

from typing import Any, ClassVar, Literal, NamedTuple

import torch
import torch.nn.functional as F
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.layers import (
    GraphLayer,
    LearnedPrompt,
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


class VadCLIPOutput(NamedTuple):
    """What a pass over videos yields.

    Attributes:
        logits: ``[B, N, T]`` float32, of being anomalous.
        class_logits: ``[B, N, T, 1 + C]`` float32, normal first.
        texts: ``[1 + C, D]`` of the classes, before the video is added.
    """

    logits: Tensor
    class_logits: Tensor
    texts: Tensor


class VadCLIPNet(PromptedNet):
    """The network; its classes are given to ``prompt``.

    Args:
        feature_dim: D, channels of the features.
        length: snippets of a chunk.
        layers: of the windowed transformer.
        window: snippets that see each other in it.
        text_dim: channels of the text tower's token vectors.
        padding: whether what fills up a chunk is seen or masked.
    """

    def __init__(
        self,
        feature_dim: int = 512,
        length: int = 256,
        layers: int = 2,
        window: int = 8,
        text_dim: int = 512,
        padding: Padding = "seen",
    ) -> None:
        super().__init__()
        self.length, self.padding = length, padding
        self.position = nn.Parameter(0.01 * torch.randn(length, feature_dim))
        self.context = nn.ModuleList(
            PreNormLayer(
                WindowAttention(feature_dim, window), feature_dim, 4 * feature_dim, activation=QuickGELU
            )
            for _ in range(layers)
        )
        half = max(1, feature_dim // 2)
        self.mix_alike, self.mix_near = (
            nn.ModuleList([GraphLayer(feature_dim, half), GraphLayer(half, half)]) for _ in range(2)
        )
        self.activate = QuickGELU()
        self.fuse = nn.Linear(2 * half, feature_dim)
        self.refine_visual, self.refine_text = (_mlp(feature_dim) for _ in range(2))
        self.to_logit = nn.Linear(feature_dim, 1)
        self.prompt = LearnedPrompt(text_dim)

    def forward(self, features: Tensor, lengths: Tensor) -> VadCLIPOutput:
        """Score videos of any length, crop by crop and chunk by chunk.

        Args:
            features: ``[B, N, T, D]``.
            lengths: ``[B]`` valid snippets of each video, the first ones.
        """
        num_snippets, texts = features.shape[2], self.prompt()
        if torch.compiler.is_exporting():  # a chunk more than is needed: no length is a special case
            num_chunks = num_snippets // self.length + 2
        else:
            num_chunks = -(-num_snippets // self.length)
        padded = F.pad(features, (0, 0, 0, num_chunks * self.length - num_snippets))
        starts = self.length * torch.arange(num_chunks, device=lengths.device)
        chunks = padded.reshape(*padded.shape[:2], num_chunks, self.length, padded.shape[3])
        valid = valid_positions((lengths[:, None] - starts).clamp_min(1), self.length)
        valid = valid[:, None].expand(chunks.shape[:-1])
        together = blocks_of(chunks.flatten(3), 4 * chunks[0, 0, 0].numel())
        parts = [
            self.compare(self.encode(chunks[:, :, some], valid[:, :, some]), valid[:, :, some], texts)
            for some in together
        ]
        logits, class_logits = (torch.cat(part, dim=2).flatten(2, 3) for part in zip(*parts, strict=True))
        return VadCLIPOutput(logits[:, :, :num_snippets], class_logits[:, :, :num_snippets], texts)

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


def _mlp(dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(dim, 4 * dim), QuickGELU(), nn.Linear(4 * dim, dim))


class VadCLIP(PromptedModule):
    """VadCLIP as a LightningModule; the paper's recipes are ``ucf_vadclip.yaml`` and ``xd_vadclip.yaml``.

    Args:
        feature_dim: D, channels of the features; taken from the store on the command line.
        length: snippets of a chunk, what ``data.segments`` should be.
        layers: of the windowed transformer.
        window: snippets that see each other in it, a divisor of ``length``.
        score_from: the branch that scores: ``binary``, or ``text`` for what is not normal.
        padding: ``seen`` as the authors have it, or ``masked``.
        text_dim: channels of its token vectors; None for as many as the features have.
        optimizer: makes the optimizer from the parameters.
        **kwargs: arguments of :class:`PromptedModule`.

    Raises:
        WSVADError: if a size is not positive, or the window does not divide the length.
    """

    default_loss_weights: ClassVar[dict[str, float]] = {"binary": 1.0, "align": 1.0, "text": 0.1}

    net: VadCLIPNet

    def __init__(
        self,
        feature_dim: int = 512,
        length: int = 256,
        layers: int = 2,
        window: int = 8,
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
        if window < 1 or length % window:
            problem = f"does not divide model.length {length}"
            raise WSVADError("model.window", window, problem, "Give a divisor")
        self.score_from: ScoreFrom = score_from
        self.net = VadCLIPNet(feature_dim, length, layers, window, text_dim or feature_dim, padding)

    def score(self, batch: WSVADBatch) -> Tensor:
        """Score snippets: ``[B, T]`` in [0, 1]."""
        return self.score_and_classify(batch)[0]

    def classify(self, batch: WSVADBatch) -> Tensor:
        """Give probabilities ``[B, T, 1 + C]`` of normal and of the classes."""
        return self.score_and_classify(batch)[1]

    def score_and_classify(self, batch: WSVADBatch) -> tuple[Tensor, Tensor]:
        """Give scores and class probabilities in one pass, each the mean over crops."""
        out = self.run(batch)
        classes = out.class_logits.softmax(dim=-1).mean(dim=1)
        scores = 1 - classes[..., 0] if self.score_from == "text" else out.logits.sigmoid().mean(dim=1)
        return scores, classes

    def run(self, batch: WSVADBatch) -> VadCLIPOutput:
        """Pass a batch through the network."""
        out: VadCLIPOutput = self.net(batch.features, batch.lengths)
        return out

    def compute_losses(self, batch: WSVADBatch) -> dict[str, Tensor]:
        """Give the raw terms that the module's docstring lists."""
        assert batch.class_targets is not None, "paired batches know the classes of their videos"
        out = self.run(batch)
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
