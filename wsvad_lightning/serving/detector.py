"""A trained model for Python programs."""

import warnings
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from lightning.pytorch import Trainer

from wsvad_lightning import methods
from wsvad_lightning.calibration import Calibration
from wsvad_lightning.carried import constructor
from wsvad_lightning.checkpoint import fits, read_checkpoint
from wsvad_lightning.data.loading.datamodule import WSVADDataModule
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.quiet import leave_out_tips
from wsvad_lightning.reporting.scores import name_unfamiliar
from wsvad_lightning.serving.stream import Preparation, ScoreStream
from wsvad_lightning.types import Prediction

IGNORED_WARNINGS = (
    "`isinstance.treespec, LeafSpec.` is deprecated",  # Lightning 2.6 with PyTorch 2.13
    "The '.*_dataloader' does not have many workers",  # reading from a memory map needs none
)


class Detector:
    """A trained model, with what its checkpoint records of the features: scores as ``wsvad predict`` does.

    Get one by :meth:`from_checkpoint`.

    Args:
        checkpoint: the file.
        model: with its weights.
        transform: settings of the data module that decide what becomes of stored features.

    Attributes:
        model: the method.
        classes: names of the anomaly classes that it distinguishes; empty if it knows none.
    """

    def __init__(self, checkpoint: Path, model: WSVADModule, transform: dict[str, Any]) -> None:
        self.model = model
        self._checkpoint, self._transform = checkpoint, transform

    @classmethod
    def from_checkpoint(cls, path: str | Path, method: type[WSVADModule] | None = None) -> Self:
        """Load a checkpoint as tensors and plain values; nothing in it is executed.

        Args:
            path: a file that ``wsvad fit`` or ``wsvad import-weights`` wrote.
            method: class of the model; needed only if it is not one of :mod:`wsvad_lightning.methods`.

        Raises:
            WSVADError: if the file is missing, is not a checkpoint, or is of a method that is not known.
        """
        checkpoint = read_checkpoint(path, "path")
        name = checkpoint.get("method")
        if method is None and name not in methods.__all__:
            problem = f"is of the method {name!r}, which is not one of wsvad_lightning.methods"
            raise WSVADError("path", path, problem, "Give its class as the argument `method`")
        kind: type[WSVADModule] = getattr(methods, str(name)) if method is None else method
        model = kind.load_from_checkpoint(path, map_location="cpu", weights_only=True)
        return cls(Path(path), model.eval(), _transform(checkpoint, path))

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the anomaly classes that the model distinguishes; empty if it knows none."""
        return self.model.classes

    @property
    def calibration(self) -> Calibration | None:
        """What the scores mean, and when they are an alarm; None before ``wsvad calibrate``."""
        return self.model.calibration

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
            WSVADError: if the features are not such as the model was trained with.
        """
        paths = str(store) if isinstance(store, str | Path) else [str(path) for path in store]
        data = WSVADDataModule(paths, **self._transform)
        data.chosen = videos
        leave_out_tips()
        with warnings.catch_warnings():
            for message in IGNORED_WARNINGS:
                warnings.filterwarnings("ignore", message)
            trainer = Trainer(
                accelerator=device,
                devices=1,
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                use_distributed_sampler=False,
            )
            # With the checkpoint's path, Lightning also restores the statistics of the features.
            batches: Any = trainer.predict(self.model, data, ckpt_path=self._checkpoint, weights_only=True)
        found = [one._replace(novelty=data.novelty(one.video_id)) for batch in batches for one in batch]
        name_unfamiliar({one.video_id: one.novelty for one in found})
        return {one.video_id: one for one in found}

    def stream(self, window: int | None = None, look_ahead: int | None = None) -> ScoreStream:
        """Score the snippets of a video while they come in: ``stream.update(features)``, then ``close()``.

        Features are transformed as those of the training were.

        Args:
            window: snippets that are scored together, see :class:`ScoreStream`.
            look_ahead: snippets that a score waits for, see :class:`ScoreStream`.

        Raises:
            WSVADError: if the two do not fit.
        """
        return ScoreStream(self.model, self.preparation(), window, look_ahead)

    def preparation(self) -> Preparation:
        """Give what is done to stored features before the model sees them."""
        return Preparation(read_checkpoint(self._checkpoint, "path"), self._transform, self.model)


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
