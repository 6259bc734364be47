"""VadCLIP as the golden cases see it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from tests.parity import golden
from wsvad_lightning.data.annotations import VideoAnnotation
from wsvad_lightning.data.dataset import class_target
from wsvad_lightning.interop.vadclip import END, TABLE, UCF_CLASSES, XD_CLASSES, copied_tower, tokenize
from wsvad_lightning.layers import valid_positions
from wsvad_lightning.methods import VadCLIP
from wsvad_lightning.methods.base import WSVADModule
from wsvad_lightning.methods.prompted import NORMAL
from wsvad_lightning.types import WSVADBatch

__all__ = [
    "GIVEN",
    "RULES",
    "TABLE",
    "batches",
    "build",
    "complete",
    "evaluate",
    "extra",
    "further",
    "optimizer",
    "train_outputs",
]

GIVEN = ("train/lengths", "train/labels", "eval/tokens_ucf", "eval/tokens_xd")
RULES = True
VIDEOS = {"eval": "", "eval_long": "_long", "eval_exact": "_exact256"}  # names of inputs, endings of outputs
GROUP = 8  # snippets that share the base of their features


def build(config: dict[str, Any], inputs: dict[str, Tensor]) -> WSVADModule:
    """Build the method that the configuration describes."""
    assert config["visual_heads"] == 1
    assert config["prompt_prefix"] == config["prompt_postfix"] == 10
    assert config["temperature"] == 0.07
    return VadCLIP(
        feature_dim=config["visual_width"],
        length=config["visual_length"],
        layers=config["visual_layers"],
        window=config["attention_window"],
        text_dim=config["embed_dim_of_this_case"],
        loss_weights={"text": 0.1 if config["dataset_variant"] == "ucf" else 1e-4},
    )


def complete(
    config: dict[str, Any], inputs: dict[str, Tensor], module: WSVADModule, state: dict[str, Tensor]
) -> None:
    """Let the text tower of the case read its classes."""
    assert isinstance(module, VadCLIP)
    recorded = inputs[f"eval/tokens_{config['dataset_variant']}"].tolist()

    def tokens_of(texts: Sequence[str]) -> list[list[int]]:
        return [row[: row.index(END) + 1] for row in recorded]

    tower = copied_tower(state, tokens_of, config["text_encoder_of_this_case"]["heads"])
    module.net.prompt.use(tower, config["classes"])


def optimizer(config: dict[str, Any], module: WSVADModule) -> torch.optim.Optimizer:
    """Build the recipe's optimizer."""
    assert config["optimizer"] == "AdamW"
    return torch.optim.AdamW(module.parameters(), lr=config["lr"], weight_decay=config["weight_decay"])


def batches(inputs: dict[str, Tensor]) -> dict[str, WSVADBatch]:
    """Pair the padded training videos; the test videos travel as streams."""
    lengths, targets = inputs["train/lengths"], inputs["train/labels"].float()
    normal, abnormal = video(inputs, "normal"), video(inputs, "abnormal")
    train = golden.training_batch(normal, abnormal)
    features = train.features * valid_positions(lengths, train.features.shape[2])[:, None, :, None]
    scored = golden.evaluation_batch(video(inputs, "eval")[0])
    return {
        "train": train._replace(features=features, lengths=lengths, class_targets=targets),
        "eval": scored._replace(streams={name: video(inputs, name) for name in VIDEOS}),
    }


def video(inputs: dict[str, Tensor], name: str) -> Tensor:
    """Make videos ``[B, T, D]`` by the rule of the manifest."""
    base, noise = inputs[f"{name}_base"], inputs[f"{name}_noise"]
    mixed = 1.5 * base.repeat_interleave(GROUP, dim=1)[:, : noise.shape[1]] + noise
    return 10 * F.normalize(mixed, dim=-1)


def evaluate(module: WSVADModule, batch: WSVADBatch) -> dict[str, NDArray[Any]]:
    """Score the videos, and give what the network computes on the way."""
    assert isinstance(module, VadCLIP)
    found = {"text_features": module.net.prompt.features.numpy()}
    for name, ending in VIDEOS.items():
        values = evaluate_one(module, golden.evaluation_batch(batch.streams[name][0]))
        found |= {f"{key}{ending}": value for key, value in values.items()}
    return found


def evaluate_one(module: VadCLIP, batch: WSVADBatch) -> dict[str, NDArray[Any]]:
    """Do so for one video."""
    seen: list[Tensor] = []
    hook = module.net.fuse.register_forward_hook(lambda _, __, visual: seen.append(visual))
    out = module.run(batch)
    hook.remove()
    scores = {}
    for branch in ("binary", "text"):
        module.score_from = branch
        scores[branch] = module.score(batch).squeeze(0).numpy()
    return {
        "scores": scores["binary"],
        "scores2": scores["text"],
        "logits1": out.logits.squeeze(0).numpy(),
        "logits2": out.class_logits.squeeze(0).numpy(),
        "lengths": np.array(chunk_lengths(batch.features.shape[2], module.net.length)),
        "visual_features": seen[0].flatten(0, 1)[: batch.features.shape[2] : 10, ::8].numpy(),
    }


def chunk_lengths(length: int, chunk: int) -> list[int]:
    """Give the lengths of a video's chunks, and of the zeros that the authors score behind whole ones."""
    return [min(chunk, length - start) for start in range(0, length, chunk)] + [chunk] * (length % chunk == 0)


def train_outputs(module: WSVADModule, batch: WSVADBatch) -> dict[str, NDArray[Any]]:
    """Give logits and texts of a training pass."""
    assert isinstance(module, VadCLIP)
    with torch.no_grad():
        out = module.run(batch)
    return {
        "text_features": out.texts[:, ::4].numpy(),
        "logits1": out.logits.numpy(),
        "logits2": out.class_logits[:, ::4].numpy(),
    }


def extra(config: dict[str, Any], module: WSVADModule, losses: dict[str, Tensor]) -> dict[str, NDArray[Any]]:
    """Give the term on texts as the authors do: with its weight for UCF-Crime, without for XD-Violence."""
    weight = module.loss_weights["text"] if config["dataset_variant"] == "ucf" else 1.0
    return {"loss/text": weight * losses["text"].detach().numpy()}


def further(manifest: dict[str, Any], inputs: dict[str, Tensor], build: Any) -> dict[str, NDArray[Any]]:
    """Give the classes of the videos as the data set makes them, and the tokens that the import knows."""
    keys = manifest["config"]["label_keys"]
    targets = []
    for row in inputs["train/labels"]:
        classes = tuple(key for key, value in zip(keys[1:], row[1:], strict=True) if value)
        targets.append(class_target(VideoAnnotation("video", int(not row[0]), classes), keys[1:]))
    found = {"train/labels": torch.stack(targets).numpy(), "train/lengths": inputs["train/lengths"].numpy()}
    for variant, names in (("ucf", UCF_CLASSES), ("xd", XD_CLASSES.values())):
        tokens = tokenize([NORMAL, *(name.lower() for name in names)])
        width = inputs[f"eval/tokens_{variant}"].shape[1]
        found[f"eval/tokens_{variant}"] = np.array([row + [0] * (width - len(row)) for row in tokens])
    return found
