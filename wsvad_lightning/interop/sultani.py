"""Parameter names of Sultani MIL (WaqasSultani/AnomalyDetectionCVPR2018).

The authors' weights are a Keras 1 file; as a state dict they have the names of its layers, the matrices
transposed to PyTorch's (out, in).
"""

from collections.abc import Mapping

from torch import Tensor

from wsvad_lightning.interop.weights import KeyTable
from wsvad_lightning.methods import Sultani

METHOD = Sultani

TABLE = KeyTable((("dense_1", "widen"), ("dense_2", "narrow"), ("dense_3", "to_score")))


def init_args(state: Mapping[str, Tensor]) -> dict[str, int]:
    """Read the sizes that ``Sultani`` is built with off the authors' parameters."""
    hidden_dim, feature_dim = state["dense_1.weight"].shape
    return {"feature_dim": feature_dim, "hidden_dim": hidden_dim, "narrow_dim": len(state["dense_2.weight"])}
