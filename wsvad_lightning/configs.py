"""The shipped configurations, found by name."""

from pathlib import Path

from wsvad_lightning.errors import WSVADError


def config_folder() -> Path:
    """Where the shipped configurations lie: inside an installed package, beside a checked-out one."""
    package = Path(__file__).parent
    installed = package / "_configs"
    return installed if installed.is_dir() else package.parent / "configs"


def find_config(name: str) -> Path:
    """Find a configuration.

    Args:
        name: a file, or a shipped one by its name, such as ``ucf_urdmu.yaml`` or ``with/smoke.yaml``.

    Raises:
        WSVADError: if it is neither.
    """
    if Path(name).is_file():
        return Path(name)
    folder = config_folder()
    shipped = folder / name
    if shipped.is_file():
        return shipped
    names = ", ".join(sorted(str(path.relative_to(folder)) for path in folder.rglob("*.yaml")))
    raise WSVADError("--config", name, "neither a file nor a shipped configuration", f"Shipped are {names}")
