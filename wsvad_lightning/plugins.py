"""Methods, backbones and layouts of features of other packages, which these announce by entry points.

Installing a package is the user's decision, and naming one of its plug-ins is another: nothing is imported
before, and never because a checkpoint or a store names it. The names of the suite's own come first.
"""

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

from wsvad_lightning.errors import WSVADError

Group = Literal["wsvad.methods", "wsvad.backbones", "wsvad.layouts"]


@cache
def plugins(group: Group) -> dict[str, EntryPoint]:
    """List what installed packages announce, by name; nothing is imported."""
    return {entry.name: entry for entry in entry_points(group=group)}


def path_of(entry: EntryPoint) -> str:
    """Give the import path of what an entry point means, such as ``package.module.Class``."""
    return entry.value.replace(":", ".")


def load_plugin(entry: EntryPoint, argument: str) -> Any:
    """Import what an entry point means; only for one that the user has named.

    Args:
        entry: of :func:`plugins`.
        argument: by which it was named, for messages.

    Raises:
        WSVADError: if it cannot be imported.
    """
    try:
        return entry.load()
    except Exception as error:  # of a package that we do not know
        package = entry.dist.name if entry.dist is not None else "an installed package"
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:100]}"
        problem = f"{path_of(entry)} of {package} cannot be imported ({reason})"
        raise WSVADError(argument, entry.name, problem, "Repair or remove that package") from error


def origin_of(entry: EntryPoint) -> str:
    """Name what a plug-in comes from, with its version."""
    return path_of(entry) if entry.dist is None else f"{entry.dist.name} {entry.dist.version}"
