"""The shipped configurations, found by name, and what a configuration includes."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import get_loader

from wsvad_lightning.errors import WSVADError, did_you_mean

_load = get_loader("yaml")  # of jsonargparse


def load_yaml(text: str) -> Any:
    """Read YAML as the parsers do: what looks like a date is text.

    Raises:
        yaml.YAMLError: if it is not YAML, or a value is not of its type, such as ``0b_`` or ``!!bool maybe``.
    """
    try:
        return _load(text)
    except (RecursionError, yaml.YAMLError):
        raise
    except Exception as error:  # the value of a tag can raise any error in the reader
        raise yaml.YAMLError(f"a value is not of its type ({error})") from error


def config_folder() -> Path:
    """The folder of the shipped configurations: inside an installed package, next to a checked-out one."""
    package = Path(__file__).parent
    installed = package / "_configs"
    return installed if installed.is_dir() else package.parent / "configs"


def find_config(name: str) -> Path:
    """Find a configuration.

    Args:
        name: a file, or a shipped one by its name, such as ``ucf_urdmu.yaml``, ``with/smoke.yaml`` or
            ``model/urdmu.yaml``.

    Raises:
        WSVADError: if it is neither.
    """
    if Path(name).is_file():
        return Path(name)
    folder = config_folder()
    for shipped in (folder / name, folder / re.sub("^method/", "model/", name)):  # as it was called before
        if shipped.is_file():
            return shipped
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*.yaml")]
    problem = "is neither a file nor a shipped configuration"
    raise WSVADError(
        "--config", name, problem, did_you_mean(name, names) or f"The shipped ones are in {folder}"
    )


def included_by(path: Path, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """List the configurations that one includes by ``config``, in the order in which they hold.

    A value is a file relative to the configuration, or a list of such; what they include precedes them.

    Args:
        path: the configuration.
        above: those that include it, which are not listed again.

    Raises:
        WSVADError: if a file is missing, or is no configuration.
    """
    config = read_config(path)
    named = config.get("config")
    for name in named if isinstance(named, list) else [named]:
        inner = path.parent / str(name)
        if name is None or inner in (*above, path):
            continue
        if not inner.is_file():
            raise WSVADError(
                "--config", path, f"includes {name}, which is not a file", "Name one relative to it"
            )
        yield from included_by(inner, (*above, path))
        yield inner


def read_config(path: Path) -> dict[str, Any]:
    """Read the mapping that a configuration holds; an empty one where there is no file.

    Raises:
        WSVADError: if it is not UTF-8 text or not YAML, holds no mapping or a NUL character, or is nested so
            deeply that a reader in C would crash.
    """
    try:
        text = path.read_text("utf-8")
    except OSError:
        return {}
    except UnicodeDecodeError:
        raise WSVADError("--config", path, "is not UTF-8 text", "Save it as UTF-8") from None
    try:
        yaml.compose(text, yaml.SafeLoader)  # written in Python, which counts how deep it is
        config = load_yaml(text)
    except yaml.MarkedYAMLError as error:
        where = error.problem_mark or error.context_mark
        place = f" in line {where.line + 1}, column {where.column + 1}" if where else ""
        problem = f"is not YAML: {' '.join(filter(None, (error.context, error.problem)))}{place}"
        raise WSVADError("--config", path, problem, "Correct the file") from None
    except (yaml.YAMLError, OverflowError) as error:  # the latter of the number of a character
        raise WSVADError("--config", path, f"is not YAML: {error}", "Correct the file") from None
    except RecursionError:
        raise WSVADError("--config", path, "is nested too deeply", "Correct the file") from None
    escaped = yaml.parse(text, yaml.SafeLoader) if "\\" in text else ()  # YAML has NUL in no other way
    if any("\0" in getattr(event, "value", "") for event in escaped):
        raise WSVADError("--config", path, "holds a NUL character", "No path or name has one")
    if not isinstance(config, dict):
        raise WSVADError("--config", path, "holds no mapping", "Write a line SETTING: VALUE for each setting")
    return config
