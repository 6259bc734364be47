"""MGFN as the golden cases see it."""

from typing import Any

import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from tests.parity.case import MethodCase
from wsvad_lightning.interop.mgfn import TABLE
from wsvad_lightning.layers import magnitudes
from wsvad_lightning.methods import MGFN
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.methods.mgfn import STAGES
from wsvad_lightning.ops import gather_snippets, halves
from wsvad_lightning.types import WSVADBatch

CHANNEL_STRIDES = (4, 8, 32)  # by which the reference thins the stages' outputs


def build(config: dict[str, Any], inputs: dict[str, Tensor]) -> WSVADModule:
    """Build the method that the configuration describes, without random exclusion."""
    assert tuple(config["types"]) == STAGES
    module = MGFN(
        feature_dim=config["feature"],
        dims=tuple(config["dims"]),
        depths=tuple(config["depths"]),
        k=config["k"],
        margin=config["contrastive_margin"],
        exclude=0.0,
        loss_weights=config["weights"],
    )
    module.net.magnitude_ratio = config["mag_ratio"]
    return module


def optimizer(config: dict[str, Any], module: WSVADModule) -> torch.optim.Optimizer:
    """Build the recipe's optimizer."""
    return torch.optim.Adam(
        module.parameters(), lr=config["lr"], weight_decay=config["weight_decay"], fused=True
    )


def evaluate(module: WSVADModule, batch: WSVADBatch) -> dict[str, NDArray[Any]]:
    """Score a video, and give what the network computes on the way."""
    assert isinstance(module, MGFN)
    stages: list[Tensor] = []
    for stage in module.net.stages:
        stage.register_forward_hook(lambda _, __, output: stages.append(output[0, 0]))
    encoded = module.net.encode(batch.features)
    crops = rearrange(encoded, "b n t c -> (b n) 1 t c")
    return {
        "scores": module.net.classify(encoded).squeeze(0).numpy(),
        "crop_scores": module.net.classify(crops).numpy(),
        "feature_sub": encoded[0, 0, ::4, ::32].numpy(),
        **{
            f"stage{i}_sub": output[::4, ::stride].T.numpy()
            for i, (output, stride) in enumerate(zip(stages, CHANNEL_STRIDES, strict=True))
        },
    }


def train_outputs(module: WSVADModule, batch: WSVADBatch) -> dict[str, NDArray[Any]]:
    """Give scores, magnitudes and the selected snippets of a training pass."""
    assert isinstance(module, MGFN)
    with torch.no_grad():
        encoded = module.net.encode(batch.features)
        scores = module.net.classify(encoded)
        index = module.select(encoded)
    normal_score, abnormal_score = halves(scores.take_along_dim(index, dim=-1).mean(dim=-1))
    normal, abnormal = halves(gather_snippets(encoded, index).norm(p=1, dim=-1))
    return {
        "scores": scores.numpy(),
        "score_normal": normal_score.numpy(),
        "score_abnormal": abnormal_score.numpy(),
        "l1_normal": rearrange(normal, "b n k -> (n b) k").numpy(),
        "l1_abnormal": rearrange(abnormal, "b n k -> (n b) k").numpy(),
        "magnitudes": magnitudes(encoded).numpy(),
    }


CASE = MethodCase(
    table=TABLE,
    build=build,
    optimizer=optimizer,
    evaluate=evaluate,
    train_outputs=train_outputs,
    passes=("net.encode",),
    weighted=frozenset({"smooth", "sparsity"}),
)
