"""Loss terms that several methods share."""

from wsvad_lightning.losses.mil import probability_bce, topk_bce

__all__ = ["probability_bce", "topk_bce"]
