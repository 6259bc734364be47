"""VadCLIP as the golden cases see it."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from tests.parity.batches import evaluation_batch, training_batch
from tests.parity.case import Manifest, MethodCase, computed_once
from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.data.loading.dataset import class_target
from wsvad_lightning.interop.vadclip import TABLE, UCF_CLASSES, XD_CLASSES, copied_tower, tokenize
from wsvad_lightning.layers import valid_positions
from wsvad_lightning.methods import VadCLIP
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.methods.base.two_branch import ScoreFrom, TwoBranchModule
from wsvad_lightning.types import NORMAL, WSVADBatch

CLASSES = {"ucf": UCF_CLASSES, "xd": tuple(XD_CLASSES.values())}
RULE = re.compile(r"frames = ([\d.]+) \* l2normalise\(([\d.]+) \* base\[:, t // (\d+)\] \+ noise\[:, t\]\)")


def follow(rules: dict[str, str], inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Make videos ``[B, T, D]``, such as ``eval`` of ``eval_base`` and ``eval_noise``."""
    videos = {}
    for part, rule in rules.items():
        found = RULE.match(rule)
        if found is None:
            raise ValueError(f"{part}: its rule is not the known one, {RULE.pattern}, but {rule}")
        size, share, group = float(found[1]), float(found[2]), int(found[3])
        name = part.rpartition("_")[0]
        base, noise = inputs[f"{name}_base"], inputs[f"{name}_noise"]
        mixed = share * base.repeat_interleave(group, dim=1)[:, : noise.shape[1]] + noise
        videos[name] = size * F.normalize(mixed, dim=-1)
    return videos


def sizes(state: dict[str, Tensor]) -> dict[str, int]:
    """Give the width of the text tower."""
    return {"text_dim": state["text_prompt_embeddings.weight"].shape[1]}


def build(config: dict[str, Any], inputs: dict[str, Tensor]) -> WSVADModule:
    """Build the method that the configuration describes."""
    assert config["temperature"] == 0.07
    module = VadCLIP(
        feature_dim=config["visual_width"],
        length=config["visual_length"],
        layers=config["visual_layers"],
        window=config["attention_window"],
        heads=config["visual_heads"],
        text_dim=config["text_dim"],
        loss_weights={"text": 0.1 if config["dataset_variant"] == "ucf" else 1e-4},
    )
    prompt = module.net.prompt
    prompt.prefix = config.get("prompt_prefix", prompt.prefix)
    prompt.postfix = config.get("prompt_postfix", prompt.postfix)
    return module


def complete(
    config: dict[str, Any], inputs: dict[str, Tensor], module: WSVADModule, state: dict[str, Tensor]
) -> None:
    """Let the text tower of the case read its classes."""
    assert isinstance(module, VadCLIP)
    read_classes(config, inputs[f"eval/tokens_{config['dataset_variant']}"], module, state)


def read_classes(
    config: dict[str, Any], tokens: Tensor, module: TwoBranchModule, state: dict[str, Tensor]
) -> None:
    """Let the text tower of a case read its classes, of recorded tokens ``[C, L]``."""

    def tokens_of(texts: Sequence[str]) -> list[list[int]]:
        return [row[: row.index(max(row)) + 1] for row in tokens.tolist()]  # no token is above the end

    tower = copied_tower(state, tokens_of, config["text_encoder_of_this_case"]["heads"])
    module.net.prompt.use(tower, config["classes"])


def optimizer(config: dict[str, Any], module: WSVADModule) -> torch.optim.Optimizer:
    """Build the recipe's optimizer."""
    assert config["optimizer"] == "AdamW"
    return torch.optim.AdamW(
        module.parameters(), lr=config["lr"], weight_decay=config["weight_decay"], fused=True
    )


def batches(manifest: Manifest, inputs: dict[str, Tensor]) -> dict[str, WSVADBatch]:
    """Pair the padded training videos; the test videos are for :func:`further`."""
    lengths, targets = inputs["train/lengths"], inputs["train/labels"].float()
    train = training_batch(inputs["normal"], inputs["abnormal"])
    features = train.features * valid_positions(lengths, train.features.shape[2])[:, None, :, None]
    labels = 1 - targets[:, 0]  # XD-Violence's videos are drawn from both kinds
    return {"train": train._replace(features=features, lengths=lengths, labels=labels, class_targets=targets)}


@torch.no_grad()
def evaluate(module: TwoBranchModule, batch: WSVADBatch) -> dict[str, NDArray[Any]]:
    """Score a video, and give what the network computes on the way."""
    seen: list[Tensor] = []
    hook = module.net.fuse.register_forward_hook(lambda _, __, visual: seen.append(visual))
    out = module.run(batch)
    hook.remove()
    scores = {}
    branches: tuple[ScoreFrom, ...] = ("binary", "text")
    for branch in branches:
        module.score_from = branch
        scores[branch] = module.score(batch).squeeze(0).numpy()
    return {
        "scores": scores["binary"],
        "scores2": scores["text"],
        "class_scores": module.classify(batch).squeeze(0).numpy(),
        "logits1": out.logits[0, 0].numpy(),
        "logits2": out.class_logits[0, 0].numpy(),
        "lengths": np.array(chunk_lengths(batch.features.shape[2], module.net.length)),
        "visual_features": seen[0].flatten(0, 3)[: batch.features.shape[2] : 10, ::8].numpy(),
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
        "logits1": out.logits[:, 0].numpy(),
        "logits2": out.class_logits[:, 0, ::4].numpy(),
    }


def extra(config: dict[str, Any], module: WSVADModule, losses: dict[str, Tensor]) -> dict[str, NDArray[Any]]:
    """Give the term on texts as the authors do: with its weight for UCF-Crime, without for XD-Violence."""
    weight = module.loss_weights["text"] if config["dataset_variant"] == "ucf" else 1.0
    return {"loss/text": weight * losses["text"].detach().numpy()}


def further(manifest: dict[str, Any], inputs: dict[str, Tensor], build: Any) -> dict[str, NDArray[Any]]:
    """Give the scores of the test videos, the classes of the others, and the tokens that the import knows."""
    found = scores_of(manifest, inputs, build().eval())
    return found | classes_of(manifest["config"]["label_keys"], inputs) | known_tokens(inputs)


def scores_of(
    manifest: dict[str, Any], inputs: dict[str, Tensor], module: TwoBranchModule
) -> dict[str, NDArray[Any]]:
    """Give the features of the classes, and the scores of the test videos."""
    found = {"eval/text_features": module.net.prompt.features.numpy()}
    for name in (name for name in inputs if re.fullmatch("eval(_.+)?", name)):
        with computed_once(module, ("run",)):
            values, ending = evaluate(module, evaluation_batch(inputs[name])), ending_of(name, manifest)
        found |= {f"eval/{key}{ending}": value for key, value in values.items()}
    return found


def ending_of(name: str, manifest: dict[str, Any]) -> str:
    """Give the ending of a test video's outputs: that of its name, or what begins so (``_exact256``)."""
    ending = name.removeprefix("eval")
    known = [key.removeprefix("eval/scores") for key in manifest["outputs"] if key.startswith("eval/scores")]
    longer = [one for one in known if ending and one.startswith(ending)]
    return ending if ending in known or not longer else longer[0]


def classes_of(keys: list[str], inputs: dict[str, Tensor]) -> dict[str, NDArray[Any]]:
    """Give the classes of the training videos as the data set makes them."""
    targets = []
    for row in inputs["train/labels"]:
        classes = tuple(key for key, value in zip(keys[1:], row[1:], strict=True) if value)
        targets.append(class_target(VideoAnnotation("video", int(not row[0]), classes), keys[1:]))
    return {"train/labels": torch.stack(targets).numpy(), "train/lengths": inputs["train/lengths"].numpy()}


def known_tokens(inputs: dict[str, Tensor]) -> dict[str, NDArray[Any]]:
    """Give the tokens that the import knows, as wide as the recorded ones."""
    keys = {variant: f"eval/tokens_{variant}" for variant in CLASSES}
    return {key: tokens_of(variant, inputs[key].shape[1]) for variant, key in keys.items() if key in inputs}


def tokens_of(variant: str, width: int) -> NDArray[Any]:
    """Give the tokens that the import knows of the classes of a data set, filled up with zeros."""
    tokens = tokenize([NORMAL, *(name.lower() for name in CLASSES[variant])])
    return np.array([row + [0] * (width - len(row)) for row in tokens])


CASE = MethodCase(
    table=TABLE,
    build=build,
    optimizer=optimizer,
    evaluate=evaluate,
    train_outputs=train_outputs,
    given=("train/lengths", "train/labels", "eval/tokens_ucf", "eval/tokens_xd"),
    follow=follow,
    sizes=sizes,
    complete=complete,
    batches=batches,
    extra=extra,
    further=further,
)
