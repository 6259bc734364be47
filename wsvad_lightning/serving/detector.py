"""A trained model for Python programs."""

import warnings
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer

from wsvad_lightning import methods
from wsvad_lightning.calibration import Calibration
from wsvad_lightning.carried import constructor
from wsvad_lightning.checkpoint import fits, read_checkpoint, record_of
from wsvad_lightning.data.datasets.names import name_videos
from wsvad_lightning.data.loading.datamodule import WSVADDataModule
from wsvad_lightning.data.store import Features
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.quiet import leave_out_tips
from wsvad_lightning.reporting.scores import name_recoded, name_unfamiliar
from wsvad_lightning.runs.checkpoints import FirstBatch, WholeCheckpoints
from wsvad_lightning.serving.extractor import Extractor
from wsvad_lightning.serving.preparation import STATE, Preparation, Streams
from wsvad_lightning.serving.stream import ScoreStream, score_together
from wsvad_lightning.timeline import SnippetGrid
from wsvad_lightning.types import Prediction

IGNORED_WARNINGS = (
    "`isinstance.treespec, LeafSpec.` is deprecated",  # Lightning 2.6 with PyTorch 2.13
    "The '.*_dataloader' does not have many workers",  # reading from a memory map needs none
)


class Detector:
    """A trained model, with what its checkpoint records of the features: scores as ``wsvad predict`` does.

    Get one by :meth:`from_checkpoint`.

    Args:
        path: of the checkpoint.
        model: with its weights.
        checkpoint: as read.

    Attributes:
        model: the method.
        grid: where the snippets of a video lie; None with imported weights, which do not say.
    """

    def __init__(self, path: str | Path, model: WSVADModule, checkpoint: Mapping[str, Any]) -> None:
        self.model, self._checkpoint = model, path
        self._transform = _transform(checkpoint, path)
        self.grid = _grid(checkpoint, path)
        self._recorded = {name: checkpoint[name] for name in (STATE, "provenance") if name in checkpoint}
        self._extractors: dict[str | None, Extractor] = {}

    @classmethod
    def from_checkpoint(cls, path: str | Path, method: type[WSVADModule] | None = None) -> Self:
        """Load a checkpoint as tensors and plain values; nothing in it is executed.

        Args:
            path: a file that ``wsvad fit`` or ``wsvad import-weights`` wrote, or a model that was shared.
            method: class of the model; needed only if it is not one of :mod:`wsvad_lightning.methods`.

        Raises:
            WSVADError: if the file is missing, is not a checkpoint, or is of a method that is not known.
        """
        checkpoint = read_checkpoint(path, "path")
        name = checkpoint.get("method")
        if method is None and name not in methods.__all__:
            problem = f"is of the method {name!r}, which is not one of the suite's"
            remedy = "Name its class by --model, in Python by the argument `method`, if you trust it"
            raise WSVADError("path", path, problem, remedy)
        kind: type[WSVADModule] = getattr(methods, str(name)) if method is None else method
        model = kind.load_from_checkpoint(path, map_location="cpu", weights_only=True)
        return cls(path, model.eval(), checkpoint)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the anomaly classes that the model distinguishes; empty if it knows none."""
        return self.model.classes

    @property
    def calibration(self) -> Calibration | None:
        """What scores of whole videos mean, and when they are an alarm; None before ``wsvad calibrate``."""
        return self.model.calibration

    def calibration_of(self, stream: ScoreStream) -> Calibration | None:
        """What the scores of a stream mean, and when they are an alarm.

        It is None before ``wsvad calibrate``, and for scores of another window or look-ahead than those that
        were calibrated, unless they are those of whole videos.
        """
        if stream.exact:
            return self.model.calibration
        known = self.model.streamed_calibration
        same = known is not None and (known.window, known.look_ahead) == (stream.window, stream.look_ahead)
        return known if same else None

    def score_store(
        self,
        store: str | Path | Sequence[str | Path],
        device: str = "cpu",
        videos: Collection[str] | None = None,
    ) -> dict[str, Prediction]:
        """Score the videos of a feature store, whose features are transformed as those of the training were.

        Labels are not read. Videos that are unlike those of the training are named in the log, as
        ``wsvad predict`` does.

        Args:
            store: a feature store, several of them, or a glob pattern.
            device: Lightning's name of the accelerator, such as ``gpu`` or ``auto``.
            videos: those to score; None for all.

        Returns:
            By video: scores ``[T]`` of its snippets, its novelty and, where the method knows classes, their
            probabilities.

        Raises:
            WSVADError: if the features are not such as the model was trained with, or the device is absent.
        """
        paths = str(store) if isinstance(store, str | Path) else [str(path) for path in store]
        data = WSVADDataModule(paths, **self._transform)
        data.chosen = videos
        leave_out_tips()
        with warnings.catch_warnings():
            for message in IGNORED_WARNINGS:
                warnings.filterwarnings("ignore", message)
            trainer, first = _trainer(device), FirstBatch()
            trainer.callbacks.append(first)  # type: ignore[attr-defined]  # of every trainer
            with first.explained(str(self._checkpoint)):
                # With the checkpoint's path, Lightning also restores the statistics of the features.
                batches: Any = trainer.predict(
                    self.model, data, ckpt_path=self._checkpoint, weights_only=True
                )
        found = [one._replace(novelty=data.novelty(one.video_id)) for batch in batches for one in batch]
        name_unfamiliar({one.video_id: one.novelty for one in found})
        name_recoded({one.video_id: data.coding_change(one.video_id) for one in found})
        return {one.video_id: one for one in found}

    def score_video(self, video: str | Path, weights: str | None = None) -> Prediction:
        """Score a video, whose features are extracted as those of the training were.

        Args:
            video: the file.
            weights: of the backbone, where the checkpoint names but does not bring them.

        Returns:
            As :meth:`score_store`; scores of ``wsvad predict --videos`` are the same.

        Raises:
            WSVADError: if the video is broken, or the checkpoint carries no recipe of its features.
        """
        (name,) = name_videos([Path(video).name])
        with self.extractor(weights).encode(video) as encoded:
            streams = {stream: values[:] for stream, values in encoded.streams.items()}
            found = self.predict(streams, encoded.num_frames, name)
            name_recoded({name: self.preparation().coding_change(encoded.coding)})
        name_unfamiliar({name: found.novelty})
        return found

    def score_features(self, features: Features | Streams, num_frames: int | None = None) -> Prediction:
        """Score the snippets of a video.

        Args:
            features: ``[T, N, D]``, as a store has them; several streams by name.
            num_frames: of the video; None for as many as the snippets cover, or T with imported weights.

        Returns:
            As :meth:`score_store`.

        Raises:
            WSVADError: if the features are not such as the model was trained with, or their number does not
                fit that of the frames.
        """
        found = self.predict(features, num_frames, "features")
        name_unfamiliar({found.video_id: found.novelty})
        return found

    def predict(self, features: Features | Streams, num_frames: int | None, name: str) -> Prediction:
        """Score the snippets of a video, without a word on whether it is like those of the training.

        Args:
            features: see :meth:`score_features`.
            num_frames: see :meth:`score_features`.
            name: of the video.

        Raises:
            WSVADError: see :meth:`score_features`.
        """
        preparation = self.preparation()
        streams = preparation.named(features)
        count = len(next(iter(streams.values())))
        if not count:
            raise WSVADError("features", name, "have no snippets", "Give at least one")
        if num_frames is None:
            num_frames = count if self.grid is None else self.grid.covered(count)
        elif self.grid is not None:
            fewest, most = self.grid.bounds(num_frames)
            if not fewest <= count <= most:
                problem = f"has {fewest} to {most} snippets, the features have {count}"
                raise WSVADError("num_frames", num_frames, problem, "Give that of the video")
        scores, classes = score_together(self.model, *preparation(streams))
        novelty = preparation.familiarity().novelty(streams)
        return Prediction(name, scores, num_frames, classes, novelty=novelty)

    def extractor(self, weights: str | None = None) -> Extractor:
        """Give what extracts the features of videos; it is made once.

        Args:
            weights: see :meth:`score_video`.

        Raises:
            WSVADError: if the checkpoint carries no recipe of its features, or the weights fit none.
        """
        if weights not in self._extractors:
            self._extractors[weights] = Extractor.of_checkpoint(self._checkpoint, weights, "path")
        return self._extractors[weights]

    def stream(self, window: int | None = None, look_ahead: int | None = None) -> ScoreStream:
        """Score the snippets of a video while they come in: ``stream.update(features)``, then ``close()``.

        Features are transformed as those of the training were.

        Args:
            window: snippets that are scored together; by default those of the calibration, else see
                :class:`ScoreStream`.
            look_ahead: snippets that a score waits for; likewise.

        Raises:
            WSVADError: if the two do not fit.
        """
        if (known := self.model.streamed_calibration) is not None:
            window = known.window if window is None else window
            look_ahead = known.look_ahead if look_ahead is None else look_ahead
        return ScoreStream(self.model, self.preparation(), window, look_ahead)

    def preparation(self) -> Preparation:
        """Give what is done to stored features before the model sees them."""
        return Preparation(self._recorded, self._transform, self.model)


def _grid(checkpoint: Mapping[str, Any], path: str | Path) -> SnippetGrid | None:
    """Get the recorded snippets.

    Raises:
        WSVADError: if they are not such as `wsvad fit` records.
    """
    recorded = checkpoint.get("features")
    if recorded is None:
        return None
    values = {name: recorded.get(f"snippet_{name}") for name in ("length", "stride")}
    try:
        return record_of(SnippetGrid, values)
    except ValueError as error:
        problem = f"its record of the snippets is not what `wsvad fit` writes ({error})"
        raise WSVADError("path", path, problem, "Give a file that `wsvad fit` wrote") from None


def _trainer(device: str) -> Trainer:
    """Make what scores the videos of a store, without anything that a run would write."""
    try:
        return Trainer(
            accelerator=device,
            devices=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            plugins=WholeCheckpoints(),
        )
    except (MisconfigurationException, ValueError) as error:
        problem = f"cannot be used ({str(error).rstrip('.!')})"
        raise WSVADError("device", device, problem, "Give such as cpu, or leave it out") from error


def _transform(checkpoint: Mapping[str, Any], path: str | Path) -> dict[str, Any]:
    """Get the recorded transform as arguments of the data module; imported weights have none.

    Raises:
        WSVADError: if what is recorded is not such as the data module takes.
    """
    recorded = checkpoint.get("transform")
    if recorded is None:
        return {}
    settings = {name: recorded.get(name) for name in ("normalize", "clip", "pca_dim")}
    settings |= {"features": recorded.get("streams"), "crops": recorded.get("merged_views") or "all"}
    hints = constructor(WSVADDataModule)
    for name, value in settings.items():
        if not fits(value, hints[name]):
            problem = f"its transform of the features has no {name} that `wsvad fit` writes"
            raise WSVADError("path", path, problem, "Give a file that `wsvad fit` wrote")
    return settings
