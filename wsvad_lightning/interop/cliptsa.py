"""Parameter names of the authors' CLIP-TSA (joos2010kj/CLIP-TSA, ``Model``)."""

from collections.abc import Mapping

from torch import Tensor

from wsvad_lightning.interop.rtfm import HEAD, multi_scale
from wsvad_lightning.interop.weights import KeyTable
from wsvad_lightning.methods import CLIPTSA
from wsvad_lightning.methods.base.module import WSVADModule

METHOD = CLIPTSA

TABLE = KeyTable(
    (
        ("hard_attention.scorer.fc1", "relevance.0"),
        ("hard_attention.scorer.fc2", "relevance.2"),
        *multi_scale("Aggregate", "context"),
        *HEAD,
        ("mlp.fc1", "narrow.0"),
        ("mlp.fc2", "narrow.2"),
    ),
    spare=("mlp",),  # the authors make it for every width, and use it for wide features
)


def init_args(state: Mapping[str, Tensor]) -> dict[str, int]:
    """Read the width of the features off the authors' parameters; the share that is kept is not in them."""
    widest = "mlp.fc1.weight" if "mlp.fc1.weight" in state else "fc1.weight"
    return {"feature_dim": state[widest].shape[1]}


def complete(module: WSVADModule, state: Mapping[str, Tensor]) -> str:
    """Add nothing.

    Returns:
        What the user should know of the share that is kept.
    """
    assert isinstance(module, CLIPTSA)
    return (
        f"model.keep is {module.net.gate.keep:g}, UCF-Crime's; "
        "for others give --model.keep 0.9 (XD-Violence) or 0.01 (ShanghaiTech) to test"
    )
