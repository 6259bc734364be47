"""Parameter names of the authors' ADPLG (Beyond-Zw/ADPLG-VAD), those of each network prefixed by its name.

The authors write a file for each network.
"""

from collections.abc import Mapping

from torch import Tensor

from wsvad_lightning.interop.weights import KeyTable
from wsvad_lightning.methods import ADPLG

METHOD = ADPLG
FILES = {"net_v": ("Snippts_Fuse",), "net_s": ("LSA1",)}  # and what only their files hold
DEPTH = "net_s.selfatt.layers."


def _branch(number: int) -> tuple[tuple[str, str], ...]:
    authors, ours = f"net_s.LSA{number}", f"snippet.branches.{number - 1}"
    return (
        (f"{authors}.pos_emb", f"{ours}.0.position"),
        (f"{authors}.layers.0.0", f"{ours}.0.attention"),
        (f"{authors}.to_logits.0", f"{ours}.1"),
        (f"{authors}.to_logits.1", f"{ours}.2"),
    )


TABLE = KeyTable(
    (
        ("net_v.Snippts_Fuse.q", "video.query"),
        ("net_v.Snippts_Fuse.k", "video.key"),
        ("net_v.Snippts_Fuse.v", "video.value"),
        ("net_v.classifier_v", "video.to_score"),
        ("net_s.embedding.conv_1.0", "snippet.embed"),
        *(pair for number in (1, 2, 3, 4) for pair in _branch(number)),
        ("net_s.selfatt.layers.*.0.norm", "snippet.transformer.*.attention_norm"),
        ("net_s.selfatt.layers.*.0.fn.to_qkv", "snippet.transformer.*.attention.project_in"),
        ("net_s.selfatt.layers.*.0.fn.to_out.0", "snippet.transformer.*.attention.project_out"),
        ("net_s.selfatt.layers.*.1.norm", "snippet.transformer.*.mlp_norm"),
        ("net_s.selfatt.layers.*.1.fn.net", "snippet.transformer.*.mlp"),
        ("net_s.classifier_s", "snippet.to_score"),
    ),
    dropped=(
        "net_s.LSA*.token_emb",
        "net_s.LSA*.layers.0.0.attn_fn.rel_pos",
        "net_s.LSA*.layers.0.1",
        "net_s.norm",
        "net_s.vars_s",
    ),
)


def init_args(state: Mapping[str, Tensor]) -> dict[str, int]:
    """Read the sizes that ``ADPLG`` is built with off the authors' parameters."""
    hidden_dim, feature_dim, _ = state["net_s.embedding.conv_1.0.weight"].shape
    return {
        "feature_dim": feature_dim,
        "hidden_dim": hidden_dim,
        "attention_dim": len(state["net_v.Snippts_Fuse.q.weight"]),
        "depth": len({name.split(".")[3] for name in state if name.startswith(DEPTH)}),
        "positions": len(state["net_s.LSA1.pos_emb.weight"]),
    }


def complete(module: ADPLG, state: Mapping[str, Tensor]) -> str:
    """Add nothing.

    Returns:
        What the user should know of the windows, which are not in the file.
    """
    return "model.windows are 2, 4, 6 and 8, the authors' defaults; give others to test if it was trained so"
