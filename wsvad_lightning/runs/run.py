"""A run of ``wsvad fit``, ``validate``, ``test`` or ``predict``: LightningCLI over all methods."""

import os
import secrets
import sys
import tempfile
from argparse import SUPPRESS
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch import Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_info, rank_zero_only
from lightning_utilities.core.imports import RequirementCache

from wsvad_lightning import methods
from wsvad_lightning.checkpoint import read_checkpoint
from wsvad_lightning.data.loading.datamodule import WSVADDataModule
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.parsing import ConfigFile, explained
from wsvad_lightning.reporting.labels import LabelPicture
from wsvad_lightning.reporting.scores import ScoreWriter
from wsvad_lightning.runs.checkpoints import FirstBatch, LastCheckpoint, WholeCheckpoints
from wsvad_lightning.runs.progress import StepProgress
from wsvad_lightning.runs.quiet import be_quiet
from wsvad_lightning.runs.ranks import check_start, ending_together
from wsvad_lightning.runs.record import RunRecord
from wsvad_lightning.runs.resuming import Resuming, continue_wandb, requeued_from
from wsvad_lightning.runs.stopping import StopAfterStep, Stopped, StopSignals, take_signals
from wsvad_lightning.runs.summary import TrainingSummary
from wsvad_lightning.runs.trained import (
    carried_defaults,
    check_resumable,
    import_from_here,
    named_methods,
    peek,
)

ABOUT = {  # the commands
    "fit": "Train a method on the training videos of a store.",
    "validate": "Measure a checkpoint on the held-out part of the training videos.",
    "test": "Measure a checkpoint on the test videos.",
    "predict": "Score videos, or all videos of a store.",
}

# What is raised of sizes and numbers that nothing can be made with; the parser explains ValueErrors itself.
UNSUITABLE = (RuntimeError, TypeError, ArithmeticError, AssertionError, IndexError, MemoryError)
PURE = ("16-true", "bf16-true", "64-true")  # precisions that change weights, where methods compute in float32
LIBRARIES = ("lightning.", "jsonargparse.")  # that name what is wrong with a setting
SEEDS = 2**32  # how many there are
SHARED_SEED = "PL_GLOBAL_SEED"  # environment variable by which Lightning gives the seed to further processes
IDS = {name.lower(): name for name in sorted(methods.__all__, key=str.lower)}


class Method:
    """What ``--model`` takes: the id of a method of the suite for its class, anything else as it is."""

    def __new__(cls, given: str) -> str:  # type: ignore[misc]  # a class, because help shows its name
        """Give the name of the class."""
        return IDS.get(given, given)


class WSVADCLI(LightningCLI):
    """One run: parsed, made and executed.

    Links: the method's ``feature_dim`` is what the data module delivers, and the data module's ``seed`` is
    ``seed_everything``; setting the linked ones has no effect.

    Args:
        args: subcommand and arguments.
        carried: defaults that a checkpoint sets, by argument; the user's own override them.
        signals: that end the run, if any do.
    """

    def __init__(
        self,
        args: Sequence[str],
        carried: Mapping[str, Any] | None = None,
        signals: StopSignals | None = None,
    ) -> None:
        self.command, self.carried, self.signals = args[0], dict(carried or {}), signals or StopSignals()
        self.first_batch = FirstBatch()
        be_quiet()
        about = {"description": ABOUT[self.command], "usage": f"wsvad {self.command} [options]"}
        super().__init__(
            WSVADModule,
            WSVADDataModule,
            save_config_callback=RunRecord,
            seed_everything_default=0,
            subclass_mode_model=True,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,  # a checkpoint's hyper-parameters are the method's own
            trainer_defaults={
                "use_distributed_sampler": False,  # the data module distributes videos over ranks itself
                "enable_model_summary": False,
                "num_sanity_val_steps": 0,  # two videos may lack a class, and metrics say so
            },
            parser_kwargs={
                "prog": "wsvad",
                "exit_on_error": False,
                self.command: {"exit_on_error": False, **about},
            },
            args=list(args),
        )

    # ------------------------------------------------------------------------------------------ parsing

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]  # static there, of all commands
        """Give the one command in use: parsers of the others would only take time."""
        return {self.command: super().subcommands()[self.command]}

    def setup_parser(self, *args: Any) -> None:
        """Say the whole command in messages."""
        super().setup_parser(*args)
        self._subcommand_parsers[self.command].prog = f"wsvad {self.command}"

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        """Make a parser that finds shipped recipes by name."""
        header = [f"lightning=={lightning.__version__}"]
        parser = self.parser_class(dump_header=header, **kwargs)
        parser.add_argument(
            "-c", "--config", action=ConfigFile, help="a recipe: a file, or a shipped one's name"
        )
        return parser

    def _prepare_subcommand_parser(
        self, klass: type, subcommand: str, **kwargs: Any
    ) -> LightningArgumentParser:
        """List what is the command's own before what all commands take."""
        parser = self.init_parser(**kwargs)
        self.add_own_arguments(parser)
        skip: set[str | int] = {*self.subcommands()[subcommand]}
        self._subcommand_method_arguments[subcommand] = parser.add_method_arguments(
            klass, subcommand, skip=skip
        )
        self._add_arguments(parser)
        # A checkpoint holds tensors and plain values: nothing in it needs to be executed.
        parser.set_defaults(weights_only=True)
        if subcommand == "test":
            parser.set_defaults(verbose=False)  # ScoreWriter shows its metrics
        parser.set_defaults(self.carried)
        return parser

    def add_own_arguments(self, parser: LightningArgumentParser) -> None:
        """Add where a run is kept."""
        name = "name of the experiment's folder, by default that of the first configuration"
        parser.add_argument("--name", type=str | None, default=None, help=name)
        parser.add_argument("--output", default="runs", help="folder that holds the experiments")
        for name, kind, default in (("steps", int | None, 100), ("minutes", float | None, 5.0)):
            about = f"{name} between two saves of last.ckpt at most; null for no limit"
            shown = about if self.command == "fit" else SUPPRESS
            parser.add_argument(f"--save_every_{name}", type=kind, default=default, help=shown)

    @staticmethod
    def add_method_and_data(parser: LightningArgumentParser) -> None:
        """Add the data, and the method, which may be named by its id."""
        parser.add_lightning_class_args(WSVADDataModule, "data")
        group = parser.add_argument_group("Method")
        model = group.add_argument(
            "--model", type=WSVADModule, sub_configs=True, required=True, help="method, such as urdmu"
        )
        model.type = Method

    def add_core_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add data and method before the trainer."""
        self.add_method_and_data(parser)
        parser.add_lightning_class_args(self.trainer_class, "trainer")
        parser.set_defaults({f"trainer.{name}": value for name, value in self.trainer_defaults.items()})

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the links."""
        parser.link_arguments("data.feature_dim", "model.init_args.feature_dim", apply_on="instantiate")
        parser.link_arguments("seed_everything", "data.seed", compute_fn=seed_of_data)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse, name the experiment, and refuse to measure an untrained model."""
        with explained(self._subcommand_parsers[self.command], {"--model": IDS}):
            super().parse_arguments(parser, args)
        config = self.config[self.command]
        for key, value in config.items():
            if isinstance(value, str) and "\0" in value:
                raise WSVADError(f"--{key}", value, "has a NUL character", "No path or name has one")
        recipes = [Path(str(path)).stem for path in config.config or () if path is not None]
        config.name = config.name or (recipes[0] if recipes else "wsvad")
        if self.command == "fit":
            if config.ckpt_path is None and (path := requeued_from(Path(config.output, config.name))):
                config.ckpt_path = str(path)
            check_resumable(config.ckpt_path)
        elif config.ckpt_path is None:
            raise untrained()
        elif not self.carried:  # a recipe names it
            read_checkpoint(config.ckpt_path)
        if config.seed_everything is True:
            config.seed_everything = config.data.seed = drawn_seed()
        if not 0 <= config.seed_everything < SEEDS:
            raise WSVADError("--seed_everything", config.seed_everything, "must be 0 to 4294967295", "Give 0")

    def _parse_ckpt_path(self) -> None:
        """Leave the arguments alone: Lightning would put a checkpoint's hyper-parameters above them here."""

    # ----------------------------------------------------------------------------------------- the run

    def _set_seed(self) -> None:
        """Seed everything, or nothing: further processes then do not follow the seed of an earlier run."""
        if self.config[self.command].seed_everything is False:
            os.environ.pop(SHARED_SEED, None)
        super()._set_seed()

    def before_instantiate_classes(self) -> None:
        """Save one configuration a subcommand: one saved by ``test`` would not parse for ``fit``."""
        self.save_config_kwargs = {"config_filename": f"{self.subcommand}.yaml"}

    def instantiate_classes(self) -> None:
        """Make everything; report where that fails because of what a checkpoint carries.

        Raises:
            WSVADError: if it does.
        """
        try:
            super().instantiate_classes()
        except UNSUITABLE as error:
            if "model" not in self.carried:
                raise
            reason = " ".join(str(error).split())[:100] or type(error).__name__
            path = self.config[self.subcommand].ckpt_path
            problem = f"the run cannot be made with its settings ({reason})"
            raise WSVADError("--ckpt_path", path, problem, "Give a file that `wsvad fit` wrote") from error

    def _run_subcommand(self, subcommand: str) -> None:
        """Run; put into one line what comes of odd settings of the trainer, or of what a checkpoint holds."""
        with self.settings_explained(), self.first_batch.explained(self.config[subcommand].ckpt_path):
            super()._run_subcommand(subcommand)

    @contextmanager
    def settings_explained(self) -> Iterator[None]:
        """Put into one line what Lightning or PyTorch says of settings of the trainer that do not work.

        Raises:
            WSVADError: in place of their errors.
        """
        try:
            yield
        except WSVADError:
            raise
        except (RuntimeError, ValueError, TypeError, ImportError, ArithmeticError, AttributeError) as error:
            reason = " ".join(str(error).split())[:300]
            precision = str(self.config[self.command].trainer.precision)
            if isinstance(error, RuntimeError) and precision in PURE:
                problem = f"{type(self.model).__name__} cannot be computed with it ({reason})"
                raise WSVADError(
                    "--trainer.precision", precision, problem, "Use bf16-mixed or 32-true"
                ) from error
            if not raised_by_lightning(error):
                raise
            see = f"See `wsvad {self.command} --help`"
            raise WSVADError("--trainer", None, f"does not work: {reason.rstrip('.')}", see) from error

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Add what belongs to every run to what the configuration asks for.

        That is a CSV log, a TensorBoard log where that is installed, progress, ``last.ckpt`` and scores.
        """
        config = self.config_init[self.subcommand]
        if config.trainer.barebones:
            problem = "leaves out the logs and checkpoints that a run consists of"
            raise WSVADError("--trainer.barebones", True, problem, "Use --trainer.fast_dev_run to try a run")
        intervals = config.save_every_steps, config.save_every_minutes
        keeps = config.trainer.enable_checkpointing is not False
        self.trainer_defaults["callbacks"] = [
            *([StepProgress()] if config.trainer.enable_progress_bar is not False else []),
            LastCheckpoint(self.signals, *intervals) if keeps else StopAfterStep(self.signals),
            Resuming(),
            TrainingSummary(),
            ScoreWriter(),
            LabelPicture(),
            self.first_batch,
        ]
        csv = CSVLogger(writable_folder(config.output), name=config.name)
        loggers: list[Logger] = [csv]
        if RequirementCache("tensorboard"):
            loggers.append(TensorBoardLogger(config.output, name=config.name, version=csv.version))
        given = config.trainer.logger
        loggers += given if isinstance(given, list) else [given] if isinstance(given, Logger) else []
        with self.settings_explained():
            trainer = super().instantiate_trainer(logger=loggers, **kwargs)
        check_start(trainer)
        take_signals(trainer, self.signals)
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger) and self.command == "fit" and config.ckpt_path:
                continue_wandb(logger, config.ckpt_path)
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:  # not one that the user has chosen
            trainer.strategy.checkpoint_io = WholeCheckpoints()
        return trainer


def raised_by_lightning(error: Exception) -> bool:
    """Whether an error says what Lightning or its parser thinks of settings, and not that code is wrong."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    return last is not None and last.tb_frame.f_globals.get("__name__", "").startswith(LIBRARIES)


def seed_of_data(seed: int | bool) -> int | None:
    """Give the seed of the data module: None for a run without a seed."""
    return None if seed is False else int(seed)


def drawn_seed() -> int:
    """Draw a seed for ``--seed_everything true``; further processes take that of the first one.

    Raises:
        WSVADError: if another launcher than Lightning's started several processes: each would draw its own.
    """
    if int(os.environ.get("WORLD_SIZE", os.environ.get("SLURM_NTASKS", 1))) == 1:
        return secrets.randbelow(SEEDS)
    if not (shared := os.environ.get(SHARED_SEED, "")).isdecimal():
        problem = "each process would draw a seed of its own"
        raise WSVADError("--seed_everything", "true", problem, "Give a number")
    return int(shared)


def untrained() -> WSVADError:
    """The error of a command that needs a trained model and is given none."""
    return WSVADError(
        "--ckpt_path", None, "is required", "Give a checkpoint, such as runs/*/checkpoints/last.ckpt"
    )


def writable_folder(path: str) -> str:
    """Make the folder of all runs.

    Raises:
        WSVADError: if that cannot be done.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path).close()
    except OSError as error:
        problem = f"cannot be written ({error.strerror})"
        raise WSVADError("--output", path, problem, "Choose another folder") from None
    return path


def run_trainer(args: Sequence[str], kind: type[WSVADCLI] = WSVADCLI) -> WSVADCLI:
    """Run ``fit``, ``validate``, ``test`` or ``predict``.

    Args:
        args: subcommand and arguments. Configurations may be named as shipped; a checkpoint given to any but
            ``fit`` brings its method, data and seed, which the others then override.
        kind: class of the run.

    Returns:
        The finished run, with its ``trainer``, ``model`` and ``datamodule``.
    """
    with StopSignals() as signals, ending_together():
        try:
            return run_command(args, kind, signals)
        except Stopped as stopped:
            if getattr(rank_zero_only, "rank", 0) == 0 or not stopped.agreed:
                sys.stderr.write(f"{stopped.said}\n")
            raise


def run_command(args: Sequence[str], kind: type[WSVADCLI], signals: StopSignals) -> WSVADCLI:
    """Run a command as :func:`run_trainer` does, and end in an orderly way when nothing is wrong."""
    command, *rest = args
    given = peek(command, rest)
    import_from_here(named_methods(given))
    if command != "fit" and not rest:
        raise untrained()
    run = kind(args, {} if command == "fit" else carried_defaults(given), signals)
    for logger in run.trainer.loggers:
        if isinstance(logger, WandbLogger):
            logger.experiment.finish()  # a later run in this process is one of its own
    if folder := run.trainer.log_dir:
        rank_zero_info(f"Everything of this run is in {folder}")
        last = Path(folder, "checkpoints", "last.ckpt")
        if command == "fit" and last.is_file():
            tests = bool(run.datamodule.parts["test"])
            rank_zero_info(f"Next: wsvad {'test' if tests else 'predict --videos FOLDER'} --ckpt_path {last}")
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()  # else its threads may abort the process as it ends
    return run
