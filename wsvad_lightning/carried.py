"""The configuration that a checkpoint carries: its method, data and seed, as YAML text.

A checkpoint may come from a stranger, so this text is data. Nothing that it names is imported, made or
written to. Its method must be one of the suite's, or one that the user also names. Of the settings of method
and data, only those whose type is plain data are used. An optimizer, a trainer or a folder to write to never
comes from it.
"""

import inspect
from collections.abc import Collection, Mapping
from pydoc import ErrorDuringImport, locate
from typing import Any, Literal, get_args, get_origin, get_type_hints

import yaml
from lightning.pytorch.utilities import rank_zero_info

from wsvad_lightning import methods
from wsvad_lightning.checkpoint import fits, is_plain
from wsvad_lightning.data.loading.datamodule import WSVADDataModule
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.methods.base.training import TrainingModule
from wsvad_lightning.plugins import path_of, plugins

IDS = {name.lower(): name for name in sorted((*methods.__all__, *methods.PIXELS), key=str.lower)}

LARGEST = 1_000_000  # characters of a configuration; ours have some thousand
DEEPEST = 20  # levels of a configuration; ours have four
WRITTEN = ("cache_dir",)  # settings of the data that name a place to write to
LINKED = ("feature_dim", "seed")  # settings that follow from others
SHOWN = 60  # characters of a stranger's text that a message repeats
NAMED = 8  # entries that a message names

FOREIGN = "Give a file that `wsvad fit` wrote"

Settings = dict[str, Any]


class _NoAliases(yaml.SafeDumper):
    """Writes equal values out each time: what is read back has no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def write_carried(config: Mapping[str, Any], kind: type[TrainingModule]) -> str:
    """Give the text that a checkpoint carries: what :func:`read_carried` takes of a configuration.

    Args:
        config: of a run, in plain values.
        kind: its method.
    """
    model = {**config["model"], "init_args": own_settings(config["model"]["init_args"], kind)}
    carried = {"seed_everything": config.get("seed_everything"), "model": model}
    if "data" in config:
        carried["data"] = own_settings(config["data"], kind.data_class())
    return yaml.dump(carried, Dumper=_NoAliases)


def read_carried(text: object, path: str, trusted: Collection[str]) -> Settings:
    """Read the configuration that a checkpoint carries; settings that are not used are named in a note.

    Args:
        text: as the checkpoint has it.
        path: of the checkpoint, for messages.
        trusted: ids and class paths of methods that the user has named.

    Returns:
        Defaults for the parser: ``seed_everything``, ``model`` and ``data.<setting>``, where there are any.

    Raises:
        WSVADError: if it is not a YAML mapping of plain values, or names a method that is neither the suite's
            nor trusted, or an unknown setting.
    """
    config = _read_mapping(text, path)
    own = ("seed_everything", "model", "data")
    ignored = [key for key, value in config.items() if key not in own and value]
    defaults: Settings = {}
    try:
        if (seed := _read_seed(config)) is not None:
            defaults["seed_everything"] = seed
        data_class: type = WSVADDataModule
        if config.get("model") is not None:
            class_path, settings = _read_model(config["model"], trusted)
            kind = named_class(class_path)
            model, left = _read_settings("model.init_args", settings, kind)
            defaults["model"] = {"class_path": class_path, "init_args": model}
            ignored += left
            data_class = kind.data_class()
        if config.get("data") is not None:
            data, left = _read_settings("data", config["data"], data_class)
            defaults |= {f"data.{name}": value for name, value in data.items()}
            ignored += left
    except _RefusedError as refused:
        problem, remedy = refused.args
        raise WSVADError("--ckpt_path", path, problem, remedy) from None
    if ignored:
        rank_zero_info(f"note: not taken from the checkpoint: {_listed(ignored)}")
    return defaults


def carried_seed(text: object, path: str) -> int | bool | None:
    """Read the seed of a training off the configuration that its checkpoint carries; None if there is none.

    Args:
        text: as for :func:`read_carried`.
        path: as for :func:`read_carried`.

    Raises:
        WSVADError: if it is not a YAML mapping of plain values, or the seed is no number.
    """
    try:
        return _read_seed(_read_mapping(text, path))
    except _RefusedError as refused:
        problem, remedy = refused.args
        raise WSVADError("--ckpt_path", path, problem, remedy) from None


def own_settings(settings: Mapping[str, Any], kind: type) -> Settings:
    """Give those settings of a method or of the data that a checkpoint may carry."""
    hints = constructor(kind)
    left_out = {*WRITTEN, *LINKED}
    return {
        name: value
        for name, value in settings.items()
        if name not in left_out and name in hints and is_plain(hints[name])
    }


def constructor(kind: type) -> dict[str, Any]:
    """Give the type of every setting that a class takes, those included that it hands on to its base."""
    settings: dict[str, Any] = {}
    for base in kind.__mro__:
        if "__init__" not in vars(base):
            continue
        made_by = vars(base)["__init__"]
        parameters = list(inspect.signature(made_by).parameters.values())[1:]
        hints = get_type_hints(made_by)
        named = [one for one in parameters if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]
        settings = {one.name: hints.get(one.name, Any) for one in named} | settings
        if len(named) == len(parameters):
            break
    return settings


def known_methods() -> dict[str, str]:
    """List methods by id: classes of the suite, and import paths of plug-ins, which are not imported."""
    return {name: path_of(entry) for name, entry in plugins("wsvad.methods").items()} | IDS


def class_path_of(name: str) -> str:
    """Give the class that an id means: one of the suite's, a plug-in's, or else the name as it is."""
    return known_methods().get(name, name)


def named_class(class_path: str) -> type[TrainingModule]:
    """Import a method; for ids and paths that the user has named.

    Raises:
        WSVADError: if there is none of this path, or its module fails.
    """
    kind = located(class_path)
    if kind is None:
        raise WSVADError(
            "--model", class_path, "is not a method", "Give its id or the import path of its class"
        )
    return kind


def located(class_path: str) -> type[TrainingModule] | None:
    """Import a method, as :func:`named_class` does; None if there is none of this path.

    Raises:
        WSVADError: if its module fails.
    """
    path = class_path_of(class_path)
    try:
        kind = suite().get(path) or locate(path)
    except ErrorDuringImport as error:
        problem = f"cannot be imported ({type(error.value).__name__}: {error.value})"
        raise WSVADError("--model", class_path, problem, "Repair its module; --debug shows where") from error
    return kind if isinstance(kind, type) and issubclass(kind, TrainingModule) else None


def suite() -> dict[str, type[TrainingModule]]:
    """List the suite's methods by every path that names one."""
    package = methods.__name__
    found: dict[str, type[TrainingModule]] = {}
    for name in (*methods.__all__, *methods.PIXELS):
        kind = getattr(methods, name)
        found |= dict.fromkeys((name, f"{package}.{name}", f"{kind.__module__}.{name}"), kind)
    return found


class _RefusedError(ValueError):
    """What is wrong with a configuration, and the remedy."""


def _read_mapping(text: object, path: str) -> Settings:
    """Read YAML text of plain tags; aliases, which can expand to any number of values, are refused."""
    problem = None
    config: Any = None
    if not isinstance(text, str):
        problem = f"carries its configuration as {type(text).__name__}, not as text"
    elif len(text) > LARGEST:
        problem = f"carries a configuration of {len(text)} characters, more than any has"
    else:
        try:
            problem = _find_trick(text)
            config = yaml.safe_load(text) if problem is None else None
        except Exception:  # the value of a tag can raise any error in the reader
            problem = "carries a configuration that cannot be read"
    if problem is None and not isinstance(config, dict):
        problem = "carries a configuration that is not a mapping"
    if problem is not None:
        raise WSVADError("--ckpt_path", path, problem, FOREIGN)
    return dict(config)


def _find_trick(text: str) -> str | None:
    """Find what would make a short text take long to read, before it is read."""
    depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        if getattr(event, "anchor", None):
            return "carries a configuration with aliases"
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            return f"carries a configuration more than {DEEPEST} levels deep"
    return None


def _read_seed(config: Settings) -> int | bool | None:
    seed: int | bool | None = config.get("seed_everything")
    if seed is not None:
        _require_plain("seed_everything", seed)
        _require_type("seed_everything", seed, int | bool)
    return seed


def _read_model(model: object, trusted: Collection[str]) -> tuple[str, object]:
    """Read which method it is; give its class path, and its settings unread. Nothing is imported."""
    given = {"class_path": model} if isinstance(model, str) else _mapping("model", model)
    if foreign := given.keys() - {"class_path", "init_args"}:
        raise _RefusedError(
            f"carries {_listed([f'model.{name}' for name in foreign])}, no entry of ours", FOREIGN
        )
    if not isinstance(given.get("class_path"), str):
        raise _RefusedError("carries no model.class_path", FOREIGN)
    class_path = class_path_of(given["class_path"])
    if class_path not in suite() and class_path not in map(class_path_of, trusted):
        path = _shown(given["class_path"])
        remedy = f"Add --model {path} if you trust it"
        raise _RefusedError(f"carries the method '{path}', which is not one of the suite's", remedy)
    return class_path, given.get("init_args") or {}


def _read_settings(where: str, settings: object, kind: type) -> tuple[Settings, list[str]]:
    """Give the settings that a checkpoint may carry, and the names of the others that have a value."""
    given, hints = _mapping(where, settings), constructor(kind)
    own = own_settings(given, kind)
    for name in given:
        if name not in hints:
            raise _RefusedError(
                f"carries {_shown(f'{where}.{name}')}, which {kind.__name__} does not take", FOREIGN
            )
    for name, value in given.items():
        if name in own or name in LINKED:
            _require_plain(f"{where}.{name}", value)
        if name in own:  # the parser lets any text pass that is a default
            _require_type(f"{where}.{name}", value, hints[name])
    ignored = {name for name, value in given.items() if value is not None} - own.keys() - {*LINKED}
    return own, [f"{where}.{name}" for name in given if name in ignored]


def _mapping(where: str, value: object) -> Settings:
    if not isinstance(value, dict):
        raise _RefusedError(f"carries {where} as {type(value).__name__}, not as a mapping", FOREIGN)
    return value


def _require_plain(where: str, value: object) -> None:
    """Refuse what names a class, and anything but texts, numbers, lists and mappings."""
    inside: Collection[object] = ()
    if isinstance(value, dict):
        if "class_path" in value:
            raise _RefusedError(f"carries a class in {_shown(where)}", "Settings are plain values")
        inside = value.values()
    elif isinstance(value, list | tuple):
        inside = value
    elif isinstance(value, str) and "\0" in value:
        raise _RefusedError(f"carries a NUL character in {_shown(where)}", "No path or name has one")
    elif value is not None and not isinstance(value, str | int | float):
        raise _RefusedError(f"carries {_shown(where)} as {type(value).__name__}", "Settings are plain values")
    for item in inside:
        _require_plain(where, item)


def _require_type(where: str, value: object, hint: Any) -> None:
    if not fits(value, hint):
        choices = ", ".join(map(str, get_args(hint))) if get_origin(hint) is Literal else ""
        kind = hint.__name__ if isinstance(hint, type) else str(hint)
        expected = f"one of {choices}" if choices else kind
        raise _RefusedError(f"carries {_shown(where)}={_shown(value)}, which must be {expected}", FOREIGN)


def _shown(text: object) -> str:
    """Show a stranger's text without what would move a terminal's cursor, and not all of a long one."""
    shown = repr(str(text))[1:-1]
    return shown if len(shown) <= SHOWN else shown[:SHOWN] + "…"


def _listed(names: Collection[object]) -> str:
    shown = [_shown(name) for name in list(names)[:NAMED]]
    return ", ".join(shown) + (", …" if len(names) > NAMED else "")
