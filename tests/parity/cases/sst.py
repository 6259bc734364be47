"""SST as the golden cases see it."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from tests.parity.batches import evaluation_batch, training_batch
from tests.parity.case import Manifest, MethodCase, Tensors, adam
from tests.parity.compare import Outputs
from wsvad_lightning.interop.sst import TABLE
from wsvad_lightning.methods import SST
from wsvad_lightning.methods.base.dual_memory import dual_memory_losses
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.methods.sst.frames import official_start
from wsvad_lightning.methods.sst.patches import MaskedTokens, Motion
from wsvad_lightning.types import WSVADBatch

TERMS = {  # of the manifest -> ours
    "attention": "video_bce",
    "normal_memory_on_abnormal": "N_mem_abnormal",
    "abnormal_memory_on_abnormal": "A_mem_abnormal",
    "normal_memory_on_normal": "N_mem_normal",
    "abnormal_memory_on_normal": "A_mem_normal",
    "triplet": "triplet",
    "kl": "kl",
    "distance": "distance",
}
MOTIONS: dict[str, Motion] = {"time-reversal": "reversal", "varience": "difference"}
FRAMES_KEY = "eval/snippet_to_frames"


def recorded(manifest: Manifest, key: str, value: Tensor) -> NDArray[Any]:
    """Take the recorded part, such as ``every 8th snippet and 16th channel`` of ``[..., T, D]``."""
    meaning = manifest["outputs"].get(key, {}).get("meaning", "")
    steps = [int(step) for step in re.findall(r"(\d+)(?:st|nd|rd|th)\b", meaning)]
    every: list[Any] = [..., *(slice(None, None, step) for step in steps)]
    part: NDArray[Any] = value.numpy()[tuple(every)]
    return part


def build(config: dict[str, Any], inputs: Tensors) -> WSVADModule:
    """Build the method that the configuration describes, without dropout."""
    dtfe, weights, look = config["dtfe"], config["loss_weights"], config["spatial_attention"]
    depth, ratios = dtfe["depth"], dtfe["token_ratio"]
    assert dtfe["pruning_blocks"] == [depth * i // (len(ratios) + 1) for i in range(1, len(ratios) + 1)]
    assert (dtfe["mlp_ratio"], look["heads"], look["head_dim"]) == (4, 8, 64)
    assert (look["mlp"], look["dim"]) == (config["hidden"], 2 * config["hidden"])
    named = {
        "attention": ("video_bce",),
        "memory_terms": ("A_mem_abnormal", "N_mem_abnormal", "N_mem_normal", "A_mem_normal"),
        "triplet": ("triplet",),
        "kl": ("kl",),
        "distance": ("distance",),
    }
    module = SST(
        feature_dim=config["feature_dim"],
        hidden_dim=config["hidden"],
        abnormal_slots=config["memory_slots"],
        normal_slots=config["memory_slots"],
        dropout=0.0,
        frames=config["frames"],
        size=tuple(config["image"]),
        tube=config["tubelet"],
        patch=config["patch"],
        dim=dtfe["embed"],
        depth=depth,
        heads=dtfe["heads"],
        token_ratio=tuple(ratios),
        cross_attention=config["cross_attention"],
        motion=MOTIONS[config["motion_type"]] if config["motion_loss"] else None,
        loss_weights={
            **{
                f"{network}_{term}": weights[name]
                for network in ("temporal", "spatial")
                for name, terms in named.items()
                for term in terms
            },
            "motion": weights["motion"],
        },
    )
    assert list(module.net.dtfe.kept.values()) == dtfe["kept_per_tubelet"]
    clips = torch.cat([inputs["clip_normal"], inputs["clip_abnormal"]])
    module.clips = lambda batch, chosen: clips  # type: ignore[method-assign]  # the frames are given
    return module


def batches(manifest: Manifest, inputs: Tensors) -> dict[str, WSVADBatch]:
    """Score the crops of a video, and train with a batch."""
    return {
        "eval": evaluation_batch(inputs["features_eval"]),
        "train": training_batch(inputs["features_normal"], inputs["features_abnormal"]),
    }


def keep_offset(manifest: Manifest) -> float:
    """Read what the manifest adds to the noise on the side of keeping: ``2.0 added to the keep column``."""
    offsets = {entry["offset"] for entry in manifest["inputs"] if "offset" in entry} or {"0"}
    (offset,) = offsets
    return float(offset.split()[0])


@contextmanager
def given_noise(manifest: Manifest, inputs: Tensors) -> Iterator[None]:
    """Let the decisions to keep tokens draw the noise of the inputs, stage by stage, in every pass anew."""
    noise = []
    for stage in range(sum(name.startswith("keep_noise_normal_") for name in inputs)):
        halves = [inputs[f"keep_noise_{half}_{stage}"] for half in ("normal", "abnormal")]
        noise.append(torch.cat(halves) + torch.tensor([keep_offset(manifest), 0.0]))
    count = 0

    def draw(logits: Tensor, hard: bool = False) -> Tensor:
        nonlocal count
        assert hard
        soft = (logits + noise[count % len(noise)]).softmax(dim=-1)
        count += 1
        chosen = torch.zeros_like(soft).scatter(-1, soft.argmax(dim=-1, keepdim=True), 1.0)
        return chosen - soft.detach() + soft

    with patch("torch.nn.functional.gumbel_softmax", draw):
        yield


def totals(config: dict[str, Any], module: WSVADModule, losses: Tensors) -> Outputs:
    """Give the losses under the manifest's names, and the total of each network."""
    found = {
        f"loss/{network}_{name}": losses[f"{network}_{term}"].detach().numpy()
        for network in ("temporal", "spatial")
        for name, term in TERMS.items()
    }
    for network in ("temporal", "spatial"):
        own = {term: value for term, value in losses.items() if term.startswith(network)}
        found[f"loss/{network}_total"] = module.total_loss(own).detach().numpy()
    return found


def further(manifest: Manifest, inputs: Tensors, build: Callable[[], WSVADModule]) -> Outputs:
    """Give what the networks compute on the way, each on its own input, and the table of frames."""
    module = build()
    assert isinstance(module, SST)
    with torch.no_grad():
        found = training_pass(manifest, inputs, module.train())
        for name, looked_at in (
            ("train_tokens", None),
            ("train_tokens_psa", inputs["snippet_features_eval"]),
        ):
            found |= spatial_pass(manifest, inputs["tokens"], looked_at, name, module)
        found |= evaluation(manifest, inputs, module.eval())
    return {**found, FRAMES_KEY: frame_table(inputs[FRAMES_KEY])}


def training_pass(manifest: Manifest, inputs: Tensors, module: SST) -> Outputs:
    """Give scores, tokens and decisions of the joint training pass, and the motion of each half."""
    batch = training_batch(inputs["features_normal"], inputs["features_abnormal"])
    temporal = module.net.temporal.forward_pairs(batch.features)
    (chosen,) = module.choose_snippets(temporal).T
    masked: MaskedTokens = module.net.dtfe.forward_masked(module.clips(batch, chosen))
    looked_at = module.snippet_keys(temporal.described, chosen) if module.net.spatial.look else None
    spatial = module.net.spatial.forward_pairs(masked.tokens[:, None], looked_at)
    normal, abnormal = chosen.chunk(2)
    motion = module.loss_weights["motion"] * -masked.motion
    return {
        "train/out/temporal_frame": temporal.scores.numpy(),
        "train/out/spatial_frame": spatial.scores.numpy(),
        "train/out/spatial_A_att": spatial.abnormal_of_abnormal.mean(dim=1).numpy(),
        "train/out/gather_index": torch.cat([abnormal, normal]).numpy(),
        "train/out/keep_masks": rearrange(
            masked.keep, "s b (t p) -> s b t p", t=module.net.dtfe.tubelets
        ).numpy(),
        "train/out/dtfe_tokens": recorded(manifest, "train/out/dtfe_tokens", masked.tokens),
        **{key: motion_of(key, motion) for key in manifest["outputs"] if "motion" in key},
    }


def motion_of(key: str, motion: Tensor) -> NDArray[Any]:
    """Give the motion loss of the half that a key names; else that of the abnormal half, which counts."""
    normal, abnormal = motion.chunk(2)
    return (normal if "normal" in re.split("[/_]", key) else abnormal).sum().numpy()


def spatial_pass(
    manifest: Manifest, tokens: Tensor, looked_at: Tensor | None, name: str, module: SST
) -> Outputs:
    """Train the spatial network on given tokens: its loss, and its scores."""
    if looked_at is not None:
        looked_at = looked_at[torch.arange(len(tokens)) % len(looked_at), None]
    out = module.net.spatial.forward_pairs(tokens[:, None], looked_at)
    labels = torch.arange(len(tokens)) >= len(tokens) // 2
    terms = dual_memory_losses(out, labels.float())
    total = module.total_loss({f"spatial_{term}": value for term, value in terms.items()})
    key = f"{name}/out/frame"
    return {f"{name}/loss/total": total.numpy(), key: recorded(manifest, key, out.scores)}


def evaluation(manifest: Manifest, inputs: Tensors, module: SST) -> Outputs:
    """Describe snippets and patches, and score patches with and without looking at snippets."""
    net = module.net
    described = net.temporal.describe(evaluation_batch(inputs["features_eval"]).features)[0, 0]
    kept = net.dtfe(inputs["clip_eval"])
    looked_at = inputs["snippet_features_eval"][:, None]
    values = {
        "eval/snippet_features": described,
        "eval/dtfe_tokens": kept.tokens,
        "eval/dtfe_keep": kept.places,
        "eval/patch_scores": net.spatial(kept.tokens[:, None]),
        "eval/patch_scores_psa_repaired": net.spatial(kept.tokens[:, None], looked_at),
        "eval/patch_scores_tokens": net.spatial(inputs["tokens"][:, None]),
    }
    return {key: recorded(manifest, key, value) for key, value in values.items()}


def frame_table(rows: Tensor) -> NDArray[Any]:
    """Give clip length, segment, number of snippets, and the frames that they are mapped to."""
    asked = rows[:, :3].int().tolist()
    starts = [official_start(segment, snippets, frames) for frames, segment, snippets in asked]
    return np.array([(*row, start, start + row[0]) for row, start in zip(asked, starts, strict=True)])


class SSTCase(MethodCase):
    """The case of a method whose training draws the given noise."""

    def compute(self, manifest: Manifest, weights: Tensors, inputs: Tensors) -> Outputs:
        """Compute the outputs with the noise of the manifest."""
        with given_noise(manifest, inputs):
            return super().compute(manifest, weights, inputs)


CASE = SSTCase(
    given=(FRAMES_KEY,),
    table=TABLE,
    build=build,
    optimizer=adam,
    evaluate=lambda module, batch: {"scores": module.score(batch).squeeze(0).numpy()},
    train_outputs=lambda module, batch: {},
    batches=batches,
    extra=totals,
    further=further,
)
