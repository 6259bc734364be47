"""A quick start: what torchmetrics imports for metrics that nothing here uses is left out.

Lightning imports torchmetrics, and that imports SciPy, Matplotlib and transformers where they are installed,
which takes nearly half of the time that a run needs to start. Its metrics of text and audio, and its plots,
find these packages absent; whoever imports them for themselves is not affected.
"""

from importlib.metadata import PackageNotFoundError

from lightning_utilities.core import imports

LEFT_OUT = ("scipy", "matplotlib", "transformers")


def import_torchmetrics() -> None:
    """Import torchmetrics as if the packages were not installed; without effect if it is imported."""
    version, available = imports._version, imports.package_available

    def find_version(package: str) -> str:
        if package in LEFT_OUT:
            raise PackageNotFoundError(package)
        return version(package)

    imports._version = find_version
    imports.package_available = lambda package: package not in LEFT_OUT and available(package)
    try:
        import torchmetrics  # noqa: F401  # for what it leaves out
    finally:
        imports._version, imports.package_available = version, available
