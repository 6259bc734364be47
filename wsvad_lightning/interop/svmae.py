"""Parameter names of the authors' detector (Sumutan/SVMAE and coranholmes/TEVAD, ``Model``)."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from wsvad_lightning.interop.rtfm import HEAD, multi_scale
from wsvad_lightning.interop.weights import KeyTable
from wsvad_lightning.methods import SVMAE

METHOD = SVMAE

TABLE = KeyTable(
    (
        *multi_scale("Aggregate", "visual_context"),
        *multi_scale("Aggregate_text", "text_context"),
        ("fc_vis", "fuse.project_visual.0"),
        ("fc_text", "fuse.project_text.0"),
        *HEAD,
    )
)


def init_args(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Read what ``SVMAE`` is built with off the authors' parameters."""
    feature_dim = len(state["Aggregate.conv_5.0.weight"])
    if state["fc1.weight"].shape[1] == feature_dim:
        return {"feature_dim": feature_dim, "inputs": "vis"}
    return {
        "feature_dim": feature_dim,
        "text_dim": len(state["Aggregate_text.conv_5.0.weight"]),
        "fusion": "add_up" if "fc_vis.weight" in state else "concat",
    }
