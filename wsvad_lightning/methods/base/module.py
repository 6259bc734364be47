"""What every method shares: requirements, scores, metrics and predictions.

A method gives ``__init__``, ``compute_losses(batch)`` and ``score(batch)``; everything else is here.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from math import prod
from typing import Any, TypeVar, get_args

import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from wsvad_lightning.calibration import (
    Calibration,
    StreamedCalibration,
    read_calibration,
    read_streamed_calibration,
)
from wsvad_lightning.data.loading.datamodule import WSVADDataModule
from wsvad_lightning.data.loading.transform import FeatureTransform
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.methods.base.evaluation import Evaluation
from wsvad_lightning.methods.base.features import (
    compare_features,
    described,
    note_unmarked_videos,
    note_unseen_classes,
    other_features,
)
from wsvad_lightning.methods.base.smoothing import Smoothing, smooth
from wsvad_lightning.methods.base.training import TrainingModule
from wsvad_lightning.types import FeatureRequirements, Prediction, ShowsParts, WSVADBatch

Part = TypeVar("Part")


class WSVADModule(TrainingModule):
    """Base of all methods that score the snippets of feature stores.

    Class attributes:
        requires: what the method needs of a feature store, apart from the channels; where that follows from
            its arguments, an instance has its own.
        field_of_view: how many snippets before and after its own a score depends on; None for the whole
            video.
        draws_when_scoring: whether scores follow from noise that is drawn for the length of the video.

    Attributes:
        smoothing: of reported scores, see :mod:`wsvad_lightning.methods.base.smoothing`.
        smooth_over: snippets that it averages.
        classes: names of the anomaly classes that ``classify`` distinguishes, in its order.
        gives_maps: whether predictions say where in the frame as well, see :meth:`patch_maps`.
        calibration: what scores of whole videos mean, and when they are an alarm; None before
            ``wsvad calibrate``.
        streamed_calibration: the same of the scores that a :class:`ScoreStream` gives.
        evaluation: metrics of the current or last validation or test.

    Args:
        feature_dim: D, channels of the features; taken from the store on the command line.
        smoothing: of the scores of whole videos, in test and prediction: ``none``, ``slide``, which averages
            each with those that follow, or ``blocks``, which averages consecutive ones.
        smooth_over: snippets that it averages.
        kwargs: see :class:`TrainingModule`.

    Raises:
        WSVADError: without channels, with a smoothing that there is not or of nothing, or as
            :class:`TrainingModule` does.
    """

    requires: FeatureRequirements = FeatureRequirements()
    field_of_view: tuple[int, int] | None = None
    draws_when_scoring: bool = False
    classes: tuple[str, ...] = ()
    gives_maps: bool = True
    calibration: Calibration | None = None
    streamed_calibration: StreamedCalibration | None = None
    evaluation: Evaluation

    def __init__(
        self, feature_dim: int, smoothing: Smoothing = "none", smooth_over: int = 7, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if feature_dim < 1:
            raise WSVADError(
                "model.feature_dim", feature_dim, "must be at least 1", "Give the channels of the store"
            )
        if smoothing not in get_args(Smoothing):
            remedy = f"Give one of {', '.join(get_args(Smoothing))}"
            raise WSVADError("model.smoothing", smoothing, "is not a way of smoothing", remedy)
        if smooth_over < 1:
            raise WSVADError("model.smooth_over", smooth_over, "must be at least 1", "Give snippets")
        self.feature_dim = feature_dim
        self.smoothing: Smoothing = smoothing
        self.smooth_over = smooth_over

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

    def reported(self, batch: WSVADBatch) -> tuple[Tensor, Tensor | None]:
        """Give what is reported of whole videos: scores, smoothed if asked, and probabilities of classes."""
        scores, probabilities = self.score_and_classify(batch)
        return smooth(scores, self.smoothing, self.smooth_over), probabilities

    @property
    def described_smoothing(self) -> str | None:
        """How scores are smoothed, for receipts, such as ``slide over 7``; None if they are not."""
        return None if self.smoothing == "none" else f"{self.smoothing} over {self.smooth_over}"

    @property
    def look_ahead(self) -> int:
        """How many snippets after its own a reported score is averaged with."""
        return self.smooth_over - 1 if self.smoothing == "slide" else 0

    @property
    def reported_view(self) -> tuple[int, int] | None:
        """``field_of_view`` of reported scores."""
        if self.field_of_view is None or self.smoothing == "blocks":
            return None
        before, after = self.field_of_view
        return before, after + self.look_ahead

    def patch_maps(self, batch: WSVADBatch) -> Tensor | None:
        """Give how anomalous each part of the frame is, ``[T, h, w]`` in [0, 1]; None if that is not known.

        Called with a single whole video and its ``patches``. Here, for features of a grid of patches, it is
        the score of the video with one patch left in; the rest is that of an average normal frame where that
        is known, see :meth:`FeatureTransform.leave_in`.
        """
        if batch.patches is None or batch.patches.grid is None:
            return None
        left_in = (torch.tensor(features) for features in batch.patches.left_in())
        bags = (features.transpose(0, 1)[None].to(batch.features) for features in left_in)
        grid = batch.patches.grid
        scores = [self.score(batch._replace(features=bag))[0] for bag in self.advancing(bags, prod(grid))]
        return torch.stack(scores, dim=1).reshape(-1, *grid)

    def why_no_maps(self, transform: FeatureTransform) -> str | None:
        """Say why the patches of features give no maps; None where they do, or where there are none.

        Args:
            transform: of the features.
        """
        own = type(self).patch_maps is not WSVADModule.patch_maps
        if own or not transform.joins_patches:
            return None
        return "data.crops=concat joins the patches, and the model knows no video with one of them"

    def advancing(self, parts: Iterable[Part], count: int) -> Iterator[Part]:
        """Go through the parts of a video, of which maps take long, and let the progress bar show them.

        Args:
            parts: anything.
            count: of the parts.
        """
        bar = None if self._trainer is None else self._trainer.progress_bar_callback
        for done, part in enumerate(parts):
            yield part
            if isinstance(bar, ShowsParts):
                bar.show_part((done + 1) / count)

    # ------------------------------------------------------------------------------------------ training

    @classmethod
    def data_class(cls) -> type[LightningDataModule]:
        """See :class:`TrainingModule`."""
        return WSVADDataModule

    def next_command(self) -> str:
        """See :class:`TrainingModule`."""
        return f"wsvad {'test' if self.data.parts['test'] else 'predict --videos FOLDER'} --ckpt_path"

    def check_trainable(self) -> None:
        """Validate arguments that only training requires; a comparison asks before its first run.

        Raises:
            WSVADError: if one is missing.
        """

    @property
    def data(self) -> WSVADDataModule:
        """The data module of the run."""
        data: WSVADDataModule = self.trainer.datamodule  # type: ignore[attr-defined]  # typed without it
        return data

    def setup(self, stage: str) -> None:
        """Compare what the method needs with what the data module delivers.

        Raises:
            WSVADError: if they do not fit.
        """
        data, info = self.data, self.data.info
        # What was trained brings the names of its classes along, and needs no glances.
        needs = self.requires if stage == "fit" else replace(self.requires, classes=False, glances=False)
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
            self.check_trainable()
            if self.requires.classes:
                note_unseen_classes(data)
            if self.requires.glances:
                note_unmarked_videos(data)
            self.requires.check_bags(type(self).__name__, data.bags)

    # ---------------------------------------------------------------------------------------- evaluation

    def predict_step(self, batch: WSVADBatch, batch_idx: int) -> list[Prediction]:
        """Score a video without looking at labels."""
        scores, probabilities = self.reported(batch)
        maps = self._maps(batch) if self._wants_maps else None
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

    def _maps(self, batch: WSVADBatch) -> Tensor | None:
        (video_id,) = batch.video_ids
        return self.patch_maps(batch._replace(patches=self.data.patches(video_id)))

    @property
    def _wants_maps(self) -> bool:
        """Whether maps are drawn or measured."""
        if self.trainer.predicting:
            return self.gives_maps
        return bool(self.trainer.testing) and self.data.locates_anomalies

    def on_validation_epoch_start(self) -> None:
        """Reset the evaluation; events are measured only in tests."""
        self.evaluation = Evaluation(self.data.info).to(self.device)

    def on_test_epoch_start(self) -> None:
        """Reset the evaluation; the classes came with the checkpoint."""
        locates = self.data.locates_anomalies
        if locates and (problem := self.why_no_maps(self.data.transform)):
            rank_zero_info(f"No maps: {problem}")
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
        super().on_save_checkpoint(checkpoint)
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
        super().on_load_checkpoint(checkpoint)
        self.calibration = read_calibration(checkpoint)
        self.streamed_calibration = read_streamed_calibration(checkpoint)
        if self._trainer is None:  # read by `load_from_checkpoint`, away from any store
            return
        if self.trainer.state.fn != "fit":
            checkpoint.pop("callbacks", None)  # their state is restored only when training resumes
        trained_dim = checkpoint.get("hyper_parameters", {}).get("feature_dim")
        if trained_dim != self.feature_dim:
            raise other_features(self.data, f"{self.feature_dim} channels", trained_dim)
        compare_features(checkpoint, self.data)
