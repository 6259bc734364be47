"""S3R as the golden cases see it."""

from typing import Any

import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from tests.parity import golden
from wsvad_lightning.interop.s3r import TABLE
from wsvad_lightning.layers import magnitudes
from wsvad_lightning.methods import S3R
from wsvad_lightning.methods.base import WSVADModule
from wsvad_lightning.methods.s3r import S3ROutput
from wsvad_lightning.ops import gather_snippets, halves
from wsvad_lightning.types import WSVADBatch

__all__ = ["TABLE", "WEIGHTED", "batches", "build", "evaluate", "optimizer", "train_outputs"]

WEIGHTED = frozenset({"smooth", "sparsity"})


def build(config: dict[str, Any], inputs: dict[str, Tensor]) -> WSVADModule:
    """Build the method that the configuration describes, with the case's dictionary and without dropout."""
    module = S3R(
        feature_dim=config["feature"],
        attention_dim=config["attention_dim"],
        k=config["k"],
        margin=config["margin"],
        dropout=0.0,
        exclude=0.0,
        loss_weights={
            "magnitude": config["alpha"],
            "smooth": config["smooth"],
            "sparsity": config["sparsity"],
            "macro": config["macro"],
        },
    )
    module.net.use_dictionary(inputs["dictionary"])
    return module


def batches(inputs: dict[str, Tensor]) -> dict[str, WSVADBatch]:
    """Pair what is no dictionary."""
    return golden.batches({name: value for name, value in inputs.items() if name != "dictionary"})


def optimizer(config: dict[str, Any], module: WSVADModule) -> torch.optim.Optimizer:
    """Build the recipe's optimizer."""
    return torch.optim.Adam(module.parameters(), lr=config["lr"], weight_decay=config["weight_decay"])


def evaluate(module: WSVADModule, batch: WSVADBatch) -> dict[str, NDArray[Any]]:
    """Score a video, and give what the network computes on the way."""
    assert isinstance(module, S3R)
    net, first_crop = module.net, batch.features[0, 0]
    out: S3ROutput = net(batch.features)
    return {
        "scores": module.score(batch).squeeze(0).numpy(),
        "crop_scores": out.crop_scores.squeeze(0).numpy(),
        "macro_score": out.macro_scores.numpy(),
        "magnitudes": magnitudes(out.features).squeeze(0).numpy(),
        "reconstruction_sub": net.reconstruct(first_crop, net.dictionary)[::4, ::32].numpy(),
        "attention_sub": net.reconstruct.weights(first_crop, net.dictionary)[::4, ::8].T.numpy(),
        "gate_sub": net.gate(*net.encode(batch.features))[0, :, 0, ::32].numpy(),
    }


def train_outputs(module: WSVADModule, batch: WSVADBatch) -> dict[str, NDArray[Any]]:
    """Give scores, magnitudes and the selected snippets of a training pass."""
    assert isinstance(module, S3R)
    with torch.no_grad():
        out: S3ROutput = module.net(batch.features)
        index = module.select(out.features)
    normal_score, abnormal_score = halves(out.scores.take_along_dim(index, dim=-1).mean(dim=-1))
    selected = gather_snippets(out.features, index)[..., ::64]
    normal, abnormal = (rearrange(half, "b n k d -> (n b) k d").numpy() for half in halves(selected))
    return {
        "scores": out.scores.numpy(),
        "score_normal": normal_score.numpy(),
        "score_abnormal": abnormal_score.numpy(),
        "macro_scores": out.macro_scores.numpy(),
        "magnitudes": magnitudes(out.features).numpy(),
        "selected_normal_sub": normal,
        "selected_abnormal_sub": abnormal,
    }
