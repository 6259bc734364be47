"""GlanceVAD as the golden cases see it."""

import re
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.parity.batches import evaluation_batch, pair_by_name
from tests.parity.case import Build, Config, Manifest, MethodCase, adam
from tests.parity.cases import ur_dmu
from wsvad_lightning.data.loading.glances import mark_segments, used_glances
from wsvad_lightning.interop.glancevad import TABLE
from wsvad_lightning.losses import mine_glances, splat_marks
from wsvad_lightning.methods import GlanceVAD
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.ops import halves
from wsvad_lightning.types import WSVADBatch

WEIGHTS = {  # names in the manifest's configuration -> terms
    **{name: terms for name, terms in ur_dmu.WEIGHTS.items() if name != "video_bce"},
    "normal": ("normal",),
    "glance": ("glance",),
    "abnormal_topk": ("abnormal_topk",),
}
STRIDE = 16  # frames of a snippet


class AtStep(GlanceVAD):
    """The method in the step that the name of a batch's first video gives, such as ``50/video0``."""

    def compute_losses(self, batch: WSVADBatch) -> dict[str, Tensor]:
        self.step = int(batch.video_ids[0].partition("/")[0])
        return super().compute_losses(batch)


def marked(points: list[list[int]], length: int) -> Tensor:
    """Mark segments: ``[b, T]``."""
    marks = torch.zeros(len(points), length, dtype=torch.bool)
    for row, segments in enumerate(points):
        marks[row, segments] = True
    return marks


def batches(manifest: Manifest, inputs: dict[str, Tensor]) -> dict[str, WSVADBatch]:
    """Pair the training videos with their marks; a name says the step."""
    case = manifest["config"]["case"]
    paired = pair_by_name({name: value for name, value in inputs.items() if name.startswith("train")})
    made = {"eval": evaluation_batch(inputs["eval"])}
    for name, step in case["step"].items():
        batch = paired["train4d" if name == "train4d" else "train"]
        points = case["train4d_points" if name == "train4d" else "points"]
        marks = marked(points, batch.features.shape[2])
        glances = torch.cat([torch.zeros_like(marks), marks])
        ids = [f"{step}/{video_id}" for video_id in batch.video_ids]
        made[name] = batch._replace(glances=glances, video_ids=ids)
    return made


def build(config: Config, inputs: dict[str, Tensor]) -> WSVADModule:
    """Build the method that the configuration describes, without dropout."""
    assert config["memory_topk"] == config["a_nums"] // 16 + 1 == config["n_nums"] // 16 + 1
    assert (config["triplet_margin"], config["topk"]) == (1.0, "T//16 + 1")
    module = AtStep(
        sigma=config["sigma"],
        alpha=config["alpha"],
        mine_from=config["mine_from_step"],
        distance_margin=config["distance_margin"],
        loss_weights={term: config["weights"][name] for name, terms in WEIGHTS.items() for term in terms},
    )
    module.net = ur_dmu.make_net(config)
    return module


def evaluate(module: WSVADModule, batch: WSVADBatch) -> dict[str, NDArray[Any]]:
    """Score a video, and each of its crops."""
    crops = batch.features.transpose(0, 1)
    return {
        "scores": module.score(batch).squeeze(0).numpy(),
        "crop_scores": module.score(batch._replace(features=crops)).numpy(),
    }


def train_outputs(module: WSVADModule, batch: WSVADBatch) -> dict[str, NDArray[Any]]:
    """Give scores, what is mined, also in the steps that do not use it, and the target curves."""
    assert isinstance(module, AtStep)
    assert batch.glances is not None
    with torch.no_grad():
        losses = module.compute_losses(batch)
        scores = module.net.forward_pairs(batch.features).scores
    (_, abnormal), (_, marks) = halves(scores), halves(batch.glances)
    return {
        "abnormal_topk_bce": losses["abnormal_topk"].numpy(),
        "frame": scores.numpy(),
        "kernel": mine_glances(marks, abnormal, module.alpha).long().numpy(),
        "rendered": splat_marks(module.centres(marks, abnormal), module.sigma).numpy(),
    }


def further(manifest: Manifest, inputs: dict[str, Tensor], build: Build) -> dict[str, NDArray[Any]]:
    """Give what is mined from scripted scores, and the segments of glances."""
    config, case = manifest["config"], manifest["config"]["case"]
    scores = inputs["script_scores"] + case["script_offset"]
    marks = marked(case["script_points"], scores.shape[-1])
    kernel = mine_glances(marks, scores, config["alpha"])
    found = {
        "mining/kernel": kernel.long(),
        "mining/rendered_points": splat_marks(marks, config["sigma"]),
        "mining/rendered_kernel": splat_marks(kernel, config["sigma"]),
    }
    arrays: dict[str, NDArray[Any]] = {key: value.numpy() for key, value in found.items()}
    for name, video in case["glance_frames"].items():
        frames = used_glances(tuple(video["frames"]), "official")
        key, rng = f"data/segments_{name}", np.random.default_rng(0)
        (segments,) = re.findall(r"marked segments of (\d+)", manifest["outputs"][key]["meaning"])
        held = mark_segments(frames, video["snippets"], STRIDE, "mean_bins", int(segments), rng)
        arrays[key] = np.flatnonzero(held)
    return arrays


CASE = MethodCase(
    table=TABLE,
    build=build,
    optimizer=adam,
    evaluate=evaluate,
    train_outputs=train_outputs,
    passes=("net.forward_pairs",),
    batches=batches,
    further=further,
)
