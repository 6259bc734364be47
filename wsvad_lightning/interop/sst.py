"""Parameter names of the authors' SST (Sara-Esam/SST-WSVADL), those of each network prefixed by its name.

The authors write a file for each network.
"""

from collections.abc import Mapping
from math import isqrt
from typing import Any

from torch import Tensor

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.interop.urdmu import TABLE as DUAL_MEMORY
from wsvad_lightning.interop.weights import KeyTable
from wsvad_lightning.methods import SST

METHOD = SST
FILES = {  # and what their files hold; the temporal network has nothing that the spatial one lacks
    "dtfe": ("pos_embed",),
    "spatial": ("psa", "cross_attention"),
    "temporal": ("Amemory",),
}
FRAMES = 16
HEAD_DIM = 64  # of the authors' transformer; weights do not show it
ASPECTS = ((1, 1), (3, 4))  # rows to columns of the authors' sizes


def _look(name: str) -> tuple[tuple[str, str], ...]:
    authors, ours = f"spatial.{name}", "spatial.look"
    return (
        (f"{authors}.norm1", f"{ours}.attention_norm"),
        (f"{authors}.cross_attn.to_q", f"{ours}.attention.to_query"),
        (f"{authors}.cross_attn.to_kv", f"{ours}.attention.to_key_value"),
        (f"{authors}.cross_attn.to_out.0", f"{ours}.attention.project_out"),
        (f"{authors}.norm2", f"{ours}.mlp_norm"),
        (f"{authors}.ff", f"{ours}.mlp"),
    )


TABLE = KeyTable(
    (
        *(
            (f"{network}.{authors}", f"{network}.{ours}")
            for network in ("temporal", "spatial")
            for authors, ours in DUAL_MEMORY.renames
        ),
        *_look("psa"),
        *_look("cross_attention"),  # as later versions of their code call it
        ("dtfe.pos_embed", "dtfe.positions"),
        ("dtfe.patch_embed.proj", "dtfe.embedding"),
        ("dtfe.blocks.*.norm1", "dtfe.blocks.*.attention_norm"),
        ("dtfe.blocks.*.attn.qkv", "dtfe.blocks.*.attention.project_in"),
        ("dtfe.blocks.*.attn.proj", "dtfe.blocks.*.attention.project_out"),
        ("dtfe.blocks.*.norm2", "dtfe.blocks.*.mlp_norm"),
        ("dtfe.blocks.*.mlp.fc1", "dtfe.blocks.*.mlp.0"),
        ("dtfe.blocks.*.mlp.fc2", "dtfe.blocks.*.mlp.3"),
        ("dtfe.score_predictor.*.in_conv", "dtfe.predictors.*.embed"),
        ("dtfe.score_predictor.*.out_conv", "dtfe.predictors.*.decide"),
        ("dtfe.norm_recon", "dtfe.norm"),
        ("dtfe.head_recon", "dtfe.project_out"),
    )
)


def init_args(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Read what ``SST`` is built with off the authors' parameters; the frames of a clip are theirs.

    Raises:
        WSVADError: if the number of positions is of no size of frames that the authors use.
    """
    hidden_dim, feature_dim, _ = state["temporal.embedding.conv_1.0.weight"].shape
    dim, _, tube, patch, _ = state["dtfe.patch_embed.proj.weight"].shape
    rows, columns = _grid(state["dtfe.pos_embed"].shape[1] * tube // FRAMES)
    sizes = {
        "feature_dim": feature_dim,
        "hidden_dim": hidden_dim,
        "abnormal_slots": len(state["temporal.Amemory.memory_block"]),
        "normal_slots": len(state["temporal.Nmemory.memory_block"]),
        "frames": FRAMES,
        "size": [rows * patch, columns * patch],
        "tube": tube,
        "patch": patch,
        "dim": dim,
        "depth": len({name.split(".")[2] for name in state if name.startswith("dtfe.blocks.")}),
        "heads": max(1, dim // HEAD_DIM),
        "cross_attention": any(".cross_attn." in name for name in state),
    }
    if not any(name.startswith("dtfe.score_predictor.") for name in state):
        sizes["token_ratio"] = None
    return sizes


def _grid(patches: int) -> tuple[int, int]:
    """Rows and columns of the authors' sizes that make so many patches."""
    for rows, columns in ASPECTS:
        unit = isqrt(patches // (rows * columns))
        if unit and unit * unit * rows * columns == patches:
            return unit * rows, unit * columns
    problem = f"has positions for {patches} patches a tubelet, neither a square nor 3 rows to 4 columns"
    raise WSVADError("weights", "dtfe.pos_embed", problem, "Give weights of frames of 128x128 or 240x320")
