"""HL-Net: sight and sound, scored offline and live (Wu et al., ECCV 2020, arXiv 2007.04687).

Three graphs over the snippets of a video mix their features: one by how alike they are, one by how near in
time, one by how alike a second branch scores them. That branch, which sees five snippets and none after its
own, learns from the labels and from the graphs, and scores videos while they are recorded.

    h = mlp(x)                                                               holistic features, 128 channels
    o = causal convolution over 5 snippets (mlp(h))                          online logits
    A_alike = softmax_j(cos(x_i, x_j) where above 0.7, else 0)
    A_near  = exp(-|i - j| / e)
    A_score = softmax_j(sigmoid((0.5 - |sigmoid(o_i) - sigmoid(o_j)|) / 0.1))
    g_A = two graph layers: relu(A h W_1 + convolution over 5 snippets (h)), relu(A h' W_2 + h')
    z = linear([g_alike; g_near; g_score])                                   offline logits

A score is sigmoid(z) or sigmoid(o) (``score_from``), the mean over crops; each crop is a row of its own. The
graph of scores has no gradient.

Loss terms (names as in ``loss_weights``; k = T_i // 16 + 1, of the T_i valid snippets of video i):
    mil          BCE of the sigmoid of the mean of the k largest offline logits against the video label
    mil_online   the same of the online logits
    distill      mean over videos and their valid snippets of -sigmoid(z) log sigmoid(o); no gradient of z

Numbers equal the authors' code, with its quirks: ``distill`` is one half of a cross-entropy and only raises
the online scores; cosines that count as 0 still have weight in the softmax; the graph of proximity and the
convolutions see the zeros behind short videos, as far as the longest video of the batch goes.

Deviations: log sigmoid(o) is computed as one function, which stays finite. The valid snippets of a video are
those that it has, where the authors count the rows that are not all zero. A batch may hold one video. What
the authors' network holds and never uses is left out (conv1d3, conv1d4, simAdj, disAdj).
"""

from typing import Any, ClassVar, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.layers import (
    Dropout,
    GraphLayer,
    TemporalConv,
    normalise_edges,
    proximity_graph,
    similarity_graph,
    valid_positions,
)
from wsvad_lightning.losses import probability_bce
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.ops import topk_mean_each
from wsvad_lightning.types import WSVADBatch

KERNEL = 5  # snippets that an online score is made of
CENTRE, WIDTH = 0.5, 0.1  # of the sigmoid that edges between like scores go through

ScoreFrom = Literal["offline", "online"]


class HLNetOutput(NamedTuple):
    """What a pass over videos yields.

    Attributes:
        logits: ``[B, N, T]`` float32, of whole videos.
        online_logits: ``[B, N, T]`` float32, each of a snippet and the four before it.
    """

    logits: Tensor
    online_logits: Tensor


class HLNetNet(nn.Module):
    """The network.

    Args:
        feature_dim: D, channels of the features.
        hidden_dims: channels of both layers that embed a snippet; the online branch has a half and a quarter
            of the last one.
        graph_dim: channels of the graph layers.
        dropout: probability after every layer.
        threshold: cosine up to which snippets do not count as alike.
    """

    def __init__(
        self,
        feature_dim: int = 1152,
        hidden_dims: tuple[int, int] = (512, 128),
        graph_dim: int = 32,
        dropout: float = 0.6,
        threshold: float = 0.7,
    ) -> None:
        super().__init__()
        wide, hidden = hidden_dims
        self.threshold = threshold
        self.embed = nn.Sequential(
            TemporalConv(feature_dim, wide),
            nn.ReLU(),
            Dropout(dropout),
            TemporalConv(wide, hidden),
            nn.ReLU(),
            Dropout(dropout),
        )
        self.online = nn.Sequential(
            TemporalConv(hidden, hidden // 2),
            nn.ReLU(),
            TemporalConv(hidden // 2, hidden // 4),
            nn.ReLU(),
            TemporalConv(hidden // 4, 1, kernel_size=KERNEL, causal=True),
        )
        self.mix_alike, self.mix_near, self.mix_score = (
            nn.ModuleList([GraphLayer(hidden, graph_dim), GraphLayer(graph_dim, graph_dim)]) for _ in range(3)
        )
        self.dropout = Dropout(dropout)
        self.to_logit = nn.Linear(3 * graph_dim, 1)
        for layer in self.modules():
            if isinstance(layer, nn.Conv1d | nn.Linear):
                nn.init.xavier_uniform_(layer.weight)

    def forward(self, features: Tensor, lengths: Tensor) -> HLNetOutput:
        """Score whole videos, crop by crop.

        Args:
            features: ``[B, N, T, D]``.
            lengths: ``[B]`` valid snippets of each video, the first ones; logits behind the longest video
                mean nothing.
        """
        num_snippets = features.shape[2]
        seen = valid_positions(lengths.amax(), num_snippets)  # as if cut to the longest video
        hidden = self.embed(features) * seen[:, None]
        online = self.score_online(hidden)
        valid = valid_positions(lengths, num_snippets)[:, None].expand(features.shape[:-1])
        branches = (
            (self.mix_alike, similarity_graph(features, valid, self.threshold)),
            (self.mix_near, proximity_graph(num_snippets, features.device) * seen),
            (self.mix_score, score_graph(online.detach().sigmoid(), valid)),
        )
        mixed = [self.mix(hidden, layers, graph) for layers, graph in branches]
        logits = self.to_logit(torch.cat(mixed, dim=-1)).squeeze(-1).float()
        return HLNetOutput(logits, online)

    def score_online(self, hidden: Tensor) -> Tensor:
        """Score embedded snippets ``[..., T, H]`` without those that follow: float32 logits ``[..., T]``."""
        logits: Tensor = self.online(hidden).squeeze(-1).float()
        return logits

    def mix(self, hidden: Tensor, layers: nn.ModuleList, graph: Tensor) -> Tensor:
        """Pass embedded snippets ``[..., T, H]`` through the layers of a graph: ``[..., T, graph_dim]``."""
        for layer in layers:
            hidden = self.dropout(F.relu(layer(hidden, graph)))
        return hidden


def score_graph(scores: Tensor, valid: Tensor) -> Tensor:
    """Connect snippets by how near their scores are: ``[..., T]`` in [0, 1] to ``[..., T, T]`` float32.

    Args:
        scores: online scores.
        valid: ``[..., T]`` bool; a snippet that is not valid has no edge.
    """
    nearness = 1 - (scores[..., :, None] - scores[..., None, :]).abs()
    return normalise_edges(torch.sigmoid((nearness - CENTRE) / WIDTH), valid)


class HLNet(WSVADModule):
    """HL-Net as a LightningModule; the recipe of the paper is in ``xd_hlnet.yaml``.

    Args:
        feature_dim: D, channels of the features; taken from the store on the command line.
        score_from: the branch that scores: ``offline``, which sees the whole video, or ``online``, which sees
            five snippets up to its own.
        dropout: probability after every layer.
        online_lr: learning rate of the online branch; None for that of the optimizer.
        **kwargs: arguments of :class:`WSVADModule`.

    Raises:
        WSVADError: if ``online_lr`` is not above 0.
    """

    default_loss_weights: ClassVar[dict[str, float]] = {"mil": 1.0, "mil_online": 1.0, "distill": 5.0}

    net: HLNetNet

    def __init__(
        self,
        feature_dim: int = 1152,
        score_from: ScoreFrom = "offline",
        dropout: float = 0.6,
        online_lr: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(feature_dim=feature_dim, **kwargs)
        if online_lr is not None and not online_lr > 0:
            raise WSVADError("model.online_lr", online_lr, "must be above 0", "Give null for the optimizer's")
        self.score_from: ScoreFrom = score_from
        if score_from == "online":
            self.field_of_view = (KERNEL - 1, 0)
        self.online_lr = online_lr
        self.net = HLNetNet(feature_dim, dropout=dropout)

    def score(self, batch: WSVADBatch) -> Tensor:
        """Score snippets: ``[B, T]`` in [0, 1]; the online branch alone computes no graph."""
        if self.score_from == "online":
            return self.net.score_online(self.net.embed(batch.features)).sigmoid().mean(dim=1)
        return self.run(batch).logits.sigmoid().mean(dim=1)

    def run(self, batch: WSVADBatch) -> HLNetOutput:
        """Pass a batch through the network."""
        out: HLNetOutput = self.net(batch.features, batch.lengths)
        return out

    def compute_losses(self, batch: WSVADBatch) -> dict[str, Tensor]:
        """Give the raw terms that the module's docstring lists."""
        out = self.run(batch)
        lengths, labels = batch.lengths[:, None], batch.labels[:, None]  # of every crop
        k = lengths // 16 + 1
        valid = valid_positions(lengths, out.logits.shape[-1])
        taught = -out.logits.detach().sigmoid() * F.logsigmoid(out.online_logits)
        return {
            "mil": probability_bce(topk_mean_each(out.logits, lengths, k).sigmoid(), labels),
            "mil_online": probability_bce(topk_mean_each(out.online_logits, lengths, k).sigmoid(), labels),
            "distill": ((taught * valid).sum(dim=-1) / lengths).mean(),
        }

    def trained_parameters(self) -> list[dict[str, Any]]:
        """Give two groups: the online branch, with its learning rate if it has one, and the rest."""
        online = list(self.net.online.parameters())
        own = {id(parameter) for parameter in online}
        rest = [parameter for parameter in self.parameters() if id(parameter) not in own]
        rate = {} if self.online_lr is None else {"lr": self.online_lr}
        return [{"params": rest}, {"params": online, **rate}]
