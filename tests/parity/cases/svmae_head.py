"""SVMAE's detector as the golden cases see it."""

import re
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.parity.batches import evaluation_batch, training_batch
from tests.parity.case import Manifest, MethodCase
from tests.parity.cases import ssrl
from tests.parity.cases.rtfm import optimizer
from tests.parity.cases.ssrl import extra, loss_weights, train_outputs
from wsvad_lightning.interop.svmae import TABLE
from wsvad_lightning.methods import SVMAE
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.types import WSVADBatch


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


def batches(manifest: Manifest, inputs: dict[str, Tensor]) -> dict[str, WSVADBatch]:
    """Pair what there is to train with; the videos with a text of another length travel as streams."""
    stored = {name: x.transpose(1, 2) if x.ndim == 4 else x[:, :, None] for name, x in inputs.items()}
    train = training_batch(inputs["normal_visual"], inputs["abnormal_visual"])
    text = torch.cat([stored["normal_text"], stored["abnormal_text"]])
    scored = evaluation_batch(stored["eval_visual"])
    others = {name: x for name, x in stored.items() if re.fullmatch("eval_.+_(visual|text)", name)}
    return {
        "train": train._replace(streams={"text": text}),
        "eval": scored._replace(streams={"text": stored["eval_text"], **others}),
    }


def evaluate(module: WSVADModule, batch: WSVADBatch) -> dict[str, NDArray[Any]]:
    """Score the videos, with magnitudes where visual snippets and texts are as many."""
    found = ssrl.evaluate(module, batch)
    for name in batch.streams:
        if kind := re.fullmatch("eval_(.+)_visual", name):
            other = evaluation_batch(batch.streams[name])
            other = other._replace(streams={"text": batch.streams[f"eval_{kind[1]}_text"]})
            found[f"scores_{kind[1]}"] = module.score(other).squeeze(0).numpy()
    return found


CASE = MethodCase(
    table=TABLE,
    build=build,
    optimizer=optimizer,
    evaluate=evaluate,
    train_outputs=train_outputs,
    batches=batches,
    weighted=ssrl.WEIGHTED,
    extra=extra,
    norm_dtype=torch.float32,
)
