"""Temporal blocks that several methods share: ``[R, T, D]`` in and out."""

from wsvad_lightning.layers.distance_transformer import DistanceTransformer, distance_prior
from wsvad_lightning.layers.memory import MemoryUnit

__all__ = ["DistanceTransformer", "MemoryUnit", "distance_prior"]
