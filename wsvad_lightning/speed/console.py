"""Where the tables of benchmarks are printed."""

import sys

from rich.console import Console

FILE_WIDTH = 160  # columns of a table that no terminal shows


def open_console() -> Console:
    """Open standard output, wide enough for every column of a table where it is a file or a pipe."""
    return Console(width=None if sys.stdout.isatty() else FILE_WIDTH)
