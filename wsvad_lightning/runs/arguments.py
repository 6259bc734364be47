"""The arguments of ``wsvad fit``, ``validate``, ``test`` and ``predict``: LightningCLI over all methods."""

from argparse import SUPPRESS
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jsonargparse
import lightning
from lightning.pytorch import LightningDataModule
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from wsvad_lightning.carried import class_path_of, known_methods
from wsvad_lightning.checkpoint import read_checkpoint
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.methods.base.training import TrainingModule
from wsvad_lightning.parsing import ConfigFile, explained
from wsvad_lightning.quiet import be_quiet
from wsvad_lightning.runs.record import RunRecord
from wsvad_lightning.runs.resuming import requeued_from
from wsvad_lightning.runs.seeds import seed_of_data, seed_of_run
from wsvad_lightning.runs.trained import data_class_of, peek, resumed_seed
from wsvad_lightning.start import INIT_FROM, INIT_PART

ABOUT = {  # the commands
    "fit": "Train a method on the training videos of a store.",
    "validate": "Measure a checkpoint on the held-out part of the training videos.",
    "test": "Measure a checkpoint on the test videos.",
    "predict": "Score videos, or all videos of a store.",
}
resolve_by_name = jsonargparse._typehints.resolve_class_path_by_name


def resolve_by_id(cls: type | tuple[type], name: str) -> str:
    """Give the import path of a class; a method of the suite may be named by its id.

    Raises:
        ValueError: if it is not a name, or a method is named by no class.
    """
    if not isinstance(name, str):  # a recipe may hold anything
        raise ValueError(f"Not a valid subclass of {cls}. Got value: {name}")
    method = cls in (TrainingModule, (TrainingModule,))
    return resolve_by_name(cls, class_path_of(name) if method else name)


# jsonargparse finds classes by their names alone, whether typed, in a recipe or in the file of a method.
jsonargparse._typehints.resolve_class_path_by_name = resolve_by_id


class RunArguments(LightningCLI):
    """What a run is made of, parsed; LightningCLI then makes and executes it.

    Links: the method's ``feature_dim`` is what the data module delivers, and the data module's ``seed`` is
    ``seed_everything``; setting the linked ones has no effect.

    Args:
        args: subcommand and arguments.
        carried: defaults that a checkpoint sets, by argument; the user's own override them.
    """

    def __init__(self, args: Sequence[str], carried: Mapping[str, Any] | None = None) -> None:
        self.command, self.carried = args[0], dict(carried or {})
        given = peek(self.command, args[1:])
        self.recipes, self.data_class = given.config, data_class_of(given, self.carried)
        be_quiet()
        about = {"description": ABOUT[self.command], "usage": f"wsvad {self.command} [options]"}
        super().__init__(
            TrainingModule,
            self.data_class,
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
        """Add where a run is kept, and what a training starts from."""
        name = "name of the experiment's folder, by default that of the first configuration"
        parser.add_argument("--name", type=str | None, default=None, help=name)
        parser.add_argument("--output", type=str, default="runs", help="folder that holds the experiments")
        of_training: tuple[tuple[str, Any, Any, str], ...] = (
            (
                "--save_every_steps",
                int | None,
                100,
                "steps between two saves of last.ckpt at most; null: any",
            ),
            ("--save_every_minutes", float | None, 5.0, "minutes between two saves at most; null: any"),
            (
                INIT_FROM,
                str | None,
                None,
                "checkpoint whose weights a new training starts from, where they fit",
            ),
            (INIT_PART, str | None, None, "part of both methods to take alone, such as net.encoder"),
        )
        for option, kind, default, about in of_training:  # recipes of trainings are taken by all commands
            shown = about if self.command == "fit" else SUPPRESS
            parser.add_argument(option, type=kind, default=default, help=shown)

    @staticmethod
    def add_method_and_data(parser: LightningArgumentParser, data_class: type[LightningDataModule]) -> None:
        """Add the data, and the method, which may be named by its id."""
        parser.add_lightning_class_args(data_class, "data")
        parser.add_argument_group("Method").add_argument(
            "--model", type=TrainingModule, sub_configs=True, required=True, help="method, such as urdmu"
        )

    def add_core_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add data and method before the trainer."""
        self.add_method_and_data(parser, self.data_class)
        parser.add_lightning_class_args(self.trainer_class, "trainer")
        parser.set_defaults({f"trainer.{name}": value for name, value in self.trainer_defaults.items()})

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the links."""
        if hasattr(self.data_class, "feature_dim"):
            parser.link_arguments("data.feature_dim", "model.init_args.feature_dim", apply_on="instantiate")
        parser.link_arguments("seed_everything", "data.seed", compute_fn=seed_of_data)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse, name the experiment, and refuse to measure an untrained model."""
        with explained(self._subcommand_parsers[self.command], {"--model": known_methods()}):
            super().parse_arguments(parser, args)
        config = self.config[self.command]
        config.name = config.name or (self.recipes[0].stem if self.recipes else "wsvad")
        if self.command == "fit":
            if config.init_part is not None and config.init_from is None:
                problem = f"is a part of {INIT_FROM}, which is not given"
                raise WSVADError(INIT_PART, config.init_part, problem, "Give both, or none")
            if config.ckpt_path is None and (path := requeued_from(Path(config.output, config.name))):
                config.ckpt_path = str(path)
            config.seed_everything = resumed_seed(config.ckpt_path, config.seed_everything)
        elif config.ckpt_path is None:
            raise untrained()
        elif not self.carried:  # a recipe names it
            read_checkpoint(config.ckpt_path)
        config.seed_everything = seed_of_run(config.seed_everything)
        config.data.seed = seed_of_data(config.seed_everything)

    def _parse_ckpt_path(self) -> None:
        """Leave the arguments alone: Lightning would put a checkpoint's hyper-parameters above them here."""


def untrained() -> WSVADError:
    """The error of a command that needs a trained model and is given none."""
    return WSVADError(
        "--ckpt_path", None, "is required", "Give a checkpoint, such as runs/*/checkpoints/last.ckpt"
    )
