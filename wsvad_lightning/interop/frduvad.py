"""Parameter names of the authors' FRD-UVAD (tcc-power/FRD-unsupervised-video-anomaly-detection)."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from wsvad_lightning.interop import c2fpl
from wsvad_lightning.interop.weights import KeyTable
from wsvad_lightning.methods import FRDUVAD

METHOD = FRDUVAD

AUXILIARY = "scorer_c2fpl"  # also where the scorer is the authors' own, whose last layer has another name

TABLE = KeyTable(
    (
        ("decoder.decoder_embed", "reconstruct.embed"),
        ("decoder.decoder_blocks.*.norm1", "reconstruct.blocks.*.attention_norm"),
        ("decoder.decoder_blocks.*.attn.qkv", "reconstruct.blocks.*.attention.project_in"),
        ("decoder.decoder_blocks.*.attn.proj", "reconstruct.blocks.*.attention.project_out"),
        ("decoder.decoder_blocks.*.norm2", "reconstruct.blocks.*.mlp_norm"),
        ("decoder.decoder_blocks.*.mlp.0", "reconstruct.blocks.*.mlp.0"),
        ("decoder.decoder_blocks.*.mlp.2", "reconstruct.blocks.*.mlp.3"),
        ("decoder.norm", "reconstruct.norm"),
        ("scorer.fc1", "to_score.mlp.0"),
        ("scorer.fc2", "to_score.mlp.3"),
        ("scorer.classifier", "to_score.mlp.6"),
        *(
            (f"{AUXILIARY}.{authors}", ours.replace("to_score", "auxiliary"))
            for authors, ours in c2fpl.TABLE.renames
        ),
        (f"{AUXILIARY}.classifier", "auxiliary.mlp.6"),
    ),
    dropped=("AE", *(f"{AUXILIARY}.{name}" for name in c2fpl.TABLE.dropped)),
)


def init_args(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Read the sizes that ``FRDUVAD`` is built with off the authors' parameters."""
    hidden_dim, feature_dim = state["scorer.fc1.weight"].shape
    blocks = [name for name in state if name.endswith(".attn.qkv.weight")]
    auxiliary = [f"{AUXILIARY}.{layer}.weight" for layer in ("fc1", "fc2")]
    return {
        "feature_dim": feature_dim,
        "tokens": feature_dim // len(state["decoder.norm.weight"]),
        "depth": len(blocks) // 2,
        "hidden_dims": [hidden_dim, len(state["scorer.fc2.weight"])],
        "auxiliary_dims": [len(state[name]) for name in auxiliary] if auxiliary[0] in state else None,
    }
