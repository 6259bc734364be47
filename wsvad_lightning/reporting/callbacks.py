"""Side work of a run: its configuration in folder and checkpoints, its scores in tables and pictures."""

import csv
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import torch.distributed
import yaml
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_info
from lightning_utilities.core.imports import RequirementCache
from rich.console import Console
from torch import Tensor

from wsvad_lightning.carried import write_carried
from wsvad_lightning.checkpoint import CONFIG_KEY
from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.files import replacing, write_json
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.metrics import expand_classes, expand_scores, find_events
from wsvad_lightning.reporting.figures import VideoCurve, report_figure
from wsvad_lightning.reporting.receipt import receipt
from wsvad_lightning.reporting.tables import tables_of
from wsvad_lightning.timeline import Event, SnippetGrid
from wsvad_lightning.types import NORMAL, Prediction, StoreInfo, WSVADBatch

PATHS = ("store", "split", "annotations")  # of the data module
Value = TypeVar("Value")


class RunRecord(SaveConfigCallback):
    """Save the configuration as ``<subcommand>.yaml`` in the run's folder and inside every checkpoint.

    It is saved once model and data are set up, before the first step. A run that is refused before leaves no
    folder. What a checkpoint carries is plain text, so that checkpoints load with ``weights_only=True``.
    """

    def _plain(self) -> dict[str, Any]:
        plain: dict[str, Any] = yaml.safe_load(self.parser.dump(self.config, skip_unset=False))
        return plain

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add what ``wsvad test --ckpt_path`` needs to know."""
        config = self._plain()
        config["data"] |= {key: absolute(config["data"][key]) for key in PATHS}
        assert isinstance(pl_module, WSVADModule)
        checkpoint[CONFIG_KEY] = write_carried(config, type(pl_module))

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Save nothing yet: the run may still be refused."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save before the first step."""
        self._save(trainer)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save also where no step was left to be done."""
        self._save(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save before the first video."""
        self._save(trainer)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save before the first video."""
        self._save(trainer)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save before the first video."""
        self._save(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Remove what loggers made for a run that has not begun."""
        if self.already_saved or not trainer.is_global_zero:
            return
        loggers, trainer.loggers = trainer.loggers, []  # they finish here, not behind the removal
        for logger in loggers:
            logger.finalize("failed")
        remove_logs(_run_folder(loggers), Path(loggers[0].save_dir or "."))

    def _save(self, trainer: Trainer) -> None:
        """Save on the first rank; not collective, as ranks without videos start nothing."""
        if self.already_saved or not trainer.is_global_zero:
            return
        folder = _run_folder(trainer.loggers)
        folder.mkdir(parents=True, exist_ok=True)
        self.parser.save(self.config, folder / self.config_filename, skip_unset=False, multifile=False)
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_hyperparams(self._plain())
        self.already_saved = True


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
    ``test`` shows the metrics, and adds ``metrics.json`` with a receipt and ``scores.png``.

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
        predictions = sorted(gather(self.predictions).values())
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
        truths, predictions = gather(self.truths), sorted(gather(self.predictions).values())
        metrics, per_class = pl_module.test_results(), pl_module.test_results_per_class()  # collective
        record = {"metrics": metrics, "per_class": per_class, "receipt": receipt(trainer)}
        if not trainer.is_global_zero:
            return
        Console().print(*tables_of(metrics, per_class))
        write_json(record, folder / "metrics.json")
        self.curves = [
            video_curve(video, truths[video.video_id], data.info.grid, data.annotations[video.video_id])
            for video in predictions
        ]
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


def _run_folder(loggers: Sequence[Logger]) -> Path:
    """Name the folder as ``Trainer.log_dir`` does, which is collective."""
    return Path(loggers[0].log_dir or ".")


def remove_logs(folder: Path, output: Path) -> None:
    """Remove a run's folder with what loggers began in it, and those above it, if nothing else is there.

    Args:
        folder: of the run.
        output: folder of all runs, which stays.
    """
    for path in (*folder.glob("events.out.tfevents.*"), folder / "hparams.yaml"):
        path.unlink(missing_ok=True)
    with suppress(OSError):  # something else is in it
        while folder != output:
            folder.rmdir()
            folder = folder.parent


def _data(trainer: Trainer) -> Any:
    return trainer.datamodule  # type: ignore[attr-defined]  # Lightning types the trainer without it


def gather(mine: dict[str, Value], group: Any = None) -> dict[str, Value]:
    """Join what the ranks hold, by video: nothing twice, nothing lost.

    Args:
        mine: of this rank, by video.
        group: of all ranks, one that waits longer than theirs for example.
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return mine
    parts: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(parts, mine, group)
    return {video_id: value for part in parts for video_id, value in part.items()}


def absolute(path: str | list[str] | None) -> str | list[str] | None:
    """Make paths and patterns hold from any folder."""
    if isinstance(path, list):
        return [os.path.abspath(one) for one in path]  # noqa: PTH100  # a pattern is no path
    return None if path is None else os.path.abspath(path)  # noqa: PTH100


def write_scores(
    path: Path, predictions: Sequence[Prediction], info: StoreInfo, classes: Sequence[str]
) -> None:
    """Write a row a snippet: video, the frames it covers (half-open), score, probability of each class."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["video", "start_frame", "end_frame", "score", *([NORMAL, *classes] if classes else [])]
        )
        for video_id, scores, num_frames, class_scores in predictions:
            columns = (
                scores[:, None] if class_scores is None else torch.cat([scores[:, None], class_scores], 1)
            )
            for t, values in enumerate(columns.tolist()):
                span = info.grid.span(t, num_frames)
                writer.writerow([video_id, *span, *(f"{value:.6g}" for value in values)])


def write_events(
    path: Path, predictions: Sequence[Prediction], info: StoreInfo, classes: Sequence[str]
) -> None:
    """Write a row an event: video, frames (half-open), class, score; see :func:`find_events`."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["video", "start_frame", "end_frame", "class", "score"])
        for prediction in predictions:
            for start, end, name, score in video_events(prediction, info, classes):
                writer.writerow([prediction.video_id, start, end, name, f"{score:.6g}"])


def video_events(prediction: Prediction, info: StoreInfo, classes: Sequence[str]) -> tuple[Event, ...]:
    """Find the events of a video by its probabilities of classes; see :func:`find_events`."""
    video_id, _, num_frames, class_scores = prediction
    assert class_scores is not None, "a method with classes tells them apart"
    return tuple(find_events(expand_classes(class_scores, num_frames, info.grid, video_id), classes))


def video_curve(
    prediction: Prediction,
    truth: Tensor | None,
    grid: SnippetGrid,
    annotation: VideoAnnotation | None = None,
) -> VideoCurve:
    """Spread a video's scores over its frames, beside its ground truth and what is annotated of classes."""
    scores = expand_scores(prediction.scores.numpy(), prediction.num_frames, grid)
    labels = None if truth is None else truth.numpy()
    if annotation is None:
        return VideoCurve(prediction.video_id, scores, labels)
    return VideoCurve(prediction.video_id, scores, labels, annotation.classes, own_classes(annotation))


def own_classes(annotation: VideoAnnotation) -> tuple[Event, ...]:
    """Name the intervals of a video, if they have classes of their own."""
    if not annotation.interval_classes:
        return ()
    everything = ", ".join(annotation.classes)
    spans = zip(annotation.intervals or (), annotation.interval_classes, strict=True)
    return tuple(Event(start, end, name or everything) for (start, end), name in spans)
