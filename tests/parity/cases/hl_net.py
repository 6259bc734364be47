"""HL-Net as the golden cases see it."""

import re
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.parity.batches import evaluation_batch, training_batch
from tests.parity.case import Build, Config, Manifest, MethodCase
from wsvad_lightning.data.loading.sampling import sample_segments
from wsvad_lightning.data.loading.transform import FeatureTransform
from wsvad_lightning.interop.hlnet import TABLE
from wsvad_lightning.layers import proximity_graph, similarity_graph
from wsvad_lightning.methods import HLNet
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.methods.hlnet import CENTRE, KERNEL, WIDTH, HLNetNet, score_graph
from wsvad_lightning.types import StreamInfo, WSVADBatch

RULE = re.compile(r"features = max\(([\d.]+) \* base\[:, t // (\d+)\] \+ noise\[:, t\], 0\)")
LENGTHS = re.compile(r"rows t >= length are zero; lengths \[([\d, ]+)\]")
CROPS = 5  # of the videos whose streams are joined


def follow(rules: dict[str, str], inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Make videos ``[B, T, D]``, such as ``eval`` of ``eval_base`` and ``eval_noise``."""
    videos = {}
    for part, rule in rules.items():
        found = RULE.match(rule)
        if found is None:
            raise ValueError(f"{part}: its rule is not the known one, {RULE.pattern}, but {rule}")
        name = part.rpartition("_")[0]
        base, noise = inputs[f"{name}_base"], inputs[f"{name}_noise"]
        slow = base.repeat_interleave(int(found[2]), dim=1)[:, : noise.shape[1]]
        videos[name] = (float(found[1]) * slow + noise).clamp_min(0)
        if lengths := LENGTHS.search(rule):
            for video, length in zip(videos[name], lengths[1].split(","), strict=True):
                video[int(length) :] = 0
    return videos


def batches(manifest: Manifest, inputs: dict[str, Tensor]) -> dict[str, WSVADBatch]:
    """Pair the padded training videos; the crops of the test video have one sound track."""
    train = training_batch(inputs["train_normal"], inputs["train_abnormal"])
    scored = inputs["eval"].clone()
    if any("one sound track" in entry.get("rule", "") for entry in manifest["inputs"]):
        sound = manifest["config"]["audio_channels"]
        scored[..., -sound:] = scored[:1, :, -sound:]
    return {"train": train._replace(lengths=count_rows(train)), "eval": evaluation_batch(scored)}


def count_rows(batch: WSVADBatch) -> Tensor:
    """Count the snippets of each video that are not all zero."""
    return batch.features[:, 0].any(dim=-1).sum(dim=-1)


def build(config: Config, inputs: dict[str, Tensor]) -> WSVADModule:
    """Build the method that the configuration describes, without dropout."""
    *hidden_dims, graph_dim = config["widths"]
    assert config["approximator"] == [hidden_dims[-1] // part for part in (1, 2, 4)]
    assert (config["branches"], config["causal_kernel"]) == (3, KERNEL)
    assert config["score_graph"] == {"center": CENTRE, "width": WIDTH}
    assert config["topk"] == "length//16 + 1"
    module = HLNet(
        feature_dim=config["input_size"],
        online_lr=config["lr_approximator"],
        loss_weights=config["weights"],
    )
    module.net = HLNetNet(
        config["input_size"],
        (hidden_dims[0], hidden_dims[1]),
        graph_dim,
        dropout=0.0,
        threshold=config["similarity_threshold"],
    )
    return module


def optimizer(config: Config, module: WSVADModule) -> torch.optim.Optimizer:
    """Build the recipe's optimizer."""
    assert config["optimizer"] == "Adam"
    return torch.optim.Adam(
        module.trained_parameters(),
        lr=config["lr"],
        betas=tuple(config["betas"]),
        weight_decay=config["weight_decay"],
        fused=True,
    )


def evaluate(module: WSVADModule, batch: WSVADBatch) -> dict[str, NDArray[Any]]:
    """Score a video by both branches, and give the graphs of its first crop."""
    assert isinstance(module, HLNet)
    out, first = module.run(batch), batch.features[0, 0]
    valid = torch.ones(len(first), dtype=torch.bool)
    module.score_from = "online"
    online = module.score(batch)
    module.score_from = "offline"
    return {
        "scores": module.score(batch).squeeze(0).numpy(),
        "online_scores": online.squeeze(0).numpy(),
        "crop_logits": out.logits[0].numpy(),
        "crop_online_logits": out.online_logits[0].numpy(),
        "similarity_graph_sub": similarity_graph(first, valid, module.net.threshold)[::4].numpy(),
        "score_graph_sub": score_graph(out.online_logits[0, 0].sigmoid(), valid)[::4].numpy(),
        "distance_graph_row": proximity_graph(len(first))[7].numpy(),
    }


def train_outputs(module: WSVADModule, batch: WSVADBatch) -> dict[str, NDArray[Any]]:
    """Give the logits of a training pass, up to the longest video."""
    assert isinstance(module, HLNet)
    with torch.no_grad():
        out, longest = module.run(batch), batch.lengths.max()
    logits, online_logits = out.logits[:, 0, :longest], out.online_logits[:, 0, :longest]
    return {"logits": logits.numpy(), "online_logits": online_logits.numpy()}


def further(manifest: Manifest, inputs: dict[str, Tensor], build: Build) -> dict[str, NDArray[Any]]:
    """Give the lengths of the training videos, the rows of bags, and joined streams."""
    found = {"train/lengths": batches(manifest, inputs)["train"].lengths.numpy()}
    segments = manifest["config"]["max_length"]
    rows_of = ""
    for key, output in manifest["outputs"].items():
        if rows := re.fullmatch(r"data/rows_(\d+)", key):
            places = np.arange(int(rows[1]), dtype=np.float32)
            bag = sample_segments(places, "pad_or_pick", segments, np.random.default_rng(0))
            found[key] = bag.astype(int)
        elif key.startswith("data/joined_"):
            rows_of = rows_of or output["meaning"]  # "the same where ..." refers to the first
            found[key] = joined(rows_of, output["meaning"])
    return found


def joined(described: str, changed: str) -> NDArray[np.int_]:
    """Join five crops of a video with its sound; rows that only one of both has are left out."""
    entry, rgb_rows = map(int, re.findall(r"entry (\d+) of \w+ RGB files of (\d+) rows", described)[0])
    audio_rows = int(re.findall(r"audio (?:files of|has) (\d+) rows", changed)[0])
    video, crop = divmod(entry, CROPS)
    numbers = 100 * (video * CROPS + np.arange(CROPS)) + np.arange(rgb_rows, dtype=np.float32)[:, None]
    sound = 1000 * (video + 1) + np.arange(audio_rows, dtype=np.float32)[:, None]
    views = {"features": tuple(map(str, range(CROPS))), "audio": ("sound",)}
    transform = FeatureTransform({name: StreamInfo(1, names) for name, names in views.items()}, crops="each")
    both = min(rgb_rows, audio_rows)
    streams = {"features": numbers[:both, :, None], "audio": sound[:both, :, None]}
    return transform(streams, slice(crop, crop + 1))[:, 0].astype(int)


CASE = MethodCase(
    table=TABLE,
    build=build,
    optimizer=optimizer,
    evaluate=evaluate,
    train_outputs=train_outputs,
    follow=follow,
    batches=batches,
    further=further,
)
