"""The command, as a user gives it."""

import csv
import os
import signal
import sys
from pathlib import Path

from jsonargparse import auto_cli

from wsvad_lightning.data.convert import command
from wsvad_lightning.data.store import FeatureStore


def run(*args: str) -> int:
    """Give the exit status; a mistake is raised."""
    status: int = auto_cli(command.convert, args=list(args), exit_on_error=False)
    return status


def convert(source: Path, output: Path, *args: str, from_: str = "auto", status: int = 0) -> FeatureStore:
    """Convert, and open the store."""
    assert run(str(source), "--output", str(output), "--from", from_, *args) == status
    return FeatureStore(output)


def reasons(store: Path) -> list[dict[str, str]]:
    """The rows of the report."""
    with Path(f"{store}.report.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def convert_until(source: Path, output: Path, count: int) -> None:
    """Convert, and be killed when so many videos have been written."""
    left = [count]

    def kill(event: str, arguments: tuple[object, ...]) -> None:
        if event == "os.rename" and str(output) in str(arguments):
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(kill)
    convert(source, output)
