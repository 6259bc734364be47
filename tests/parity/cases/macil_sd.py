"""MACIL-SD as the golden cases see it."""

import os
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.parity import golden
from tests.parity.batches import evaluation_batch, training_batch
from tests.parity.case import Build, Config, Manifest, MethodCase
from wsvad_lightning.data.loading.sampling import sample_segments
from wsvad_lightning.interop.command import import_weights
from wsvad_lightning.interop.macilsd import TABLE
from wsvad_lightning.methods import MACILSD
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.methods.macilsd import CONTRASTS, video_probability
from wsvad_lightning.types import WSVADBatch

REAL = "real/"


def batches(manifest: Manifest, inputs: dict[str, Tensor]) -> dict[str, WSVADBatch]:
    """Join sight and sound; of training videos, what is behind their lengths is zero."""
    video, sound = inputs["eval_visual"], inputs["eval_audio"]
    joined = torch.cat([video, sound.expand(len(video), *sound.shape)], dim=-1)
    normal, abnormal = (
        torch.cat([inputs[f"{half}_visual"], inputs[f"{half}_audio"]], dim=-1)
        for half in ("normal", "abnormal")
    )
    train, lengths = training_batch(normal, abnormal), inputs["train/lengths"]
    valid = torch.arange(train.features.shape[2]) < lengths[:, None]
    train = train._replace(features=train.features * valid[:, None, :, None], lengths=lengths)
    return {"eval": evaluation_batch(joined), "train": train}


def build(config: Config, inputs: dict[str, Tensor]) -> WSVADModule:
    """Build the method that the configuration describes, without dropout, in the epoch of the losses."""
    assert config["lambda_here"] == min(
        1.5, config["lambda_growth_per_epoch"] * config["epoch_of_the_losses"]
    )
    module = MACILSD(
        feature_dim=config["visual_dim"] + config["audio_dim"],
        audio_dim=config["audio_dim"],
        hidden_dim=config["hidden"],
        heads=config["heads"],
        mlp_dim=config["ffn"],
        dropout=0.0,
        temperature=config["temperature"],
        growth=config["lambda_growth_per_epoch"],
        momentum=config["momentum_base"],
        epochs=config["ema_epochs"],
        visual_lr=config["lr_single"],
        loss_weights={term: config[f"lambda_{term[-3:]}_max"] for term in CONTRASTS},
    )
    module.epoch = config["epoch_of_the_losses"]
    return module


def optimizer(config: Config, module: WSVADModule) -> torch.optim.Optimizer:
    """Build the recipe's optimizer."""
    return torch.optim.Adam(
        module.trained_parameters(), lr=config["lr"], weight_decay=config["weight_decay"], fused=True
    )


def evaluate(module: WSVADModule, batch: WSVADBatch) -> dict[str, NDArray[Any]]:
    """Score a video by both networks, and give what the streams show."""
    assert isinstance(module, MACILSD)
    out = module.net.joint(batch.features)
    found = {**curves(module, batch), "visual_out": out.visual[0, 0], "audio_out": out.audio[0, 0]}
    assert module.net.twin is not None
    found["scores_v"] = module.net.twin(batch.features).sigmoid().mean(dim=1)[0]
    return {key: (value[::4, ::4] if key.endswith("_out") else value).numpy() for key, value in found.items()}


def curves(module: MACILSD, batch: WSVADBatch) -> dict[str, Tensor]:
    """Give the scores of a video, and the curves of its crops."""
    out = module.net.joint(batch.features)
    return {
        "scores": module.score(batch)[0],
        "crop_logits": out.logits[0],
        "audio_scores": out.audio_logits[0].sigmoid(),
        "visual_scores": out.visual_logits[0].sigmoid(),
    }


def train_outputs(module: WSVADModule, batch: WSVADBatch) -> dict[str, NDArray[Any]]:
    """Give curves, streams and video probabilities of a training pass."""
    assert isinstance(module, MACILSD)
    seen = module.seen(batch)
    with torch.no_grad():
        out = module.net.joint(batch.features, seen)
        assert module.net.twin is not None
        alone = module.net.twin(batch.features, seen)
    found = {
        "video": video_probability(out.logits[:, 0], batch.lengths),
        "video_v": video_probability(alone[:, 0], batch.lengths),
        "audio_scores": out.audio_logits[:, 0].sigmoid(),
        "visual_scores": out.visual_logits[:, 0].sigmoid(),
        "av_logits": out.logits[:, 0],
        "visual_rep": out.visual[:, 0, ::8, ::8],
        "audio_rep": out.audio[:, 0, ::8, ::8],
    }
    return {key: value.numpy() for key, value in found.items()}


def extra(config: Config, module: Any, losses: dict[str, Tensor]) -> dict[str, NDArray[Any]]:
    """Give the total of the first network alone."""
    return {"loss/av": own_total(module, losses).detach().numpy()}


def after(config: Config, module: Any, losses: dict[str, Tensor]) -> dict[str, NDArray[Any]]:
    """Split the loss after a step between the networks."""
    return {
        "loss_after_step_av": own_total(module, losses).numpy(),
        "loss_after_step_v": losses["single"].numpy(),
    }


def own_total(module: MACILSD, losses: dict[str, Tensor]) -> Tensor:
    """Sum the terms of the first network."""
    return module.total_loss({term: value for term, value in losses.items() if term != "single"})


def further(manifest: Manifest, inputs: dict[str, Tensor], build: Build) -> dict[str, NDArray[Any]]:
    """Give what an exchange of weights changes, rows of bags, and the scores of the published weights."""
    config, scored = manifest["config"], batches(manifest, inputs)["eval"]
    epochs = re.findall(r"\d+", manifest["outputs"]["ema/momenta"]["meaning"])
    module = build().eval()
    assert isinstance(module, MACILSD)
    momentum = module.momentum_after(config["epoch_of_the_ema"])
    module.net.pull(momentum)
    found = {
        "ema/momentum": np.array(momentum, np.float32),
        "ema/momenta": np.array([module.momentum_after(int(epoch)) for epoch in epochs], np.float32),
        "ema/av_norms": norms_after(manifest, module, momentum),
        "train/lengths": inputs["train/lengths"].numpy(),
    }
    with torch.no_grad():
        found["eval/scores_after_ema"] = module.score(scored)[0].numpy()
        if (official := published()) is not None:
            real = curves(official, scored)
            found |= {f"{REAL}{key}": value.numpy() for key, value in real.items() if key != "scores"}
            found[f"{REAL}av_scores"] = real["scores"].numpy()
    if "sample/indices" in manifest["outputs"]:
        (rows,) = re.findall(r"video of (\d+) snippets", manifest["outputs"]["sample/indices"]["meaning"])
        places, kept = np.arange(int(rows), dtype=np.float32), config["num_segments_official"]
        bag = sample_segments(places, "pad_or_pick", kept, np.random.default_rng(0))
        found["sample/indices"] = bag.astype(int)
    return found


def norms_after(manifest: Manifest, module: MACILSD, momentum: float) -> NDArray[np.float32]:
    """Norms of the first network's parameters after the exchange, in which unused ones take part."""
    own = dict(module.net.named_parameters())
    weights, norms = golden.make_weights(manifest), []
    for name in weights:
        if not name.startswith("av."):
            continue
        ours = TABLE.to_ours(name)
        unused = weights[name].lerp(weights.get(f"v.{name[3:]}", weights[name]), 1 - momentum)
        norms.append((unused if ours is None else own[ours].detach()).norm())
    return torch.stack(norms).numpy()


def published() -> MACILSD | None:
    """Import the weights that the authors published, where the environment says where they are."""
    file = Path(os.environ.get("WSVAD_DATA", "")) / "weights" / "macil_sd.pkl"
    if not file.is_file():
        return None
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "macil_sd.ckpt"
        import_weights([str(file)], method="macilsd", output=str(checkpoint))
        return MACILSD.load_from_checkpoint(checkpoint).eval()


CASE = MethodCase(
    table=TABLE,
    build=build,
    optimizer=optimizer,
    evaluate=evaluate,
    train_outputs=train_outputs,
    given=("train/lengths",),
    elsewhere=(REAL,),
    batches=batches,
    extra=extra,
    after=after,
    further=further,
)
