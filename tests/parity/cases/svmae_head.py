"""SVMAE's detector as the golden cases see it."""

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.parity import golden
from tests.parity.cases import ssrl
from tests.parity.cases.ssrl import NORM_DTYPE, WEIGHTED, extra, loss_weights, optimizer, train_outputs
from wsvad_lightning.interop.svmae import TABLE
from wsvad_lightning.methods import SVMAE
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.types import WSVADBatch

__all__ = [
    "NORM_DTYPE",
    "TABLE",
    "WEIGHTED",
    "batches",
    "build",
    "evaluate",
    "extra",
    "optimizer",
    "train_outputs",
]


def build(config: dict[str, Any], inputs: dict[str, Tensor]) -> WSVADModule:
    """Build the method that the configuration describes, without dropout."""
    return SVMAE(
        feature_dim=config["visual_dim"],
        text_dim=config["text_dim"],
        inputs=config["feature_group"],
        fusion=config["fusion"],
        k=config["k"],
        margin=config["margin"],
        dropout=0.0,
        exclude=0.0,
        loss_weights=loss_weights(config),
    )


def batches(inputs: dict[str, Tensor]) -> dict[str, WSVADBatch]:
    """Pair what there is to train with; the videos with a text of another length travel as streams."""
    stored = {name: x.transpose(1, 2) if x.ndim == 4 else x[:, :, None] for name, x in inputs.items()}
    train = golden.training_batch(inputs["normal_visual"], inputs["abnormal_visual"])
    text = torch.cat([stored["normal_text"], stored["abnormal_text"]])
    scored = golden.evaluation_batch(stored["eval_visual"])
    others = {name: x for name, x in stored.items() if name.startswith("eval_text_")}
    return {
        "train": train._replace(streams={"text": text}),
        "eval": scored._replace(streams={"text": stored["eval_text"], **others}),
    }


def evaluate(module: WSVADModule, batch: WSVADBatch) -> dict[str, NDArray[Any]]:
    """Score the videos, with magnitudes where visual snippets and texts are as many."""
    found = ssrl.evaluate(module, batch)
    for kind in ("text_short", "text_long"):
        if f"eval_{kind}_text" in batch.streams:
            other = golden.evaluation_batch(batch.streams[f"eval_{kind}_visual"])
            other = other._replace(streams={"text": batch.streams[f"eval_{kind}_text"]})
            found[f"scores_{kind}"] = module.score(other).squeeze(0).numpy()
    return found
