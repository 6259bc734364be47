"""GlanceVAD: a click inside each anomaly, spread around it (Zhang et al., ICME 2025, arXiv 2403.06154).

UR-DMU's network and most of its losses, see :mod:`wsvad_lightning.methods.urdmu`. What is new is the label:
of abnormal training videos a frame inside every anomaly is known, a glance. The segments that hold one, and
those next to them that score nearly as high, are centres of Gaussians, whose maximum is the target.

    P_t = 1 where a glance is in segment t
    K = P, in the first steps; later those that runs from P reach while s_j >= alpha s_c    ``mine_from``
    g = max over c in K of exp(-(2 (i - c) / (T - 1))^2 / (2 sigma^2)), stretched to [0, 1]

The gradient does not pass through K. A video without a glance has the target 0 everywhere.

Loss terms (names as in ``loss_weights``; k = T // 16 + 1):
    normal           top-k BCE of the scores of normal videos against 0
    abnormal_topk    that of abnormal videos against 1, of weight 0 in the paper
    glance           BCE of all scores of abnormal videos against g
    the others       as in UR-DMU

Numbers equal the authors' code, with its quirks: mining does not reach the last segment; the second of two
stretches puts a 0 into every curve. Deviations: a curve that is 1 everywhere stays, where the authors divide
0 by 0; a glance behind the last snippet is in the last segment, where they fail. A first glance at frame 0
counts; ``data.glances`` leaves it out as they do.
"""

from typing import Any, ClassVar

from torch import Tensor

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.losses import mine_glances, probability_bce, splat_marks, topk_bce
from wsvad_lightning.methods.base.dual_memory import (
    DUAL_MEMORY_WEIGHTS,
    DualMemoryModule,
    representative,
    unlabelled_losses,
)
from wsvad_lightning.ops import halves
from wsvad_lightning.types import FeatureRequirements, WSVADBatch


class GlanceVAD(DualMemoryModule):
    """GlanceVAD as a LightningModule; recipes in ``ucf_glancevad.yaml`` and ``xd_glancevad.yaml``.

    Args:
        feature_dim: D, channels of the features; taken from the store on the command line.
        sigma: width of the Gaussians, where the whole video has 2.
        alpha: share of the score of a glance that its neighbours must have to be centres too.
        mine_from: step, counted from 1, from which neighbours may be centres.
        **kwargs: arguments of :class:`DualMemoryModule`.

    Attributes:
        step: of the training, from 1.

    Raises:
        WSVADError: if an argument is out of range.
    """

    requires = FeatureRequirements(glances=True)
    default_loss_weights: ClassVar[dict[str, float]] = {
        "normal": 1.0,
        "abnormal_topk": 0.0,
        "glance": 1.0,
        **{term: weight for term, weight in DUAL_MEMORY_WEIGHTS.items() if term != "video_bce"},
    }

    def __init__(
        self,
        feature_dim: int = 1024,
        sigma: float = 0.1,
        alpha: float = 0.9,
        mine_from: int = 50,
        **kwargs: Any,
    ) -> None:
        super().__init__(feature_dim=feature_dim, **kwargs)
        for name, value in (("sigma", sigma), ("alpha", alpha)):
            if not value > 0:
                raise WSVADError(f"model.{name}", value, "must be above 0", "Give a positive number")
        if mine_from < 1:
            raise WSVADError("model.mine_from", mine_from, "steps count from 1", "Give 1 to mine at once")
        self.sigma, self.alpha, self.mine_from = sigma, alpha, mine_from
        self.step = 1

    def on_train_batch_start(self, batch: WSVADBatch, batch_idx: int) -> None:
        """Know the step, also where a training is resumed."""
        self.step = self.global_step + 1

    def centres(self, marks: Tensor, scores: Tensor) -> Tensor:
        """Give K of this step: ``[b, T]`` bool.

        Args:
            marks: ``[b, T]`` bool, P.
            scores: ``[b, T]``.
        """
        return mine_glances(marks, scores.detach(), self.alpha) if self.step >= self.mine_from else marks

    def compute_losses(self, batch: WSVADBatch) -> dict[str, Tensor]:
        """Give the raw terms that the module's docstring lists."""
        assert batch.glances is not None, "paired batches know the glances of their videos"
        out = self.net.forward_pairs(batch.features)
        normal, abnormal = halves(out.scores)
        _, marks = halves(batch.glances)
        k = representative(out)
        return {
            "normal": topk_bce(normal, 0.0, k),
            "abnormal_topk": topk_bce(abnormal, 1.0, k),
            "glance": probability_bce(abnormal, splat_marks(self.centres(marks, abnormal), self.sigma)),
            **unlabelled_losses(out, k, self.distance_margin),
        }
