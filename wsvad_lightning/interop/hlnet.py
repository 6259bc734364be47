"""Parameter names of the authors' HL-Net (Roc-Ng/XDVioDet, ``Model``)."""

from collections.abc import Mapping

from torch import Tensor

from wsvad_lightning.interop.weights import KeyTable
from wsvad_lightning.methods import HLNet

METHOD = HLNet

TABLE = KeyTable(
    (
        ("conv1d1", "embed.0"),
        ("conv1d2", "embed.3"),
        ("approximator.0", "online.0"),
        ("approximator.2", "online.2"),
        ("conv1d_approximator", "online.4"),
        ("gc1", "mix_alike.0"),
        ("gc2", "mix_alike.1"),
        ("gc3", "mix_near.0"),
        ("gc4", "mix_near.1"),
        ("gc5", "mix_score.0"),
        ("gc6", "mix_score.1"),
        ("classifier", "to_logit"),
    ),
    dropped=("conv1d3", "conv1d4", "simAdj", "disAdj"),
)


def init_args(state: Mapping[str, Tensor]) -> dict[str, int]:
    """Read the sizes that ``HLNet`` is built with off the authors' parameters."""
    return {"feature_dim": state["conv1d1.weight"].shape[1]}
