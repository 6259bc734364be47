"""Parameter names of the authors' S3R (louisYen/S3R, ``S3R``)."""

from collections.abc import Mapping

from torch import Tensor

from wsvad_lightning.interop.rtfm import multi_scale_convolutions
from wsvad_lightning.interop.weights import KeyTable
from wsvad_lightning.methods import S3R

METHOD = S3R


def _multi_scale(authors: str, ours: str) -> tuple[tuple[str, str], ...]:
    return (
        *multi_scale_convolutions(authors, ours),
        (f"{authors}.non_local.alter.0", f"{ours}.non_local.project_out"),
        (f"{authors}.non_local.alter.1", f"{ours}.non_local.norm"),
        (f"{authors}.non_local", f"{ours}.non_local"),
    )


TABLE = KeyTable(
    (
        *_multi_scale("video_embedding.0", "video_context"),
        *_multi_scale("macro_embedding.0", "normal_context"),
        ("en_normal.en_normal_module.query_embedding", "reconstruct.query"),
        ("en_normal.en_normal_module.cache_embedding", "reconstruct.key"),
        ("en_normal.en_normal_module.value_embedding", "reconstruct.value"),
        ("de_normal.channel_attention.channel_gate.mlp.1", "to_gate.0"),
        ("de_normal.channel_attention.channel_gate.mlp.3", "to_gate.2"),
        ("video_classifier", "to_score.mlp"),
        ("macro_classifier", "to_macro_score"),
    ),
    dropped=("video_projection", "macro_projection"),
)


def init_args(state: Mapping[str, Tensor]) -> dict[str, int]:
    """Read the sizes that ``S3R`` is built with off the authors' parameters."""
    attention_dim, feature_dim = state["en_normal.en_normal_module.query_embedding.weight"].shape
    return {"feature_dim": feature_dim, "attention_dim": attention_dim}
