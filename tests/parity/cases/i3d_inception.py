"""I3D on Inception v1 as the golden case sees it, on clips of any size."""

from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn import functional

from tests.parity.case import Manifest, PlainCase
from tests.parity.compare import Outputs
from wsvad_lightning.extraction.backbones.i3d_inception import NORM_EPSILON, I3DInception, layer_table
from wsvad_lightning.extraction.backbones.weights import load_folded

RECORDED = ("Conv3d_1a_7x7", "Mixed_3c", "Mixed_4f", "Mixed_5c")


def compute(manifest: Manifest, weights: dict[str, Tensor], inputs: dict[str, Tensor]) -> Outputs:
    """Compute what is recorded of every clip; the outputs of ``clip_small`` end in ``_small``."""
    config = manifest["config"]
    network = I3DInception(config["classes"])
    load_folded(network, weights, layer_table(network), NORM_EPSILON, "official", "")
    maps: dict[str, Tensor] = {}
    for name in RECORDED:
        stage = network.stages.get_submodule(name)
        stage.register_forward_hook(lambda _module, _inputs, output, name=name: maps.update({name: output}))
    found: dict[str, Tensor] = {}
    with torch.inference_mode():
        for name, clip in inputs.items():
            last = network.stages(2 * clip - 1)
            outputs = describe(maps) | pool(network, last, config["pool"])
            found |= {f"{key}{name.removeprefix('clip')}": value for key, value in outputs.items()}
    return {f"eval/{key}": value.numpy() for key, value in found.items()}


def describe(maps: dict[str, Tensor]) -> dict[str, Tensor]:
    """Compute the mean over time and space of every stage, and its shape."""
    means = {f"{name}_mean": x.mean(dim=(2, 3, 4)) for name, x in maps.items()}
    return means | {f"{name}_shape": torch.tensor(x.shape) for name, x in maps.items()}


def pool(network: I3DInception, last: Tensor, window: list[int]) -> dict[str, Tensor]:
    """Pool the last map; the map itself is recorded where the window does not fit in it."""
    if any(size < side for size, side in zip(last.shape[2:], window, strict=True)):
        return {"map": last[0, ::8]}
    features = functional.avg_pool3d(last, window, stride=1)
    logits = network.classifier(features)
    if features[0, 0].numel() == 1:  # the clips that features are published of: as the package computes them
        with patch.object(network.stages, "forward", lambda _: last):  # the map is not computed twice
            features, logits = network.features(last)[:, :, None, None, None], network(last)[:, :, None]
            return {"features": features, "logits": logits[:, ::8]}
    logits = logits[:, ::8]
    if logits.shape[3:] == (1, 1):  # the reference squeezes both axes of space, or none
        logits = logits[..., 0, 0]
    return {"features": features, "logits": logits}


CASE = PlainCase(outputs=compute, required=("/features", "/logits", "/map_small"))
