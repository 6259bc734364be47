"""Layouts of features that other packages bring: what lies where, and how an array is read."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any, Protocol, get_args

from wsvad_lightning.data.convert.arrays import Array, Numbers
from wsvad_lightning.data.convert.files import SourceFile
from wsvad_lightning.data.convert.layouts import LAYOUTS, Layout, LayoutName
from wsvad_lightning.data.convert.source import Item, Source
from wsvad_lightning.errors import WSVADError, did_you_mean
from wsvad_lightning.plugins import load_plugin, origin_of, plugins

GROUP = "wsvad.layouts"
STATED = Layout(crop_axis=1, stated=True)


class PluginLayout(Protocol):
    """What a package gives by an entry point of the group ``wsvad.layouts``: a class of one's own.

    It is made once a conversion, without arguments.
    """

    def find(self, source: Path) -> Iterable[tuple[str, str, Path]]:
        """Give video, stream and file of each array of a source; one stream is ``features``."""
        ...

    def read(self, file: Path, stream: str) -> Numbers:
        """Read an array as ``[T, D]``, or with N crops as ``[T, N, D]``."""
        ...


def layout_of(name: str) -> Layout:
    """Give a layout of the suite, or that of all plug-ins, which state their axes."""
    return LAYOUTS.get(name, STATED)


def is_plugin(name: str) -> bool:
    """Whether a layout is a plug-in's.

    Raises:
        WSVADError: if there is no layout of that name.
    """
    if name in get_args(LayoutName):
        return False
    if name not in plugins(GROUP):
        known = [*get_args(LayoutName), *plugins(GROUP)]
        raise WSVADError("--from", name, f"must be one of {', '.join(known)}", did_you_mean(name, known))
    return True


def open_plugin(name: str, source: Path) -> tuple[Source, str]:
    """Find the arrays of a source by a plug-in, which the user has named.

    Returns:
        The source, and the package with its version.

    Raises:
        WSVADError: if the plug-in cannot be imported, or fails.
    """
    entry = plugins(GROUP)[name]
    make, origin = load_plugin(entry, "--from"), origin_of(entry)
    try:
        layout: PluginLayout = make()
        found = [_item(layout, *given) for given in layout.find(source)]
    except Exception as error:  # of a package that we do not know
        problem = f"{origin} cannot list the arrays of {source} ({_said(error)})"
        raise WSVADError("--from", name, problem, "Give a source of this layout, or repair it") from error
    return Source(found), f"of {origin}"


def _item(layout: PluginLayout, video: str, stream: str, file: Path) -> Item:
    read = partial(_read, layout, file, stream)
    return Item(
        SourceFile(Path(file)), Array(file.name, None, read, stream), str(video), str(stream), None, None
    )


def _read(layout: PluginLayout, file: Path, stream: str) -> Any:
    """Read an array.

    Raises:
        WSVADError: if the plug-in fails; the conversion then goes on with the next video.
    """
    try:
        return layout.read(file, stream)
    except Exception as error:
        problem = f"{file.name} cannot be read ({_said(error)})"
        raise WSVADError("source", file, problem, "Repair the file, or the plug-in") from error


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:100]}"
