"""Batches of made features, as the data module would give them."""

import torch
from torch import Tensor

from wsvad_lightning.types import WSVADBatch


def training_batch(normal: Tensor, abnormal: Tensor) -> WSVADBatch:
    """Pair ``[B, T, D]`` or ``[B, N, T, D]`` halves into a batch, the normal half first."""
    features = torch.cat([normal, abnormal])
    if features.ndim == 3:
        features = features[:, None]
    labels = torch.cat([torch.zeros(len(normal)), torch.ones(len(abnormal))])
    lengths = torch.full((len(features),), features.shape[2])
    names = [f"video{i}" for i in range(len(features))]
    return WSVADBatch(features, lengths, labels, names, {})


def evaluation_batch(features: Tensor) -> WSVADBatch:
    """Make a batch of a video's crops ``[N, T, D]``, of one ``[T, D]``, or of stored ``[B, T, N, D]``."""
    features = features.transpose(1, 2) if features.ndim == 4 else features[(None,) * (4 - features.ndim)]
    size, length = len(features), features.shape[2]
    lengths, labels = torch.full((size,), length), torch.zeros(size)
    return WSVADBatch(features, lengths, labels, [f"video{i}" for i in range(size)], {})


def pair_by_name(inputs: dict[str, Tensor]) -> dict[str, WSVADBatch]:
    """Pair ``x_normal`` with ``x_abnormal`` as training batch ``x``; every other input is scored."""
    made = {}
    for name, value in inputs.items():
        parts = name.split("_")
        if "normal" in parts:
            other = "_".join("abnormal" if part == "normal" else part for part in parts)
            made["_".join(part for part in parts if part != "normal")] = training_batch(value, inputs[other])
        elif "abnormal" not in parts:
            made[name] = evaluation_batch(value)
    return made
