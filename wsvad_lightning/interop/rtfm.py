"""Parameter names of the authors' RTFM (tianyu0207/RTFM, ``Model``)."""

from collections.abc import Mapping

from torch import Tensor

from wsvad_lightning.interop.weights import KeyTable
from wsvad_lightning.methods import RTFM

METHOD = RTFM

HEAD = (("fc1", "to_score.mlp.0"), ("fc2", "to_score.mlp.3"), ("fc3", "to_score.mlp.6"))


def multi_scale_convolutions(authors: str, ours: str) -> tuple[tuple[str, str], ...]:
    """Pair the names of the convolutions inside a multi-scale temporal network."""
    return (
        (f"{authors}.conv_1", f"{ours}.dilated.0"),
        (f"{authors}.conv_2", f"{ours}.dilated.1"),
        (f"{authors}.conv_3", f"{ours}.dilated.2"),
        (f"{authors}.conv_4.0", f"{ours}.reduce"),
        (f"{authors}.conv_5", f"{ours}.fuse"),
    )


def multi_scale(authors: str, ours: str) -> tuple[tuple[str, str], ...]:
    """Pair the names inside a multi-scale temporal network."""
    return (
        *multi_scale_convolutions(authors, ours),
        (f"{authors}.non_local.theta", f"{ours}.non_local.query"),
        (f"{authors}.non_local.phi", f"{ours}.non_local.key"),
        (f"{authors}.non_local.g", f"{ours}.non_local.value"),
        (f"{authors}.non_local.W.0", f"{ours}.non_local.project_out"),
        (f"{authors}.non_local.W.1", f"{ours}.non_local.norm"),
    )


TABLE = KeyTable((*multi_scale("Aggregate", "context"), *HEAD))


def init_args(state: Mapping[str, Tensor]) -> dict[str, int]:
    """Read the sizes that ``RTFM`` is built with off the authors' parameters."""
    return {"feature_dim": state["fc1.weight"].shape[1]}
