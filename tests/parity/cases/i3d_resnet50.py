"""I3D on ResNet-50 as the golden case sees it, without non-local blocks and with them."""

import torch
from torch import Tensor
from torch.nn import functional

from tests.parity.case import Manifest, PlainCase
from tests.parity.compare import Outputs
from wsvad_lightning.extraction.backbones.i3d import CLIP_LENGTH, crop_frames, resize_frames, scale_clips
from wsvad_lightning.extraction.backbones.i3d_resnet50 import NORM_EPSILON, I3DResNet50, layer_table
from wsvad_lightning.extraction.backbones.weights import load_folded
from wsvad_lightning.extraction.pooling import SnippetRecipe
from wsvad_lightning.video.views import parse_views

REQUIRED = ("/features", "/features_nl", "/logits_nl", "/preprocess_frame", "/preprocess_crops", "/chunks")
CHUNKS = "eval/chunks"  # rows of the reference: frames of a video, its chunks


def compute(manifest: Manifest, state: dict[str, Tensor], inputs: dict[str, Tensor]) -> Outputs:
    """Give what the networks see, how a video is cut, and what both networks make of a clip."""
    baseline = {key: value for key, value in state.items() if ".nl." not in key}
    clip = 2 * inputs["clip"] - 1
    with torch.inference_mode():
        found = outputs(state, clip, "_nl") | outputs(baseline, clip, "")
        found |= preprocessing(inputs["frame"].mul(256).floor().byte().permute(0, 3, 1, 2))
    if CHUNKS in inputs:
        found["chunks"] = chunks(inputs[CHUNKS])
    return {f"eval/{key}": value.numpy() for key, value in found.items()}


def chunks(reference: Tensor) -> Tensor:
    """Count the chunks of videos that have as many frames as those in the reference's table."""
    recipe = SnippetRecipe(CLIP_LENGTH, CLIP_LENGTH, tail="drop")
    return torch.tensor([[frames, recipe.num_snippets(frames)] for frames in reference[:, 0].int().tolist()])


def outputs(state: dict[str, Tensor], clip: Tensor, suffix: str) -> dict[str, Tensor]:
    """Give logits and features, and of the stages the means over time and space and all shapes."""
    network = I3DResNet50(non_local=bool(suffix), num_classes=len(state["fc.bias"]))
    load_folded(network, state, layer_table(network), NORM_EPSILON, "official", "")
    maps: list[Tensor] = []
    for module in (network.stem, *network.stages):
        module.register_forward_hook(lambda _module, _inputs, output: maps.append(output))
    network.classifier.register_forward_hook(lambda _module, inputs, _output: maps.append(inputs[0]))
    found = {f"logits{suffix}": network(clip)[:, ::8]}
    stem, *stages, found[f"features{suffix}"] = maps
    found |= {f"layer{i + 1}_mean{suffix}": x.mean(dim=(2, 3, 4)) for i, x in enumerate(stages[:3])}
    pools = functional.max_pool3d(stem, (2, 3, 3), 2), functional.max_pool3d(stages[0], (2, 1, 1))
    order = (pools[0], stages[0], pools[1], *stages[1:])
    return found | {"map_shapes": torch.tensor([x.shape for x in order])}


def preprocessing(frames: Tensor) -> dict[str, Tensor]:
    """Give samples of the resized frames and of their crops, scaled, channels last."""
    resized = scale_clips(resize_frames(frames)[None])[0].permute(1, 2, 3, 0)
    crops = scale_clips(crop_frames(frames, views=parse_views("ten_crop")).transpose(0, 1)).permute(
        0, 2, 3, 4, 1
    )
    return {
        "preprocess_frame": resized[0, ::16, ::17],
        "preprocess_crops": crops[:, 1, ::28, ::28],
        "preprocess_crop_mean": crops.double().mean(dim=(1, 2, 3, 4)),
    }


CASE = PlainCase(outputs=compute, required=REQUIRED, given=(CHUNKS,))
