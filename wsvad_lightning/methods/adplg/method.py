"""ADPLG as a LightningModule."""

from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor

from wsvad_lightning.losses import probability_bce, smoothness
from wsvad_lightning.methods.adplg.labels import (
    AttentionHistory,
    from_all_processes,
    label_snippets,
    snippet_bce,
)
from wsvad_lightning.methods.adplg.networks import ADPLGNet, SnippetNet, VideoNet, VideoOutput
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.ops import min_max
from wsvad_lightning.types import PseudoLabels, WSVADBatch

HISTORY = "attention_history"
STEP_STREAM = 4  # of the seed; the data module uses the first ones


class ADPLG(WSVADModule):
    """ADPLG as a LightningModule; recipes in ``ucf_adplg.yaml``, ``xd_adplg.yaml`` and ``sht_adplg.yaml``.

    Each network has its optimizer. The steps that a trainer counts are the video network's, one per batch.

    Args:
        feature_dim: D, channels of the features; taken from the store on the command line.
        hidden_dim: channels of the snippet network.
        attention_dim: channels of the video network.
        windows: distances of the snippet network's local attention, one branch each.
        depth: layers of its attention over the video.
        positions: snippets whose positions the snippet network learns.
        history_of: what has a history of its own: a ``video``, whose crops share it, or every ``crop``.
        history_length: H, visits that a label is made of; before, the attention itself is the label.
        label_threshold: minimum mean attention of an anomalous snippet.
        variance_threshold: maximum variance of attention of a snippet that is used.
        warm_up: steps after which the snippet network starts to learn.
        regularize_over: what attention is smooth and sparse over: the ``videos`` of a batch (authors), or
            ``time``.
        dropout: probability in both score heads.
        attention_dropout: probability in the snippet network's attention over the video.
        video_optimizer: makes the video network's optimizer from its parameters; ``optimizer`` and
            ``lr_scheduler`` are the snippet network's.
        **kwargs: arguments of :class:`WSVADModule`.
    """

    default_loss_weights: ClassVar[dict[str, float]] = {
        "vc": 1.0,
        "triplet": 1.0,
        "cos": 1.0,
        "smooth": 1.0,
        "sparsity": 1.0,
        "sc": 1.0,
    }

    not_saved: ClassVar[tuple[str, ...]] = (*WSVADModule.not_saved, "video_optimizer")

    net: ADPLGNet

    def __init__(
        self,
        feature_dim: int = 1024,
        hidden_dim: int = 1024,
        attention_dim: int = 512,
        windows: tuple[int, ...] = (2, 4, 6, 8),
        depth: int = 2,
        positions: int = 6750,
        history_of: Literal["video", "crop"] = "video",
        history_length: int = 3,
        label_threshold: float = 0.25,
        variance_threshold: float = 0.4,
        warm_up: int = 1000,
        regularize_over: Literal["videos", "time"] = "videos",
        dropout: float = 0.7,
        attention_dropout: float = 0.5,
        video_optimizer: OptimizerCallable = torch.optim.Adam,
        **kwargs: Any,
    ) -> None:
        super().__init__(feature_dim=feature_dim, **kwargs)
        self.automatic_optimization = False
        self.video_optimizer = video_optimizer
        self.history_of, self.regularize_over, self.warm_up = history_of, regularize_over, warm_up
        self.label_threshold, self.variance_threshold = label_threshold, variance_threshold
        self.history = AttentionHistory(history_length)
        self.net = ADPLGNet(
            VideoNet(feature_dim, attention_dim, dropout),
            SnippetNet(
                feature_dim,
                hidden_dim,
                windows,
                depth,
                positions,
                dropout,
                attention_dropout,
            ),
        )

    def score(self, batch: WSVADBatch) -> Tensor:
        """Score snippets: ``[B, T]`` in [0, 1]."""
        scores: Tensor = self.net(batch.features)
        return scores

    def compute_losses(self, batch: WSVADBatch) -> dict[str, Tensor]:
        """Give the raw terms that the package's docstring lists; this is a visit to the abnormal bags."""
        out: VideoOutput = self.net.video(batch.features)
        labels = self.label(batch, min_max(out.attention.detach()))
        scores = self.net.snippet(batch.features)
        return {**self.video_losses(out, batch), "sc": snippet_bce(scores, labels)}

    def video_losses(self, out: VideoOutput, batch: WSVADBatch) -> dict[str, Tensor]:
        """Give the terms of the video network."""
        attention = out.attention.flatten(0, 1)  # [crops of the abnormal bags, T]
        curves = attention.T if self.regularize_over == "videos" else attention
        return {
            "vc": probability_bce(out.scores, batch.labels[:, None]),
            "triplet": F.triplet_margin_loss(out.normal, out.normal_in_abnormal, out.abnormal),
            "cos": F.cosine_similarity(out.attention, out.cross_attention, dim=-1).mean(),
            "smooth": smoothness(curves),
            "sparsity": curves.norm(dim=-1).mean(),
        }

    def label(self, batch: WSVADBatch, attention: Tensor) -> PseudoLabels:
        """Label the snippets of a batch, from the history of its abnormal bags and this visit to them.

        Args:
            batch: B bags of N crops.
            attention: ``[B/2, N, T]`` in [0, 1], of the abnormal ones.

        Returns:
            ``[B, N, T]``; nothing is anomalous in normal bags.
        """
        num_crops = batch.features.shape[1]
        curves = attention.mean(dim=1, keepdim=True) if self.history_of == "video" else attention
        visited = self.visit(self.keys(batch), curves.flatten(0, 1))

        def of_batch(values: Tensor) -> Tensor:
            abnormal = values.to(attention.device).view_as(curves).expand(-1, num_crops, -1)
            return torch.cat([torch.zeros_like(abnormal), abnormal])

        return PseudoLabels(*map(of_batch, visited))

    def keys(self, batch: WSVADBatch) -> list[str]:
        """Name what has a history of its own among the abnormal bags of a batch."""
        size, num_crops = batch.features.shape[:2]
        names = batch.video_ids[size // 2 :]
        if self.history_of == "video":
            return names
        views = batch.views[size // 2 :] if batch.views else [0] * len(names)
        return [
            crop_key(name, view + n)
            for name, view in zip(names, views, strict=True)
            for n in range(num_crops)
        ]

    def visit(self, keys: list[str], curves: Tensor) -> PseudoLabels:
        """Take attention into the history, together with that of the other processes, and make labels.

        Args:
            keys: of n videos or crops.
            curves: ``[n, T]`` in [0, 1].

        Returns:
            ``[n, T]``, on the CPU; the attention itself where the history is not yet complete.
        """
        curves = curves.float().cpu()
        everyone, joined, own = from_all_processes(keys, curves)
        last, complete = (values[own] for values in self.history.visit(everyone, joined))
        made = label_snippets(last, self.label_threshold, self.variance_threshold)
        known = complete[:, None]
        return PseudoLabels(made.target.where(known, curves), made.ignored & known)

    def current_labels(self, video_id: str) -> PseudoLabels | None:
        """Give the labels of a training video as they are now; of its first crop, if each has its own."""
        curves = self.history.curves_of(video_id if self.history_of == "video" else crop_key(video_id, 0))
        if curves is None:
            return None
        return label_snippets(curves, self.label_threshold, self.variance_threshold)

    def on_train_batch_start(self, batch: WSVADBatch, batch_idx: int) -> None:
        """Seed a step by its number, so that a resumed run draws what an uninterrupted one would."""
        where = [self.data.seed, STEP_STREAM, self.trainer.global_step, self.trainer.global_rank]
        torch.manual_seed(int(np.random.default_rng(where).integers(2**63)))

    def training_step(self, batch: WSVADBatch, batch_idx: int) -> Tensor:
        """One step of both networks, or of the video network alone during the warm-up."""
        total = super().training_step(batch, batch_idx)
        optimizers: Any = self.optimizers()
        video_optimizer, snippet_optimizer = optimizers
        video_optimizer.zero_grad()
        snippet_optimizer.zero_grad()
        self.manual_backward(total)
        video_optimizer.step()
        if self.trainer.global_step > self.warm_up:
            self.step_uncounted(snippet_optimizer)
            scheduler: Any = self.lr_schedulers()
            if scheduler is not None:
                scheduler.step()
        return total

    def configure_optimizers(self) -> Any:  # two, where the base has one
        """Build what the recipe names: an optimizer for each network, and a scheduler of the second."""
        video = self.video_optimizer(self.net.video.parameters())
        snippet = self.optimizer(self.net.snippet.parameters())
        return [video, snippet], [self.lr_scheduler(snippet)] if self.lr_scheduler else []

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the history."""
        super().on_save_checkpoint(checkpoint)
        if len(self.history):
            checkpoint[HISTORY] = self.history.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the history over; imported weights have none."""
        super().on_load_checkpoint(checkpoint)
        if HISTORY in checkpoint:
            self.history.load_state_dict(checkpoint[HISTORY])


def crop_key(video_id: str, view: int) -> str:
    """Name a crop of a video."""
    return f"{video_id}/{view}"
