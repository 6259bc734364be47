"""Shipped recipes as the parser of `wsvad fit` composes them."""

from functools import cache

from jsonargparse import Namespace

from wsvad_lightning.configs import config_folder
from wsvad_lightning.runs.parsed import parser_of_fit


@cache
def composed(name: str) -> Namespace:
    """Parse a recipe with everything that it includes; the result is shared, not to be changed."""
    return parser_of_fit().parse_args(["--config", str(config_folder() / name)])


def class_of(name: str) -> str:
    """Name the class of a recipe's method."""
    path: str = composed(name).model.class_path
    return path.rpartition(".")[2]
