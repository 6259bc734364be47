"""`wsvad fit`, `validate`, `test` and `predict`: LightningCLI over all methods and one data module."""

import re
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import yaml
from jsonargparse import Namespace, set_parsing_settings
from lightning.pytorch import Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_info
from lightning_utilities.core.imports import RequirementCache

from wsvad_lightning.carried import read_carried
from wsvad_lightning.checkpoint import CONFIG_KEY, VERSION_KEY, read_checkpoint
from wsvad_lightning.configs import find_config
from wsvad_lightning.data.loading.datamodule import WSVADDataModule
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.reporting.labels import LabelPicture
from wsvad_lightning.reporting.scores import ScoreWriter
from wsvad_lightning.runs.checkpoints import LastCheckpoint
from wsvad_lightning.runs.progress import StepProgress
from wsvad_lightning.runs.record import RunRecord

# A configuration names classes: none is made where the parameter takes any value, and none is imported that
# jsonargparse's own list denies (an empty list adds nothing to it, and makes it hold).
set_parsing_settings(instantiate_subclass_spec_in_any=False, import_path_denylist=[])

COMMANDS = ("fit", "validate", "test", "predict")

IGNORED_WARNINGS = (
    "LightningCLI's args parameter is intended to run from within Python",  # it is
    "`isinstance.treespec, LeafSpec.` is deprecated",  # Lightning 2.6 with PyTorch 2.13, theirs to mend
    "Total length of `list` across ranks is zero",  # no videos are held out for validation, as asked
    "Using ModelCheckpoint with manual optimization",  # that follows the steps, which is what we want
    "The ``compute`` method of metric (Frame|Event)Metrics was called before",  # a rank may have no video
    r"Found \d+ module\(s\) in eval mode at the start of training",  # frozen, as a stage's paper says
    "It is recommended to use .self.log",  # FrameMetrics gathers the ranks itself
    "Be aware that when using `ckpt_path`",  # a checkpoint callback of the training is not one of the test
    "The dirpath has changed",  # a new run has a new folder
    "The '.*_dataloader' does not have many workers",  # reading from a memory map needs none
    "The number of training batches .* is smaller than the logging interval",  # training counts steps
    r"\s*``instantiate_classes`` was deprecated",  # Lightning calls it by its old name
    r"\s*Optional type parameters without a default",  # of base classes, which no configuration names
    r"\s*By default only one JsonargparseDeprecationWarning",  # comes before the first of these two
)

# What is raised of sizes and numbers that nothing can be made with; the parser tells of ValueErrors itself.
UNSUITABLE = (RuntimeError, TypeError, ArithmeticError, AssertionError, IndexError, MemoryError)


class WSVADCLI(LightningCLI):
    """One run: parsed, made and executed.

    Links: the method's ``feature_dim`` is what the data module delivers, and the data module's ``seed`` is
    ``seed_everything``; setting the linked ones has no effect.

    Args:
        args: subcommand and arguments.
        name: name of the experiment where ``--name`` is not given.
        carried: what a checkpoint says of the arguments, by name; the user's own override it.
    """

    def __init__(self, args: Sequence[str], name: str, carried: Mapping[str, Any] | None = None) -> None:
        self.default_name, self.carried = name, dict(carried or {})
        for message in IGNORED_WARNINGS:
            warnings.filterwarnings("ignore", message)
        super().__init__(
            WSVADModule,
            WSVADDataModule,
            save_config_callback=RunRecord,
            seed_everything_default=0,
            subclass_mode_model=True,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,  # a checkpoint's hyper-parameters are the method's own
            trainer_defaults={
                "use_distributed_sampler": False,  # the data module shares videos out among ranks itself
                "enable_model_summary": False,
                "num_sanity_val_steps": 0,  # two videos may lack a class, and metrics say so
            },
            parser_kwargs={"exit_on_error": False, **{c: {"exit_on_error": False} for c in COMMANDS}},
            args=list(args),
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add where a run is kept, and the links."""
        parser.add_argument("--name", default=self.default_name, help="name of the experiment's folder")
        parser.add_argument("--output", default="runs", help="folder that holds the experiments")
        parser.link_arguments("data.feature_dim", "model.init_args.feature_dim", apply_on="instantiate")
        parser.link_arguments("seed_everything", "data.seed", compute_fn=int)
        parser.set_defaults(self.carried)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse, and refuse a seed that NumPy would not take, and to measure what nobody trained."""
        super().parse_arguments(parser, args)
        config = self.config[self.config.subcommand]
        seed = config.seed_everything
        if self.config.subcommand != "fit" and config.ckpt_path is None:
            raise untrained()
        if not 0 <= seed < 2**32:
            raise WSVADError("--seed_everything", seed, "is no seed", "Give 0 to 4294967295")

    def _parse_ckpt_path(self) -> None:
        """Leave the arguments alone: Lightning would put a checkpoint's hyper-parameters above them here."""

    def before_instantiate_classes(self) -> None:
        """Save one configuration a subcommand: one saved by ``test`` would not parse for ``fit``."""
        self.save_config_kwargs = {"config_filename": f"{self.subcommand}.yaml"}

    def instantiate_classes(self) -> None:
        """Make everything; say so where that fails by what a checkpoint carries.

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

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Add what belongs to every run to what the configuration asks for.

        That is a CSV log, a TensorBoard log where that is installed, progress, ``last.ckpt`` and scores.
        """
        config = self.config_init[self.subcommand]
        self.trainer_defaults["callbacks"] = [
            *([StepProgress()] if config.trainer.enable_progress_bar is not False else []),
            *([LastCheckpoint()] if config.trainer.enable_checkpointing is not False else []),
            ScoreWriter(),
            LabelPicture(),
        ]
        csv = CSVLogger(writable_folder(config.output), name=config.name)
        loggers: list[Logger] = [csv]
        if RequirementCache("tensorboard"):
            loggers.append(TensorBoardLogger(config.output, name=config.name, version=csv.version))
        given = config.trainer.logger
        loggers += given if isinstance(given, list) else [given] if isinstance(given, Logger) else []
        return super().instantiate_trainer(logger=loggers, **kwargs)


def writable_folder(path: str) -> str:
    """Make the folder of all runs.

    Raises:
        WSVADError: if that cannot be done.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path).close()
    except OSError as error:
        raise WSVADError(
            "--output", path, f"cannot be written ({error.strerror})", "Choose another folder"
        ) from None
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
    command, *rest = args
    rest, name = resolve_configs(rest)
    carried: dict[str, Any] = {}
    if command == "fit":
        check_resumable(rest)
    elif not rest:
        raise untrained()
    else:
        carried = carried_defaults(rest)
    # A checkpoint holds tensors and plain values: nothing in it needs to be executed.
    quiet = ["--verbose", "false"] if command == "test" else []  # its metrics are shown by ScoreWriter
    run = kind([command, "--weights_only", "true", *quiet, *rest], name, carried)
    for logger in run.trainer.loggers:
        if isinstance(logger, WandbLogger):
            logger.experiment.finish()  # a later run in this process is one of its own
    if folder := run.trainer.log_dir:
        rank_zero_info(f"Everything of this run is in {folder}")
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()  # else its threads may abort the process as it ends
    return run


class ParsedRun(WSVADCLI):
    """A run whose arguments are parsed; :meth:`make` makes its method and data, nothing is executed."""

    def _set_seed(self) -> None:
        """Leave the random generators alone."""

    def instantiate_classes(self) -> None:
        """Make nothing yet."""

    def _run_subcommand(self, subcommand: str) -> None:
        """Execute nothing."""

    def make(self) -> tuple[WSVADModule, WSVADDataModule]:
        """Make the method and the data module, without a trainer."""
        made = self.parser.instantiate(self.config)[self.subcommand]
        return made.model, made.data


def parse_fit(args: Sequence[str]) -> Namespace:
    """Parse the arguments of ``wsvad fit``, configurations by name included.

    Raises:
        ArgumentError: if they do not parse.
        WSVADError: if a configuration is neither a file nor shipped.
    """
    resolved, name = resolve_configs(args)
    config: Namespace = ParsedRun(["fit", *resolved], name).config.fit
    return config


class _Unparsed(ParsedRun):
    """The parser of ``fit``, and nothing else."""

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse nothing."""
        self.config = Namespace(subcommand="fit")


@cache
def parser_of_fit() -> LightningArgumentParser:
    """Give the parser of ``wsvad fit``."""
    return _Unparsed(["fit"], "wsvad")._parser("fit")


def resolve_configs(args: Sequence[str]) -> tuple[list[str], str]:
    """Replace the names of shipped configurations by their paths.

    Returns:
        The arguments, each ``--config`` in two, and the name of the experiment: that of the first one.

    Raises:
        WSVADError: if a configuration is neither a file nor shipped.
    """
    resolved: list[str] = []
    names: list[str] = []
    for arg in split_assignments(args):
        if resolved and resolved[-1] in ("--config", "-c"):
            path = find_config(arg)
            names.append(path.stem)
            resolved.append(str(path))
        else:
            resolved.append(arg)
    return resolved, names[0] if names else "wsvad"


def carried_defaults(args: Sequence[str]) -> dict[str, Any]:
    """Give what the checkpoint among the arguments says of the others; nothing without one.

    That is its method, data and seed, and where results go: beside the run whose folder it lies in, and else
    into ``runs``, under its own name.

    Raises:
        WSVADError: if the checkpoint cannot be read, or carries what is no configuration of ours.
    """
    path = checkpoint_path(args)
    if path is None:
        return {}
    checkpoint = read_checkpoint(path)
    if not re.match(r"[2-9]\d*\.", checkpoint.get(VERSION_KEY, "")):  # Lightning would rewrite what it lacks
        raise WSVADError("--ckpt_path", path, "is of no Lightning 2", "Give a file that `wsvad fit` wrote")
    place = place_of_results(Path(path))
    if CONFIG_KEY not in checkpoint:
        return dict(place)
    return read_carried(checkpoint[CONFIG_KEY], path, named_methods(args)) | place


def named_methods(args: Sequence[str]) -> set[str]:
    """List the class paths of methods that the user names, as ``--model`` or in a configuration."""
    named: set[object] = set()
    for option, value in pairwise(split_assignments(args)):
        if option in ("--model", "--model.class_path"):
            named.add(value)
        elif option in ("--config", "-c"):
            try:
                config = yaml.safe_load(Path(value).read_text("utf-8"))
            except (OSError, ValueError, yaml.YAMLError):
                continue  # the parser tells what is wrong with it
            model = config.get("model") if isinstance(config, dict) else None
            named.add(model.get("class_path") if isinstance(model, dict) else model)
    return {name for name in named if isinstance(name, str)}


def place_of_results(checkpoint: Path) -> dict[str, str]:
    """Tell where results on a checkpoint go: a run's folder is known by what ``fit`` saves in it."""
    run = checkpoint.parent.parent
    if checkpoint.parent.name == "checkpoints" and (run / "fit.yaml").is_file():
        folder = run.parent if run.parent.name not in ("", "..") else run.parent.resolve()
        return {"output": str(folder.parent), "name": folder.name}
    return {"name": checkpoint.stem.strip(".") or "checkpoint"}


def check_resumable(args: Sequence[str]) -> None:
    """Make sure that the checkpoint among the arguments, if any, is one to go on from.

    Raises:
        WSVADError: if it cannot be read, or holds weights only.
    """
    path = checkpoint_path(args)
    if path and "optimizer_states" not in read_checkpoint(path):
        raise WSVADError(
            "--ckpt_path", path, "holds weights only, not the state of a training", "Test it, or train anew"
        )


def untrained() -> WSVADError:
    """The error of a command that needs a trained model and is given none."""
    return WSVADError(
        "--ckpt_path",
        None,
        "nothing trained is named",
        "Give a checkpoint, such as runs/*/checkpoints/last.ckpt",
    )


def checkpoint_path(args: Sequence[str]) -> str | None:
    """Find the value of ``--ckpt_path``: the last one, as the parser does."""
    given = split_assignments(args)
    values = [value for option, value in pairwise(given) if option == "--ckpt_path"]
    return values[-1] if values else None


def split_assignments(args: Sequence[str]) -> list[str]:
    """Write ``--config=value`` as ``--config value``, and so with ``--ckpt_path`` and ``--model``."""
    ours = ("--config=", "-c=", "--ckpt_path=", "--model=", "--model.class_path=")
    return [part for arg in args for part in (arg.split("=", 1) if arg.startswith(ours) else [arg])]
