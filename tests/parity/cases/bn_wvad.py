"""BN-WVAD as the golden cases see it."""

from typing import Any

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor, nn

from tests.parity.batches import pair_by_name
from tests.parity.case import Manifest, MethodCase, adam
from wsvad_lightning.interop.bnwvad import TABLE
from wsvad_lightning.methods import BNWVAD
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.methods.bnwvad import BNWVADNet, select_pairs
from wsvad_lightning.ops import halves
from wsvad_lightning.types import WSVADBatch


def batches(manifest: Manifest, inputs: dict[str, Tensor]) -> dict[str, WSVADBatch]:
    """Put the video that stands apart, for its scale, behind the other abnormal ones."""
    together = [value for name, value in inputs.items() if name.startswith("train_abnormal")]
    return pair_by_name({**inputs, "train_abnormal": torch.cat(together)})


def build(config: dict[str, Any], inputs: dict[str, Tensor]) -> WSVADModule:
    """Build the method that the configuration describes."""
    first, second = config["triplet_weights"]
    module = BNWVAD(
        sample_ratio=config["ratio_sample"],
        batch_ratio=config["ratio_batch"],
        margin=config["triplet_margin"],
        loss_weights={
            "normal": config["w_normal"],
            "triplet1": config["w_mpp"] * first,
            "triplet2": config["w_mpp"] * second,
        },
    )
    transformer = config["transformer"]
    assert transformer["dropout"] == 0.0
    module.net = BNWVADNet(
        feature_dim=config["input_size"],
        hidden_dim=config["hidden"],
        depth=transformer["depth"],
        heads=transformer["heads"],
        head_dim=transformer["dim_head"],
        mlp_dim=transformer["ffn"],
    )
    return module


def clip(config: dict[str, Any], module: WSVADModule) -> NDArray[Any]:
    """Clip the gradients as the recipe does; give their norm before."""
    return nn.utils.clip_grad_norm_(module.parameters(), config["grad_clip_norm"]).numpy()


def evaluate(module: WSVADModule, batch: WSVADBatch) -> dict[str, NDArray[Any]]:
    """Score a video, and give what the network computes on the way."""
    assert isinstance(module, BNWVAD)
    probability, (first, second) = module.net.score_crops(batch.features)
    crops = rearrange(batch.features, "b n t d -> (b n) 1 t d")
    return {
        "scores": module.score(batch).squeeze(0).numpy(),
        "crop_scores": module.net(crops).numpy(),
        "normal_head": probability[0].numpy(),
        "dist1": first[0].numpy(),
        "dist2": second[0].numpy(),
    }


def train_outputs(module: WSVADModule, batch: WSVADBatch) -> dict[str, NDArray[Any]]:
    """Give probabilities, and at each level statistics, divergences and the selected features."""
    assert isinstance(module, BNWVAD)
    head = module.net.head
    with torch.no_grad():
        probability, levels = head(module.net.encoder(batch.features))
    found = {"normal_head": probability.flatten(0, 1).numpy()}
    for i, (level, norm, divergences) in enumerate(
        zip(levels, (head.bn1, head.bn2), head.divergences(levels), strict=True), start=1
    ):
        divergences = divergences.flatten(0, 1)
        *index, is_pair = select_pairs(*halves(divergences), module.sample_ratio, module.batch_ratio)
        features = halves(rearrange(level, "b n c t -> (b n) t c"))
        normal, abnormal = (
            half.flatten(0, 1)[chosen[is_pair]] for half, chosen in zip(features, index, strict=True)
        )
        found |= {
            f"anchor{i}": np.asarray(norm.running_mean),
            f"variance{i}": np.asarray(norm.running_var),
            f"dist{i}": divergences.numpy(),
            f"n_selected{i}": np.array(len(abnormal)),
            f"selected_abnormal{i}_sub": abnormal[::4].numpy(),
            f"selected_normal{i}_sub": normal[::4].numpy(),
        }
    return found


def extra(config: dict[str, Any], module: WSVADModule, losses: dict[str, Tensor]) -> dict[str, NDArray[Any]]:
    """Give the weighted sum of both triplet terms, which the reference lists as a term."""
    first, second = config["triplet_weights"]
    return {"loss/mpp": (first * losses["triplet1"] + second * losses["triplet2"]).detach().numpy()}


CASE = MethodCase(
    table=TABLE,
    build=build,
    optimizer=adam,
    evaluate=evaluate,
    train_outputs=train_outputs,
    batches=batches,
    clip=clip,
    extra=extra,
)
