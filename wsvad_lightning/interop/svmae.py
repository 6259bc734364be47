"""Parameter names of the authors' detector (Sumutan/SVMAE and coranholmes/TEVAD, ``Model``)."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from wsvad_lightning.interop.rtfm import HEAD, multi_scale
from wsvad_lightning.interop.weights import KeyTable
from wsvad_lightning.methods import SVMAE

METHOD = SVMAE

FUSIONS = {"fc0": "add", "fc_vis": "add_up"}  # by the layer that only they have
WITH_PRODUCT = "score with --model.fusion product"

TABLE = KeyTable(
    (
        *multi_scale("Aggregate", "visual_context"),
        *multi_scale("Aggregate_text", "text_context"),
        ("fc0", "fuse.project.0"),
        ("fc_vis", "fuse.project_visual.0"),
        ("fc_text", "fuse.project_text.0"),
        *HEAD,
    ),
    spare=("Aggregate_text",),
)


def init_args(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Read what ``SVMAE`` is built with off the authors' parameters."""
    feature_dim = len(state["Aggregate.conv_5.0.weight"])
    if state["fc1.weight"].shape[1] == feature_dim:
        return {"feature_dim": feature_dim, "inputs": "vis"}
    fusions = [fusion for layer, fusion in FUSIONS.items() if f"{layer}.weight" in state]
    return {
        "feature_dim": feature_dim,
        "text_dim": len(state["Aggregate_text.conv_5.0.weight"]),
        "fusion": fusions[0] if fusions else "concat",
        # A temporal network that no text has passed through has seen no mean either.
        "aggregate_text": bool(state["Aggregate_text.conv_5.2.running_mean"].any()),
    }


def complete(module: SVMAE, state: Mapping[str, Tensor]) -> str | None:
    """Say what the file does not hold: ``add`` and ``product`` have the same parameters."""
    return None if "fc0.weight" not in state else f"model.fusion is add; {WITH_PRODUCT} if it was trained so"
