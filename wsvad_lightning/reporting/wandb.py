"""Weights & Biases: a run with its steps, and what it gets of a training, of a comparison and of a test."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from wsvad_lightning.reporting.offline import await_free_name, is_whole, next_step

if TYPE_CHECKING:
    from wandb import Run

PATIENCE = 10.0  # seconds
STEP = "trainer/global_step"  # the axis of all curves
OF_TEST = ("metrics.json", "scores.csv", "videos.csv", "truth.csv", "events.csv", "maps.h5", "report.html")


class WandbRun(WandbLogger):
    """A run of Weights & Biases, offline unless requested otherwise.

    An offline run that is continued goes on at the step after the last one that is written on this machine,
    so that its files can be joined. Of what validation measures, the summary has minimum, maximum and last
    value of the whole training, wherever it was interrupted.

    Attributes:
        extremes: lowest and highest value of each metric of validation so far, which checkpoints carry.

    Args:
        project: that the run belongs to.
        entity: user or team that the project belongs to; by default that of the login.
        name: of the run, by default of method, data set, split and seed.
        group: of the run, by default data set and split file.
        tags: of the run, by default method, features and what chooses the checkpoint.
        job_type: of the run, by default the command that begins it.
        notes: to show with the run.
        id: of a run to continue, by default the one of the checkpoint.
        offline: whether to write files only, which ``wandb sync`` sends later.
        save_dir: folder for these files, by default that of the results.
        videos: the videos of the store, for pictures: a folder, searched with all its subfolders, or a table
            of their paths.
        artifacts: whether the checkpoint of a training, and the files of a test, become artifacts.
    """

    def __init__(
        self,
        project: str = "wsvad",
        entity: str | None = None,
        name: str | None = None,
        group: str | None = None,
        tags: list[str] | None = None,
        job_type: str | None = None,
        notes: str | None = None,
        id: str | None = None,  # noqa: A002  # the word of wandb
        offline: bool = True,
        save_dir: str | None = None,
        videos: str | None = None,
        artifacts: bool = False,
    ) -> None:
        more = {"entity": entity, "group": group, "tags": tags, "job_type": job_type, "notes": notes}
        kept: Any = {key: value for key, value in more.items() if value is not None}
        where: Any = save_dir
        super().__init__(name, where, offline=offline, id=id, project=project, **kept)
        self._wandb_init.pop("anonymous")  # wandb warns of it, even of None
        self.videos, self.artifacts = videos, artifacts
        self._stage = ""
        self._step: int | None = None
        self._defined: set[str] = set()
        self.extremes: dict[str, list[float]] = {}

    def belong(self, folder: str, stage: int, step: int | None, extremes: Mapping[str, list[float]]) -> None:
        """Fit the run to what is logged.

        Args:
            folder: of the results, which the files are written to unless another one was given.
            stage: of a training in stages, from 1; the curves of a later one have its number in their names.
            step: that a checkpoint is of, where it is only measured.
            extremes: of the training that is continued.
        """
        # W&B's service resolves a relative path in the folder of the first run of this process.
        self._save_dir = self._wandb_init["dir"] = str(Path(self._save_dir or folder).absolute())
        self._stage = "" if stage == 1 else f"stage{stage}/"
        self._step = step
        self.extremes = dict(extremes)

    @property
    @rank_zero_experiment
    def experiment(self) -> "Run":
        """The run, begun when it is first asked for."""
        start = 0
        if self._experiment is None and self._offline and self._id:
            start = next_step(self._save_dir or ".", self._id)
            await_free_name(self._save_dir or ".", self._id)
        run: Run = super().experiment
        if start:
            run.log({}, step=start, commit=True)
        return run

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Add a row to the history; what a test measured is of the method, not of a stage."""
        named = {
            name if name.startswith(("test/", "predict/")) else f"{self._stage}{name}": value
            for name, value in metrics.items()
            if self._step is None or name != "epoch"  # of a checkpoint that is measured, Lightning says 0
        }
        for name in (name for name in named if "val/" in name):
            self._summarise(name, float(named[name]))
        super().log_metrics(named, step if self._step is None else self._step)

    def _summarise(self, name: str, value: float) -> None:
        """Write the extremes of a metric into the summary: wandb's own are those of one file."""
        if name not in self._defined:  # by name: of several patterns that fit, wandb takes any
            self._defined.add(name)
            self.experiment.define_metric(name, step_metric=STEP, step_sync=True, summary="none")
        low, high = self.extremes.get(name, (value, value))
        low, high = float(np.fmin(low, value)), float(np.fmax(high, value))
        self.extremes[name] = [low, high]
        self.experiment.summary[name] = {"min": low, "max": high, "last": value}

    @rank_zero_only
    def log_files(self, kind: str, paths: Sequence[Path]) -> None:
        """Keep files as an artifact of the run, if artifacts are asked for; those that exist.

        Args:
            kind: of the artifact, which also ends its name.
            paths: of the files.
        """
        present = [path for path in paths if path.is_file()]
        if not self.artifacts or not present:
            return
        from wandb import Artifact

        artifact = Artifact(f"{self.experiment.id}-{kind}", kind)
        for path in present:
            artifact.add_file(str(path))
        self.experiment.log_artifact(artifact)


def finish(run: "Run", exit_code: int = 0) -> None:
    """End a run; of an offline one, wait until its file is whole, which wandb's own process writes.

    Args:
        run: that has begun.
        exit_code: 0 for a success.
    """
    path = Path(run.dir).parent / f"run-{run.id}.wandb"
    run.finish(exit_code)
    end = time.monotonic() + PATIENCE
    while run.offline and not is_whole(path) and time.monotonic() < end:
        time.sleep(0.05)


def runs_of(trainer: Trainer) -> list[WandbRun]:
    """List the runs that this process writes: those of the loggers, on the first rank."""
    return [own for own in trainer.loggers if isinstance(own, WandbRun)] if trainer.is_global_zero else []


class Checkpoints(Callback):
    """Make the checkpoints of a finished training an artifact where that is asked for."""

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log ``last.ckpt``, and ``best.ckpt`` where there is one."""
        folder = Path(trainer.log_dir or ".") / "checkpoints"  # collective
        for run in runs_of(trainer):
            run.log_files("checkpoint", [folder / "last.ckpt", folder / "best.ckpt"])
