"""Parameter names of the authors' PEL4VAD (yujiangpu20/PEL4VAD, ``XModel``)."""

from collections.abc import Mapping

from torch import Tensor

from wsvad_lightning.interop.weights import KeyTable
from wsvad_lightning.methods import PEL4VAD

METHOD = PEL4VAD

TABLE = KeyTable(
    (
        ("self_attention.self_attn.q", "attend.query"),
        ("self_attention.self_attn.k", "attend.key"),
        ("self_attention.self_attn.v", "attend.value"),
        ("self_attention.self_attn.o", "attend.project_out"),
        ("self_attention.self_attn.alpha", "attend.mix"),
        ("self_attention.loc_adj.w", "attend.scale"),
        ("self_attention.loc_adj.b", "attend.shift"),
        ("self_attention.norm", "norm"),
        ("self_attention.linear1", "to_visual"),
        ("self_attention.linear2", "to_context"),
        ("classifier", "to_logit"),
        ("logit_scale", "logit_scale"),
    )
)


def init_args(state: Mapping[str, Tensor]) -> dict[str, int]:
    """Read the sizes that ``PEL4VAD`` is built with off the authors' parameters."""
    prompt_dim, feature_dim, _ = state["self_attention.linear1.weight"].shape
    kernel = state["classifier.weight"].shape[2]
    return {"feature_dim": feature_dim, "prompt_dim": prompt_dim, "kernel": kernel}


def complete(module: PEL4VAD, state: Mapping[str, Tensor]) -> str:
    """Add nothing.

    Returns:
        What the user should know of the settings that are not in the file.
    """
    return (
        "model.window is 9 and model.power_norm true, UCF-Crime's; for others give --model.power_norm false "
        "(XD-Violence) or --model.window 5 (ShanghaiTech) to test"
    )
