"""I3D on Inception v1 as the golden case sees it."""

import torch
from torch import Tensor

from tests.parity.golden import Outputs
from wsvad_lightning.extraction.backbones.i3d_inception import NORM_EPSILON, I3DInception, layer_table
from wsvad_lightning.extraction.backbones.weights import load_folded

REQUIRED = ("/features", "/logits", "/map_small")
RECORDED = ("Conv3d_1a_7x7", "Mixed_3c", "Mixed_4f", "Mixed_5c")


def compute(state: dict[str, Tensor], inputs: dict[str, Tensor]) -> Outputs:
    """Give features and logits, and of four stages the mean over time and space and the shape."""
    network = I3DInception()
    load_folded(network, state, layer_table(network), NORM_EPSILON, "official", "")
    maps: dict[str, Tensor] = {}
    for name in RECORDED:
        stage = network.stages.get_submodule(name)
        stage.register_forward_hook(lambda _module, _inputs, output, name=name: maps.update({name: output}))
    network.classifier.register_forward_hook(lambda _module, inputs, _output: maps.update(features=inputs[0]))
    found: dict[str, Tensor] = {}
    with torch.inference_mode():
        found["logits"] = network(2 * inputs["clip"] - 1)[:, ::8, None]
        found["features"] = maps.pop("features")
        found |= describe(maps, "")
        network.stages(2 * inputs["clip_small"] - 1)
        found |= describe(maps, "_small")
        found["map_small"] = maps["Mixed_5c"][0, ::8]
    return {f"eval/{key}": value.numpy() for key, value in found.items()}


def describe(maps: dict[str, Tensor], suffix: str) -> dict[str, Tensor]:
    """Give mean and shape of every map."""
    means = {f"{name}_mean{suffix}": x.mean(dim=(2, 3, 4)) for name, x in maps.items()}
    return means | {f"{name}_shape{suffix}": torch.tensor(x.shape) for name, x in maps.items()}
