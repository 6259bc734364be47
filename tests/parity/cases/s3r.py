"""S3R as the golden cases see it."""

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.parity.batches import pair_by_name
from tests.parity.case import Manifest, MethodCase
from tests.parity.cases import rtfm
from tests.parity.cases.rtfm import optimizer
from wsvad_lightning.interop.s3r import TABLE
from wsvad_lightning.layers import magnitudes
from wsvad_lightning.methods import S3R
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.types import WSVADBatch


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


def batches(manifest: Manifest, inputs: dict[str, Tensor]) -> dict[str, WSVADBatch]:
    """Pair what does not belong to the dictionary."""
    return pair_by_name({name: value for name, value in inputs.items() if name != "dictionary"})


def evaluate(module: WSVADModule, batch: WSVADBatch) -> dict[str, NDArray[Any]]:
    """Score a video, and give what the network computes on the way."""
    assert isinstance(module, S3R)
    net, first_crop = module.net, batch.features[0, 0]
    out = module.encode(batch)
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
    """Give what RTFM's case does, and the scores of the reconstruction."""
    assert isinstance(module, S3R)
    with torch.no_grad():
        macro_scores = module.encode(batch).macro_scores
    return {**rtfm.train_outputs(module, batch), "macro_scores": macro_scores.numpy()}


CASE = MethodCase(
    table=TABLE,
    build=build,
    optimizer=optimizer,
    evaluate=evaluate,
    train_outputs=train_outputs,
    passes=("encode",),
    batches=batches,
    weighted=frozenset({"smooth", "sparsity"}),
)
