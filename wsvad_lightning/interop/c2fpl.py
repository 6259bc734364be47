"""Parameter names of the authors' C2FPL (AnasEmad11/C2FPL, ``Model_V2``)."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from wsvad_lightning.interop.weights import KeyTable
from wsvad_lightning.methods import C2FPL

METHOD = C2FPL

TABLE = KeyTable(
    (("fc1", "to_score.mlp.0"), ("fc2", "to_score.mlp.3"), ("fc3", "to_score.mlp.6")),
    dropped=("fc_att1", "fc_att2"),
)


def init_args(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Read the sizes that ``C2FPL`` is built with off the authors' parameters."""
    hidden_dim, feature_dim = state["fc1.weight"].shape
    return {"feature_dim": feature_dim, "hidden_dims": [hidden_dim, len(state["fc2.weight"])]}
