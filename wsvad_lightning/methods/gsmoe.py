"""GS-MoE: mixture of experts guided by Gaussian splatters (ICCV 2025, arXiv 2508.06318).

One expert scores snippets for each class of anomalies; a gate weighs what they say against the features and
gives the final score. Besides the top-k snippets, the neighbourhood of every prominent peak of a score curve
is learnt: temporal Gaussian splatting (TGS) makes soft labels of it.

    x = transformer(relu(conv(features)))                     [R, T, H], R rows: videos x crops
    e_c = sigmoid(mlp(transformer layer(x)))                  experts, [R, T] each
    q = linear([e_1 .. e_C])                                  [R, T, H]
    g = [q attends to x; x to q]                              cross-attention both ways, [R, T, 2H]
    score = mean_crops(sigmoid(mlp(transformer layer(g))))

Loss terms (names as in ``loss_weights``; k = T // 16 + 1):
    mil        top-k BCE of the scores against the video label
    experts    top-k BCE of every expert: videos of its class against normal videos
    tgs        BCE of abnormal curves against the labels that :func:`wsvad_lightning.losses.splat` makes of
               their peaks; from step ``warm_up`` on
    smooth     squared differences of neighbouring scores, abnormal videos
    sparsity   mean score of abnormal videos

No code was released with the paper. Its own are the experts near a million parameters each, the gate of
refined scores and attention both ways, the widths of the MLPs, the peaks with a prominence of 0.2 against two
neighbours, the Gaussians limited to [p - w, p + w] and to s_p - sigma, a first epoch without them, and
experts by K-means in stores without classes. Chosen here:

* The encoder is UR-DMU's, and can start from its checkpoint (``encoder_from``).
* Attention of an expert has heads of 32 channels, in all a quarter of its input; layers have a residual and a
  norm in front, the two of cross-attention too, else nothing of a snippet itself would reach the gate.
* Prominence is that of scipy.signal.find_peaks over the whole curve; ``neighbours: 2`` is the paper's. Rise
  and fall are strict. A curve without a peak has no TGS loss, rather than labels of zero.
* The width of a Gaussian is w / 2 snippets; the paper's sigma, the deviation of the scores, is
  ``sigma: score``: see ``docs/methods/gsmoe.md`` for what it does.
* TGS is for the final score, and everything is trained together. Weights of smoothness and sparsity.
* ``classify`` shares a score out among the classes in proportion to the scores of their experts.
* Clusters are those of the abnormal training videos; a bag belongs to the centre that its mean is nearest to.
"""

from itertools import pairwise
from typing import Any, ClassVar, Literal, NamedTuple

import torch
import torch.nn.functional as F
from lightning.pytorch.cli import OptimizerCallable
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor, nn

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.layers import CrossAttention, DistanceEncoder, PreNormLayer, SelfAttention
from wsvad_lightning.layers.blocks import in_blocks
from wsvad_lightning.losses import Sigma, probability_bce, smoothness, splat, splatting_bce, topk_bce
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.ops import halves, topk_mean
from wsvad_lightning.start import take_part
from wsvad_lightning.types import FeatureRequirements, WSVADBatch

HEADS = 4
HEAD_DIM = 128
EXPERT_HEAD_DIM = 32
FEED_FORWARD = 512
EXPERT_MLP = (256, 128, 64)
GATE_MLP = (512, 256, 128)
ROUNDS = 100  # of K-means, which ends before

ExpertsBy = Literal["classes", "clusters"]


class GSMoEOutput(NamedTuple):
    """What a pass yields.

    Attributes:
        scores: ``[B, T]`` in [0, 1], of the gate.
        expert_scores: ``[B, T, C]`` in [0, 1].
    """

    scores: Tensor
    expert_scores: Tensor


def _mlp(*dims: int) -> nn.Sequential:
    """Linear layers with GELU between them."""
    parts = [part for dim, out in pairwise(dims) for part in (nn.Linear(dim, out), nn.GELU())]
    return nn.Sequential(*parts[:-1])


class Gate(nn.Module):
    """Fuses the scores of the experts with the features they were made of.

    Args:
        dim: H, channels of the features.
        num_experts: C.
    """

    def __init__(self, dim: int, num_experts: int) -> None:
        super().__init__()
        self.refine = nn.Linear(num_experts, dim)
        self.classes_look, self.features_look = (
            PreNormLayer(CrossAttention(dim, HEADS, HEAD_DIM), dim, FEED_FORWARD) for _ in range(2)
        )
        attention = SelfAttention(2 * dim, HEADS, HEAD_DIM, dropout=0.0)
        self.fuse = PreNormLayer(attention, 2 * dim, FEED_FORWARD)
        self.to_logit = _mlp(2 * dim, dim, *GATE_MLP, 1)

    def forward(self, encoded: Tensor, expert_scores: Tensor) -> Tensor:
        """Weigh ``[..., T, C]`` scores against ``[..., T, H]`` features: logits ``[..., T]``."""
        refined = self.refine(expert_scores.to(encoded.dtype))
        both = [self.classes_look(refined, encoded), self.features_look(encoded, refined)]
        fused = self.fuse(torch.cat(both, dim=-1))
        return in_blocks(self.to_logit, fused, 2 * GATE_MLP[0]).squeeze(-1)


class GSMoENet(nn.Module):
    """The network, usable without Lightning: ``GSMoENet()(features).scores``.

    Args:
        feature_dim: D, channels of the features.
        hidden_dim: H, channels of the encoder.
        num_experts: C.
        dropout: probability inside the encoder.
    """

    def __init__(
        self, feature_dim: int = 1024, hidden_dim: int = 512, num_experts: int = 13, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.encoder = DistanceEncoder(
            feature_dim, hidden_dim, depth=2, heads=4, head_dim=128, mlp_dim=hidden_dim, dropout=dropout
        )
        self.experts = nn.ModuleList(
            nn.Sequential(
                PreNormLayer(
                    SelfAttention(hidden_dim, HEADS, EXPERT_HEAD_DIM, dropout=0.0), hidden_dim, FEED_FORWARD
                ),
                _mlp(hidden_dim, *EXPERT_MLP, 1),
            )
            for _ in range(num_experts)
        )
        self.gate = Gate(hidden_dim, num_experts)

    def forward(self, features: Tensor) -> GSMoEOutput:
        """Score videos of any length: ``[B, N, T, D]``."""
        encoded = self.encoder(features)
        logits = torch.cat([expert(encoded) for expert in self.experts], dim=-1)
        expert_scores = logits.float().sigmoid()
        scores = self.gate(encoded, expert_scores).float().sigmoid()
        return GSMoEOutput(scores.mean(dim=1), expert_scores.mean(dim=1))


class GSMoE(WSVADModule):
    """GS-MoE as a LightningModule; the recipe is in ``ucf_gsmoe.yaml``.

    Args:
        feature_dim: D, channels of the features; taken from the store on the command line.
        hidden_dim: channels of the encoder.
        num_experts: C; as many as the store has classes, if they are by classes.
        experts_by: what an expert knows: a ``classes`` of the store each, or ``clusters`` of the abnormal
            training videos, for stores that know only normal and abnormal.
        encoder_from: checkpoint of UR-DMU whose encoder training starts from; None for a new one.
        warm_up: steps without TGS.
        prominence: least prominence of a peak.
        neighbours: snippets on each side that it is measured against, 2 in the paper; None for all.
        sigma: spread of the Gaussian on a peak: half its width in ``snippets``, or the standard deviation of
            the ``score`` around it, as the paper has it.
        dropout: probability inside the encoder.
        optimizer: makes the optimizer from the parameters.
        **kwargs: arguments of :class:`WSVADModule`.

    Attributes:
        centres: ``[C, D]`` of the clusters; 0 until training starts, and where experts are by classes.

    Raises:
        WSVADError: if ``num_experts`` is less than 1.
    """

    default_loss_weights: ClassVar[dict[str, float]] = {
        "mil": 1.0,
        "experts": 1.0,
        "tgs": 1.0,
        "smooth": 8e-4,
        "sparsity": 8e-3,
    }

    not_saved: ClassVar[tuple[str, ...]] = (*WSVADModule.not_saved, "encoder_from")

    net: GSMoENet
    centres: Tensor

    def __init__(
        self,
        feature_dim: int = 1024,
        hidden_dim: int = 512,
        num_experts: int = 13,
        experts_by: ExpertsBy = "classes",
        encoder_from: str | None = None,
        warm_up: int = 127,
        prominence: float = 0.2,
        neighbours: int | None = None,
        sigma: Sigma = "snippets",
        dropout: float = 0.5,
        optimizer: OptimizerCallable = torch.optim.AdamW,
        **kwargs: Any,
    ) -> None:
        super().__init__(feature_dim=feature_dim, optimizer=optimizer, **kwargs)
        if num_experts < 1:
            raise WSVADError("model.num_experts", num_experts, "must be at least 1", "Give an expert a class")
        self.requires = FeatureRequirements(classes=experts_by == "classes")
        self.num_experts, self.experts_by, self.encoder_from = num_experts, experts_by, encoder_from
        self.warm_up, self.prominence, self.neighbours = warm_up, prominence, neighbours
        self.sigma: Sigma = sigma
        self.net = GSMoENet(feature_dim, hidden_dim, num_experts, dropout)
        self.register_buffer("centres", torch.zeros(num_experts, feature_dim))

    def setup(self, stage: str) -> None:
        """Check as every method does; to train, give the experts their videos and the encoder its start.

        Raises:
            WSVADError: if there are other than as many classes, or too few videos for so many clusters, or
                ``encoder_from`` does not fit.
        """
        super().setup(stage)
        if stage != "fit":
            return
        if self.experts_by == "clusters":
            self.find_clusters()
        else:
            self.classes = self.read_classes()
        if self.encoder_from is not None:
            take_part(
                self.net.encoder, self.encoder_from, "net.encoder", "model.encoder_from", method="URDMU"
            )

    def read_classes(self) -> tuple[str, ...]:
        """Read the classes of the store, each of which has its expert.

        Raises:
            WSVADError: if not.
        """
        names = self.data.info.classes
        if len(names) != self.num_experts:
            problem = f"the store has {len(names)} classes of anomalies: {', '.join(names)}"
            remedy = f"Set it to {len(names)}, or model.experts_by to clusters"
            raise WSVADError("model.num_experts", self.num_experts, problem, remedy)
        return names

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take over the classes of the experts; where the videos have others, events are not measured."""
        super().on_load_checkpoint(checkpoint)
        names = tuple(checkpoint.get("classes", {}).get("names", ()))
        tested = self._trainer is not None and self.trainer.state.fn == "test"
        others = [name for name in self.data.info.classes if name not in names] if tested and names else []
        if others:
            known, unknown = ", ".join(names), ", ".join(others)
            rank_zero_info(f"note: no events are reported: the experts know {known}, not {unknown}")
            names = ()
        self.classes = names

    def find_clusters(self) -> None:
        """Find the clusters of the abnormal training videos, each by the mean of its features.

        Raises:
            WSVADError: if there are too few videos.
        """
        data = self.data
        abnormal = [name for name in data.parts["train"] if data.annotations[name].label == 1]
        means = [torch.from_numpy(data.read(name).mean(axis=(0, 1), dtype="float32")) for name in abnormal]
        if len(means) < self.num_experts:
            problem = f"the {len(means)} abnormal videos to train with make fewer clusters"
            raise WSVADError("model.num_experts", self.num_experts, problem, f"Give at most {len(means)}")
        self.centres.copy_(k_means(torch.stack(means), self.num_experts, data.seed))

    def score(self, batch: WSVADBatch) -> Tensor:
        """Score snippets: ``[B, T]`` in [0, 1]."""
        scores: Tensor = self.net(batch.features).scores
        return scores

    def classify(self, batch: WSVADBatch) -> Tensor | None:
        """Give probabilities ``[B, T, 1 + C]`` of normal and of the classes; None if experts have none."""
        return self.score_and_classify(batch)[1]

    def score_and_classify(self, batch: WSVADBatch) -> tuple[Tensor, Tensor | None]:
        """Give scores, and class probabilities: a score is divided as the experts score."""
        scores, experts = self.net(batch.features)
        if not self.classes:
            return scores, None
        shares = scores[..., None] * experts / experts.sum(dim=-1, keepdim=True).clamp_min(1e-6)
        return scores, torch.cat([1 - shares.sum(dim=-1, keepdim=True), shares], dim=-1)

    def compute_losses(self, batch: WSVADBatch) -> dict[str, Tensor]:
        """Give the raw terms that the module's docstring lists."""
        out: GSMoEOutput = self.net(batch.features)
        k = out.scores.shape[-1] // 16 + 1
        _, abnormal = halves(out.scores)
        return {
            "mil": topk_bce(out.scores, batch.labels, k),
            "experts": expert_bce(topk_mean(out.expert_scores.mT, k), self.expert_targets(batch)),
            "tgs": self.splatting_loss(abnormal),
            "smooth": smoothness(abnormal),
            "sparsity": abnormal.mean(),
        }

    def expert_targets(self, batch: WSVADBatch) -> Tensor:
        """Say which experts a video is an example for: ``[B, C]``, none for normal ones."""
        if self.experts_by == "classes":
            assert batch.class_targets is not None, "paired batches know the classes of their videos"
            return batch.class_targets[:, 1:]
        means = batch.features.mean(dim=1).sum(dim=1) / batch.lengths[:, None]  # padding is zero
        nearest = torch.cdist(means.float(), self.centres.float()).argmin(dim=1)
        return F.one_hot(nearest, self.num_experts) * batch.labels[:, None]

    def splatting_loss(self, curves: Tensor) -> Tensor:
        """Give the TGS loss of abnormal curves ``[B/2, T]``; zero in the warm-up."""
        if self.global_step < self.warm_up:
            return curves.new_zeros(())
        labels = splat(curves.detach(), self.prominence, self.neighbours, self.sigma)
        return splatting_bce(curves, labels)


def expert_bce(scores: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy of every expert on the videos of its class and on normal ones.

    Args:
        scores: ``[B, C]`` of videos by experts, the normal half first.
        targets: ``[B, C]`` 1 for the experts whose class a video is of.
    """
    concerned = targets.bool()
    concerned[: len(targets) // 2] = True
    return probability_bce(scores, targets, counts=concerned)


def k_means(points: Tensor, number: int, seed: int) -> Tensor:
    """Find the centres ``[number, D]`` of clusters of points ``[V, D]``: K-means from the start of K-means++.

    Args:
        points: ``[V, D]``; of fewer different ones than clusters, centres coincide.
        number: of clusters.
        seed: of the start.
    """
    generator = torch.Generator().manual_seed(seed)
    centres = points[torch.randint(len(points), (1,), generator=generator)]
    for _ in range(number - 1):
        distance = torch.cdist(points, centres).amin(dim=1).square().clamp_min(1e-12)
        centres = torch.cat([centres, points[torch.multinomial(distance, 1, generator=generator)]])
    for _ in range(ROUNDS):
        belongs = F.one_hot(torch.cdist(points, centres).argmin(dim=1), number).to(points)
        size = belongs.sum(dim=0)[:, None]
        moved = torch.where(size > 0, belongs.T @ points / size.clamp_min(1), centres)
        if torch.equal(moved, centres):
            break
        centres = moved
    return centres
