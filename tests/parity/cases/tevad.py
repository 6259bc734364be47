"""TEVAD, SVMAE's detector with other fusions, as the golden cases see it."""

from dataclasses import replace
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.parity.cases import ssrl, svmae_head
from wsvad_lightning.interop.tevad import TABLE
from wsvad_lightning.methods import SVMAE
from wsvad_lightning.methods.base.module import WSVADModule

EXTRA = {"smooth": "smooth", "sparsity": "sparse"}  # terms of ``extra_loss``, by the names of the reference


def build(config: dict[str, Any], inputs: dict[str, Tensor]) -> WSVADModule:
    """Build the method that the configuration describes, without dropout."""
    assert config["normal_weight"] == config["abnormal_weight"] == 1.0
    weights = ssrl.loss_weights(config)
    return SVMAE(
        feature_dim=config["visual_dim"],
        text_dim=config["text_dim"],
        inputs=config["feature_group"],
        fusion=config["fusion"],
        k=config["k"],
        margin=config["margin"],
        dropout=0.0,
        aggregate_text=config["aggregate_text"],
        exclude=0.0,
        loss_weights=weights if config["extra_loss"] else {**weights, **dict.fromkeys(EXTRA, 0.0)},
    )


def extra(config: dict[str, Any], module: WSVADModule, losses: dict[str, Tensor]) -> dict[str, NDArray[Any]]:
    """Give terms by the names of the reference; those that do not count with their usual weights, too."""
    weights = ssrl.loss_weights(config)
    named = {f"loss/{name}": weights[term] * losses[term].detach().numpy() for term, name in EXTRA.items()}
    return {**named, "loss/bce": losses["cls"].detach().numpy()}


CASE = replace(
    svmae_head.CASE, table=TABLE, build=build, extra=extra, passes=("encode",), norm_dtype=torch.float64
)
