"""FRD-UVAD: feature reconstruction with disruption for unsupervised detection (Tao et al., TMM 2024).

No video has a label. A transformer reconstructs the features of a window of consecutive snippets from
disrupted ones; what it reconstructs worst becomes the pseudo-label that a scorer learns, together with it.
Only the scorer is used for detection.

    tokens = linear(disrupt(P parts of a snippet)) + position
    tokens = self-attention blocks(tokens)                    each snippet for itself
    tokens = cascade blocks(tokens)                           snippet t asks with the queries of snippet t - 1
    e = max_crops(mean_channels((norm(tokens) - features)^2)) error of a snippet
    threshold = mean(e) + deviation(e)                        over the windows of the batch
    label = e >= threshold and, with an auxiliary scorer, its score >= 0.5
    s = mean_crops(sigmoid(mlp(features)))                    score

Loss terms (names as in ``loss_weights``):
    reconstruction  mean of e
    memory          relu(mean(threshold - e of the windows in the memory)), 0 while there are none
    score           BCE against the label of the mean of s over the window up to each snippet

The memory, off in the authors' recipe, keeps windows that were taken for anomalous. They are reconstructed
with each batch, and pushed above the threshold.

Numbers equal the authors' code, with its quirks: the auxiliary scorer, which is not trained, has its dropout
on while the rest trains. Deviations: disruption and dropout stay on throughout; the authors' training never
leaves the evaluation mode of its first test, which ``disruption_steps`` restores. Channels that do not divide
into tokens and heads are filled up with zeros, for the reconstruction alone. An autoencoder that the authors'
state dict holds and nothing uses is left out.
"""

from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.layers import Dropout, PreNormLayer, ScoreHead, init_xavier
from wsvad_lightning.losses import probability_bce
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.start import take_part
from wsvad_lightning.types import FeatureRequirements, WSVADBatch

Memory = Literal["off", "any", "all"]

MLP_RATIO = 4
SCORERS = ("C2FPL", "FRDUVAD")  # whose scorers can be the auxiliary one
AGREES = 0.5  # score from which the auxiliary scorer takes a snippet for anomalous
BANK = "frd_memory"  # in checkpoints


class TokenAttention(nn.Module):
    """Multi-head attention over the tokens of a snippet.

    Args:
        dim: channels of a token, a multiple of ``heads``.
        heads: number of heads.
        cascade: whether a snippet asks with the queries of the one before it, the first with its own.
    """

    def __init__(self, dim: int, heads: int, cascade: bool) -> None:
        super().__init__()
        self.heads, self.cascade = heads, cascade
        self.project_in = nn.Linear(dim, 3 * dim, bias=False)
        self.project_out = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Attend in each snippet: ``[..., T, P, dim]`` to ``[..., T, P, dim]``."""
        query, key, value = rearrange(
            self.project_in(x), "... p (part h d) -> part ... h p d", part=3, h=self.heads
        )
        if self.cascade:
            query = torch.cat([query[..., :1, :, :, :], query[..., :-1, :, :, :]], dim=-4)
        attended = F.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.project_out(rearrange(attended, "... h p d -> ... p (h d)"))
        return out


class Reconstructor(nn.Module):
    """Reconstructs the snippets of windows from disrupted ones.

    Args:
        feature_dim: D, channels of the features.
        tokens: P, parts that a snippet is cut into.
        depth: self-attention blocks, and as many cascade blocks.
        heads: attention heads a block.
        disruption: probability by which a channel of the input is set to zero in training.
    """

    positions: Tensor

    def __init__(self, feature_dim: int, tokens: int, depth: int, heads: int, disruption: float) -> None:
        super().__init__()
        dim = -(-feature_dim // (tokens * heads)) * heads
        self.feature_dim, self.tokens, self.padding = feature_dim, tokens, tokens * dim - feature_dim
        self.disrupt = Dropout(disruption)
        self.embed = nn.Linear(dim, dim)
        self.blocks = nn.Sequential(
            *(
                PreNormLayer(TokenAttention(dim, heads, cascade), dim, MLP_RATIO * dim)
                for cascade in (False, True)
                for _ in range(depth)
            )
        )
        self.norm = nn.LayerNorm(dim)
        self.register_buffer("positions", sinusoids(tokens, dim), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """Reconstruct each crop of each window: ``[B, N, T, D]`` to ``[B, N, T, D]``."""
        padded = F.pad(self.disrupt(features), (0, self.padding))
        tokens = self.embed(rearrange(padded, "b n t (p d) -> b n t p d", p=self.tokens))
        rebuilt: Tensor = self.norm(self.blocks(tokens + self.positions))
        return rebuilt.flatten(-2)[..., : self.feature_dim]


class FRDUVADNet(nn.Module):
    """The networks, usable without Lightning: ``FRDUVADNet()(features)`` scores snippets.

    Args:
        feature_dim: D, channels of the features.
        tokens: parts that a snippet is cut into for the reconstruction.
        depth: self-attention blocks, and as many cascade blocks.
        heads: attention heads a block.
        disruption: probability by which a channel is hidden from the reconstruction in training.
        hidden_dims: widths of the hidden layers of the scorer.
        dropout: probability after each of them.
        auxiliary_dims: widths of the hidden layers of the auxiliary scorer; None for no such scorer.
        auxiliary_dropout: probability after each of them.
    """

    def __init__(
        self,
        feature_dim: int = 2048,
        tokens: int = 16,
        depth: int = 4,
        heads: int = 16,
        disruption: float = 0.5,
        hidden_dims: tuple[int, int] = (1024, 128),
        dropout: float = 0.7,
        auxiliary_dims: tuple[int, int] | None = None,
        auxiliary_dropout: float = 0.6,
    ) -> None:
        super().__init__()
        self.reconstruct = Reconstructor(feature_dim, tokens, depth, heads, disruption)
        self.to_score = ScoreHead(feature_dim, dropout, hidden_dims)
        self.auxiliary: ScoreHead | None = None
        if auxiliary_dims is not None:
            self.auxiliary = ScoreHead(feature_dim, auxiliary_dropout, auxiliary_dims).requires_grad_(False)
        init_xavier(self)

    def forward(self, features: Tensor) -> Tensor:
        """Score each snippet for itself: ``[B, N, T, D]`` to ``[B, T]`` in [0, 1]."""
        scores: Tensor = self.to_score(features).mean(dim=1)
        return scores

    def errors(self, features: Tensor) -> Tensor:
        """Measure the reconstruction error of snippets, of the worst crop of each: ``[B, T]`` float32."""
        difference: Tensor = self.reconstruct(features).float() - features.float()
        return difference.square().mean(dim=-1).amax(dim=1)

    def auxiliary_scores(self, features: Tensor) -> Tensor:
        """Score snippets by the auxiliary scorer; without one all are anomalous: ``[B, T]``."""
        if self.auxiliary is None:
            return features.new_ones(len(features), features.shape[2])
        scores: Tensor = self.auxiliary(features).mean(dim=1)
        return scores


class FRDUVAD(WSVADModule):
    """FRD-UVAD as a LightningModule; the recipe of the paper is in ``ucf_frduvad.yaml``.

    Args:
        feature_dim: D, channels of the features; taken from the store on the command line.
        tokens: parts that a snippet is cut into for the reconstruction.
        depth: self-attention blocks, and as many cascade blocks.
        heads: attention heads a block.
        disruption: probability by which a channel is hidden from the reconstruction in training.
        disruption_steps: steps after which disruption and dropout end: 50 in the authors' code, whose
            training does not return from the evaluation mode of its first test; None: never.
        hidden_dims: widths of the hidden layers of the scorer.
        dropout: probability after each of them.
        auxiliary: checkpoint of C2FPL, or of another training of this method, whose scorer becomes the
            auxiliary one when training starts.
        auxiliary_dims: widths of the hidden layers of the auxiliary scorer; None for no such scorer.
        auxiliary_dropout: probability after each of them; 0.7 in the authors' own scorer.
        memory: which windows are remembered: none, or those in which ``any`` or ``all`` of the snippets are
            taken for anomalous. Each process has a memory of its own; a checkpoint carries that of the first.
        memory_size: number of windows to remember.
        memory_margin: standard deviations by which the scores of remembered snippets exceed the mean score.
        optimizer: makes the optimizer from the parameters.
        **kwargs: arguments of :class:`WSVADModule`.

    Attributes:
        bank: ``[M, N, T, D]`` windows in the memory.
    """

    field_of_view = (0, 0)
    requires = FeatureRequirements(bags="windows")
    default_loss_weights: ClassVar[dict[str, float]] = {"reconstruction": 1.0, "memory": 1.0, "score": 1.0}

    net: FRDUVADNet

    def __init__(
        self,
        feature_dim: int = 2048,
        tokens: int = 16,
        depth: int = 4,
        heads: int = 16,
        disruption: float = 0.5,
        disruption_steps: int | None = None,
        hidden_dims: tuple[int, int] = (1024, 128),
        dropout: float = 0.7,
        auxiliary: str | None = None,
        auxiliary_dims: tuple[int, int] | None = None,
        auxiliary_dropout: float = 0.6,
        memory: Memory = "off",
        memory_size: int = 32,
        memory_margin: float = 0.5,
        optimizer: OptimizerCallable = torch.optim.AdamW,
        **kwargs: Any,
    ) -> None:
        super().__init__(feature_dim=feature_dim, optimizer=optimizer, **kwargs)
        if auxiliary is not None and auxiliary_dims is None:
            problem = "requires model.auxiliary_dims, the widths of its hidden layers"
            raise WSVADError(
                "model.auxiliary", auxiliary, problem, "C2FPL's are [512, 32], FRD-UVAD's [1024, 128]"
            )
        self.disruption_steps, self.auxiliary = disruption_steps, auxiliary
        self.memory: Memory = memory
        self.memory_size, self.memory_margin = memory_size, memory_margin
        self.net = FRDUVADNet(
            feature_dim,
            tokens,
            depth,
            heads,
            disruption,
            hidden_dims,
            dropout,
            auxiliary_dims,
            auxiliary_dropout,
        )
        self.bank = torch.empty(0)  # no buffer: it differs between processes
        self._from_checkpoint = False

    def on_fit_start(self) -> None:
        """Take over the auxiliary scorer; a training that goes on has it in its checkpoint.

        Raises:
            WSVADError: if it is missing or does not fit.
        """
        if self.net.auxiliary is None or self._from_checkpoint:
            return
        if self.auxiliary is None:
            problem = "is required with model.auxiliary_dims: the auxiliary scorer is not trained here"
            raise WSVADError("model.auxiliary", None, problem, f"Give a checkpoint of {' or '.join(SCORERS)}")
        take_part(self.net.auxiliary, self.auxiliary, "net.to_score", "model.auxiliary", method=SCORERS)

    def on_train_batch_start(self, batch: WSVADBatch, batch_idx: int) -> None:
        """End disruption and dropout where the authors' training does."""
        if self.disruption_steps is not None and self.global_step >= self.disruption_steps:
            self.eval()

    def score(self, batch: WSVADBatch) -> Tensor:
        """Score snippets: ``[B, T]`` in [0, 1]."""
        scores: Tensor = self.net(batch.features)
        return scores

    def compute_losses(self, batch: WSVADBatch) -> dict[str, Tensor]:
        """Give the raw terms that the module's docstring lists, then renew the memory."""
        windows = batch.features
        bank = self.bank.to(windows) if len(self.bank) else windows[:0]
        errors = self.net.errors(torch.cat([windows, bank]))
        threshold = upper_deviation(errors, 1.0)
        errors, remembered = errors[: len(windows)], errors[len(windows) :]
        pseudo_labels = self.pseudo_labels(windows, errors, threshold)
        scores = running_mean(self.net(windows))
        if self.memory != "off":
            found = (scores >= upper_deviation(scores, self.memory_margin)) & pseudo_labels
            chosen = found.any(dim=1) if self.memory == "any" else found.all(dim=1)
            self.bank = at_most(self.memory_size, torch.cat([bank, windows[chosen]]))
        return {
            "reconstruction": errors.mean(),
            "memory": F.relu(threshold - remembered.mean()) if len(remembered) else errors.new_zeros(()),
            "score": probability_bce(scores, pseudo_labels),
        }

    @torch.no_grad()
    def pseudo_labels(self, windows: Tensor, errors: Tensor, threshold: Tensor) -> Tensor:
        """Take for anomalous what is badly reconstructed, if the auxiliary scorer agrees: ``[B, T]`` bool."""
        return (errors >= threshold) & (self.net.auxiliary_scores(windows) >= AGREES)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the memory."""
        super().on_save_checkpoint(checkpoint)
        if len(self.bank):
            checkpoint[BANK] = self.bank.cpu()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the memory over."""
        super().on_load_checkpoint(checkpoint)
        self._from_checkpoint = True
        if BANK in checkpoint:
            self.bank = checkpoint[BANK]


def sinusoids(length: int, dim: int) -> Tensor:
    """Fixed position code ``[length, dim]``: sines and cosines in turn (Vaswani et al., 2017)."""
    channel = torch.arange(dim)
    frequency = 10000.0 ** -(channel.div(2, rounding_mode="floor") * 2 / dim)
    angle = torch.arange(length)[:, None] * frequency
    return torch.where(channel % 2 == 0, angle.sin(), angle.cos())


def running_mean(scores: Tensor) -> Tensor:
    """Mean of all scores up to each: ``[B, T]`` to ``[B, T]``."""
    counts = torch.arange(1, scores.shape[1] + 1, device=scores.device)
    return scores.cumsum(dim=1) / counts


def upper_deviation(values: Tensor, factor: float) -> Tensor:
    """Mean plus some standard deviations (unbiased; a single value deviates by nothing)."""
    deviation = values.std() if values.numel() > 1 else torch.zeros_like(values.sum())
    return values.mean() + factor * deviation


def at_most(size: int, windows: Tensor) -> Tensor:
    """Keep all of few windows ``[M, ...]``, of more than ``size`` as many at random."""
    if len(windows) <= size:
        return windows
    return windows[torch.randperm(len(windows))[:size].to(windows.device)]
