"""Parameter names of the authors' SSRL (nutuniv/SSRL), in every stage."""

from collections.abc import Mapping

from torch import Tensor

from wsvad_lightning.interop.rtfm import HEAD, multi_scale
from wsvad_lightning.interop.weights import KeyTable
from wsvad_lightning.methods import SSRL

METHOD = SSRL

TABLE = KeyTable(
    (
        *multi_scale("Aggregate_clip", "context"),
        *multi_scale("Aggregate_patch.*", "branches.*.context"),
        ("patch_to_clip.*", "branches.*.to_map"),
        ("linear_out.*", "branches.*.to_vector.0"),
        *((f"classfier.{authors}", ours) for authors, ours in HEAD),
    )
)


def init_args(state: Mapping[str, Tensor]) -> dict[str, int]:
    """Read what ``SSRL`` is built with off the authors' parameters; the grids are the paper's."""
    branches = sum(name.startswith("linear_out.") and name.endswith(".weight") for name in state)
    return {"feature_dim": state["classfier.fc1.weight"].shape[1], "stage": branches + 1}
