"""A quick start, of a command and of the processes that it starts.

What torchmetrics imports for metrics that nothing here uses is left out. Lightning imports torchmetrics, and
that imports SciPy, Matplotlib and transformers where they are installed, which takes nearly half of the time
that a run needs to start. Its metrics of text and audio, and its plots, find these packages absent; whoever
imports them for themselves is not affected.
"""

import sys
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import get_context
from multiprocessing.context import BaseContext
from unittest.mock import patch

from lightning_utilities.core import imports

LEFT_OUT = ("scipy", "matplotlib", "transformers")


def import_torchmetrics() -> None:
    """Import torchmetrics as if the packages were not installed; without effect if it is imported."""
    available = imports.package_available

    def find_version(package: str) -> str:
        if package in LEFT_OUT:
            raise PackageNotFoundError(package)
        return version(package)

    def find_package(package: str) -> bool:
        return package not in LEFT_OUT and available(package)

    with patch.multiple(imports, _version=find_version, package_available=find_package):
        import torchmetrics  # noqa: F401  # for what it leaves out


def separate_processes(module: str) -> BaseContext:
    """Give the context of processes that share no state with this one.

    Args:
        module: that they need; on Linux it is imported once for all of them.
    """
    context = get_context("forkserver" if sys.platform == "linux" else "spawn")
    context.set_forkserver_preload([module])
    return context
