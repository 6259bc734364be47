"""CLIP-TSA as the golden cases see it."""

from typing import Any

import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from tests.parity.batches import evaluation_batch, training_batch
from tests.parity.case import Manifest, MethodCase
from tests.parity.cases import rtfm
from tests.parity.cases.rtfm import optimizer
from wsvad_lightning.interop.cliptsa import TABLE
from wsvad_lightning.layers import PerturbedTopK, magnitudes
from wsvad_lightning.methods import CLIPTSA
from wsvad_lightning.methods.base.magnitude import MagnitudeOutput
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.ops import gather_snippets, halves
from wsvad_lightning.types import WSVADBatch

TERMS = {"cls": "bce", "magnitude": "magnitude", "smooth": "smooth", "sparsity": "sparse"}


class FedTopK(PerturbedTopK):
    """Takes noise that it is fed."""

    fed = torch.zeros(())

    def noise(self, scores: Tensor) -> Tensor:
        """Give that noise."""
        return self.fed.expand(len(scores), self.samples, scores.shape[1])


class FedCLIPTSA(CLIPTSA):
    """Feeds on the noise of a batch where that brings any, else on none."""

    def encode(self, batch: WSVADBatch) -> MagnitudeOutput:
        """Pass a batch through the network."""
        assert isinstance(self.net.gate, FedTopK)
        self.net.gate.fed = batch.streams.get("noise", torch.zeros(()))
        return super().encode(batch)


def build(config: dict[str, Any], inputs: dict[str, Tensor]) -> WSVADModule:
    """Build the method that the configuration describes, without dropout."""
    module = FedCLIPTSA(
        feature_dim=config["feature_dim"],
        k=config["k_magnitude"],
        margin=config["margin"],
        dropout=0.0,
        exclude=0.0,
        loss_weights={
            "magnitude": config["alpha"],
            "smooth": config["lambda_smooth"],
            "sparsity": config["lambda_sparse"],
        },
    )
    module.net.gate = FedTopK(config["topk_ratio"], config["perturbation_samples"], config["sigma"])
    return module


def batches(manifest: Manifest, inputs: dict[str, Tensor]) -> dict[str, WSVADBatch]:
    """Pair the videos, once without noise and once with."""
    train = training_batch(inputs["normal"], inputs["abnormal"])
    scored = evaluation_batch(inputs["eval"])
    return {
        "train": train,
        "eval": scored,
        "train_noise": train._replace(streams={"noise": inputs["noise"]}),
        "eval_noise": scored._replace(streams={"noise": inputs["noise_eval"]}),
    }


def evaluate(module: WSVADModule, batch: WSVADBatch) -> dict[str, NDArray[Any]]:
    """Score a video, and give what the network computes on the way."""
    assert isinstance(module, CLIPTSA)
    out, rows = module.encode(batch), module.net.narrow(batch.features[0])
    return {
        "scores": out.scores.squeeze(0).numpy(),
        "attention_weight": module.net.attend(rows).numpy(),
        "magnitude": magnitudes(out.features).squeeze(0).numpy(),
        "scorer": torch.sigmoid(module.net.relevance(rows)).squeeze(-1).numpy(),
    }


def train_outputs(module: WSVADModule, batch: WSVADBatch) -> dict[str, NDArray[Any]]:
    """Give scores, magnitudes and the lengths of the selected features of a training pass."""
    assert isinstance(module, CLIPTSA)
    found = rtfm.train_outputs(module, batch)
    with torch.no_grad():
        out = module.encode(batch)
        selected = gather_snippets(out.features, module.select(out.features)).norm(dim=-1)
    normal, abnormal = (rearrange(half, "b n k -> (n b) k").numpy() for half in halves(selected))
    return {
        **{key: found[key] for key in ("scores", "magnitudes")},
        **{key: found[key][:, None] for key in ("score_normal", "score_abnormal")},
        "feat_normal_norm": normal,
        "feat_abnormal_norm": abnormal,
    }


def extra(config: dict[str, Any], module: WSVADModule, losses: dict[str, Tensor]) -> dict[str, NDArray[Any]]:
    """Give the terms by the reference's names, with their weights."""
    return {
        f"loss/{name}": module.loss_weights[term] * losses[term].detach().numpy()
        for term, name in TERMS.items()
    }


CASE = MethodCase(
    table=TABLE,
    build=build,
    optimizer=optimizer,
    evaluate=evaluate,
    train_outputs=train_outputs,
    passes=("encode",),
    batches=batches,
    extra=extra,
)
