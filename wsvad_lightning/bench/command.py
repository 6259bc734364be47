"""``wsvad bench``: the arguments of a comparison."""

import sys
from collections.abc import Sequence
from typing import Any

from jsonargparse import ArgumentParser
from jsonargparse.typing import PositiveInt

from wsvad_lightning.bench.compare import Plan, compare
from wsvad_lightning.bench.recipes import CHECKPOINTS, as_text
from wsvad_lightning.configs import config_folder, find_config
from wsvad_lightning.parsing import explained

DESCRIPTION = (
    "Compare methods, and features of several stores, on one data set. Arguments after -- are those of "
    "`wsvad fit`, for all methods: wsvad bench --methods urdmu rtfm --store s.h5 -- --trainer.max_steps 20"
)


def bench(args: Sequence[str]) -> int:
    """Parse the arguments and compare.

    Args:
        args: arguments; those after ``--`` are of ``wsvad fit``.

    Returns:
        The exit status, see :func:`compare`.

    Raises:
        WSVADError: if the arguments do not parse or do not work.
    """
    parser = parser_of("bench")
    with explained(parser):
        given = parser.parse_args(list(args)).as_dict()
    jobs, show = given.pop("jobs"), given.pop("print_config")
    given["configs"] = with_default(given["configs"])
    plan = Plan(**{name: value for name, value in given.items() if value is not None})
    if not show:
        return compare(plan, jobs)
    for (selection, method), recipe in plan.recipes().items():
        sys.stdout.write(f"# {method}, {selection}\n{as_text(recipe)}\n")
    return 0


def with_default(configs: Sequence[str] | None) -> list[str]:
    """Give the recipes of a comparison: the default one, unless another one than an overlay is given."""
    given = list(configs or ())
    overlays = all(find_config(name).parent == config_folder() / "with" for name in given)
    return [*Plan.configs, *given] if overlays else given


def parser_of(command: str) -> ArgumentParser:
    """Make the parser of ``wsvad bench``."""
    parser = ArgumentParser(
        prog="wsvad bench", description=DESCRIPTION, exit_on_error=False, print_config=None
    )
    several: dict[str, Any] = {"nargs": "+", "metavar": "X"}
    parser.add_argument(
        "--methods", **several, type=str, required=True, help="ids, all, or files with a model"
    )
    parser.add_argument(
        *("--stores", "--store"), **several, type=str, required=True, help="feature stores of the data set"
    )
    own = {"methods", "stores", "configs", "seeds", "selections", "arguments"}
    parser.add_class_arguments(Plan, skip=own)
    parser.add_argument(
        "--config",
        dest="configs",
        action="append",
        type=str,
        metavar="X",
        help="recipe whose data and trainer are used; later ones override earlier ones; shipped overlays "
        f"with/… change the default, which is {', '.join(Plan.configs)}",
    )
    parser.add_argument("--seeds", **several, type=int, default=list(Plan.seeds), help="seeds to train with")
    parser.add_argument(
        "--selections", **several, choices=CHECKPOINTS, default=list(CHECKPOINTS), help="checkpoints to test"
    )
    parser.add_argument("--jobs", type=PositiveInt, default=1, help="runs at a time, a process each")
    parser.add_argument("--print_config", action="store_true", help="show the recipes and run nothing")
    parser.add_argument("arguments", nargs="*", type=str, help="of `wsvad fit`, after --")
    return parser
