"""RTFM as the golden cases see it."""

from typing import Any

import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from tests.parity.case import MethodCase
from wsvad_lightning.interop.rtfm import TABLE
from wsvad_lightning.layers import magnitudes
from wsvad_lightning.methods import RTFM
from wsvad_lightning.methods.base.magnitude import MagnitudeMIL
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.ops import gather_snippets, halves
from wsvad_lightning.types import WSVADBatch


def build(config: dict[str, Any], inputs: dict[str, Tensor]) -> WSVADModule:
    """Build the method that the configuration describes, without dropout."""
    return RTFM(
        feature_dim=config["feature"],
        k=config["k"],
        margin=config["margin"],
        dropout=0.0,
        exclude=0.0,
        loss_weights={
            "magnitude": config["alpha"],
            "smooth": config["smooth"],
            "sparsity": config["sparsity"],
        },
    )


def optimizer(config: dict[str, Any], module: WSVADModule) -> torch.optim.Optimizer:
    """Build the recipe's optimizer."""
    return torch.optim.Adam(
        module.parameters(), lr=config["lr"], weight_decay=config["weight_decay"], fused=True
    )


def evaluate(module: WSVADModule, batch: WSVADBatch) -> dict[str, NDArray[Any]]:
    """Score a video, and give what the network computes on the way."""
    assert isinstance(module, MagnitudeMIL)
    out = module.encode(batch)
    return {
        "scores": module.score(batch).squeeze(0).numpy(),
        "crop_scores": out.crop_scores.squeeze(0).numpy(),
        "magnitudes": magnitudes(out.features).squeeze(0).numpy(),
        "aggregated_sub": out.features[0, 0, ::4, ::32].numpy(),
    }


def train_outputs(module: WSVADModule, batch: WSVADBatch) -> dict[str, NDArray[Any]]:
    """Give scores, magnitudes and the selected snippets of a training pass."""
    assert isinstance(module, MagnitudeMIL)
    with torch.no_grad():
        out = module.encode(batch)
        index = module.select(out.features)
    normal_score, abnormal_score = halves(out.scores.take_along_dim(index, dim=-1).mean(dim=-1))
    selected = gather_snippets(out.features, index)[..., ::64]
    normal, abnormal = (rearrange(half, "b n k d -> (n b) k d").numpy() for half in halves(selected))
    return {
        "scores": out.scores.numpy(),
        "score_normal": normal_score.numpy(),
        "score_abnormal": abnormal_score.numpy(),
        "magnitudes": magnitudes(out.features).numpy(),
        "selected_normal_sub": normal,
        "selected_abnormal_sub": abnormal,
    }


CASE = MethodCase(
    table=TABLE,
    build=build,
    optimizer=optimizer,
    evaluate=evaluate,
    train_outputs=train_outputs,
    passes=("encode",),
    weighted=frozenset({"smooth", "sparsity"}),
)
