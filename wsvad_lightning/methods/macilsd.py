"""MACIL-SD: sight and sound contrasted, and a twin that only sees (Yu et al., ACM MM 2022, arXiv 2207.05500).

One layer of attention lets what is seen attend to what is heard, and the other way round, with the same
weights; a snippet's logit is the sum of those of both. In training, what both streams show where scores are
high and low is contrasted. A second network that only sees learns from the labels alone, and after every
epoch the first one is moved towards it.

    v, a = linear(seen), linear(heard)                          128 channels
    L(q, x): h = q + MHA(norm(q), x, x);  L = h + mlp(norm(h))  keys and values are not normalised
    V = L(v, a),  A = L(a, v)                                   the same weights
    z = w . V + w . A + 2 b                                     logits
    the twin: V' = L'(v', v'),  z' = w' . V' + b'               weights of its own

A score is sigmoid(z), the mean over crops; each crop is a row of its own.

Loss terms (names as in ``loss_weights``; k = T_i // 16 + 1, of the T_i valid snippets of video i):
    mil       BCE of p_i, the sigmoid of the mean of the k largest z, against the video label
    a2v_a2b   cross-entropy of picking, by cosine / ``temperature``, what is heard at the height of the video
              that is seen there, among what is heard at the k lowest scores of every video
    a2v_a2n   the same among what is heard at the k highest scores of the videos that are predicted normal
    v2a_a2b, v2a_a2n    the same with both streams exchanged
    single    BCE of the twin's video probability

Only videos that are predicted abnormal, p_i > 0.5, ask, whatever their label: with the mean of the rows at
their k highest scores, and k times. The terms are 0 unless there are videos of both kinds. Their weights grow
by ``growth`` in every epoch, up to those of ``loss_weights``.

After epoch e every weight of the first network that the twin also has becomes m times itself and 1 - m times
the twin's, m = 1 + (momentum - 1) (1 + cos(pi e / epochs)) / 2.

Numbers equal the authors' code, with its quirks: the streams are crossed, so that scores of sound pick rows
of V, and scores of sight rows of A; the zeros behind short videos take part in the attention, as far as the
longest video of the batch goes.

Deviations: an epoch is ``epoch_steps`` steps. Both networks have one optimizer with two learning rates, which
for Adam is the same as two optimizers. The valid snippets of a video are those that it has, where the authors
count the rows that are not all zero. Cosines are guarded against a norm of zero. What the authors' networks
hold and never use is left out (``multiheadattn``, ``feedforward``, the layer norm inside the attention).
"""

import math
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.layers import Dropout, PreNormLayer, over_rows, valid_positions
from wsvad_lightning.layers.blocks import in_blocks
from wsvad_lightning.losses import probability_bce
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.ops import cosine, topk_mean_each
from wsvad_lightning.types import WSVADBatch

CONTRASTS = ("a2v_a2b", "a2v_a2n", "v2a_a2b", "v2a_a2n")


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


class Picked(NamedTuple):
    """Rows of a stream, K places for each video.

    Attributes:
        top: ``[R, K, H]`` at the largest scores.
        low: ``[R, K, H]`` at the smallest scores.
        mean: ``[R, H]`` of the rows of ``top`` that count.
    """

    top: Tensor
    low: Tensor
    mean: Tensor


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


def contrast(out: MACILSDOutput, lengths: Tensor, temperature: float) -> dict[str, Tensor]:
    """Give the four terms of the contrast, by the names in ``CONTRASTS``.

    Args:
        out: of a training pass; every crop is a row.
        lengths: ``[B, N]`` valid snippets of each.
        temperature: that cosines are divided by.
    """
    visual_logits, audio_logits, visual, audio = (values.flatten(0, 1) for values in out)  # rows
    lengths = lengths.flatten()
    k = lengths // 16 + 1
    abnormal = topk_mean_each(visual_logits + audio_logits, lengths, k).sigmoid() > 0.5
    of_audio = pick_rows(visual, audio_logits, lengths, k)  # crossed, as the authors train it
    of_visual = pick_rows(audio, visual_logits, lengths, k)
    counts = valid_positions(k, of_audio.top.shape[1])
    queries = k * abnormal  # of each row: it is contrasted so many times
    other = counts & ~abnormal[:, None]
    both_kinds = abnormal.any() & ~abnormal.all()

    def distinguish(asking: Picked, asked: Picked, rows: Tensor, among: Tensor) -> Tensor:
        loss = info_nce(asking.mean, asked.mean, rows.flatten(0, 1), among.flatten(), temperature)
        return (loss * queries).sum() / queries.sum().clamp_min(1) * both_kinds

    return {
        "a2v_a2b": distinguish(of_audio, of_visual, of_visual.low, counts),
        "a2v_a2n": distinguish(of_audio, of_visual, of_visual.top, other),
        "v2a_a2b": distinguish(of_visual, of_audio, of_audio.low, counts),
        "v2a_a2n": distinguish(of_visual, of_audio, of_audio.top, other),
    }


def pick_rows(stream: Tensor, logits: Tensor, lengths: Tensor, k: Tensor) -> Picked:
    """Pick the rows of ``stream [R, T, H]`` at the k largest and the k smallest valid ``logits [R, T]``.

    So many places are picked that the longest video has enough; of a shorter one the first k count.
    """
    most = logits.shape[-1] // 16 + 1
    valid = valid_positions(lengths, logits.shape[-1])

    def at(scores: Tensor) -> Tensor:
        index = scores.masked_fill(~valid, -torch.inf).topk(most, dim=-1).indices
        return stream.take_along_dim(index[..., None], dim=-2).float()

    top = at(logits)
    counts = valid_positions(k, most)[..., None]
    return Picked(top, at(-logits), (top * counts).sum(dim=-2) / k[..., None])


def info_nce(queries: Tensor, positives: Tensor, rows: Tensor, among: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of finding the positive of each query among the other rows, ``[R]``.

    Args:
        queries: ``[R, H]``.
        positives: ``[R, H]``, one for each query.
        rows: ``[M, H]`` that it is among.
        among: ``[M]`` bool, which of them count.
        temperature: that cosines are divided by.
    """
    right = cosine(queries, positives).diagonal() / temperature
    wrong = (cosine(queries, rows) / temperature).masked_fill(~among, -torch.inf)
    return torch.cat([right[:, None], wrong], dim=-1).logsumexp(dim=-1) - right


class MACILSD(WSVADModule):
    """MACIL-SD as a LightningModule; the recipe of the paper is in ``xd_macilsd.yaml``.

    Args:
        feature_dim: D, channels of the features, sound included; taken from the store on the command line.
        audio_dim: how many of them, the last ones, are sound.
        hidden_dim: channels of both streams, a multiple of ``heads``.
        heads: of the attention.
        mlp_dim: hidden width of the feed-forward networks.
        dropout: probability.
        temperature: that cosines of the contrast are divided by.
        growth: by how much the weights of the contrast grow in an epoch, up to those of ``loss_weights``.
        distill: whether there is the twin, which the network is moved towards; scoring needs none.
        momentum: share of its own weights that the network keeps after the first epoch.
        epochs: after which it would keep all.
        epoch_steps: steps of an epoch.
        visual_lr: learning rate of the twin; None for that of the optimizer.
        **kwargs: arguments of :class:`WSVADModule`.

    Attributes:
        epoch: of the training, from 0.

    Raises:
        WSVADError: if an argument is out of range.
    """

    default_loss_weights: ClassVar[dict[str, float]] = {
        "mil": 1.0,
        **dict.fromkeys(CONTRASTS, 1.5),
        "single": 1.0,
    }

    net: MACILSDNet

    def __init__(
        self,
        feature_dim: int = 1152,
        audio_dim: int = 128,
        hidden_dim: int = 128,
        heads: int = 4,
        mlp_dim: int = 128,
        dropout: float = 0.1,
        temperature: float = 0.1,
        growth: float = 0.1,
        distill: bool = True,
        momentum: float = 0.91,
        epochs: int = 50,
        epoch_steps: int = 155,
        visual_lr: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(feature_dim=feature_dim, **kwargs)
        if not 1 <= audio_dim < feature_dim:
            problem = f"sound is a part of the {feature_dim} channels of the features"
            remedy = "Join it by data.features, such as [features, audio], and give its channels"
            raise WSVADError("model.audio_dim", audio_dim, problem, remedy)
        if heads < 1 or hidden_dim < heads or hidden_dim % heads:
            problem = f"its channels are divided among {heads} heads"
            raise WSVADError("model.hidden_dim", hidden_dim, problem, "Give a multiple of model.heads")
        for name, least in (("mlp_dim", mlp_dim), ("epochs", epochs), ("epoch_steps", epoch_steps)):
            if least < 1:
                raise WSVADError(f"model.{name}", least, "must be at least 1", "Give a larger number")
        for name, rate in (("temperature", temperature), ("visual_lr", visual_lr)):
            if rate is not None and not rate > 0:
                raise WSVADError(f"model.{name}", rate, "must be above 0", "Give a positive number")
        if not 0 <= momentum <= 1:
            raise WSVADError("model.momentum", momentum, "must be in [0, 1]", "Give a share of the weights")
        self.temperature, self.growth, self.momentum = temperature, growth, momentum
        self.epochs, self.epoch_steps, self.visual_lr = epochs, epoch_steps, visual_lr
        self.epoch = 0
        self.net = MACILSDNet(feature_dim, audio_dim, hidden_dim, heads, mlp_dim, dropout, twin=distill)
        if not distill:
            del self.loss_weights["single"]

    def score(self, batch: WSVADBatch) -> Tensor:
        """Score snippets: ``[B, T]`` in [0, 1]."""
        out: MACILSDOutput = self.net.joint(batch.features)
        return out.logits.sigmoid().mean(dim=1)

    def seen(self, batch: WSVADBatch) -> Tensor:
        """Mark what is attended to in a training batch, up to its longest video: ``[B, N, T]``."""
        longest = valid_positions(batch.lengths.amax(), batch.features.shape[2])
        return longest.expand(batch.features.shape[:-1])

    def compute_losses(self, batch: WSVADBatch) -> dict[str, Tensor]:
        """Give the raw terms that the module's docstring lists."""
        seen = self.seen(batch)
        lengths = batch.lengths[:, None].expand(seen.shape[:2])
        out: MACILSDOutput = self.net.joint(batch.features, seen)

        def of_videos(logits: Tensor) -> Tensor:
            return probability_bce(video_probability(logits, lengths), batch.labels[:, None])

        losses = {"mil": of_videos(out.logits), **contrast(out, lengths, self.temperature)}
        if self.net.twin is not None:
            losses["single"] = of_videos(self.net.twin(batch.features, seen))
        return losses

    def total_loss(self, losses: dict[str, Tensor]) -> Tensor:
        """Sum the terms by weight; that of the contrast is at most what it has grown to."""
        grown = self.growth * self.epoch
        weighted = [
            (min(self.loss_weights[term], grown) if term in CONTRASTS else self.loss_weights[term]) * value
            for term, value in losses.items()
        ]
        return torch.stack(weighted).sum()

    def momentum_after(self, epoch: int) -> float:
        """Give the share of its own weights that the network keeps after an epoch, counted from 0."""
        done = min(epoch / self.epochs, 1)
        return 1 + (self.momentum - 1) * (1 + math.cos(math.pi * done)) / 2

    def on_train_batch_start(self, batch: WSVADBatch, batch_idx: int) -> None:
        """Know the epoch, also where a training is resumed."""
        self.epoch = self.global_step // self.epoch_steps

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Step; at the end of an epoch move the network towards the twin, before a checkpoint is written."""
        super().optimizer_step(*args, **kwargs)
        ended, steps = divmod(self.global_step + 1, self.epoch_steps)
        if steps == 0 and self.net.twin is not None:
            self.net.pull(self.momentum_after(ended - 1))

    def trained_parameters(self) -> list[dict[str, Any]]:
        """Give two groups: the network, and the twin with its learning rate if it has one."""
        rate = {} if self.visual_lr is None else {"lr": self.visual_lr}
        groups: list[dict[str, Any]] = [{"params": list(self.net.joint.parameters())}]
        if self.net.twin is not None:
            groups.append({"params": list(self.net.twin.parameters()), **rate})
        return groups


def video_probability(logits: Tensor, lengths: Tensor) -> Tensor:
    """Sigmoid of the mean of the k largest valid logits ``[..., T]`` of videos of ``lengths [...]``."""
    return topk_mean_each(logits, lengths, lengths // 16 + 1).sigmoid()
