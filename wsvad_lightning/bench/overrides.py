"""Arguments of ``wsvad fit`` for all methods of a comparison: each takes the settings that it has."""

import re
from collections.abc import Sequence
from functools import cache
from pydoc import locate

import yaml
from jsonargparse import ArgumentParser

from wsvad_lightning import methods
from wsvad_lightning.errors import WSVADError


def share_of(recipe: str, overrides: Sequence[str]) -> list[str]:
    """Leave out of the overrides each ``--model.X`` where the recipe's method has no X."""
    return [
        arg
        for option in by_option(overrides)
        if not (name := setting_of(option)) or name in settings_of(recipe)
        for arg in option
    ]


def check_settings(overrides: Sequence[str], recipes: Sequence[str]) -> None:
    """Make sure that every ``--model.X`` is for some method.

    Raises:
        WSVADError: if none has an X.
    """
    for option in by_option(overrides):
        name = setting_of(option)
        if name and not any(name in settings_of(recipe) for recipe in recipes):
            known = sorted({setting for recipe in recipes for setting in settings_of(recipe)})
            argument, _, value = " ".join(option).replace("=", " ", 1).partition(" ")
            problem = "none of the methods has this setting"
            raise WSVADError(argument, value, problem, f"They have {', '.join(known)}")


def by_option(args: Sequence[str]) -> list[list[str]]:
    """Put every option together with its values."""
    options: list[list[str]] = []
    for arg in args:
        if arg.startswith("--"):
            options.append([])
        options[-1].append(arg)
    return options


def setting_of(option: Sequence[str]) -> str:
    """Name the setting of a method that an option gives; empty if it gives none."""
    found = re.match(r"--model\.(?:init_args\.)?(\w+)", option[0])
    return found[1] if found else ""


@cache
def settings_of(recipe: str) -> frozenset[str]:
    """Name the settings of a recipe's method; none if there is no such method, which the parser tells."""
    model = yaml.safe_load(recipe).get("model")
    path = str(model.get("class_path") if isinstance(model, dict) else model)
    kind = getattr(methods, path, None) or locate(path)
    return frozenset(ArgumentParser().add_class_arguments(kind) if isinstance(kind, type) else ())
