"""A run of ``wsvad fit``, ``validate``, ``test`` or ``predict``: made of its arguments, and executed."""

import shlex
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from itertools import takewhile
from pathlib import Path
from typing import Any, ClassVar

import rich
import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_info
from lightning_utilities.core.imports import RequirementCache

from wsvad_lightning.carried import suite
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.files import space_explained
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.ranks import check_start, ending_together
from wsvad_lightning.reporting.board import Board
from wsvad_lightning.reporting.html.callback import ReportWriter
from wsvad_lightning.reporting.labels import LabelPicture
from wsvad_lightning.reporting.scores import ScoreWriter
from wsvad_lightning.reporting.wandb import Checkpoints
from wsvad_lightning.runs.arguments import RunArguments, untrained
from wsvad_lightning.runs.checkpoints import FirstBatch, LastCheckpoint, WholeCheckpoints
from wsvad_lightning.runs.progress import StepProgress
from wsvad_lightning.runs.record import logged_apart
from wsvad_lightning.runs.resuming import Resuming
from wsvad_lightning.runs.seeds import forget_shared_seed
from wsvad_lightning.runs.seen import SeenVideos
from wsvad_lightning.runs.settings import check_divisors, settings_explained
from wsvad_lightning.runs.starting import StartFrom
from wsvad_lightning.runs.stopping import StopAfterStep
from wsvad_lightning.runs.summary import TrainingSummary
from wsvad_lightning.runs.telemetry import Telemetry
from wsvad_lightning.runs.tracking import tracked, wandb_ended
from wsvad_lightning.runs.trained import carried_defaults, import_from_here, named_methods, peek
from wsvad_lightning.signals import StopSignals
from wsvad_lightning.slurm import take_over

# What is raised of sizes and numbers that nothing can be made with; the parser explains ValueErrors itself.
UNSUITABLE = (RuntimeError, TypeError, ArithmeticError, AssertionError, IndexError, MemoryError)


class WSVADCLI(RunArguments):
    """One run: parsed, made and executed.

    Args:
        args: subcommand and arguments.
        carried: defaults that a checkpoint sets, by argument; the user's own override them.
        signals: that end the run, if any do.

    Attributes:
        picture: whether a test draws a picture of its scores.
    """

    picture: ClassVar[bool] = True

    def __init__(
        self,
        args: Sequence[str],
        carried: Mapping[str, Any] | None = None,
        signals: StopSignals | None = None,
    ) -> None:
        self.signals, self.first_batch = signals or StopSignals(), FirstBatch()
        with ExitStack() as self.folders:
            super().__init__(args, carried)

    def _set_seed(self) -> None:
        """Seed everything, or nothing: further processes then do not follow the seed of an earlier run."""
        if self.config[self.command].seed_everything is False:
            forget_shared_seed()
        super()._set_seed()

    def before_instantiate_classes(self) -> None:
        """Save one configuration a subcommand: one saved by ``test`` would not parse for ``fit``."""
        self.save_config_kwargs = {"config_filename": f"{self.subcommand}.yaml"}

    def instantiate_classes(self) -> None:
        """Make everything; report where that fails because of settings, such as what a checkpoint carries.

        Raises:
            WSVADError: if it does, or if what was trained scores no videos.
        """
        try:
            super().instantiate_classes()
        except UNSUITABLE as error:
            reason = " ".join(str(error).split())[:100] or type(error).__name__
            problem, config = (
                f"the run cannot be made with its settings ({reason})",
                self.config[self.command],
            )
            if "model" in self.carried:
                remedy = "Give a file that `wsvad fit` wrote"
                raise WSVADError("--ckpt_path", config.ckpt_path, problem, remedy) from error
            remedy = "Correct them; --debug shows where it fails"
            raise WSVADError("--model", config.model.class_path, problem, remedy) from error
        if self.command in ("test", "predict") and not isinstance(self.model, WSVADModule):
            path, kind = self.config[self.subcommand].ckpt_path, type(self.model).__name__
            remedy = f"Use it by: {self.model.next_command()} {path}"
            raise WSVADError("--ckpt_path", path, f"is of {kind}, which scores no videos", remedy)

    def _run_subcommand(self, subcommand: str) -> None:
        """Run; put into one line what comes of odd settings of the trainer, or of what a checkpoint holds."""
        config = self.config[subcommand]
        first = self.first_batch.explained(config.ckpt_path)
        with space_explained(config.output), self._settings_explained(), first:
            super()._run_subcommand(subcommand)

    def _settings_explained(self) -> AbstractContextManager[None]:
        precision = self.config[self.command].trainer.precision
        return settings_explained(self.command, precision, type(self.model).__name__)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Add what belongs to every run to what the configuration asks for.

        That is a CSV log, a TensorBoard log where that is installed, progress, ``last.ckpt`` and scores.
        """
        config = self.config_init[self.subcommand]
        if config.trainer.barebones:
            problem = "leaves out the logs and checkpoints that a run consists of"
            raise WSVADError("--trainer.barebones", True, problem, "Use --trainer.fast_dev_run to try a run")
        check_divisors(config.trainer)
        intervals = config.save_every_steps, config.save_every_minutes
        keeps = config.trainer.enable_checkpointing is not False
        self.trainer_defaults["callbacks"] = [
            *([StepProgress()] if config.trainer.enable_progress_bar is not False else []),
            LastCheckpoint(self.signals, *intervals) if keeps else StopAfterStep(self.signals),
            Resuming(),
            *([StartFrom(config.init_from, config.init_part)] if config.init_from else []),
            TrainingSummary(),
            SeenVideos(self.carried),
            Telemetry(),
            (writer := ScoreWriter(self.picture)),
            ReportWriter(),
            LabelPicture(),
            Board(writer),
            Checkpoints(),
            self.first_batch,
        ]
        output = self.folders.enter_context(writable_folder(config.output))
        csv = self.folders.enter_context(logged_apart(output, config.name))
        loggers: list[Logger] = [csv]
        if RequirementCache("tensorboard"):
            board = TensorBoardLogger(config.output, config.name, csv.version, default_hp_metric=False)
            loggers.append(board)
        given = config.trainer.logger
        asked = given if isinstance(given, list) else [given] if isinstance(given, Logger) else []
        loggers += tracked(asked, self.config[self.subcommand], self.command)
        with self._settings_explained():
            trainer = super().instantiate_trainer(logger=loggers, **kwargs)
        check_start(trainer)
        take_over(trainer, self.signals)
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:  # not one that the user has chosen
            trainer.strategy.checkpoint_io = WholeCheckpoints()
        return trainer


@contextmanager
def writable_folder(path: str) -> Iterator[str]:
    """Make the folder of all runs; at the end, what was made and has stayed empty is removed.

    Raises:
        WSVADError: if that cannot be done.
    """
    made: list[Path] = []
    try:
        try:
            made += takewhile(lambda folder: not folder.exists(), (Path(path), *Path(path).parents))
            Path(path).mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=path).close()
        except OSError as error:
            problem = f"cannot be written ({error.strerror})"
            raise WSVADError("--output", path, problem, "Choose another folder") from None
        yield path
    finally:
        with suppress(OSError):  # of a run that was not refused
            for folder in made:
                folder.rmdir()


def run_trainer(args: Sequence[str], kind: type[WSVADCLI] = WSVADCLI) -> WSVADCLI:
    """Run ``fit``, ``validate``, ``test`` or ``predict``.

    Args:
        args: subcommand and arguments. Configurations may be named as shipped; a checkpoint given to any but
            ``fit`` brings its method, data and seed, which the others then override.
        kind: class of the run.

    Returns:
        The finished run, with its ``trainer``, ``model`` and ``datamodule``.
    """
    with StopSignals() as signals, ending_together(), wandb_ended():
        return run_command(args, kind, signals)


def run_command(args: Sequence[str], kind: type[WSVADCLI], signals: StopSignals) -> WSVADCLI:
    """Run a command as :func:`run_trainer` does, and end in an orderly way when nothing is wrong."""
    command, *rest = args
    given = peek(command, rest)
    import_from_here(named_methods(given))
    if command != "fit" and not rest:
        raise untrained()
    run = kind(args, {} if command == "fit" else carried_defaults(given), signals)
    if folder := run.trainer.log_dir:
        rank_zero_info(f"Everything of this run is in {folder}")
        last = Path(folder, "checkpoints", "last.ckpt")
        if command == "fit" and last.is_file():
            name = run.config.fit.model.class_path
            own = (
                "" if name in suite() else f" --model {name}"
            )  # a checkpoint alone does not have it imported
            rank_zero_info(f"Next: {run.model.next_command()} {last}{own}")
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()  # else its threads may abort the process as it ends
    return run


def announce(*command: str) -> None:
    """Show what a user would type."""
    rich.print(f"\n[bold]$ wsvad {shlex.join(command)}[/bold]")
