"""What RTFM and the methods built on it share: the snippets of longest features represent their video.

    top = the k largest of mean_crops(||F||), in training among a random part of the snippets

Loss terms (names as in ``loss_weights``):
    cls          BCE of the mean score of the top snippets against the video label
    magnitude    (|margin - ||mean_top F_abnormal||| + ||mean_top F_normal||)^2, crop by crop
    smooth       squared differences of neighbouring scores of abnormal videos
    sparsity     Euclidean norm of the scores of all abnormal videos together
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from wsvad_lightning.layers import MagnitudeSelection
from wsvad_lightning.losses import magnitude_mil
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.types import WSVADBatch


@dataclass(frozen=True)
class MagnitudeOutput:
    """What a pass over videos yields.

    Attributes:
        features: ``[B, N, T, D]``, long in abnormal snippets and short in normal ones.
        crop_scores: ``[B, N, T]`` in [0, 1].
    """

    features: Tensor
    crop_scores: Tensor

    @property
    def scores(self) -> Tensor:
        """``[B, T]``: the mean over crops."""
        return self.crop_scores.mean(dim=1)


class MagnitudeModule(WSVADModule):
    """Base of the methods in which the k snippets of longest features represent a video.

    Args:
        k: snippets that represent a video, clamped to T.
        exclude: probability that a snippet is excluded from the selection in training.
        **kwargs: arguments of :class:`WSVADModule`.
    """

    def __init__(self, k: int = 3, exclude: float = 0.7, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.select = MagnitudeSelection(k, exclude)

    def setup(self, stage: str) -> None:
        """Check as every method does; report a k that selects all snippets of a bag."""
        super().setup(stage)
        if stage == "fit" and self.select.k > self.data.segments:
            rank_zero_info(
                f"note: model.k={self.select.k} snippets represent a video, but a bag has data.segments="
                f"{self.data.segments}: all of them are selected"
            )


class MagnitudeMIL(MagnitudeModule):
    """Base of the methods with RTFM's selection and loss; they give ``encode``.

    Args:
        margin: length that the features of abnormal snippets should have.
        smooth_across_videos: smooth the abnormal scores of a batch as one curve, as the authors do; false
            smooths each video by itself.
        **kwargs: arguments of :class:`MagnitudeModule`.
    """

    default_loss_weights: ClassVar[dict[str, float]] = {
        "cls": 1.0,
        "magnitude": 1e-4,
        "smooth": 8e-4,
        "sparsity": 8e-3,
    }

    def __init__(self, margin: float = 100.0, smooth_across_videos: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.margin, self.smooth_across_videos = margin, smooth_across_videos

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
