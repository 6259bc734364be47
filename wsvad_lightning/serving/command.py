"""``wsvad predict``: scores of a store, or of videos, whose features are extracted as in the training."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import Callback
from lightning.pytorch.cli import LightningArgumentParser
from lightning.pytorch.utilities import rank_zero_info
from lightning_utilities.core.imports import RequirementCache
from rich.progress import track
from torch import distributed

from wsvad_lightning.calibration import read_calibration
from wsvad_lightning.checkpoint import read_checkpoint
from wsvad_lightning.data.datasets.names import usable_as_path
from wsvad_lightning.errors import WSVADError, counted
from wsvad_lightning.extraction.command import find_videos, read_store, report
from wsvad_lightning.extraction.job import PATIENCE, Outcome, Processes, extract_videos
from wsvad_lightning.metrics import expand_maps
from wsvad_lightning.reporting.figures import VideoCurve, optional
from wsvad_lightning.reporting.html.command import NAME, report_run
from wsvad_lightning.reporting.scored_video import (
    frame_size,
    read_times,
    write_scored_pictures,
    write_scored_tables,
)
from wsvad_lightning.reporting.scores import ScoreWriter, gather, video_curve, video_events, write_tables
from wsvad_lightning.runs.parsed import Unparsed
from wsvad_lightning.runs.run import WSVADCLI, run_trainer, writable_folder
from wsvad_lightning.serving.extractor import trained_recipe
from wsvad_lightning.types import Prediction
from wsvad_lightning.video.frames import Footage, FrameFolder

ALARM = 0.5  # of a model that is not calibrated


class PredictCLI(WSVADCLI):
    """One prediction; with ``--videos``, from the extraction to the videos with their scores drawn on them.

    The features are kept next to the folders of the runs, under a name that depends on videos and recipe. An
    interrupted extraction therefore continues where it stopped, and changed videos are extracted again.

    Attributes:
        broken: what was wrong with the videos that were skipped.
    """

    broken: Sequence[WSVADError] = ()

    def add_own_arguments(self, parser: LightningArgumentParser) -> None:
        """Add what to score, and where a run is kept."""
        parser.add_argument(
            "--videos",
            type=str | None,
            default=None,
            help="score these in place of data.store: one video, a folder of them, or a table of their paths",
        )
        parser.add_argument(
            "--image_fps",
            type=float | None,
            default=None,
            help="frames a second of --videos that are folders of images, 30 unless given",
        )
        parser.add_argument(
            "--weights",
            type=str | None,
            default=None,
            help="weights of the backbone that --videos go through, if it does not bring its own",
        )

        parser.add_argument(
            "--skip-broken",
            "--skip_broken",
            type=bool,
            nargs="?",
            const=True,
            default=False,
            help="go on past those of --videos that cannot be read",
        )
        parser.add_argument(
            "--maps",
            type=bool | None,
            default=None,
            help="say where in the frame as well, by default where the method can; with features of a grid, "
            "one more scoring for each patch",
        )
        parser.add_argument(
            "--alarm",
            type=float | None,
            default=None,
            help="score that pictures and drawn --videos mark as an alarm, by default the calibrated "
            f"threshold, or {ALARM} without one",
        )
        super().add_own_arguments(parser)

    def before_instantiate_classes(self) -> None:
        """Extract the features of the videos, and score these."""
        super().before_instantiate_classes()
        config = self.config[self.config.subcommand]
        if config.alarm is None:
            calibration = read_calibration(read_checkpoint(config.ckpt_path))
            config.alarm = ALARM if calibration is None else calibration.threshold
        if not math.isfinite(config.alarm):
            raise WSVADError("--alarm", config.alarm, "is not a score", "Give a finite number")
        if config.videos is None:
            return
        self.recipe = trained_recipe(config.ckpt_path, config.weights)
        self.todo = find_videos(config.videos, image_fps=config.image_fps)
        folder = str(Path(config.output, config.name))
        config.data.store = str(Path(folder, f"features-{self._key()}.h5"))
        if "videos" in config.model.init_args:  # of a method that reads frames as well
            config.model.init_args.videos = config.videos
        with writable_folder(folder):
            self._extract(config.data.store, Processes(config.trainer.accelerator), config.skip_broken)

    def _extract(self, path: str, processes: Processes, skip_broken: bool) -> None:
        """Extract what is not there yet, and report what is odd about the videos, or wrong with them."""
        self.broken = extract_videos(
            self.todo, path, self.recipe, processes=processes, skip_broken=skip_broken
        ).broken
        store = read_store(path)
        given = [video.annotation.video_id for video in self.todo]
        here = [video_id for video_id in given if store and video_id in store]
        notes = [(video_id, note) for video_id in here if store for note in store[video_id].notes]
        report(Outcome(self.broken, notes))
        if not here:
            problem = "none of them can be read, as listed above"
            raise WSVADError("--videos", counted(len(self.todo), "video"), problem, "Repair or replace them")

    def before_predict(self) -> None:
        """Leave maps out if they are not wanted, or would say nothing.

        Raises:
            WSVADError: if they are asked for and would say nothing.
        """
        wanted = self.config[self.config.subcommand].maps
        self.model.gives_maps = wanted is not False
        problem = self.model.why_no_maps(self.datamodule.transform)
        if problem is None or wanted is False:
            return
        if wanted:
            raise WSVADError(
                "--maps", "true", problem, "Train with --data.crops max or mean, or leave it out"
            )
        rank_zero_info(f"No maps: {problem}")

    def after_predict(self) -> None:
        """Write what there is of every video, each on the process that has scored it: pictures come last.

        The tables of all videos are written once more, with the seconds of the videos' own time stamps.
        """
        if self.config[self.config.subcommand].videos is None:
            return
        several = distributed.is_initialized()
        waiting = distributed.new_group(backend="gloo", timeout=PATIENCE) if several else None
        callbacks: list[Callback] = self.trainer.callbacks  # type: ignore[attr-defined]  # typed without it
        (writer,) = (callback for callback in callbacks if isinstance(callback, ScoreWriter))
        folder = Path(self.trainer.log_dir or ".")
        curves = [self._curve(prediction) for prediction in writer.predictions.values()]
        times = gather(self._write_tables(curves, folder), waiting)
        predictions = sorted(gather(writer.predictions, waiting).values())
        events = gather({curve.video_id: curve.events or () for curve in curves}, waiting)
        if self.trainer.is_global_zero:
            clocks = {video_id: seconds.__getitem__ for video_id, seconds in times.items()}
            grid, classes = self.datamodule.info.grid, self.model.classes
            write_tables(folder, predictions, grid, classes, clocks, events, self.model.calibration)
        self._draw(curves, times, folder)
        gather({}, waiting)  # until all videos are drawn
        if self.trainer.is_global_zero:
            with optional(folder / NAME):
                report_run(folder, folder / NAME)

    def _draw(self, curves: Sequence[VideoCurve], times: Mapping[str, Sequence[float]], folder: Path) -> None:
        """Draw the videos of this process, with the times of their frames."""
        if not RequirementCache("matplotlib"):
            rank_zero_info('No pictures of the scores: pip install "wsvad-lightning[report]" draws them')
            return
        alarm = self.config[self.config.subcommand].alarm
        for curve in track(curves, "draw scores", len(curves), transient=True):
            path, own = self._path_of(curve.video_id), folder / usable_as_path(curve.video_id)
            timed = replace(curve, times=np.array(times[curve.video_id]))
            write_scored_pictures(path, timed, alarm, self.recipe.fps, own)

    def _curve(self, prediction: Prediction) -> VideoCurve:
        """Spread scores and maps of a video over its frames, with events where the method knows classes."""
        grid, classes = self.datamodule.info.grid, self.model.classes
        curve, size = video_curve(prediction, None, grid), None
        if prediction.maps is not None:
            runs = expand_maps(prediction.maps.numpy(), prediction.num_frames, grid, prediction.video_id)
            curve = replace(curve, maps=tuple(runs))
        if not classes:
            return curve
        if prediction.maps is not None:
            with optional(Path(f"the size of {prediction.video_id}")):
                size = frame_size(self._path_of(prediction.video_id))
        return replace(curve, events=video_events(prediction, grid, classes, size))

    def _write_tables(self, curves: Sequence[VideoCurve], folder: Path) -> dict[str, list[float]]:
        """Write the tables of the videos of this process; give when their frames begin and end."""
        times: dict[str, list[float]] = {}
        for curve in track(curves, "read time stamps", len(curves), transient=True):
            fps, video_id = self.datamodule.store[curve.video_id].fps, curve.video_id
            times[video_id] = [frame / fps for frame in range(len(curve.scores) + 1)]  # if all else fails
            with optional(Path(f"the time stamps of {video_id}")):
                times[video_id] = read_times(self._path_of(video_id), curve, self.recipe.fps)
            own = folder / usable_as_path(video_id)
            write_scored_tables(curve, times[video_id], fps, own, self.model.calibration)
        return times

    def _path_of(self, video_id: str) -> Footage:
        return next(video.path for video in self.todo if video.annotation.video_id == video_id)

    def _key(self) -> str:
        """What the features follow from, in twelve digits."""
        files = [[video.annotation.video_id, *_state_of(video.path)] for video in self.todo]
        origin = json.dumps([asdict(self.recipe), files], sort_keys=True)
        return hashlib.sha256(origin.encode()).hexdigest()[:12]


def _state_of(video: Footage) -> list[Any]:
    """What distinguishes videos: path, size and time of the file, or of the images with their rate.

    Of a file that cannot be read, it is the path alone.
    """
    if isinstance(video, FrameFolder):
        return [video.fps, *map(_state_of, video.images)]
    try:
        state = video.stat()
    except OSError:
        return [str(video.absolute()), 0, 0]
    return [str(video.resolve()), state.st_size, state.st_mtime_ns]


def predict(args: Sequence[str]) -> int:
    """Run ``wsvad predict``; give 1 if broken videos were skipped, else 0."""
    run = run_trainer(["predict", *args], PredictCLI)
    assert isinstance(run, PredictCLI)
    return int(bool(run.broken))


class _Unparsed(Unparsed, PredictCLI):
    """The parser of ``wsvad predict``."""


def parser_of(command: str) -> LightningArgumentParser:
    """Make the parser of ``wsvad predict``."""
    return _Unparsed([command])._parser(command)
