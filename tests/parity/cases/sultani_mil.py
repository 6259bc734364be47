"""Sultani MIL as the golden cases see it, with the authors' way from clips to segments and back to frames."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from tests.parity.batches import pair_by_name
from tests.parity.case import Manifest, MethodCase
from wsvad_lightning.data.loading.sampling import bin_means, c3d_borders
from wsvad_lightning.interop.sultani import TABLE
from wsvad_lightning.methods import Sultani
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.ops import halves
from wsvad_lightning.types import WSVADBatch

CLIP_LENGTH = 16


class ReferenceTest(Sultani):
    """Sultani MIL that knows how many frames the test video has; its clips are a stream of the batch."""

    num_frames: int


def batches(manifest: Manifest, inputs: dict[str, Tensor]) -> dict[str, WSVADBatch]:
    """Give the clips to the video that they make segments of."""
    made = pair_by_name({name: value for name, value in inputs.items() if name != "clips"})
    made["eval"] = made["eval"]._replace(streams={"clips": inputs["clips"][None]})
    return made


def build(config: dict[str, Any], inputs: dict[str, Tensor]) -> WSVADModule:
    """Build the method that the configuration describes, without dropout."""
    feature_dim, hidden_dim, narrow_dim, _ = config["layers"]
    assert config["activations"] == ["relu", "linear", "sigmoid"]
    assert config["margin"] == 1.0
    module = ReferenceTest(
        feature_dim,
        hidden_dim,
        narrow_dim,
        dropout=0.0,
        loss_weights={
            "smooth": config["lambda_smooth"],
            "sparsity": config["lambda_sparsity"],
            "l2": config["l2"],
        },
    )
    module.num_frames = config["case"]["frames"]
    return module


def optimizer(config: dict[str, Any], module: WSVADModule) -> torch.optim.Optimizer:
    """Build the recipe's optimizer."""
    return torch.optim.Adagrad(
        module.parameters(),
        lr=config["lr"],
        eps=config["eps"],
        initial_accumulator_value=config["accumulator_init"],
    )


def evaluate(module: WSVADModule, batch: WSVADBatch) -> dict[str, NDArray[Any]]:
    """Score the segments of a video; make segments of its clips, and frames of the scores."""
    assert isinstance(module, ReferenceTest)
    scores = module.score(batch).squeeze(0).numpy()
    clips = batch.streams["clips"].squeeze(0).numpy()
    borders = c3d_borders(len(clips), len(scores))
    segments = F.normalize(torch.from_numpy(bin_means(clips, borders)), dim=-1)
    frames = frame_scores(scores, borders, len(clips), module.num_frames)
    return {
        "scores": scores,
        "hidden2_sub": module.net.embed(batch.features)[0, 0, ::4].numpy(),
        "segment_borders": borders + 1,
        "segments_sub": segments[:, ::64].numpy(),
        "frame_scores_sub": frames[::CLIP_LENGTH],
        "n_zero_tail_frames": np.asarray(np.argmax(frames[::-1] != 0)),
    }


def frame_scores(
    scores: NDArray[np.float32], borders: NDArray[np.int_], num_clips: int, num_frames: int
) -> NDArray[np.float32]:
    """Spread segment scores as the authors' test does: clips of no segment score zero, the last goes on.

    This package scores every snippet itself, so that none is left out.
    """
    of_clips = np.zeros(num_clips, dtype=np.float32)
    for score, start, stop in zip(scores, borders[:-1], borders[1:], strict=True):
        of_clips[start : max(stop, start + 1)] = score
    of_frames = of_clips.repeat(CLIP_LENGTH)
    return np.pad(of_frames, (0, max(0, num_frames - len(of_frames))), mode="edge")


def train_outputs(module: WSVADModule, batch: WSVADBatch) -> dict[str, NDArray[Any]]:
    """Give the scores of a training pass, the abnormal half first."""
    with torch.no_grad():
        normal, abnormal = halves(module.net(batch.features))
    return {"scores": torch.cat([abnormal, normal]).numpy()}


def extra(config: dict[str, Any], module: WSVADModule, losses: dict[str, Tensor]) -> dict[str, NDArray[Any]]:
    """Give the loss without the penalty on weights, which the authors' optimizer adds apart."""
    penalty = module.loss_weights["l2"] * losses["l2"]
    return {"loss/objective": (module.total_loss(losses) - penalty).detach().numpy()}


CASE = MethodCase(
    table=TABLE,
    build=build,
    optimizer=optimizer,
    evaluate=evaluate,
    train_outputs=train_outputs,
    batches=batches,
    weighted=frozenset({"smooth", "sparsity", "l2"}),
    extra=extra,
)
