"""Parameter names of DeepMIL (Roc-Ng/DeepMIL, ``Learner``), a variant of Sultani MIL."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from wsvad_lightning.interop.weights import KeyTable
from wsvad_lightning.methods import Sultani

METHOD = Sultani

TABLE = KeyTable((("fc1", "widen"), ("fc2", "narrow"), ("fc3", "to_score")))

VARIANT: dict[str, Any] = {
    "narrow_activation": "relu",
    "output_dropout": 0.6,
    "init": "xavier_uniform",
    "pairing": "matched",
    "loss_weights": {"l2": 0.0},
}


def init_args(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Read the sizes that ``Sultani`` is built with off the authors' parameters, and name the variant."""
    hidden_dim, feature_dim = state["fc1.weight"].shape
    sizes = {
        "feature_dim": feature_dim,
        "hidden_dim": hidden_dim,
        "narrow_dim": len(state["fc2.weight"]),
    }
    return {**sizes, **VARIANT}
