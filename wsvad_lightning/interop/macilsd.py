"""Parameter names of the authors' MACIL-SD (JustinYuu/MACIL_SD, ``AVCE_Model`` and ``Single_Model``).

The file that they publish holds the network that sees and hears, alone and without a prefix. Where both
networks lie in one file, their names begin with ``av.`` and ``v.``.
"""

from collections.abc import Mapping

from torch import Tensor

from wsvad_lightning.interop.weights import KeyTable
from wsvad_lightning.methods import MACILSD

METHOD = MACILSD

PARTS = (
    ("fc_v", "embed_visual"),
    ("fc_a", "embed_audio"),
    ("cma.layer.self_attn.linears.0", "layer.attention.to_query"),
    ("cma.layer.self_attn.linears.1", "layer.attention.to_key"),
    ("cma.layer.self_attn.linears.2", "layer.attention.to_value"),
    ("cma.layer.self_attn.linears.3", "layer.attention.project_out"),
    ("cma.layer.sublayer.0.norm", "layer.attention_norm"),
    ("cma.layer.sublayer.1.norm", "layer.mlp_norm"),
    ("cma.layer.feed_forward.w_1", "layer.mlp.0"),
    ("cma.layer.feed_forward.w_2", "layer.mlp.3"),
)
UNUSED = ("multiheadattn", "feedforward", "cma.layer.self_attn.layer_norm")
NETWORKS = (("", "att_mmil.fc", "joint."), ("av.", "att_mmil.fc", "joint."), ("v.", "fc", "twin."))

TABLE = KeyTable(
    tuple(
        (f"{authors}{part}", f"{ours}{own}")
        for authors, last, ours in NETWORKS
        for part, own in (*PARTS, (last, "to_logit"))
    ),
    dropped=tuple(f"{authors}{part}" for authors, _, _ in NETWORKS for part in UNUSED),
)


def init_args(state: Mapping[str, Tensor]) -> dict[str, int | bool]:
    """Read the sizes that ``MACILSD`` is built with off the authors' parameters; the heads are their four."""
    prefix = "av." if "av.fc_v.weight" in state else ""
    hidden_dim, visual_dim = state[f"{prefix}fc_v.weight"].shape
    audio_dim = state[f"{prefix}fc_a.weight"].shape[1]
    return {
        "feature_dim": visual_dim + audio_dim,
        "audio_dim": audio_dim,
        "hidden_dim": hidden_dim,
        "mlp_dim": len(state[f"{prefix}cma.layer.feed_forward.w_1.weight"]),
        "distill": "v.fc.weight" in state,
    }
