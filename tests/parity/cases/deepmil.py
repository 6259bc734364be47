"""DeepMIL, the variant of Sultani MIL, as the golden cases see it."""

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.parity.case import MethodCase
from wsvad_lightning.interop.deepmil import TABLE, VARIANT
from wsvad_lightning.methods import Sultani
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.types import WSVADBatch


def build(config: dict[str, Any], inputs: dict[str, Tensor]) -> WSVADModule:
    """Build the method that the configuration describes, without dropout."""
    feature_dim, hidden_dim, narrow_dim, _ = config["layers"]
    assert config["activations"] == ["relu", "relu", "sigmoid"]
    assert config["margin"] == 1.0
    without_dropout = {"dropout": 0.0, "output_dropout": 0.0}
    weights = {"smooth": config["lambda_smooth"], "sparsity": config["lambda_sparsity"]}
    arguments = {**VARIANT, **without_dropout, "loss_weights": {**VARIANT["loss_weights"], **weights}}
    return Sultani(feature_dim, hidden_dim, narrow_dim, **arguments)


def optimizer(config: dict[str, Any], module: WSVADModule) -> torch.optim.Optimizer:
    """Build the recipe's optimizer."""
    return torch.optim.Adam(
        module.parameters(), lr=config["lr"], weight_decay=config["weight_decay"], fused=True
    )


def evaluate(module: WSVADModule, batch: WSVADBatch) -> dict[str, NDArray[Any]]:
    """Score a video, and give what the network computes on the way."""
    assert isinstance(module, Sultani)
    return {
        "scores": module.score(batch).squeeze(0).numpy(),
        "hidden2_sub": module.net.embed(batch.features)[0, 0, ::4].numpy(),
    }


def train_outputs(module: WSVADModule, batch: WSVADBatch) -> dict[str, NDArray[Any]]:
    """Give the scores of a training pass."""
    with torch.no_grad():
        return {"scores": module.net(batch.features).numpy()}


CASE = MethodCase(
    table=TABLE,
    build=build,
    optimizer=optimizer,
    evaluate=evaluate,
    train_outputs=train_outputs,
    weighted=frozenset({"smooth", "sparsity"}),
)
