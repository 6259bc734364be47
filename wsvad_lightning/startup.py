"""A quick start: what torchmetrics imports for metrics that nothing here uses is left out.

Lightning imports torchmetrics, and that imports SciPy, Matplotlib and transformers where they are installed,
which takes nearly half of the time that a run needs to start. Its metrics of text and audio, and its plots,
find these packages absent; whoever imports them for themselves is not affected.
"""

from importlib.metadata import PackageNotFoundError, version
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
