"""Parameter names of the authors' MGFN (carolchenyx/MGFN., ``mgfn``)."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from wsvad_lightning.interop.weights import KeyTable
from wsvad_lightning.methods import MGFN

METHOD = MGFN

TABLE = KeyTable(
    (
        ("to_tokens", "embed"),
        ("to_mag", "embed_magnitude"),
        ("stages.*.0.layers.*.0", "stages.*.*.convolution"),
        ("stages.*.0.layers.*.1.norm.g", "stages.*.*.block.norm.gain"),
        ("stages.*.0.layers.*.1.norm.b", "stages.*.*.block.norm.shift"),
        ("stages.*.0.layers.*.1.norm", "stages.*.*.block.norm"),
        ("stages.*.0.layers.*.1.to_qkv", "stages.*.*.block.project_in"),
        ("stages.*.0.layers.*.1.to_v", "stages.*.*.block.to_value"),
        ("stages.*.0.layers.*.1.rel_pos", "stages.*.*.block.neighbours"),
        ("stages.*.0.layers.*.1.to_out", "stages.*.*.block.project_out"),
        ("stages.*.0.layers.*.2.0.g", "stages.*.*.feed_forward.0.gain"),
        ("stages.*.0.layers.*.2.0.b", "stages.*.*.feed_forward.0.shift"),
        ("stages.*.0.layers.*.2.1", "stages.*.*.feed_forward.1"),
        ("stages.*.0.layers.*.2.4", "stages.*.*.feed_forward.3"),
        ("stages.*.1.0.g", "widen.*.0.gain"),
        ("stages.*.1.0.b", "widen.*.0.shift"),
        ("stages.*.1.1", "widen.*.1"),
        ("to_logits.0", "norm"),
        ("fc", "to_score"),
    )
)


def init_args(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Read the sizes that ``MGFN`` is built with off the authors' parameters."""
    names = [f"stages.{stage}.0.layers.{{}}.0.bias" for stage in range(3)]
    return {
        "feature_dim": state["to_tokens.weight"].shape[1],
        "dims": [len(state[name.format(0)]) for name in names],
        "depths": [sum(name.format(layer) in state for layer in range(len(state))) for name in names],
    }
