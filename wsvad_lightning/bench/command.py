"""``wsvad bench``: the arguments of a comparison."""

import sys
from collections.abc import Sequence
from typing import Any

from jsonargparse import ArgumentParser
from jsonargparse.typing import PositiveInt

from wsvad_lightning.bench.compare import CHECKPOINTS, Plan, compare, compose, find_methods
from wsvad_lightning.errors import WSVADError

DESCRIPTION = (
    "Compare methods, and features of several stores, on one data set. "
    "Options with a dot, such as --data.features or --trainer.max_steps, go on to `wsvad fit`; "
    "--print_config shows the recipes and runs nothing."
)


def bench(args: Sequence[str]) -> int:
    """Parse the arguments and compare.

    Args:
        args: arguments; options with a dot are those of ``wsvad fit``.

    Returns:
        The exit status, see :func:`compare`.

    Raises:
        ArgumentError: if the arguments do not parse.
        WSVADError: if they do not work.
    """
    own, overrides = part([arg for arg in args if arg != "--print_config"])
    if "--data.val_fraction" in (option.partition("=")[0] for option in overrides):
        problem = "is not the same for all runs of a comparison"
        raise WSVADError("--data.val_fraction", " ".join(overrides), problem, "Give --val_fraction")
    given = make_parser().parse_args(own).as_dict()
    jobs = given.pop("jobs")
    plan = Plan(**given, overrides=overrides)
    if "--print_config" not in args:
        return compare(plan, jobs)
    for method, overlay in find_methods(plan.methods).items():
        for selection in plan.selections:
            sys.stdout.write(f"# {method}, {selection}\n{compose(plan.config, overlay, selection)}\n")
    return 0


def part(args: Sequence[str]) -> tuple[list[str], list[str]]:
    """Part options without a dot, and their values, from those with one."""
    parts: tuple[list[str], list[str]] = ([], [])
    dotted = False
    for arg in args:
        if arg.startswith("--"):
            dotted = "." in arg.partition("=")[0]
        parts[dotted].append(arg)
    return parts


def parser_of(command: str) -> ArgumentParser:
    """Make the parser of ``wsvad bench``."""
    return make_parser()


def make_parser() -> ArgumentParser:
    """Make the parser of the options without a dot."""
    parser = ArgumentParser(prog="wsvad bench", description=DESCRIPTION, exit_on_error=False)
    several: dict[str, Any] = {"nargs": "+", "metavar": "X"}
    parser.add_argument(
        "--methods",
        **several,
        type=str,
        required=True,
        help="names, all, or files like method/rtfm.yaml",
    )
    parser.add_argument(
        *("--stores", "--store"), **several, type=str, required=True, help="feature stores of the data set"
    )
    parser.add_class_arguments(Plan, skip={"methods", "stores", "seeds", "selections", "overrides"})
    parser.add_argument("--seeds", **several, type=int, default=list(Plan.seeds), help="seeds to train with")
    parser.add_argument(
        "--selections", **several, choices=CHECKPOINTS, default=list(CHECKPOINTS), help="checkpoints to test"
    )
    parser.add_argument("--jobs", type=PositiveInt, default=1, help="runs at a time, a process each")
    return parser
