"""Every method in a size for tests."""

from typing import Any

import torch

from wsvad_lightning import methods
from wsvad_lightning.methods.base import WSVADModule

SMALLER: dict[str, dict[str, Any]] = {  # for methods whose width does not follow the features
    "ADPLG": {"hidden_dim": 16, "attention_dim": 8, "positions": 64},
    "BNWVAD": {"hidden_dim": 32},
    "C2FPL": {"hidden_dims": [16, 8]},
    "FRDUVAD": {"tokens": 2, "depth": 1, "hidden_dims": [16, 8]},
    "MGFN": {"dims": [64, 64, 64], "depths": [1, 1, 1]},
    "S3R": {"attention_dim": 8},
    "SVMAE": {"inputs": "vis"},
    "Sultani": {"hidden_dim": 16},
    "URDMU": {"hidden_dim": 16, "abnormal_slots": 20, "normal_slots": 18},
}


def small(name: str, feature_dim: int = 8) -> WSVADModule:
    """Make a method, the same weights every time."""
    torch.manual_seed(0)
    method: WSVADModule = getattr(methods, name)(feature_dim=feature_dim, **SMALLER.get(name, {}))
    if isinstance(method, methods.C2FPL):
        method.take_prepared("c2fpl_labels", torch.arange(1000) % 3 == 0)
    if isinstance(method, methods.S3R):
        method.net.use_dictionary(torch.randn(5, feature_dim))
    return method
