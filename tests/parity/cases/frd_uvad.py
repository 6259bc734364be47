"""FRD-UVAD as the golden cases see it: one step without the memory, then three with either kind."""

import copy
import re
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.parity.batches import evaluation_batch
from tests.parity.case import Manifest, MethodCase, computed_once, gradient_norms
from wsvad_lightning.data.loading.windows import window_batch, window_positions
from wsvad_lightning.interop.frduvad import TABLE, init_args
from wsvad_lightning.methods import FRDUVAD
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.methods.frduvad import FRDUVADNet, Memory, running_mean, upper_deviation
from wsvad_lightning.types import WSVADBatch

TERMS = ("reconstruction", "memory", "score")
KINDS: dict[Memory, str] = {"any": "wlab", "all": "slab"}


def training_batches(manifest: Manifest, inputs: dict[str, Tensor]) -> list[WSVADBatch]:
    """Make the windows that begin at each snippet, a batch for each array of features."""
    layouts = {entry["name"]: entry["layout"] for entry in manifest["inputs"]}
    made = []
    for name in (name for name in inputs if re.fullmatch(r"features_\d+", name)):
        snippets = inputs[name]
        (block,) = re.findall(r"gain\[i // (\d+)\]", layouts[f"{name}_gain"])
        gain = inputs[f"{name}_gain"].repeat_interleave(int(block))[: len(snippets), None, None]
        positions = window_positions([len(snippets)], manifest["config"]["cross_clip"], across_videos=True)
        features = (snippets * (1 + gain)).numpy()[positions]
        made.append(window_batch(features, positions, [""] * len(snippets)))
    return made


def batches(manifest: Manifest, inputs: dict[str, Tensor]) -> dict[str, WSVADBatch]:
    """Score a video; train on the first windows."""
    evaluation = evaluation_batch(inputs["eval_features"].transpose(0, 1))
    return {"eval": evaluation, "train": training_batches(manifest, inputs)[0]}


def build(config: dict[str, Any], inputs: dict[str, Tensor]) -> WSVADModule:
    """Build the method that the configuration describes, without disruption and dropout."""
    module = FRDUVAD(
        config["feature_size"],
        memory_size=config["bank_size"],
        loss_weights=dict(zip(TERMS, config["Lambda"], strict=True)),
    )
    assert config["token_dim"] * config["tokens"] == config["feature_size"]
    assert config["mlp_ratio"] == 4
    assert (config["sizes"]["tokens"], config["sizes"]["depth"]) == (config["tokens"], config["blocks"] // 2)
    module.net = FRDUVADNet(
        **config["sizes"],
        heads=config["heads"],
        disruption=0.0,
        dropout=0.0,
        auxiliary_dropout=0.0,
    )
    return module


def sizes(weights: dict[str, Tensor]) -> dict[str, Any]:
    """Read the widths of both scorers off the weights, as the import does."""
    return {"sizes": init_args(weights)}


def optimizer(config: dict[str, Any], module: WSVADModule) -> torch.optim.Optimizer:
    """Build the recipe's optimizer."""
    return torch.optim.AdamW(
        module.parameters(),
        lr=config["lr"],
        betas=tuple(config["betas"]),
        weight_decay=config["weight_decay"],
        fused=True,
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
    config, given = manifest["config"], training_batches(manifest, inputs)
    found: dict[str, Any] = {}
    for name, (module, stepper, first) in first_steps(manifest, given[0], build).items():
        losses, banks = [first], [module.bank]
        for number, batch in enumerate(given[1:], start=2):
            stepper.zero_grad()
            with torch.set_grad_enabled(number < len(given)):  # no step follows the last losses
                losses.append(backward(module, batch))
            banks.append(module.bank)
            if (name, number) == (KINDS["any"], 2):
                found["grad_norm"] = gradient_norms(manifest, TABLE, module, CASE.norm_dtype)
            stepper.step()
        found |= {f"{name}/losses": losses, f"{name}/size": [*map(len, banks)]}
        found[f"{name}/mean"] = [*map(mean_of, banks)]
    module = remembering(build(), "any", config["delta"])
    module.bank = preset_scale(manifest) * given[1].features[: config["bank_size"]]
    found["preset_losses"] = backward(module, given[0])
    found["preset_grad_norm"] = gradient_norms(manifest, TABLE, module, CASE.norm_dtype)
    return {f"train_bank/{key}": np.array(value) for key, value in found.items()}


def first_steps(
    manifest: Manifest, batch: WSVADBatch, build: Callable[[], WSVADModule]
) -> dict[str, tuple[FRDUVAD, torch.optim.Optimizer, list[float]]]:
    """Take the step that no memory changes yet once; give a network of each kind after it, and its losses."""
    common = build()
    stepper, first = optimizer(manifest["config"], common), {}
    with computed_once(common, CASE.passes):
        for kind, name in KINDS.items():
            module = remembering(common, kind, margin_of(name, manifest))
            first[kind, name] = backward(module, batch), module.bank
            module.bank = module.bank[:0]
    stepper.step()
    found = {}
    for (kind, name), (losses, bank) in first.items():
        copied, own_stepper = copy.deepcopy((common, stepper))
        module = remembering(copied, kind, margin_of(name, manifest))
        module.bank = bank
        found[name] = module, own_stepper, losses
    return found


def mean_of(bank: Tensor) -> float:
    """Compute the mean of a memory; the reference records 0 for one that holds nothing."""
    return bank.double().mean().item() if len(bank) else 0.0


def margin_of(kind: str, manifest: Manifest) -> float:
    """Read at which margin windows are remembered; the stricter kind has one of its own."""
    meaning = manifest["outputs"][f"train_bank/{kind}/losses"]["meaning"]
    stated = re.search(rf"(?:delta|,) (-?[\d.]+) for {kind}", meaning)
    return float(stated[1] if stated else manifest["config"]["delta"])


def preset_scale(manifest: Manifest) -> float:
    """Read by what the windows of a preset memory are multiplied."""
    meaning = manifest["outputs"]["train_bank/preset_losses"]["meaning"]
    (scale,) = re.findall(r"preset to ([\d.]+) times", meaning)
    return float(scale)


def remembering(module: WSVADModule, kind: Memory, margin: float) -> FRDUVAD:
    """Switch the memory on."""
    assert isinstance(module, FRDUVAD)
    module.memory, module.memory_margin = kind, margin
    return module.train()


def backward(module: FRDUVAD, batch: WSVADBatch) -> list[float]:
    """Compute gradients where they are wanted; give the terms and the total.

    Of too many windows the first are remembered.
    """
    with patch("torch.randperm", torch.arange):
        losses = module.compute_losses(batch)
    total = module.total_loss(losses)
    if total.requires_grad:
        torch.autograd.backward(total)
    return [*(losses[term].item() for term in TERMS), total.item()]


CASE = MethodCase(
    table=TABLE,
    build=build,
    optimizer=optimizer,
    evaluate=evaluate,
    train_outputs=train_outputs,
    passes=("net.reconstruct.forward", "net.to_score.forward"),
    batches=batches,
    sizes=sizes,
    further=further,
    norm_dtype=torch.float32,
)
