"""BN-WVAD: abnormal snippets by BatchNorm statistics (Zhou et al., IEEE TCSVT 2024, arXiv 2311.15367).

Most snippets of a batch are normal, so the running mean of a BatchNorm is a prototype of normality. How far
a snippet lies from it, in running standard deviations, is its divergence:

    x = transformer(relu(conv(features)))                                     temporal context, as in UR-DMU
    h_1 = conv_1(x),  h_2 = conv_2(relu(bn_1(h_1)))                           two levels of the head
    p = sigmoid(conv_3(relu(bn_2(h_2))))
    d_l = sqrt(sum_c (h_l - running mean_l)^2 / running variance_l)           divergence at level l
    score = mean over crops of (d_1 + d_2) p

The score has no upper bound, so metrics at the threshold 0.5 (false alarms, accuracy) say little about it;
areas under curves do. Divergences carry no gradient into the statistics. In training these already contain
the batch itself, while ``p`` comes from the batch's own statistics.

Loss terms (names as in ``loss_weights``; rows are the crops of one half's videos, T snippets each):
    normal      mean over normal rows of the Euclidean norm of p along time
    triplet1    mean over pairs of relu(d_1(normal) - d_1(abnormal) + margin)
    triplet2    the same at level 2

Pairs: of the abnormal half, every snippet among the ``sample_ratio`` T most divergent of its row or among the
``batch_ratio`` share of most divergent ones of the half, in the order of rows and time; with them, as many
normal snippets, the most divergent of every row first, then the second most of every row, and so on.

Numbers equal the authors' code. Deviations, none of which changes them:
    several crops in training (their code fails): every crop is a row, selected from on its own, which equals
        giving it as a bag of its own
    few snippets: at least one per row is selected (their share of T rounds down to none); the normal rows
        never run out, since there are as many of them
    zeros: variances are at least 1e-12, and the gradient of a divergence of zero is zero
"""

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.layers import DistanceEncoder, over_rows
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.ops import halves
from wsvad_lightning.types import WSVADBatch

Levels = tuple[Tensor, Tensor]


def divergence(features: Tensor, norm: nn.BatchNorm1d) -> Tensor:
    """Distance of each snippet from the running mean, in running standard deviations.

    Args:
        features: ``[..., C, T]``, what ``norm`` normalises.
        norm: holds the statistics, as they are now.

    Returns:
        ``[..., T]`` float32.
    """
    assert norm.running_mean is not None
    assert norm.running_var is not None
    deviation = norm.running_var.clamp(min=1e-12).sqrt()
    standardized = (features.float() - norm.running_mean[:, None]) / deviation[:, None]
    distance: Tensor = standardized.norm(dim=-2)
    return distance


class DivergenceHead(nn.Module):
    """Two narrowing levels with BatchNorm, then a probability.

    Args:
        dim: channels in; the levels have a 16th and a 32nd of them.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(dim, dim // 16, kernel_size=1)
        self.bn1 = nn.BatchNorm1d(dim // 16)
        self.conv2 = nn.Conv1d(dim // 16, dim // 32, kernel_size=1)
        self.bn2 = nn.BatchNorm1d(dim // 32)
        self.conv3 = nn.Conv1d(dim // 32, 1, kernel_size=1)

    @over_rows
    def forward(self, x: Tensor) -> tuple[Tensor, Levels]:
        """Give the probability ``[..., T]`` of snippets ``[..., T, H]``, and the levels ``[..., C, T]``."""
        first = self.conv1(x.mT)
        second = self.conv2(F.relu(self.bn1(first)))
        logits = self.conv3(F.relu(self.bn2(second))).squeeze(1)
        return torch.sigmoid(logits.float()), (first, second)

    def divergences(self, levels: Levels) -> Levels:
        """Give the :func:`divergence` ``[..., T]`` of each level."""
        first, second = levels
        return divergence(first, self.bn1), divergence(second, self.bn2)


class BNWVADNet(nn.Module):
    """The network, usable without Lightning: ``BNWVADNet()(features)`` scores snippets.

    Args:
        feature_dim: D, channels of the features.
        hidden_dim: H, channels of the encoder.
        depth: layers of the transformer.
        heads: its attention heads.
        head_dim: channels a head and branch.
        mlp_dim: hidden width of its feed-forward networks.

    Raises:
        WSVADError: if ``hidden_dim`` is too small for the head.
    """

    def __init__(
        self,
        feature_dim: int = 1024,
        hidden_dim: int = 512,
        depth: int = 2,
        heads: int = 4,
        head_dim: int = 128,
        mlp_dim: int = 512,
    ) -> None:
        super().__init__()
        if hidden_dim < 32:
            raise WSVADError(
                "model.hidden_dim", hidden_dim, "the head keeps a 32nd of the channels", "Give at least 32"
            )
        self.encoder = DistanceEncoder(feature_dim, hidden_dim, depth, heads, head_dim, mlp_dim, dropout=0.0)
        self.head = DivergenceHead(hidden_dim)

    def score_crops(self, features: Tensor) -> tuple[Tensor, Levels]:
        """Give probability and divergences of ``[B, N, T, D]``, ``[B, N, T]`` each."""
        probability, levels = self.head(self.encoder(features))
        return probability, self.head.divergences(levels)

    def forward(self, features: Tensor) -> Tensor:
        """Score videos of any length: ``[B, N, T, D]`` to ``[B, T]``, at least 0 and without upper bound."""
        probability, (first, second) = self.score_crops(features)
        return ((first + second) * probability).mean(dim=1)


class BNWVAD(WSVADModule):
    """BN-WVAD as a LightningModule; the recipe of the paper is in ``xd_bnwvad.yaml``.

    Args:
        feature_dim: D, channels of the features; taken from the store on the command line.
        hidden_dim: channels of the encoder, at least 32.
        sample_ratio: share of each abnormal row's snippets that is selected.
        batch_ratio: share of the abnormal half's snippets that is selected.
        margin: by how much abnormal snippets should diverge more than normal ones.
        **kwargs: arguments of :class:`WSVADModule`.
    """

    default_loss_weights: ClassVar[dict[str, float]] = {"normal": 1.0, "triplet1": 5.0, "triplet2": 20.0}

    net: BNWVADNet

    def __init__(
        self,
        feature_dim: int = 1024,
        hidden_dim: int = 512,
        sample_ratio: float = 0.2,
        batch_ratio: float = 0.4,
        margin: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(feature_dim=feature_dim, **kwargs)
        for name, ratio in {"sample_ratio": sample_ratio, "batch_ratio": batch_ratio}.items():
            if not 0 <= ratio <= 1:
                raise WSVADError(f"model.{name}", ratio, "must be in [0, 1]", "Give a share of the snippets")
        self.sample_ratio, self.batch_ratio, self.margin = sample_ratio, batch_ratio, margin
        self.net = BNWVADNet(feature_dim, hidden_dim, mlp_dim=hidden_dim)

    def score(self, batch: WSVADBatch) -> Tensor:
        """Score snippets: ``[B, T]``, at least 0 and without upper bound."""
        scores: Tensor = self.net(batch.features)
        return scores

    def compute_losses(self, batch: WSVADBatch) -> dict[str, Tensor]:
        """Give the raw terms that the module's docstring lists."""
        probability, (first, second) = self.net.score_crops(batch.features)
        normal, _ = halves(probability)
        return {
            "normal": normal.norm(dim=-1).mean(),
            "triplet1": self.triplet(first),
            "triplet2": self.triplet(second),
        }

    def triplet(self, divergences: Tensor) -> Tensor:
        """Order the divergences of paired snippets, ``[B, N, T]``, the normal half first."""
        normal, abnormal = (half.flatten(0, 1) for half in halves(divergences))
        normal_index, abnormal_index, is_pair = select_pairs(
            normal, abnormal, self.sample_ratio, self.batch_ratio
        )
        difference = normal.flatten()[normal_index] - abnormal.flatten()[abnormal_index]
        return F.relu(difference + self.margin).where(is_pair, 0.0).sum() / is_pair.sum()


def select_pairs(
    normal: Tensor, abnormal: Tensor, sample_ratio: float, batch_ratio: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Select divergent snippets of both halves and pair them, as the module's docstring says.

    Shapes do not depend on how many pairs there are, so that a GPU need not wait to know it.

    Args:
        normal: ``[R, T]`` divergences of the normal half.
        abnormal: ``[R, T]`` divergences of the abnormal half.
        sample_ratio: share of T to select in every row, at least one snippet.
        batch_ratio: share of R * T to select from the half.

    Returns:
        Positions ``[R T]`` of normal and of abnormal snippets in the flattened halves, and which of them are
        pairs: the first ones.
    """
    rows, length = abnormal.shape
    of_row = _largest(abnormal, max(1, int(length * sample_ratio)))
    of_half = _largest(abnormal.flatten(), int(rows * length * batch_ratio))
    selected = of_row.flatten() | of_half
    in_order = selected.to(torch.uint8).argsort(descending=True, stable=True)
    ranked = normal.argsort(dim=1, descending=True)
    by_rank = (ranked + length * torch.arange(rows, device=ranked.device)[:, None]).T.flatten()
    return by_rank, in_order, selected[in_order]


def _largest(values: Tensor, k: int) -> Tensor:
    """Mark the k largest values along the last axis."""
    return torch.zeros_like(values, dtype=torch.bool).scatter(-1, values.topk(k, dim=-1).indices, True)
