"""C2FPL as the golden cases see it: the classifier, and how its labels are made."""

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.parity.batches import evaluation_batch
from tests.parity.case import Manifest, MethodCase
from wsvad_lightning.data.loading.windows import window_batch, window_positions
from wsvad_lightning.interop.c2fpl import TABLE
from wsvad_lightning.methods import C2FPL
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.prepare.c2fpl_labels import (
    MIXTURE,
    divide_videos,
    fit_mixture,
    mark_windows,
    normal_gaussian,
    squared_lengths,
    video_statistics,
)
from wsvad_lightning.types import WSVADBatch

LABEL_DRAW = 0.5  # above which a draw is a label 1


def batches(manifest: Manifest, inputs: dict[str, Tensor]) -> dict[str, WSVADBatch]:
    """Make a batch of single snippets to train with; to score, one video."""
    snippets = inputs["train_features"].numpy()
    positions = window_positions([len(snippets)], size=1, across_videos=False)
    return {
        "eval": evaluation_batch(inputs["eval_features"].transpose(0, 1)),
        "train": window_batch(snippets[positions], positions, [""] * len(snippets)),
    }


def build(config: dict[str, Any], inputs: dict[str, Tensor]) -> WSVADModule:
    """Build the method that the configuration describes, with the case's labels and without dropout."""
    *hidden_dims, _ = config["hidden"]
    module = C2FPL(config["feature_size"], tuple(hidden_dims), dropout=0.0)
    module.take_prepared("c2fpl_labels", inputs["label_draw"] > LABEL_DRAW)
    return module


def optimizer(config: dict[str, Any], module: WSVADModule) -> torch.optim.Optimizer:
    """Build the recipe's optimizer."""
    return torch.optim.SGD(
        module.parameters(),
        lr=config["lr"],
        momentum=config["momentum"],
        weight_decay=config["weight_decay"],
        nesterov=True,
        fused=True,
    )


def evaluate(module: WSVADModule, batch: WSVADBatch) -> dict[str, NDArray[Any]]:
    """Score snippets."""
    return {"scores": module.score(batch).squeeze(0).numpy()}


def train_outputs(module: WSVADModule, batch: WSVADBatch) -> dict[str, NDArray[Any]]:
    """Give the scores of a training pass."""
    with torch.no_grad():
        return {"scores": module.score(batch).squeeze(1).numpy()}


def further(
    manifest: dict[str, Any], inputs: dict[str, Tensor], build: Callable[[], WSVADModule]
) -> dict[str, NDArray[Any]]:
    """Train for two steps; make labels."""
    module, batch = build().train(), batches(manifest, inputs)["train"]
    stepper = optimizer(manifest["config"], module)
    for _ in range(2):
        stepper.zero_grad()
        torch.autograd.backward(module.total_loss(module.compute_losses(batch)))
        stepper.step()
    with torch.no_grad():
        loss = module.total_loss(module.compute_losses(batch)).numpy()
    return {"train/loss_after_two_steps": loss, **pseudo_labels(manifest, inputs)}


def pseudo_labels(manifest: Manifest, inputs: dict[str, Tensor]) -> dict[str, NDArray[Any]]:
    """Make labels of the case's videos, and give what is computed on the way."""
    config, layouts = manifest["config"], {entry["name"]: entry["layout"] for entry in manifest["inputs"]}
    ((least, spread),) = re.findall(r"(\d+) \+ int\((\d+) \* draw\)", layouts["pl_length_draw"])
    lengths = int(least) + (int(spread) * inputs["pl_length_draw"].double()).long().numpy()
    gains = planted_gains(lengths, inputs["pl_amp_draw"].numpy(), " ".join(manifest["notes"]))
    features = inputs["pl_features"].numpy() * gains[:, None, None]
    borders = np.cumsum([0, *lengths])
    videos = [squared_lengths(features[start:stop]) for start, stop in pairwise(borders)]
    statistics = video_statistics(videos)
    mixture = fit_mixture(statistics)
    division = divide_videos(statistics, config["pl_percentile"], config["pl_nu"], "second")
    labels = mark_windows(videos, division.abnormal, config["pl_window_fraction"])
    assert config["pl_gmm"] == MIXTURE
    return {
        "pseudo/gains": gains,
        "pseudo/stats": statistics,
        "pseudo/first_gmm_labels": mixture.predict(statistics),
        "pseudo/first_gmm_means": mixture.means_,
        "pseudo/first_gmm_variances": mixture.covariances_,
        "pseudo/video_labels": division.abnormal,
        "pseudo/iterations": np.array(division.rounds),
        "pseudo/normal_gaussian": np.array(normal_gaussian(videos, division.abnormal)),
        "pseudo/snippet_labels": np.concatenate(labels),
    }


def planted_gains(
    lengths: NDArray[np.int64], amplitudes: NDArray[np.float32], rule: str
) -> NDArray[np.float32]:
    """Make the factor of each snippet: more than 1 in an event of every few videos.

    Args:
        lengths: snippets of each video.
        amplitudes: a draw for each video.
        rule: sentence that says which videos have events, and how strong.
    """
    (every,) = map(int, re.findall(r"index divisible by (\d+)", rule))
    ((least, spread),) = re.findall(r"([\d.]+) \+ ([\d.]+) \* pl_amp_draw", rule)
    gains = [np.ones(length, np.float32) for length in lengths]
    for gain, amplitude in zip(gains[::every], amplitudes[::every], strict=True):
        start = len(gain) // 3
        gain[start : start + max(2, len(gain) // 4)] = float(least) + float(spread) * amplitude
    return np.concatenate(gains)


CASE = MethodCase(
    table=TABLE,
    build=build,
    optimizer=optimizer,
    evaluate=evaluate,
    train_outputs=train_outputs,
    batches=batches,
    further=further,
    norm_dtype=torch.float32,
)
