"""PEL4VAD as the golden cases see it."""

import re
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from tests.parity.batches import evaluation_batch, training_batch
from tests.parity.case import Build, Config, Manifest, MethodCase, adam
from wsvad_lightning.data.loading.sampling import sample_segments
from wsvad_lightning.interop.pel4vad import TABLE
from wsvad_lightning.methods import PEL4VAD
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.methods.base.smoothing import Smoothing, smooth
from wsvad_lightning.methods.pel4vad import SHARPNESS, PEL4VADNet
from wsvad_lightning.types import WSVADBatch

RULE = re.compile(r"rows t >= length are zero; lengths \[([\d, ]+)\]")
SMOOTHINGS: dict[str, Smoothing] = {"slide": "slide", "fixed": "blocks"}  # by the names of the reference


def follow(rules: dict[str, str], inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Pad the training videos."""
    padded = {}
    for name, rule in rules.items():
        found = RULE.fullmatch(rule)
        if found is None:
            raise ValueError(f"{name}: its rule is not the known one, {RULE.pattern}, but {rule}")
        padded[name] = inputs[name].clone()
        for video, length in zip(padded[name], found[1].split(","), strict=True):
            video[int(length) :] = 0
    return {**inputs, **padded}


def batches(manifest: Manifest, inputs: dict[str, Tensor]) -> dict[str, WSVADBatch]:
    """Pair the padded training videos."""
    train = training_batch(inputs["train_normal"], inputs["train_abnormal"])
    lengths = train.features[:, 0].any(dim=-1).sum(dim=-1)
    targets = F.one_hot(inputs["train/labels"].long(), len(inputs["prompts"])).float()
    train = train._replace(lengths=lengths, class_targets=targets)
    return {"train": train, "eval": evaluation_batch(inputs["eval"])}


def make(config: Config) -> PEL4VAD:
    """Make the method that the configuration describes, without dropout."""
    assert config["heads"] == 1
    assert config["topk"] == "normal: 1; abnormal: length//16 + 1"
    assert config["pool_scale"] == config["target_scale"] == SHARPNESS
    module = PEL4VAD(
        feature_dim=config["input_size"],
        prompt_dim=config["prompt_size"],
        smoothing=SMOOTHINGS[config["smooth"]],
        smooth_over=config["kappa"],
        loss_weights={"prompt": config["lamda"]},
    )
    assert config["visual_size"] == config["prompt_size"]
    module.net = PEL4VADNet(
        config["input_size"],
        attention_dim=config["hidden"],
        prompt_dim=config["visual_size"],
        context_dim=config["context_size"],
        window=config["window"],
        distance=(config["distance_w"], config["distance_b"]),
        power_norm=config["power_norm"],
        kernel=config["causal_kernel"],
        temperature=config["temperature"],
        dropout=0.0,
    )
    return module


def build(config: Config, inputs: dict[str, Tensor]) -> WSVADModule:
    """Build the method that the configuration describes, with the vectors of the case."""
    module = make(config)
    module.use_prompts(inputs["prompts"])
    return module


def evaluate(module: WSVADModule, batch: WSVADBatch) -> dict[str, NDArray[Any]]:
    """Score a video with and without smoothing, and give what the network computes on the way."""
    assert isinstance(module, PEL4VAD)
    net, first = module.net, batch.features[0, 0]
    seen = torch.ones(len(first), dtype=torch.bool)
    visual, context = net.encode(first, seen)
    crop_scores = module.run(batch).crop_scores
    return {
        "scores": module.score(batch)[0].numpy(),
        "crop_scores": crop_scores[0].numpy(),
        "scores_smoothed": module.reported(batch)[0][0].numpy(),
        "distance_row": net.attend.prior(len(first))[7, :24].numpy(),
        "attention_sub": net.attend(first, seen)[::4, ::16].numpy(),
        "visual_sub": visual[::4, ::8].numpy(),
        "context_sub": context[::4, ::5].numpy(),
    }


def train_outputs(module: WSVADModule, batch: WSVADBatch) -> dict[str, NDArray[Any]]:
    """Give the scores and the matched rows of a training pass."""
    assert isinstance(module, PEL4VAD)
    assert batch.class_targets is not None
    with torch.no_grad():
        out = module.run(batch)
        rows = module.net.match(out, batch.class_targets, module.prompts)
    return {
        "scores": out.crop_scores[:, 0, out.seen].numpy(),
        "row_labels": rows.classes[rows.counts].numpy(),
        "row_features_sub": rows.features[rows.counts, ::8].numpy(),
        "row_logits": rows.logits[rows.counts][:, rows.counts].numpy(),
    }


def further(manifest: Manifest, inputs: dict[str, Tensor], build: Build) -> dict[str, NDArray[Any]]:
    """Give lengths and classes, rows of bags, smoothed curves, and what parameters start at."""
    config, fresh = manifest["config"], make(manifest["config"]).net
    train = batches(manifest, inputs)["train"]
    assert train.class_targets is not None
    found = {
        "train/lengths": train.lengths.numpy(),
        "train/labels": train.class_targets.argmax(dim=-1).numpy(),
        "init/distance_w_b": torch.cat([fresh.attend.scale, fresh.attend.shift]).detach().numpy(),
        "init/logit_scale_alpha": torch.stack([fresh.logit_scale, fresh.attend.mix]).detach().numpy(),
    }
    for key in manifest["outputs"]:
        if rows := re.fullmatch(r"data/rows_(\d+)", key):
            places = np.arange(int(rows[1]), dtype=np.float32)
            bag = sample_segments(places, "pad_or_pick", config["max_length"], np.random.default_rng(0))
            found[key] = bag.astype(int)
        if smoothed := re.fullmatch(r"smooth/(slide|fixed)_(\d+)", key):
            found[key] = smooth(inputs["curve"], SMOOTHINGS[smoothed[1]], int(smoothed[2])).numpy()
    return found


CASE = MethodCase(
    table=TABLE,
    build=build,
    optimizer=adam,
    evaluate=evaluate,
    train_outputs=train_outputs,
    given=("train/labels",),
    follow=follow,
    batches=batches,
    further=further,
)
