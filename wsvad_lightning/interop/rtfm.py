"""Parameter names of the authors' RTFM (tianyu0207/RTFM, ``Model``)."""

from collections.abc import Mapping

from torch import Tensor

from wsvad_lightning.interop.weights import KeyTable
from wsvad_lightning.methods import RTFM

METHOD = RTFM

TABLE = KeyTable(
    (
        ("Aggregate.conv_1", "context.dilated.0"),
        ("Aggregate.conv_2", "context.dilated.1"),
        ("Aggregate.conv_3", "context.dilated.2"),
        ("Aggregate.conv_4.0", "context.reduce"),
        ("Aggregate.conv_5", "context.fuse"),
        ("Aggregate.non_local.theta", "context.non_local.query"),
        ("Aggregate.non_local.phi", "context.non_local.key"),
        ("Aggregate.non_local.g", "context.non_local.value"),
        ("Aggregate.non_local.W.0", "context.non_local.project_out"),
        ("Aggregate.non_local.W.1", "context.non_local.norm"),
        ("fc1", "to_score.mlp.0"),
        ("fc2", "to_score.mlp.3"),
        ("fc3", "to_score.mlp.6"),
    )
)


def init_args(state: Mapping[str, Tensor]) -> dict[str, int]:
    """Read the sizes that ``RTFM`` is built with off the authors' parameters."""
    return {"feature_dim": state["fc1.weight"].shape[1]}
