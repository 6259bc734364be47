"""What RTFM and the methods built on it share: the longest features of a video stand for it.

    top = the k largest of mean_crops(||F||), in training among a random part of the snippets

Loss terms (names as in ``loss_weights``):
    cls          BCE of the mean score of the top snippets against the video label
    magnitude    (|margin - ||mean_top F_abnormal||| + ||mean_top F_normal||)^2, crop by crop
    smooth       squared differences of neighbouring scores of abnormal videos
    sparsity     Euclidean norm of the scores of all abnormal videos together
"""

from dataclasses import dataclass
from typing import ClassVar

from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor

from wsvad_lightning.layers import MagnitudeSelection
from wsvad_lightning.losses import magnitude_mil
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.types import WSVADBatch


@dataclass(frozen=True)
class MagnitudeOutput:
    """What a pass over videos yields.

    Attributes:
        features: ``[B, N, T, D]`` whose lengths tell normal from abnormal.
        crop_scores: ``[B, N, T]`` in [0, 1].
    """

    features: Tensor
    crop_scores: Tensor

    @property
    def scores(self) -> Tensor:
        """``[B, T]``: the mean over crops."""
        return self.crop_scores.mean(dim=1)


class MagnitudeMIL(WSVADModule):
    """Base of the methods with RTFM's selection and loss; they give ``encode``.

    Args:
        feature_dim: D, channels of the features.
        k: snippets that stand for a video, clamped to T.
        margin: length that the features of abnormal snippets should have.
        exclude: probability by which a snippet is kept from standing for its video in training.
        smooth_across_videos: smooth the abnormal scores of a batch as one curve, as the authors do; false
            smooths each video for itself.
        loss_weights: weights that differ from ``default_loss_weights``.
        optimizer: makes the optimizer from the parameters.
        lr_scheduler: makes a scheduler from the optimizer, stepped after every batch.
    """

    default_loss_weights: ClassVar[dict[str, float]] = {
        "cls": 1.0,
        "magnitude": 1e-4,
        "smooth": 8e-4,
        "sparsity": 8e-3,
    }

    def __init__(
        self,
        feature_dim: int,
        k: int,
        margin: float,
        exclude: float,
        smooth_across_videos: bool,
        loss_weights: dict[str, float] | None,
        optimizer: OptimizerCallable,
        lr_scheduler: LRSchedulerCallable | None,
    ) -> None:
        super().__init__(feature_dim, loss_weights, optimizer, lr_scheduler)
        self.margin, self.smooth_across_videos = margin, smooth_across_videos
        self.select = MagnitudeSelection(k, exclude)

    def encode(self, batch: WSVADBatch) -> MagnitudeOutput:
        """Pass a batch through the network."""
        raise NotImplementedError(f"{type(self).__name__} must give encode")

    def score(self, batch: WSVADBatch) -> Tensor:
        """Score snippets: ``[B, T]`` in [0, 1]."""
        return self.encode(batch).scores

    def compute_losses(self, batch: WSVADBatch) -> dict[str, Tensor]:
        """Give the raw terms that the module's docstring lists."""
        return self.magnitude_terms(self.encode(batch), batch.labels)

    def magnitude_terms(self, out: MagnitudeOutput, labels: Tensor) -> dict[str, Tensor]:
        """Give the terms of a pass over videos with ``labels [B]``."""
        index = self.select(out.features)
        return magnitude_mil(out.scores, out.features, index, labels, self.margin, self.smooth_across_videos)
