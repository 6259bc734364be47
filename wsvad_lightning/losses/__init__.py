"""Loss terms that several methods share."""

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
    "magnitude_clustering",
    "magnitude_contrast",
    "magnitude_margin",
    "magnitude_mil",
    "probability_bce",
    "ranking_hinge",
    "smoothness",
    "sparsity",
    "topk_bce",
]
