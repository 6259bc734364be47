"""Loss terms that several methods share."""

from wsvad_lightning.losses.classes import class_cross_entropy
from wsvad_lightning.losses.gaussian_splatting import Sigma, splat, splatting_bce
from wsvad_lightning.losses.glances import mine_glances, splat_marks
from wsvad_lightning.losses.magnitude import (
    magnitude_clustering,
    magnitude_contrast,
    magnitude_margin,
    magnitude_mil,
)
from wsvad_lightning.losses.mil import Pairing, probability_bce, ranking_hinge, topk_bce
from wsvad_lightning.losses.regularizers import smoothness, sparsity

__all__ = [
    "Pairing",
    "Sigma",
    "class_cross_entropy",
    "magnitude_clustering",
    "magnitude_contrast",
    "magnitude_margin",
    "magnitude_mil",
    "mine_glances",
    "probability_bce",
    "ranking_hinge",
    "smoothness",
    "sparsity",
    "splat",
    "splat_marks",
    "splatting_bce",
    "topk_bce",
]
