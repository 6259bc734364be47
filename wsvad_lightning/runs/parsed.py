"""The arguments of a run without the run: parsed, described, or as a parser."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch.cli import LightningArgumentParser

from wsvad_lightning.data.loading.datamodule import WSVADDataModule
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.runs.arguments import RunArguments
from wsvad_lightning.runs.trained import import_from_here, named_methods, peek


class ParsedRun(RunArguments):
    """A run whose arguments are parsed: :meth:`make` makes its method and data, and nothing is executed."""

    def _set_seed(self) -> None:
        """Leave the random generators alone."""

    def instantiate_classes(self) -> None:
        """Make nothing yet."""

    def _run_subcommand(self, subcommand: str) -> None:
        """Execute nothing."""

    def make(self) -> tuple[WSVADModule, WSVADDataModule]:
        """Make the method and the data module, without a trainer."""
        made = self.parser.instantiate(self.config)[self.command]
        return made.model, made.data


class Unparsed(RunArguments):
    """The parser of a command, and nothing else."""

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse nothing."""
        self.config = Namespace(subcommand=self.command, **{self.command: Namespace(seed_everything=False)})  # type: ignore[no-untyped-call]

    instantiate_classes = before_instantiate_classes = ParsedRun.instantiate_classes
    _run_subcommand = ParsedRun._run_subcommand


def parse_fit(args: Sequence[str]) -> Namespace:
    """Parse the arguments of ``wsvad fit``, and run nothing.

    Raises:
        WSVADError: if they do not parse.
    """
    import_from_here(named_methods(peek("fit", args)))
    config: Namespace = ParsedRun(["fit", *args]).config.fit
    return config


@cache
def parser_of_fit(method: str | None = None) -> LightningArgumentParser:
    """Give the parser of ``wsvad fit`` for the data that a method is trained on, by default features."""
    return Unparsed(["fit", *([] if method is None else ["--model", method])])._parser("fit")
