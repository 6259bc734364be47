"""The shipped configurations, found by name, and what a configuration includes."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from wsvad_lightning.errors import WSVADError, did_you_mean


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
        path: the configuration; nothing is listed of one that cannot be read, which its parser explains.
        above: those that include it, which are not listed again.

    Raises:
        WSVADError: if a file is missing.
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
    """Read the mapping that a configuration holds; an empty one where it holds none or cannot be read.

    Raises:
        WSVADError: if it is nested so deeply that a reader in C would crash, or holds a NUL character.
    """
    try:
        text = path.read_text("utf-8")
        config = yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    except RecursionError:
        raise WSVADError("--config", path, "is nested too deeply", "Correct the file") from None
    escaped = yaml.parse(text, yaml.SafeLoader) if "\\" in text else ()  # YAML has NUL in no other way
    if any("\0" in getattr(event, "value", "") for event in escaped):
        raise WSVADError("--config", path, "holds a NUL character", "No path or name has one")
    return config if isinstance(config, dict) else {}
