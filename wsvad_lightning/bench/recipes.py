"""The recipe that each method of a comparison is trained by, composed by the parser of ``wsvad fit``.

Later parts override earlier ones: data and trainer of the comparison; the method's ``model/<id>.yaml``; what
differs on small data, ``bench/<id>.yaml``, where there is one; the arguments of ``fit`` for all methods.
"""

import re
from collections.abc import Container, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import Namespace

from wsvad_lightning.configs import config_folder, find_config
from wsvad_lightning.data.loading.datamodule import WSVADDataModule
from wsvad_lightning.errors import WSVADError, did_you_mean
from wsvad_lightning.methods import PIXELS
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.parsing import explained
from wsvad_lightning.plugins import plugins
from wsvad_lightning.runs.parsed import parser_of_fit
from wsvad_lightning.runs.trained import data_class_of, import_from_here, named_methods, peek

CHECKPOINTS = {"last": "last.ckpt", "best-on-val": "best.ckpt"}  # files of a run
VALIDATIONS = 10  # of a training that best-on-val chooses from
OWN = {  # what differs between the runs of a comparison, and the option of `bench` that sets it
    "data.store": "--stores",
    "data.split": "--splits",
    "data.split_index": "--splits",
    "data.val_fraction": "--val_fraction",
    "seed_everything": "--seeds",
    "output": "--output",
    "name": "--output",
    "ckpt_path": "--output",
}
START = ("init_from", "init_part")  # what trainings start from
OF_PIXELS = {name.lower() for name in PIXELS}
NOWHERE = "store.h5"  # the parser requires a store; nothing opens it


class NoMethod(WSVADModule):
    """Takes the place of a recipe's own model, so that no setting of that is left for the next one."""

    def __init__(self, feature_dim: int = 1) -> None:
        super().__init__(feature_dim)


Recipes = dict[tuple[str, str], Namespace]  # by selection and method


def find_methods(names: Sequence[str]) -> dict[str, list[str]]:
    """Find methods.

    Args:
        names: ids of shipped methods, ``all`` of these that score features, ids of plug-ins, or files with a
            ``model``.

    Returns:
        The arguments of ``fit`` that choose each method, by its id or the file's name.

    Raises:
        WSVADError: if the method does not exist, or two have the same name.
    """
    folder = config_folder()
    shipped = {path.stem: ["--model", str(path)] for path in sorted((folder / "model").glob("*.yaml"))}
    for method, arguments in shipped.items():
        if (overlay := folder / "bench" / f"{method}.yaml").is_file():
            arguments += ["--config", str(overlay)]
    of_features = [name for name in shipped if name not in OF_PIXELS]
    found: dict[str, list[str]] = {}
    for name in chain.from_iterable(of_features if name == "all" else [name] for name in names):
        plugin = name not in shipped and name in plugins("wsvad.methods")
        if name not in shipped and not plugin and Path(name).suffix != ".yaml":
            known = ["all", *of_features, *plugins("wsvad.methods")]
            remedy = f"{did_you_mean(name, known)}Give some of {', '.join(known)}, or a file"
            raise WSVADError("--methods", name, "no such method", remedy)
        own = ["--model", name] if plugin else shipped.get(name) or ["--config", str(find_config(name))]
        if found.setdefault(Path(name).stem, own) != own:
            raise WSVADError("--methods", name, "another method has this name", "Rename the file")
    return found


def compose(
    methods: Mapping[str, Sequence[str]],
    configs: Sequence[str],
    selections: Sequence[str],
    arguments: Sequence[str],
) -> Recipes:
    """Parse the recipe of each method and selection.

    Args:
        methods: see :func:`find_methods`.
        configs: recipes whose data and trainer are used.
        selections: some of :data:`CHECKPOINTS`.
        arguments: of ``fit``, for all methods; ``--model.X`` is for those that have a setting X.

    Raises:
        WSVADError: if something does not parse, a configuration is missing, a method scores no features, no
            method has a setting, or a setting differs between runs.
    """
    check_arguments(arguments)
    parser = parser_of_fit()
    recipes, settings = Recipes(), set[str]()
    for selection in selections:
        best = [find_config("with/best_on_val.yaml")] if selection == "best-on-val" else []
        shared = [arg for path in [*best, *map(find_config, configs)] for arg in ("--config", str(path))]
        no_method = ["--model", f"{NoMethod.__module__}.{NoMethod.__name__}"]
        for method, own in methods.items():
            import_from_here(named_methods(peek("fit", own)))
            require_scores(method, own)
            with explained(parser):
                recipe = parser.parse_args([*shared, *no_method, *own, "--data.store", NOWHERE])
                settings |= (known := recipe.model.init_args.as_dict().keys())
                more = share_of(arguments, known)
                if best:  # of as many steps as the arguments leave
                    more = [*look_often(parser.parse_args(more, namespace=recipe.clone())), *more]
                recipes[selection, method] = parser.parse_args(more, namespace=recipe)
    for option in by_option(arguments):
        if (name := setting_of(option)) and name not in settings:
            problem = "none of the methods has this setting"
            raise WSVADError(*named(option), problem, f"They have {', '.join(sorted(settings))}")
    return recipes


def require_scores(method: str, own: Sequence[str]) -> None:
    """Refuse a method that scores no features, such as a pre-training; its data would not parse.

    Args:
        method: its name.
        own: the arguments of ``fit`` that choose it.

    Raises:
        WSVADError: if it is one.
    """
    if method in OF_PIXELS or data_class_of(peek("fit", own), {}) is not WSVADDataModule:
        problem = "is trained on clips of pixels and scores no features"
        raise WSVADError("--methods", method, problem, "Train it by `wsvad fit`, and leave it out here")


def check_arguments(arguments: Sequence[str]) -> None:
    """Refuse arguments that set what differs between the runs of a comparison.

    Raises:
        WSVADError: if there is one.
    """
    for option in by_option(arguments):
        argument, value = named(option)
        if own := OWN.get(argument.removeprefix("--")):
            problem = "differs between the runs of a comparison"
            raise WSVADError(argument, value, problem, f"Give {own}, before --")


def look_often(recipe: Namespace) -> list[str]:
    """Validate ten times in a training of as many steps as the recipe has."""
    steps = recipe.trainer.max_steps
    return ["--trainer.val_check_interval", str(max(1, steps // VALIDATIONS))] if steps > 0 else []


def share_of(arguments: Sequence[str], settings: Container[str]) -> list[str]:
    """Leave out each ``--model.X``, and its value, where the method has no setting X."""
    options = [own for own in by_option(arguments) if not (name := setting_of(own)) or name in settings]
    return list(chain.from_iterable(options))


def by_option(arguments: Sequence[str]) -> list[list[str]]:
    """Put every option together with its values."""
    options: list[list[str]] = []
    for arg in arguments:
        if arg.startswith("--") or not options:
            options.append([])
        options[-1].append(arg)
    return options


def named(option: Sequence[str]) -> tuple[str, str]:
    """Give the name of an option and its value."""
    name, _, value = " ".join(option).replace("=", " ", 1).partition(" ")
    return name, value


def setting_of(option: Sequence[str]) -> str:
    """Name the setting of a method that an option gives; empty if it gives none."""
    found = re.match(r"--model\.(?:init_args\.)?(\w+)", option[0])
    return found[1] if found else ""


def as_text(recipe: Namespace, *, logger: bool = True, without: Container[str] = OWN) -> str:
    """Write a recipe as YAML.

    Args:
        recipe: of a method.
        logger: whether to write where runs are logged, on which no result depends.
        without: settings to leave out, by default what differs between the runs of a comparison.
    """
    values = yaml.safe_load(parser_of_fit().dump(recipe, skip_unset=False))
    parts: dict[str, Any] = {
        part: {name: value for name, value in values[part].items() if f"{part}.{name}" not in without}
        for part in ("model", "data", "trainer")
    }
    parts |= {name: values[name] for name in START if values.get(name) is not None}
    if not logger:
        parts["trainer"]["logger"] = None
    return yaml.safe_dump(parts, sort_keys=False)
