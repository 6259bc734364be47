"""What every method shares: steps, logging, predictions, optimizers and checkpoints.

A method gives ``__init__``, ``compute_losses(batch)`` and ``score(batch)``; everything else is here.
"""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar, Self

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.methods.base.evaluation import Evaluation
from wsvad_lightning.methods.base.features import (
    compare_features,
    described,
    note_unseen_classes,
    other_features,
)
from wsvad_lightning.types import FeatureRequirements, Prediction, WSVADBatch

if TYPE_CHECKING:
    from wsvad_lightning.data.loading.datamodule import WSVADDataModule


class WSVADModule(LightningModule):
    """Base of all methods.

    The constructor of a method names its own arguments and passes the others on as ``**kwargs``. All of them,
    whoever names them, become the ``hyper_parameters`` of checkpoints.

    Class attributes:
        requires: what the method needs of a feature store, apart from the channels; where that follows from
            its arguments, an instance has its own.
        default_loss_weights: the paper's weight of every loss term; its keys are the terms.
        not_saved: arguments of a training, not of the network; hyper-parameters lack them.

    Attributes:
        net: the network that the authors' weights belong to.
        classes: names of the anomaly classes that ``classify`` distinguishes, in its order.
        evaluation: metrics of the current or last validation or test.

    Args:
        feature_dim: D, channels of the features; taken from the store on the command line.
        loss_weights: weights by which terms enter the total, where they differ from the defaults.
        optimizer: makes the optimizer from the parameters.
        lr_scheduler: makes a scheduler from the optimizer, stepped after every batch.

    Raises:
        WSVADError: without channels, or if ``loss_weights`` names a term that the method does not have, or
            a subclass names ``optimizer`` or ``lr_scheduler`` without a type.
    """

    requires: FeatureRequirements = FeatureRequirements()
    default_loss_weights: ClassVar[dict[str, float]] = {}
    not_saved: ClassVar[tuple[str, ...]] = ("optimizer", "lr_scheduler")
    classes: tuple[str, ...] = ()
    net: nn.Module
    evaluation: Evaluation

    def __init__(
        self,
        feature_dim: int,
        loss_weights: dict[str, float] | None = None,
        optimizer: OptimizerCallable = torch.optim.Adam,
        lr_scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=self.not_saved)  # of this constructor and all that called it
        if feature_dim < 1:
            raise WSVADError(
                "model.feature_dim", feature_dim, "must be at least 1", "Give the channels of the store"
            )
        unknown = sorted(set(loss_weights or {}) - set(self.default_loss_weights))
        if unknown:
            raise WSVADError(
                "model.loss_weights",
                ", ".join(unknown),
                f"{type(self).__name__} has no such loss term",
                f"Its terms are {', '.join(self.default_loss_weights)}",
            )
        for name, make in (("optimizer", optimizer), ("lr_scheduler", lr_scheduler)):
            if make is not None and not callable(make):
                problem = f"the constructor of {type(self).__name__} names it without a type"
                remedy = "Leave it to **kwargs there, or annotate it as the constructor of WSVADModule does"
                raise WSVADError(f"model.{name}", make, problem, remedy)
        self.feature_dim = feature_dim
        self.loss_weights = {**self.default_loss_weights, **(loss_weights or {})}
        self.optimizer = optimizer
        self.lr_scheduler = lr_scheduler

    # ------------------------------------------------------------------------------- what a method gives

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
        """Give both; overridden by a method whose network computes them in one pass."""
        return self.score(batch), self.classify(batch)

    def patch_maps(self, batch: WSVADBatch) -> Tensor | None:
        """Give how anomalous each part of the frame is, ``[T, h, w]`` in [0, 1]; None if that is not known.

        Called with a single whole video. Here, for features of a grid of patches, it is the score of the
        video with one patch left in: each grid is reduced to the patch at that place, and what is not a grid
        stays.
        """
        if self.data.patch_grid is None:
            return None
        (video_id,) = batch.video_ids
        left_in = (torch.tensor(features) for features in self.data.read_patches(video_id))
        bags = (features.transpose(0, 1)[None].to(batch.features) for features in left_in)
        scores = [self.score(batch._replace(features=bag))[0] for bag in bags]
        return torch.stack(scores, dim=1).unflatten(1, self.data.patch_grid)

    # ------------------------------------------------------------------------------------------ training

    @property
    def data(self) -> "WSVADDataModule":
        """The data module of the run."""
        data: WSVADDataModule = self.trainer.datamodule  # type: ignore[attr-defined]  # typed without it
        return data

    def setup(self, stage: str) -> None:
        """Compare what the method needs with what the data module delivers.

        Raises:
            WSVADError: if they do not fit.
        """
        data, info = self.data, self.data.info
        # What was trained brings the names of its classes along.
        needs = self.requires if stage == "fit" else replace(self.requires, classes=False)
        needs.check(type(self).__name__, info)
        data.carry(self.requires.streams, stage)
        if info.dim != self.feature_dim:
            raise WSVADError(
                "model.feature_dim",
                self.feature_dim,
                f"the features of {info.path} have {info.dim} channels ({info.backbone})",
                "Choose the store, streams and transform that the model was made for, or train again",
            )
        if stage == "fit":
            if self.requires.classes:
                note_unseen_classes(data)
            self.requires.check_bags(type(self).__name__, data.bags)

    def total_loss(self, losses: dict[str, Tensor]) -> Tensor:
        """Sum the terms by weight."""
        return torch.stack([self.loss_weights[term] * value for term, value in losses.items()]).sum()

    def training_step(self, batch: WSVADBatch, batch_idx: int) -> Tensor:
        """One optimisation step on a paired batch."""
        losses = self.compute_losses(batch)
        total = self.total_loss(losses)
        logged = {f"train/loss/{term}": value.detach() for term, value in losses.items()}
        self.log_dict({**logged, "train/loss/total": total.detach()}, batch_size=len(batch.labels))
        self.log("loss", total.detach(), prog_bar=True, logger=False, batch_size=len(batch.labels))
        return total

    def configure_optimizers(self) -> torch.optim.Optimizer | OptimizerLRSchedulerConfig:
        """Build what the recipe names."""
        optimizer = self.optimizer(self.parameters())
        if self.lr_scheduler is None:
            return optimizer
        scheduler: Any = self.lr_scheduler(optimizer)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    # ---------------------------------------------------------------------------------------- evaluation

    def predict_step(self, batch: WSVADBatch, batch_idx: int) -> list[Prediction]:
        """Score a video without looking at labels."""
        scores, probabilities = self.score_and_classify(batch)
        maps = self.patch_maps(batch) if self._wants_maps else None
        of_classes = [None] * len(scores) if probabilities is None else list(probabilities.float().cpu())
        assert batch.num_frames is not None, "evaluation batches know their frame counts"
        return [
            Prediction(
                video_id,
                row[:length],
                frames,
                None if classes is None else classes[:length],
                None if maps is None else maps.float().cpu(),
            )
            for video_id, row, classes, length, frames in zip(
                batch.video_ids,
                scores.float().cpu(),
                of_classes,
                batch.lengths.tolist(),
                batch.num_frames.tolist(),
                strict=True,
            )
        ]

    @property
    def _wants_maps(self) -> bool:
        """Whether maps are drawn or measured."""
        if self.trainer.predicting:
            return True
        return bool(self.trainer.testing) and self.data.locates_anomalies

    def on_validation_epoch_start(self) -> None:
        """Reset the evaluation; events are measured only in tests."""
        self.evaluation = Evaluation(self.data.info).to(self.device)

    def on_test_epoch_start(self) -> None:
        """Reset the evaluation; the classes came with the checkpoint."""
        locates = self.data.locates_anomalies
        self.evaluation = Evaluation(self.data.info, self.classes, locates=locates).to(self.device)

    def validation_step(self, batch: WSVADBatch, batch_idx: int) -> None:
        """Score and measure a held-out video."""
        self.evaluation.update(batch, self.predict_step(batch, batch_idx))

    def test_step(self, batch: WSVADBatch, batch_idx: int) -> dict[str, list[Prediction]]:
        """Score and measure a test video."""
        predictions = self.predict_step(batch, batch_idx)
        self.evaluation.update(batch, predictions)
        return {"predictions": predictions}

    def on_validation_epoch_end(self) -> None:
        """Log the metrics of the held-out videos."""
        self._log_results("val")

    def on_test_epoch_end(self) -> None:
        """Log the metrics of the test videos."""
        self._log_results("test")

    def _log_results(self, stage: str) -> None:
        """Log metrics, which are already the same on every rank."""
        self.log_dict({f"{stage}/{name}": value for name, value in self.evaluation.results().items()})

    # --------------------------------------------------------------------------------------- checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Record the method, its classes, and the features that it was trained on."""
        checkpoint["method"] = type(self).__name__
        if self.classes:
            checkpoint["classes"] = {"names": list(self.classes)}
        if self._trainer is not None:
            checkpoint["features"] = described(self.data.info)
            checkpoint["transform"] = self.data.transform.settings
            checkpoint["provenance"] = asdict(self.data.store.provenance)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Compare with what the weights were trained for, before any is loaded.

        Raises:
            WSVADError: if they are of another method or of other features.
        """
        method, own = checkpoint.get("method"), type(self).__name__
        if method != own:
            raise WSVADError(
                "--ckpt_path", method, f"it is of another method, not {own}", f"Give a checkpoint of {own}"
            )
        if self._trainer is None:  # read by `load_from_checkpoint`, away from any store
            return
        if self.trainer.state.fn != "fit":
            checkpoint.pop("callbacks", None)  # their state is restored only when training resumes
        trained_dim = checkpoint.get("hyper_parameters", {}).get("feature_dim")
        if trained_dim != self.feature_dim:
            raise other_features(self.data, f"{self.feature_dim} channels", trained_dim)
        compare_features(checkpoint, self.data)

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

        Raises:
            WSVADError: if the file records a setting that the method does not have.
        """
        own: dict[str, Any] = {
            "weights_only": weights_only is not False,
            "_instantiator": None,  # one named in the file would make the classes that its settings name
        }
        try:
            return super().load_from_checkpoint(
                checkpoint_path, map_location, hparams_file, strict, **{**kwargs, **own}
            )
        except TypeError as error:  # of the constructor
            problem = f"its hyper-parameters do not fit {cls.__name__} ({error})"
            raise WSVADError(
                "checkpoint_path", checkpoint_path, problem, "Give a file that `wsvad fit` wrote"
            ) from None
