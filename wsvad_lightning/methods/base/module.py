"""What every method shares: steps, logging, metrics, predictions and optimizers.

A method gives ``__init__``, ``compute_losses(batch)`` and ``score(batch)``; everything else is here.
"""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Any, ClassVar, Self

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.utilities import rank_zero_info
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.layers import MagnitudeSelection
from wsvad_lightning.metrics import EventMetrics, FrameMetrics
from wsvad_lightning.timeline import Event
from wsvad_lightning.types import (
    NORMAL,
    FeatureRequirements,
    Prediction,
    PseudoLabels,
    StoreInfo,
    WSVADBatch,
)


class WSVADModule(LightningModule):
    """Base of all methods.

    Class attributes:
        requires: what the method needs of a feature store, besides the channels; where that follows from its
            arguments, an instance has its own.
        default_loss_weights: the paper's weight of every loss term; its keys are the terms.
        stage, num_stages: which of several trainings, each going on from the one before; one in most methods.

    Attributes:
        net: the network that the authors' weights belong to.
        classes: names of the anomaly classes that ``classify`` tells apart, in its order.

    Args:
        feature_dim: D, channels of the features.
        loss_weights: weights that differ from ``default_loss_weights``.
        optimizer: makes the optimizer from the parameters.
        lr_scheduler: makes a scheduler from the optimizer, stepped after every batch.

    Raises:
        WSVADError: if ``loss_weights`` names a term that the method does not have.
    """

    requires: FeatureRequirements = FeatureRequirements()
    default_loss_weights: ClassVar[dict[str, float]] = {}
    stage: int = 1
    num_stages: int = 1
    classes: tuple[str, ...] = ()
    net: nn.Module

    def __init__(
        self,
        feature_dim: int,
        loss_weights: dict[str, float] | None,
        optimizer: OptimizerCallable,
        lr_scheduler: LRSchedulerCallable | None,
    ) -> None:
        super().__init__()
        if feature_dim < 1:
            raise WSVADError("model.feature_dim", feature_dim, "features have channels", "Give at least 1")
        unknown = sorted(set(loss_weights or {}) - set(self.default_loss_weights))
        if unknown:
            raise WSVADError(
                "model.loss_weights",
                ", ".join(unknown),
                f"{type(self).__name__} has no such loss term",
                f"Its terms are {', '.join(self.default_loss_weights)}",
            )
        self.feature_dim = feature_dim
        self.loss_weights = {**self.default_loss_weights, **(loss_weights or {})}
        self.optimizer = optimizer
        self.lr_scheduler = lr_scheduler

    def compute_losses(self, batch: WSVADBatch) -> dict[str, Tensor]:
        """Give the raw loss terms of a training batch, the keys of ``default_loss_weights``."""
        raise NotImplementedError(f"{type(self).__name__} must give compute_losses")

    def score(self, batch: WSVADBatch) -> Tensor:
        """Give the anomaly score ``[B, T]`` of each snippet, in [0, 1] unless the method says otherwise."""
        raise NotImplementedError(f"{type(self).__name__} must give score")

    def classify(self, batch: WSVADBatch) -> Tensor | None:
        """Give the probabilities ``[B, T, 1 + C]`` of normal and of ``classes``; None without classes."""
        return None

    def score_and_classify(self, batch: WSVADBatch) -> tuple[Tensor, Tensor | None]:
        """Give both; a method whose network computes them at once gives this."""
        return self.score(batch), self.classify(batch)

    def current_labels(self, video_id: str) -> PseudoLabels | None:
        """Give the labels that the method now has for a training video; None if it has made none."""
        return None

    def total_loss(self, losses: dict[str, Tensor]) -> Tensor:
        """Sum the terms by weight."""
        return torch.stack([self.loss_weights[term] * value for term, value in losses.items()]).sum()

    def setup(self, stage: str) -> None:
        """Compare what the method needs with what the data module delivers, and prepare the metrics.

        Raises:
            WSVADError: if they do not fit.
        """
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]  # Lightning types the trainer without it
        info: StoreInfo = data.info
        # What was trained brings the names of its classes along.
        needs = self.requires if stage == "fit" else replace(self.requires, classes=False)
        needs.check(type(self).__name__, info)
        data.carry(self.requires.streams, stage)
        if info.dim != self.feature_dim:
            raise WSVADError(
                "model.feature_dim",
                self.feature_dim,
                f"the features of {info.path} have {info.dim} channels ({info.backbone})",
                "Choose the store, streams and transform that the model was made for, or train anew",
            )
        self.val_metrics = FrameMetrics(info.grid, info.classes)
        self.test_metrics = FrameMetrics(info.grid, info.classes)
        if stage == "fit":
            if self.requires.classes:
                tell_unseen(data)
            self.requires.check_bags(type(self).__name__, data.bags)
            self.load_prepared()
            for layer in self.modules():
                if isinstance(layer, MagnitudeSelection) and layer.k > data.segments:
                    rank_zero_info(
                        f"note: model.k={layer.k} snippets stand for a video, but a bag has data.segments="
                        f"{data.segments}: all of them will"
                    )

    def load_prepared(self) -> None:
        """Take over the artefacts that the method needs; the first process of each machine prepares them.

        Raises:
            WSVADError: if one cannot be prepared.
        """
        if not self.requires.prepared:
            return
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]  # typed without it
        if self.trainer.local_rank == 0:
            self.prepare(data)
        self.trainer.strategy.barrier("prepared artefacts")
        for name in self.requires.prepared:
            self.take_prepared(name, data.prepared(name))

    def prepare(self, data: Any) -> None:
        """Put what ``requires.prepared`` names next to the store of a data module, unless it is there.

        Methods that require any artefact override this and ``take_prepared``.
        """
        raise NotImplementedError(f"{type(self).__name__} must override prepare")

    def take_prepared(self, name: str, values: Tensor) -> None:
        """Keep an artefact that ``requires.prepared`` names."""
        raise NotImplementedError(f"{type(self).__name__} must override take_prepared")

    def training_step(self, batch: WSVADBatch, batch_idx: int) -> Tensor:
        """One optimisation step on a paired batch."""
        losses = self.compute_losses(batch)
        total = self.total_loss(losses)
        logged = {f"train/loss/{term}": value.detach() for term, value in losses.items()}
        self.log_dict({**logged, "train/loss/total": total.detach()}, batch_size=len(batch.labels))
        self.log("loss", total.detach(), prog_bar=True, logger=False, batch_size=len(batch.labels))
        return total

    def validation_step(self, batch: WSVADBatch, batch_idx: int) -> None:
        """Score a held-out video."""
        self._predict_and_measure(batch, self.val_metrics)

    def test_step(self, batch: WSVADBatch, batch_idx: int) -> dict[str, list[Prediction]]:
        """Score a test video."""
        predictions = self._predict_and_measure(batch, self.test_metrics)
        for i, (video_id, _, num_frames, class_scores) in enumerate(predictions):
            if class_scores is not None:
                self.test_events.update(video_id, class_scores, num_frames, self._events_of(batch, i))
        return {"predictions": predictions}

    def predict_step(self, batch: WSVADBatch, batch_idx: int) -> list[Prediction]:
        """Score a video without looking at labels."""
        scores, probabilities = self.score_and_classify(batch)
        of_classes = [None] * len(scores) if probabilities is None else list(probabilities.float().cpu())
        assert batch.num_frames is not None, "evaluation batches know their frame counts"
        return [
            Prediction(video_id, row[:length], frames, None if classes is None else classes[:length])
            for video_id, row, classes, length, frames in zip(
                batch.video_ids,
                scores.float().cpu(),
                of_classes,
                batch.lengths.tolist(),
                batch.num_frames.tolist(),
                strict=True,
            )
        ]

    def _predict_and_measure(self, batch: WSVADBatch, metrics: FrameMetrics) -> list[Prediction]:
        predictions = self.predict_step(batch, 0)
        for i, prediction in enumerate(predictions):
            metrics.update(
                video_id=prediction.video_id,
                snippet_scores=prediction.scores,
                label=int(batch.labels[i]),
                num_frames=prediction.num_frames,
                frame_labels=None if batch.frame_labels is None else batch.frame_labels[i],
                classes=self._classes_of(batch, i),
            )
        return predictions

    def _classes_of(self, batch: WSVADBatch, i: int) -> list[str]:
        """Name the anomaly classes of a video that is measured."""
        assert batch.class_targets is not None, "evaluation batches know the classes of their videos"
        names = self.test_metrics.classes
        return [name for name, own in zip(names, batch.class_targets[i, 1:], strict=True) if own]

    def _events_of(self, batch: WSVADBatch, i: int) -> list[Event] | None:
        """List what is annotated in a test video, a normal one being an event; None if that is unknown."""
        assert batch.num_frames is not None
        assert batch.events is not None
        if not batch.labels[i]:
            return [Event(0, int(batch.num_frames[i]), NORMAL)]
        events = batch.events[i]
        return None if events is None else list(events)

    def on_validation_epoch_start(self) -> None:
        """Forget the videos of the last validation."""
        self.val_metrics.reset()

    def on_test_epoch_start(self) -> None:
        """Forget the videos of the last test."""
        self.test_metrics.reset()
        # The classes came with the checkpoint, after the setup.
        self.test_events = EventMetrics(self.test_metrics.grid, self.classes).to(self.device)

    def on_validation_epoch_end(self) -> None:
        """Log the metrics of the held-out videos."""
        self._log_metrics("val", self.val_metrics.compute())

    def on_test_epoch_end(self) -> None:
        """Log the metrics of the test videos."""
        self._log_metrics("test", self.test_results())

    def test_results(self) -> dict[str, float]:
        """Give the metrics of the test videos, those of events if the method knows classes; on all ranks."""
        return self.test_metrics.compute() | (self.test_events.compute() if self.classes else {})

    def test_results_per_class(self) -> dict[str, dict[str, float]]:
        """Give those of each class that has test videos; on all ranks."""
        events = self.test_events.per_class() if self.classes else {}
        return {name: own | events.get(name, {}) for name, own in self.test_metrics.per_class().items()}

    def _log_metrics(self, stage: str, metrics: dict[str, float]) -> None:
        values = {f"{stage}/{name}": value for name, value in metrics.items()}
        self.log_dict(values)  # already the same on every rank

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Say which method the weights are of, of what classes, and of what features, made how."""
        checkpoint["method"] = type(self).__name__
        if self.classes:
            checkpoint["classes"] = {"names": list(self.classes)}
        if self._trainer is not None:
            data: Any = self.trainer.datamodule  # type: ignore[attr-defined]  # typed without it
            checkpoint["features"] = described(data.info)
            checkpoint["transform"] = data.transform.settings
            checkpoint["provenance"] = asdict(data.store.provenance)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Compare with what the weights were trained for, before any is loaded.

        Raises:
            WSVADError: if they are of another method or another feature size.
        """
        method, own = checkpoint.get("method"), type(self).__name__
        if method != own:
            raise WSVADError(
                "--ckpt_path",
                method,
                f"it is of another method, not {own}",
                f"Give a checkpoint of {own}",
            )
        trained_dim = checkpoint.get("hyper_parameters", {}).get("feature_dim")
        if trained_dim != self.feature_dim:
            raise self._other_features(f"{self.feature_dim} channels", trained_dim)
        if self._trainer is None:  # read by `load_from_checkpoint`, away from any store
            return
        if self.trainer.state.fn != "fit":
            checkpoint.pop("callbacks", None)  # theirs goes on only where the training does
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]  # typed without it
        given, settings = described(data.info), data.transform.settings
        for name, trained in checkpoint.get("transform", settings).items():
            if name in settings and settings[name] != trained:
                rank_zero_info(f"note: {name} of the features: {trained} in training, {settings[name]} now")
        for name, trained in checkpoint.get("features", given).items():
            if name not in given or given[name] == trained:
                continue
            if name != "views":
                raise self._other_features(f"{name.replace('_', ' ')} {given[name]}", trained)
            rank_zero_info(
                f"note: crops of a video: {trained} in training, {given[name]} as data.store delivers them; "
                f"a score is the mean over them"
            )

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Load the weights.

        Raises:
            WSVADError: if they are of other names or sizes.
        """
        try:
            return super().load_state_dict(state_dict, strict, assign)
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:200]
            problem = f"the weights do not fit ({reason})"
            remedy = "Give the checkpoint with the settings that it was trained with"
            raise WSVADError("--ckpt_path", type(self).__name__, problem, remedy) from None

    @classmethod
    def load_from_checkpoint(
        cls,
        checkpoint_path: str | Path | IO[Any],
        map_location: Any = None,
        hparams_file: str | Path | None = None,
        strict: bool | None = None,
        weights_only: bool | None = True,
        **kwargs: Any,
    ) -> Self:
        """Make the method that a checkpoint holds, of plain values only.

        Args:
            checkpoint_path: the file.
            map_location: where its tensors go.
            hparams_file: settings that replace those of the checkpoint.
            strict: whether all weights must be there, and no others.
            weights_only: whether the file is read as tensors and plain values; False runs any code in it.
            kwargs: settings that replace those of the checkpoint.
        """
        own: dict[str, Any] = {
            "weights_only": weights_only is not False,
            "_instantiator": None,  # one named in the file would make the classes that its settings name
        }
        return super().load_from_checkpoint(
            checkpoint_path, map_location, hparams_file, strict, **{**kwargs, **own}
        )

    def _other_features(self, given: object, trained: object) -> WSVADError:
        return WSVADError(
            "data.store",
            self.trainer.datamodule.info.path,  # type: ignore[attr-defined]  # typed without it
            f"delivers {given}, the checkpoint was trained with {trained}",
            "Give features of the same backbone, snippets, streams and transform",
        )

    def configure_optimizers(self) -> torch.optim.Optimizer | OptimizerLRSchedulerConfig:
        """Build what the recipe names."""
        optimizer = self.optimizer(self.parameters())
        if self.lr_scheduler is None:
            return optimizer
        scheduler: Any = self.lr_scheduler(optimizer)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def tell_unseen(data: Any) -> None:
    """Name the classes that only videos have which do not train: mistyped ones are among these."""
    seen = {name for video in data.parts["train"] for name in data.annotations[video].classes}
    if unseen := [name for name in data.info.classes if name not in seen]:
        rank_zero_info(f"note: no training video is of {', '.join(unseen)}: nothing is learnt of that")


def described(info: StoreInfo) -> dict[str, str | int]:
    """What features must have in common to be scored by one model, in plain values."""
    return {
        "backbone": info.backbone,
        "snippet_length": info.grid.length,
        "snippet_stride": info.grid.stride,
        "views": info.views,
    }
