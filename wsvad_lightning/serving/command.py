"""``wsvad predict``: scores of a store, or of videos, whose features are extracted as in the training."""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback
from lightning.pytorch.cli import LightningArgumentParser
from rich.progress import track
from torch import distributed

from wsvad_lightning.checkpoint import read_checkpoint, record_of
from wsvad_lightning.data.store import Provenance
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.extraction.command import find_videos
from wsvad_lightning.extraction.job import PATIENCE, Processes, extract_videos
from wsvad_lightning.extraction.recipe import ExtractionRecipe
from wsvad_lightning.reporting.scores import ScoreWriter, gather, video_curve, video_events, write_tables
from wsvad_lightning.runs.parsed import Unparsed
from wsvad_lightning.runs.run import WSVADCLI, run_trainer
from wsvad_lightning.serving.scored_video import write_scored_video
from wsvad_lightning.types import Prediction


class PredictCLI(WSVADCLI):
    """One prediction; with ``--videos``, from the extraction to the videos with their scores drawn on them.

    The features are kept next to the folders of the runs, under a name that depends on videos and recipe. An
    interrupted extraction therefore continues where it stopped, and changed videos are extracted again.
    """

    def add_own_arguments(self, parser: LightningArgumentParser) -> None:
        """Add what to score, and where a run is kept."""
        parser.add_argument(
            "--videos",
            type=str | None,
            default=None,
            help="score these in place of data.store: one video, a folder of them, or a table of their paths",
        )
        parser.add_argument(
            "--weights",
            type=str | None,
            default=None,
            help="weights of the backbone that --videos go through, if it does not bring its own",
        )

        super().add_own_arguments(parser)

    def before_instantiate_classes(self) -> None:
        """Extract the features of the videos, and score these."""
        super().before_instantiate_classes()
        config = self.config[self.config.subcommand]
        if config.videos is None:
            return
        self.recipe = trained_recipe(config.ckpt_path, config.weights)
        self.todo = find_videos(config.videos)
        folder = Path(config.output, config.name)
        config.data.store = str(folder / f"features-{self._key()}.h5")
        try:
            extract_videos(
                self.todo, config.data.store, self.recipe, processes=Processes(config.trainer.accelerator)
            )
        except WSVADError:
            with suppress(OSError):  # it holds what was extracted
                folder.rmdir()
            raise

    def after_predict(self) -> None:
        """Write what there is of every video, each on the process that has scored it.

        The tables of all videos are written once more, with the seconds of the videos' own time stamps.
        """
        if self.config[self.config.subcommand].videos is None:
            return
        several = distributed.is_initialized()
        waiting = distributed.new_group(backend="gloo", timeout=PATIENCE) if several else None
        callbacks: list[Callback] = self.trainer.callbacks  # type: ignore[attr-defined]  # typed without it
        (writer,) = (callback for callback in callbacks if isinstance(callback, ScoreWriter))
        folder = Path(self.trainer.log_dir or ".")
        times = gather(self._write_videos(writer.predictions.values(), folder), waiting)
        predictions = sorted(gather(writer.predictions, waiting).values())
        if self.trainer.is_global_zero:
            clocks = {video_id: seconds.__getitem__ for video_id, seconds in times.items()}
            write_tables(folder, predictions, self.datamodule.info.grid, self.model.classes, clocks)

    def _write_videos(self, predictions: Collection[Prediction], folder: Path) -> dict[str, list[float]]:
        """Write what there is of the videos of this process; give when their frames begin and end."""
        grid, classes = self.datamodule.info.grid, self.model.classes
        paths = {annotation.video_id: path for path, annotation in self.todo}
        times: dict[str, list[float]] = {}
        for prediction in track(predictions, "draw scores", len(predictions), transient=True):
            curve = video_curve(prediction, None, grid)
            if classes:
                curve = replace(curve, events=video_events(prediction, grid, classes))
            video = paths[prediction.video_id], curve, self.recipe.fps
            times[curve.video_id] = write_scored_video(*video, folder / curve.video_id)
        return times

    def _key(self) -> str:
        """What the features follow from, in twelve digits."""
        files = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path, _ in self.todo]
        origin = json.dumps([asdict(self.recipe), files], sort_keys=True)
        return hashlib.sha256(origin.encode()).hexdigest()[:12]


def predict(args: Sequence[str]) -> None:
    """Run ``wsvad predict``."""
    run_trainer(["predict", *args], PredictCLI)


def trained_recipe(checkpoint: str, weights: str | None) -> ExtractionRecipe:
    """How the features that a model was trained with were extracted.

    Args:
        checkpoint: of the model.
        weights: of the backbone, where the checkpoint names but does not bring them.

    Raises:
        WSVADError: if the checkpoint cannot be read or does not say, or ``weights`` fits no backbone.
    """
    provenance: Mapping[str, Any] | None = read_checkpoint(checkpoint).get("provenance")
    if provenance is None:
        problem = "the checkpoint does not say how its features were extracted"
        remedy = "Extract the videos as those features were, and give their store by --data.store"
        raise WSVADError("--videos", checkpoint, problem, remedy)
    try:
        recorded = record_of(Provenance, provenance)
    except ValueError as error:
        problem = f"the checkpoint does not record a valid recipe of its features ({error})"
        remedy = "Extract the videos as those features were, and give their store by --data.store"
        raise WSVADError("--videos", checkpoint, problem, remedy) from None
    return ExtractionRecipe.recorded(recorded, weights)


class _Unparsed(Unparsed, PredictCLI):
    """The parser of ``wsvad predict``."""


def parser_of(command: str) -> LightningArgumentParser:
    """Make the parser of ``wsvad predict``."""
    return _Unparsed([command])._parser(command)
