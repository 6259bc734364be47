"""Compare a method with the authors' numbers: ``python -m tests.parity.golden MANIFEST.json``.

A manifest names the method, its configuration, and the key, shape and kind of every weight and input, all of
which ``fill`` makes from their keys. Weights are loaded through the key table that imports official
checkpoints. Beside the manifest lies an ``.npz`` with what the authors' code computed.

What a method adds to this door is a module ``tests/parity/cases/<method>.py`` with its key ``TABLE``,
``build``, ``optimizer``, ``evaluate`` and ``train_outputs``, and where the reference asks for it ``WEIGHTED``
(terms recorded with their weights), ``batches`` (inputs that :func:`batches` does not pair by name), ``clip``
(of gradients, before the step), ``extra`` (more outputs, read just before the step), ``small_step`` (an
optimizer of a step where the recipe's own goes far), ``further`` (outputs by their whole keys: of several
steps, of videos that are no batch, or of no network), ``GIVEN`` (what the reference may record of the case
itself, such as lengths and labels: inputs by their whole keys), ``follow`` (inputs by the rules of the
manifest), ``sizes`` (more of the configuration, read off the weights), ``complete`` (what the network needs
besides parameters), ``NORM_DTYPE`` (in which the reference sums squared gradients: of millions of them
float32 loses more than the tolerance) and ``loose`` (relative tolerances of keys that need more, and why).
What a backbone adds is ``compute`` (all outputs, of weights and inputs), what a metric adds ``measure`` (all
outputs, of the manifest), and both ``REQUIRED`` (the outputs that prove them).

A number agrees within a relative 1e-4 and an absolute 1e-6, or three times what the authors' own code loses
in float32 where the manifest says how much that is. A gradient may be off by 2e-6 of the largest one: where
it is zero but for rounding, it is no number to agree on.
"""

import argparse
import copy
import importlib
import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from torch import Tensor

from tests.parity.fill import fill
from wsvad_lightning.interop import load_official
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.types import WSVADBatch

RTOL, ATOL = 1e-4, 1e-6
GRADIENT_ATOL = 2e-6  # of the largest gradient
REQUIRED = ("/scores", "/grad_norm", "/loss_after_step")

Outputs = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Row:
    """One compared output: its largest error, both tolerances, and whether every number is within."""

    key: str
    error: float
    floor: float
    rtol: float
    verdict: str


def official_state(manifest: dict[str, Any]) -> dict[str, Tensor]:
    """Make the authors' weights."""
    return {
        entry["name"]: torch.as_tensor(
            fill(f"{manifest['method']}/{entry['name']}", tuple(entry["shape"]), entry["kind"])
        )
        for entry in manifest["params"]
    }


def make_inputs(manifest: dict[str, Any]) -> dict[str, Tensor]:
    """Make the inputs of the case."""
    prefix = f"{manifest['method']}/{manifest['case']}"
    inputs = {
        entry["name"]: torch.from_numpy(
            fill(f"{prefix}/{entry['name']}", tuple(entry["shape"]), entry["kind"])
        ).mul(entry.get("scale", 1.0))
        for entry in manifest["inputs"]
    }
    rules = {entry["name"]: entry["rule"] for entry in manifest["inputs"] if "rule" in entry}
    if not rules:
        return inputs
    case = find_case(manifest["method"])
    if not hasattr(case, "follow"):
        raise ValueError(f"{manifest['method']}: no case reads the rules of {list(rules)} yet")
    followed: dict[str, Tensor] = case.follow(rules, inputs)
    return followed


def training_batch(normal: Tensor, abnormal: Tensor) -> WSVADBatch:
    """Pair ``[B, T, D]`` or ``[B, N, T, D]`` halves into a batch, the normal half first."""
    features = torch.cat([normal, abnormal])
    if features.ndim == 3:
        features = features[:, None]
    labels = torch.cat([torch.zeros(len(normal)), torch.ones(len(abnormal))])
    lengths = torch.full((len(features),), features.shape[2])
    names = [f"video{i}" for i in range(len(features))]
    return WSVADBatch(features, lengths, labels, names, {})


def evaluation_batch(features: Tensor) -> WSVADBatch:
    """Make a batch of a video's crops ``[N, T, D]``, of one ``[T, D]``, or of stored ``[B, T, N, D]``."""
    features = features.transpose(1, 2) if features.ndim == 4 else features[(None,) * (4 - features.ndim)]
    size, length = len(features), features.shape[2]
    lengths, labels = torch.full((size,), length), torch.zeros(size)
    return WSVADBatch(features, lengths, labels, [f"video{i}" for i in range(size)], {})


def batches(inputs: dict[str, Tensor]) -> dict[str, WSVADBatch]:
    """Pair ``x_normal`` with ``x_abnormal`` as training batch ``x``; every other input is scored."""
    made = {}
    for name, value in inputs.items():
        parts = name.split("_")
        if "normal" in parts:
            other = "_".join("abnormal" if part == "normal" else part for part in parts)
            made["_".join(part for part in parts if part != "normal")] = training_batch(value, inputs[other])
        elif "abnormal" not in parts:
            made[name] = evaluation_batch(value)
    return made


def gradient_norms(manifest: dict[str, Any], case: ModuleType, module: WSVADModule) -> NDArray[np.float64]:
    """Give the norm of every gradient in the manifest's order, NaN where there is none."""
    parameters = dict(module.net.named_parameters())
    gradients = (parameters.get(case.TABLE.to_ours(entry["name"])) for entry in manifest["params"])
    dtype = getattr(case, "NORM_DTYPE", torch.float64)
    norms = [np.nan if p is None or p.grad is None else p.grad.to(dtype).norm().item() for p in gradients]
    return np.array(norms)


def train(
    manifest: dict[str, Any], case: ModuleType, build: Callable[[], WSVADModule], batch: WSVADBatch
) -> Outputs:
    """Compute loss terms, outputs, gradient norms, and the loss after one step of the recipe's optimizer."""
    config = manifest["config"]
    found: Outputs = {
        f"out/{key}": value for key, value in case.train_outputs(build().train(), batch).items()
    }
    module = build().train()
    optimizer = case.optimizer(config, module)
    losses = module.compute_losses(batch)
    for term, value in losses.items():
        weight = module.loss_weights[term] if term in getattr(case, "WEIGHTED", ()) else 1.0
        found[f"loss/{term}"] = weight * value.detach().numpy()
    total = module.total_loss(losses)
    found["loss/total"] = total.detach().numpy()
    torch.autograd.backward(total)
    found["grad_norm"] = gradient_norms(manifest, case, module)
    if hasattr(case, "clip"):
        found["grad_total_norm"] = case.clip(config, module)
        found["grad_norm_clipped"] = gradient_norms(manifest, case, module)
    if hasattr(case, "extra"):
        found |= case.extra(config, module, losses)
    if hasattr(case, "small_step"):
        found["loss_after_small_step"] = loss_after(case.small_step(config, module), module, batch)
    found["loss_after_step"] = loss_after(optimizer, module, batch)
    return found


def loss_after(optimizer: torch.optim.Optimizer, module: WSVADModule, batch: WSVADBatch) -> NDArray[Any]:
    """Give the total loss after a step along the gradients there are, and take the step back."""
    before = copy.deepcopy(module.state_dict())
    optimizer.step()
    with torch.no_grad():
        total = module.total_loss(module.compute_losses(batch))
    module.load_state_dict(before)
    return total.numpy()


def find_case(method: str) -> ModuleType:
    """Import the module of a case; the stages of one method share it."""
    return importlib.import_module(f"tests.parity.cases.{re.sub('_stage[0-9]+$', '', method)}")


def compute(manifest: dict[str, Any], reference: Outputs) -> Outputs:
    """Compute every output of the manifest that this project has."""
    case = find_case(manifest["method"])
    if hasattr(case, "measure"):
        measured: Outputs = case.measure(manifest)
        return measured
    state, inputs = official_state(manifest), make_inputs(manifest)
    given = [key for key in getattr(case, "GIVEN", ()) if key in reference]
    inputs |= {key: torch.from_numpy(reference[key]) for key in given}
    if hasattr(case, "compute"):
        outputs: Outputs = case.compute(state, inputs)
        return outputs

    config = manifest["config"] | (case.sizes(state) if hasattr(case, "sizes") else {})

    def build() -> WSVADModule:
        module: WSVADModule = case.build(config, inputs)
        load_official(module.net, state, case.TABLE)
        if hasattr(case, "complete"):
            case.complete(config, inputs, module, state)
        return module

    found: Outputs = {}
    # The cases replace every random draw; dropout is switched off by `build`.
    with patch("torch.randn_like", torch.zeros_like):
        for prefix, batch in getattr(case, "batches", batches)(inputs).items():
            if batch.labels.any():
                outputs = train(manifest, case, build, batch)
            else:
                with torch.no_grad():
                    outputs = case.evaluate(build().eval(), batch)
            found |= {f"{prefix}/{key}": output for key, output in outputs.items()}
        if hasattr(case, "further"):
            found |= case.further(manifest, inputs, build)
    return found


def compare(
    found: Outputs, reference: Outputs, rounding: dict[str, Any], loose: dict[str, float]
) -> list[Row]:
    """Set ours beside the reference, key by key.

    Args:
        found: ours.
        reference: theirs.
        rounding: what their code loses in float32, where that is known: of an output, or of each value.
        loose: relative tolerances other than the usual one.
    """
    rows = []
    for key, expected in reference.items():
        floors, rtol = np.fmax(ATOL, 3 * rounding.get(key, 0.0)), loose.get(key, RTOL)
        floor = float(np.min(floors))
        if key not in found:
            rows.append(Row(key, float("nan"), floor, rtol, "not computed"))
            continue
        ours = found[key]
        if ours.shape != expected.shape:
            rows.append(Row(key, float("inf"), floor, rtol, f"shape {ours.shape}, not {expected.shape}"))
            continue
        close = np.isclose(ours, expected, rtol=rtol, atol=floors, equal_nan=True)
        differs = np.abs(ours - expected.astype(np.float64))[~(np.isnan(ours) & np.isnan(expected))]
        error = float(np.max(differs, initial=0.0))
        rows.append(Row(key, error, floor, rtol, "agrees" if close.all() else "DIFFERS"))
    return rows


def is_failure(row: Row, required: tuple[str, ...] = REQUIRED) -> bool:
    """Decide whether a row fails the case: a difference always, a gap where the key is one of the proof's."""
    needed = "/loss/" in row.key or row.key.endswith(required)
    return row.verdict != "agrees" and (row.verdict != "not computed" or needed)


def check(path: Path) -> list[Row]:
    """Run one case.

    Args:
        path: the manifest; the reference lies beside it as ``.npz``.
    """
    manifest = json.loads(path.read_text())
    case = find_case(manifest["method"])
    loose = case.loose(manifest["config"]) if hasattr(case, "loose") else {}
    with np.load(path.with_suffix(".npz")) as arrays:
        reference = dict(arrays)
    return compare(compute(manifest, reference), reference, rounding(manifest, reference), loose)


def rounding(manifest: dict[str, Any], reference: Outputs) -> dict[str, Any]:
    """Give what the authors' code loses in float32, where the manifest says how much that is.

    It says so relative to the largest number of an output, but to each number of gradient norms.
    """
    absolute, relative = manifest.get("float32_vs_float64", {}), manifest.get("sensitivity", {})
    losses = {}
    for key, value in reference.items():
        sizes = np.abs(value)
        largest = np.nanmax(sizes, initial=0.0)
        of_gradients = key.endswith(("grad_norm", "grad_norm_clipped"))
        loss = absolute.get(key, relative.get(key, 0.0) * (sizes if of_gradients else largest))
        losses[key] = np.fmax(loss, GRADIENT_ATOL / 3 * largest) if of_gradients else loss
    return losses


def main() -> int:
    """Print the comparison and return 0 only if everything that proves the method agrees."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("manifest", type=Path)
    path = parser.parse_args().manifest
    rows = check(path)
    case = find_case(json.loads(path.read_text())["method"])
    required = getattr(case, "REQUIRED", REQUIRED)
    table = Table("key", "largest error", "tolerance", "verdict", title=str(path))
    for row in rows:
        table.add_row(row.key, f"{row.error:.2e}", f"{row.floor:.1e} + {row.rtol:g} |x|", row.verdict)
    Console().print(table)
    unproved = [suffix for suffix in required if not any(row.key.endswith(suffix) for row in rows)]
    if unproved:
        Console().print(f"the reference holds nothing that ends in {', '.join(unproved)}: no proof")
    return int(bool(unproved) or any(is_failure(row, required) for row in rows))


if __name__ == "__main__":
    sys.exit(main())
