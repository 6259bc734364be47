"""Side work of a run: its configuration in folder and checkpoints, its scores in tables and pictures."""

import csv
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch.distributed
import yaml
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_info
from lightning_utilities.core.imports import RequirementCache
from torch import Tensor

from wsvad_lightning.checkpoint import CONFIG_KEY
from wsvad_lightning.files import replacing
from wsvad_lightning.methods.base import WSVADModule
from wsvad_lightning.metrics import NORMAL, expand_classes, expand_scores, find_events
from wsvad_lightning.reporting.figures import VideoCurve, report_figure
from wsvad_lightning.reporting.receipt import receipt
from wsvad_lightning.types import Prediction, StoreInfo, WSVADBatch

PATHS = ("store", "split", "annotations", "cache_dir")  # of the data module
Value = TypeVar("Value")
CARRIED = ("name", "output", "seed_everything", "model", "data")


class RunRecord(SaveConfigCallback):
    """Save the configuration as ``<subcommand>.yaml`` in the run's folder and inside every checkpoint.

    What a checkpoint carries is plain text, so that checkpoints load with ``weights_only=True``.
    """

    def _plain(self) -> dict[str, Any]:
        plain: dict[str, Any] = yaml.safe_load(self.parser.dump(self.config, skip_unset=False))
        return plain

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add what ``wsvad test --ckpt_path`` needs to know."""
        config = self._plain()
        carried = {key: config[key] for key in CARRIED}
        carried["data"] |= {key: absolute(carried["data"][key]) for key in PATHS}
        checkpoint[CONFIG_KEY] = yaml.safe_dump(carried)

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Send the configuration to Weights & Biases, where it is asked for."""
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_hyperparams(self._plain())


class LastCheckpoint(ModelCheckpoint):
    """Keep ``checkpoints/last.ckpt``: renewed every hundred steps, and at the end of the training."""

    def __init__(self) -> None:
        super().__init__(filename="last", every_n_train_steps=100, enable_version_counter=False)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the final weights, whatever their step."""
        if trainer.fast_dev_run:  # type: ignore[attr-defined]  # Lightning types the trainer without it
            return
        trainer.save_checkpoint(Path(self.dirpath or ".") / "last.ckpt")


class BestOnVal(ModelCheckpoint):
    """Keep ``checkpoints/best.ckpt``: the highest video-level AUC of held-out videos, the latest of equals.

    Few held-out videos have few different AUCs, and a model that has hardly learnt may reach the highest.
    """

    def __init__(self) -> None:
        super().__init__(filename="best", monitor="val/video_auc", mode="max", enable_version_counter=False)

    def check_monitor_top_k(self, trainer: Trainer, current: Tensor | None = None) -> bool:
        """Tell whether to keep the present weights; metrics, and so the answer, are the same on all ranks."""
        best = self.best_model_score
        if current is not None and best is not None and bool(current == best):
            return True
        return super().check_monitor_top_k(trainer, current)


class ScoreWriter(Callback):
    """Write what ``test`` and ``predict`` computed into the run's folder, each video once.

    ``scores.csv`` has a row a snippet and, where the method knows classes, ``events.csv`` a row an event;
    ``test`` adds ``metrics.json`` with a receipt and ``scores.png``.

    Attributes:
        curves: after a test, frame scores and ground truth of all videos, on the first rank.
    """

    def __init__(self) -> None:
        self.predictions: dict[str, Prediction] = {}
        self.truths: dict[str, Tensor | None] = {}
        self.curves: list[VideoCurve] = []

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: WSVADBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep a test video's scores and ground truth."""
        self.on_predict_batch_end(trainer, pl_module, outputs["predictions"], batch, batch_idx)
        for video_id, truth in zip(batch.video_ids, batch.frame_labels or [], strict=True):
            self.truths[video_id] = None if truth is None else truth.cpu()

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: WSVADBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep a video's scores."""
        self.predictions |= {prediction.video_id: prediction for prediction in outputs}

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write scores and events."""
        folder, data = Path(trainer.log_dir or "."), _data(trainer)
        predictions = sorted(_gather(self.predictions).values())
        if trainer.is_global_zero:
            assert isinstance(pl_module, WSVADModule)
            write_scores(folder / "scores.csv", predictions, data.info, pl_module.classes)
            if pl_module.classes:
                write_events(folder / "events.csv", predictions, data.info, pl_module.classes)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write scores and events, metrics with a receipt, and curves."""
        self.on_predict_end(trainer, pl_module)
        assert isinstance(pl_module, WSVADModule)
        folder, data = Path(trainer.log_dir or "."), _data(trainer)
        truths, predictions = _gather(self.truths), sorted(_gather(self.predictions).values())
        record = {  # collective: every rank takes part
            "metrics": pl_module.test_results(),
            "per_class": pl_module.test_results_per_class(),
            "receipt": receipt(trainer),
        }
        if not trainer.is_global_zero:
            return
        with replacing(folder / "metrics.json") as path:
            path.write_text(json.dumps(without_nan(record), indent=2) + "\n")
        snippet = data.info.snippet_stride, data.info.snippet_length
        self.curves = [video_curve(video, truths[video.video_id], *snippet) for video in predictions]
        if not RequirementCache("matplotlib"):
            rank_zero_info('No picture of the scores: pip install "wsvad-lightning[report]" draws one')
            return
        report_figure(self.curves, folder / "scores.png")
        log_picture(trainer, "test/scores", folder / "scores.png")


def log_picture(trainer: Trainer, name: str, path: Path) -> None:
    """Send a PNG to Weights & Biases and TensorBoard, where they are in use."""
    for logger in trainer.loggers:
        if isinstance(logger, WandbLogger):
            logger.log_image(name, [str(path)])
        elif isinstance(logger, TensorBoardLogger):
            from matplotlib.image import imread

            logger.experiment.add_image(name, imread(path), trainer.global_step, dataformats="HWC")


def _data(trainer: Trainer) -> Any:
    return trainer.datamodule  # type: ignore[attr-defined]  # Lightning types the trainer without it


def _gather(mine: dict[str, Value]) -> dict[str, Value]:
    """Join what the ranks hold, by video: nothing twice, nothing lost."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return mine
    parts: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(parts, mine)
    return {video_id: value for part in parts for video_id, value in part.items()}


def absolute(path: str | list[str] | None) -> str | list[str] | None:
    """Make paths and patterns hold from any folder."""
    if isinstance(path, list):
        return [os.path.abspath(one) for one in path]  # noqa: PTH100  # a pattern is no path
    return None if path is None else os.path.abspath(path)  # noqa: PTH100


def without_nan(value: Any) -> Any:
    """Replace undefined numbers in nested dictionaries by None: JSON has no NaN."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


def write_scores(
    path: Path, predictions: Sequence[Prediction], info: StoreInfo, classes: Sequence[str]
) -> None:
    """Write a row a snippet: video, the frames it covers (half-open), score, probability of each class."""
    with replacing(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["video", "start_frame", "end_frame", "score", *([NORMAL, *classes] if classes else [])]
        )
        for video_id, scores, num_frames, class_scores in predictions:
            columns = (
                scores[:, None] if class_scores is None else torch.cat([scores[:, None], class_scores], 1)
            )
            for t, values in enumerate(columns.tolist()):
                start = t * info.snippet_stride
                end = min(start + info.snippet_length, num_frames)
                writer.writerow([video_id, start, end, *(f"{value:.6g}" for value in values)])


def write_events(
    path: Path, predictions: Sequence[Prediction], info: StoreInfo, classes: Sequence[str]
) -> None:
    """Write a row an event: video, frames (half-open), class, score; see :func:`find_events`."""
    snippet = info.snippet_stride, info.snippet_length
    with replacing(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["video", "start_frame", "end_frame", "class", "score"])
        for video_id, _, num_frames, class_scores in predictions:
            assert class_scores is not None, "a method with classes tells them apart"
            frames = expand_classes(class_scores, num_frames, *snippet, video_id)
            for start, end, name, score in find_events(frames, classes):
                writer.writerow([video_id, start, end, name, f"{score:.6g}"])


def video_curve(
    prediction: Prediction, truth: Tensor | None, snippet_stride: int, snippet_length: int
) -> VideoCurve:
    """Spread a video's scores over its frames, beside its ground truth."""
    scores = expand_scores(prediction.scores.numpy(), prediction.num_frames, snippet_stride, snippet_length)
    return VideoCurve(prediction.video_id, scores, None if truth is None else truth.numpy())
