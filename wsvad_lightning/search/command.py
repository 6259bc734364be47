"""``wsvad search``: the arguments of a search."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser
from jsonargparse.typing import PositiveInt
from lightning_utilities.core.imports import RequirementCache

from wsvad_lightning.bench.recipes import as_text, by_option, named
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.parsing import explained
from wsvad_lightning.runs.parsed import parse_fit
from wsvad_lightning.search.run import check, search_on
from wsvad_lightning.search.space import arguments_of, read_space
from wsvad_lightning.search.study import OBJECTIVE, Search
from wsvad_lightning.search.sweep import write_sweep

DESCRIPTION = (
    "Search settings of a recipe on held-out training videos, and test the best recipe once. What follows -- "
    "goes to `wsvad fit`: wsvad search --config ped2_urdmu.yaml --space space.yaml -- --data.store s.h5"
)
OWN = {  # what a trial sets itself, and the option of the search for it
    "data.val_fraction": "--val_fraction",
    "seed_everything": "--seeds",
    "output": "--output",
    "name": "--output",
    "ckpt_path": "--output",
}


def search(args: Sequence[str]) -> int:
    """Parse the arguments and search.

    Args:
        args: arguments; those after ``--`` are of ``wsvad fit``.

    Returns:
        The exit status, see :func:`wsvad_lightning.search.run.search_on`.

    Raises:
        WSVADError: if the arguments do not parse or do not work, or Optuna is missing.
    """
    parser = parser_of("search")
    with explained(parser):
        given = parser.parse_args(list(args))
    check_given(given)
    arguments = [*(word for path in given.config for word in ("--config", path)), *given.arguments]
    recipe = parse_fit(arguments)
    space = read_space(given.space, recipe.as_dict())
    for values in space.examples():
        parse_fit([*arguments, *arguments_of(values)])
    if given.print_config:
        sys.stdout.write(as_text(recipe, without=OWN))
        return 0
    plan = Search(arguments, space, given.trials, tuple(given.seeds), given.val_fraction, Path(given.output))
    if given.sweep is not None:
        write_sweep(plan, given.sweep)
        return 0
    if not RequirementCache("optuna"):
        raise WSVADError("search", "optuna", "is missing", 'Install "wsvad-lightning[search]"')
    return search_on(check(plan), given.jobs)


def check_given(given: Any) -> None:
    """Validate what the search goes by, and that no argument of ``fit`` is the search's own.

    Raises:
        WSVADError: if something is wrong.
    """
    if given.objective.startswith("test"):
        problem = "is measured on test videos, by which no setting may be chosen"
        raise WSVADError("--objective", given.objective, problem, f"Take {OBJECTIVE}")
    if given.objective != OBJECTIVE:
        problem = "is not measured on held-out videos, whose labels alone are known"
        raise WSVADError("--objective", given.objective, problem, f"Take {OBJECTIVE}")
    if not 0 < given.val_fraction < 1:
        problem = "must be between 0 and 1"
        raise WSVADError("--val_fraction", given.val_fraction, problem, "Give such as 0.25")
    for option in by_option(given.arguments):
        argument, value = named(option)
        if own := OWN.get(argument.removeprefix("--")):
            raise WSVADError(argument, value, "is set by the search", f"Give {own}, before --")


def parser_of(command: str) -> ArgumentParser:
    """Make the parser of ``wsvad search``."""
    parser = ArgumentParser(
        prog="wsvad search", description=DESCRIPTION, exit_on_error=False, print_config=None
    )
    several: dict[str, Any] = {"nargs": "+", "metavar": "X"}
    recipe = "recipe; later ones override earlier ones"
    parser.add_argument("--config", action="append", required=True, metavar="X", help=recipe)
    space = "YAML of what varies: a setting on each line, with {low, high, log} or a list of choices"
    parser.add_argument("--space", type=str, required=True, help=space)
    parser.add_argument("--trials", type=PositiveInt, default=40, help="trials, those finished before too")
    parser.add_argument("--seeds", **several, type=int, default=[0, 1, 2], help="seeds to train a trial with")
    held_out = "part of the training videos that is held out, unless the split names videos to validate with"
    parser.add_argument("--val_fraction", type=float, default=0.25, help=held_out)
    objective = "what is maximised: of held-out training videos, never of test videos"
    parser.add_argument("--objective", type=str, default=OBJECTIVE, help=objective)
    parser.add_argument("--output", type=str, default="runs/search", help="folder for trials and results")
    parser.add_argument("--jobs", type=PositiveInt, default=1, help="trials at a time, a process each")
    sweep = "write this file for `wandb sweep` in place of searching"
    parser.add_argument("--sweep", type=str, default=None, metavar="FILE", help=sweep)
    parser.add_argument("--print_config", action="store_true", help="show the recipe and run nothing")
    parser.add_argument("arguments", nargs="*", type=str, help="of `wsvad fit`, after --")
    return parser
