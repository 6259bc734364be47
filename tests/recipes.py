"""Shipped recipes as the parser of `wsvad fit` composes them."""

from collections.abc import Collection
from functools import cache

import yaml
from jsonargparse import Namespace

from wsvad_lightning import methods
from wsvad_lightning.configs import config_folder
from wsvad_lightning.runs.parsed import parser_of_fit
from wsvad_lightning.runs.trained import named_methods, peek


@cache
def composed(name: str) -> Namespace:
    """Parse a recipe with everything that it includes; the result is shared, not to be changed."""
    path = config_folder() / name
    pixels = named_methods(peek("fit", ["--config", str(path)])) & {*methods.PIXELS}
    return parser_of_fit(*pixels).parse_args(["--config", str(path)])


def recipes_of(kinds: Collection[str]) -> list[str]:
    """List the shipped recipes of some methods."""
    names = sorted(path.name for path in config_folder().glob("*.yaml"))
    return [name for name in names if class_of(name) in kinds]


@cache
def class_of(name: str) -> str:
    """Name the class of a recipe's method, without the time that it takes to compose it."""
    recipe = yaml.safe_load((config_folder() / name).read_text())
    if "model" not in recipe:
        return class_of(recipe["config"])
    model = recipe["model"]
    if isinstance(model, str):  # a file of the method
        model = yaml.safe_load((config_folder() / model).read_text())
    path: str = model["class_path"]
    by_id = {name.lower(): name for name in (*methods.__all__, *methods.PIXELS)}
    return by_id.get(path, path.rpartition(".")[2])
