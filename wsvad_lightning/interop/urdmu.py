"""Parameter names of the authors' UR-DMU (henrryzh1/UR-DMU, ``WSAD``)."""

from collections.abc import Mapping

from torch import Tensor

from wsvad_lightning.interop.weights import KeyTable
from wsvad_lightning.methods import URDMU

METHOD = URDMU

ENCODER = (  # BN-WVAD takes it over
    ("embedding.conv_1.0", "encoder.embed"),
    ("selfatt.layers.*.0.norm", "encoder.transformer.*.attention_norm"),
    ("selfatt.layers.*.0.fn.to_qkv", "encoder.transformer.*.attention.project_in"),
    ("selfatt.layers.*.0.fn.to_out.0", "encoder.transformer.*.attention.project_out"),
    ("selfatt.layers.*.1.norm", "encoder.transformer.*.mlp_norm"),
    ("selfatt.layers.*.1.fn.net", "encoder.transformer.*.mlp"),
)

TABLE = KeyTable(
    (
        *ENCODER,
        ("Amemory.memory_block", "abnormal_memory.slots"),
        ("Nmemory.memory_block", "normal_memory.slots"),
        ("encoder_mu.0", "to_mean"),
        ("encoder_var.0", "to_logvar"),
        ("cls_head.mlp", "to_score"),
    )
)


def init_args(state: Mapping[str, Tensor]) -> dict[str, int]:
    """Read the sizes that ``URDMU`` is built with off the authors' parameters."""
    hidden_dim, feature_dim, _ = state["embedding.conv_1.0.weight"].shape
    return {
        "feature_dim": feature_dim,
        "hidden_dim": hidden_dim,
        "abnormal_slots": len(state["Amemory.memory_block"]),
        "normal_slots": len(state["Nmemory.memory_block"]),
    }
