"""The shipped configurations, found by name."""

from pathlib import Path

from wsvad_lightning.errors import WSVADError, did_you_mean


def config_folder() -> Path:
    """The folder of the shipped configurations: inside an installed package, next to a checked-out one."""
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
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*.yaml")]
    problem = "is neither a file nor a shipped configuration"
    raise WSVADError(
        "--config", name, problem, did_you_mean(name, names) or f"The shipped ones are in {folder}"
    )
