"""Shipped recipes as the parser of `wsvad fit` composes them."""

from collections.abc import Collection
from functools import cache

from jsonargparse import Namespace

from wsvad_lightning import methods
from wsvad_lightning.configs import config_folder, included_by
from wsvad_lightning.runs.parsed import parser_of_fit
from wsvad_lightning.runs.trained import named_methods, peek


@cache
def composed(name: str) -> Namespace:
    """Parse a recipe with everything that it includes; the result is shared, not to be changed."""
    pixels = [class_of(name)] if class_of(name) in methods.PIXELS else []
    return parser_of_fit(*pixels).parse_args(["--config", str(config_folder() / name)])


def recipes_of(kinds: Collection[str]) -> list[str]:
    """List the shipped recipes of some methods."""
    names = sorted(path.name for path in config_folder().glob("*.yaml"))
    return [name for name in names if class_of(name) in kinds]


def includes_another(name: str) -> bool:
    """Whether a recipe includes another one, so that it differs from that in values."""
    return any(included_by(config_folder() / name))


@cache
def class_of(name: str) -> str:
    """Name the class of a recipe's method, without the time that it takes to compose it."""
    *_, named = named_methods(peek("fit", ["--config", str(config_folder() / name)]))
    return named.rpartition(".")[2]
