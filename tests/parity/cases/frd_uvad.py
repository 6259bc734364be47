"""FRD-UVAD as the golden cases see it: one step without the memory, then three with either kind."""

import sys
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.parity import golden
from wsvad_lightning.data.loading.windows import window_batch, window_positions
from wsvad_lightning.interop.frduvad import TABLE
from wsvad_lightning.methods import FRDUVAD
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.methods.frduvad import FRDUVADNet, Memory, running_mean, upper_deviation
from wsvad_lightning.types import WSVADBatch

__all__ = ["NORM_DTYPE", "TABLE", "batches", "build", "evaluate", "further", "optimizer", "train_outputs"]

NORM_DTYPE = torch.float32  # in which the reference took the norms
BLOCK = 7  # consecutive snippets that share a gain
TERMS = ("reconstruction", "memory", "score")
KINDS: dict[Memory, str] = {"any": "wlab", "all": "slab"}
ALL_MARGIN = -1.0  # at which windows with four anomalous snippets are found


def training_batch(config: dict[str, Any], inputs: dict[str, Tensor], number: int) -> WSVADBatch:
    """Make the windows that begin at each snippet."""
    snippets = inputs[f"features_{number}"]
    gain = inputs[f"features_{number}_gain"].repeat_interleave(BLOCK)[: len(snippets), None, None]
    positions = window_positions([len(snippets)], config["cross_clip"], across_videos=True)
    return window_batch((snippets * (1 + gain)).numpy()[positions], positions, [""] * len(snippets))


def batches(inputs: dict[str, Tensor]) -> dict[str, WSVADBatch]:
    """Score a video; train on the first windows."""
    evaluation = golden.evaluation_batch(inputs["eval_features"].transpose(0, 1))
    return {"eval": evaluation, "train": training_batch({"cross_clip": 4}, inputs, 1)}


def build(config: dict[str, Any], inputs: dict[str, Tensor]) -> WSVADModule:
    """Build the method that the configuration describes, without disruption and dropout."""
    module = FRDUVAD(
        config["feature_size"],
        memory_size=config["bank_size"],
        loss_weights=dict(zip(TERMS, config["Lambda"], strict=True)),
    )
    assert config["token_dim"] * config["tokens"] == config["feature_size"]
    assert config["mlp_ratio"] == 4
    module.net = FRDUVADNet(
        config["feature_size"],
        tokens=config["tokens"],
        depth=config["blocks"] // 2,
        heads=config["heads"],
        disruption=0.0,
        dropout=0.0,
        auxiliary_dims=(512, 32),
        auxiliary_dropout=0.0,
    )
    return module


def optimizer(config: dict[str, Any], module: WSVADModule) -> torch.optim.Optimizer:
    """Build the recipe's optimizer."""
    return torch.optim.AdamW(
        module.parameters(),
        lr=config["lr"],
        betas=tuple(config["betas"]),
        weight_decay=config["weight_decay"],
    )


def evaluate(module: WSVADModule, batch: WSVADBatch) -> dict[str, NDArray[Any]]:
    """Score a video."""
    return {"scores": module.score(batch).squeeze(0).numpy()}


def train_outputs(module: WSVADModule, batch: WSVADBatch) -> dict[str, NDArray[Any]]:
    """Give reconstruction, errors, threshold, scores and pseudo-labels of a training pass."""
    assert isinstance(module, FRDUVAD)
    net, windows = module.net, batch.features
    with torch.no_grad():
        errors = net.errors(windows)
        threshold = upper_deviation(errors, 1.0)
        return {
            "reconstruction_error": errors.numpy(),
            "reconstruction_threshold": threshold.numpy(),
            "reconstruction_sample": net.reconstruct(windows)[::4, ::5, :, ::64].numpy(),
            "scores": running_mean(net(windows)).numpy(),
            "aux_scores": net.auxiliary_scores(windows).numpy(),
            "pseudo_labels": module.pseudo_labels(windows, errors, threshold).numpy(),
        }


def further(
    manifest: dict[str, Any], inputs: dict[str, Tensor], build: Callable[[], WSVADModule]
) -> dict[str, NDArray[Any]]:
    """Train with the memory: three steps with each kind, one with a memory that is easily reconstructed."""
    config = manifest["config"]
    given = [training_batch(config, inputs, number) for number in (1, 2, 3)]
    found: dict[str, Any] = {}
    for kind, name in KINDS.items():
        module = remembering(build(), kind, config["delta"] if kind == "any" else ALL_MARGIN)
        stepper = optimizer(config, module)
        losses, sizes, means = [], [], []
        for number, batch in enumerate(given, start=1):
            stepper.zero_grad()
            losses.append(backward(module, batch))
            sizes.append(len(module.bank))
            means.append(module.bank.double().mean().item())
            if (kind, number) == ("any", 2):
                found["grad_norm"] = golden.gradient_norms(manifest, sys.modules[__name__], module)
            stepper.step()
        found |= {f"{name}/losses": losses, f"{name}/size": sizes, f"{name}/mean": means}
    module = remembering(build(), "any", config["delta"])
    module.bank = 0.5 * given[1].features[: config["bank_size"]]
    found["preset_losses"] = backward(module, given[0])
    found["preset_grad_norm"] = golden.gradient_norms(manifest, sys.modules[__name__], module)
    return {f"train_bank/{key}": np.array(value) for key, value in found.items()}


def remembering(module: WSVADModule, kind: Memory, margin: float) -> FRDUVAD:
    """Switch the memory on."""
    assert isinstance(module, FRDUVAD)
    module.memory, module.memory_margin = kind, margin
    return module.train()


def backward(module: FRDUVAD, batch: WSVADBatch) -> list[float]:
    """Compute gradients; give the terms and the total. Of too many windows the first are remembered."""
    with patch("torch.randperm", torch.arange):
        losses = module.compute_losses(batch)
    total = module.total_loss(losses)
    torch.autograd.backward(total)
    return [*(losses[term].item() for term in TERMS), total.item()]
