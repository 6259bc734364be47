"""Parameter names of the authors' BN-WVAD (cool-xuan/BN-WVAD, ``WSAD``)."""

from collections.abc import Mapping

from torch import Tensor

from wsvad_lightning.interop.urdmu import ENCODER
from wsvad_lightning.interop.weights import KeyTable
from wsvad_lightning.methods import BNWVAD

METHOD = BNWVAD

TABLE = KeyTable((*ENCODER, ("normal_head", "head")))


def init_args(state: Mapping[str, Tensor]) -> dict[str, int]:
    """Read the sizes that ``BNWVAD`` is built with off the authors' parameters."""
    return {
        "feature_dim": state["embedding.conv_1.0.weight"].shape[1],
        "hidden_dim": state["normal_head.conv1.weight"].shape[1],
    }
