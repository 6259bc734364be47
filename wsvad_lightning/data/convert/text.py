"""Features as text: a line a snippet, numbers separated by blanks, commas, semicolons or tabs."""

import re
from collections.abc import Callable
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wsvad_lightning.data.convert.files import PATH_COLUMNS, SourceFile

TEXT_SUFFIXES = (".txt", ".csv", ".tsv")
COUNTERS = ("", "index", "unnamed: 0", "snippet", "segment", "clip", "frame", "time", "id")  # no channels
NUMBER = re.compile(r"[-+]?(\d+\.?\d*(e[-+]?\d+)?|\.\d+(e[-+]?\d+)?|nan|inf)", re.IGNORECASE)
LONGEST = 1 << 24  # characters of a line that is looked at


class Text(NamedTuple):
    """Numbers in a file of text.

    Attributes:
        read: reads them, ``[T, D]``.
        note: what of the file is left out; empty if nothing is.
    """

    read: Callable[[], NDArray[Any]]
    note: str


def text_of(file: SourceFile) -> Text | None:
    """The numbers of a file, or None if it holds other text.

    There are two or more in its first line, or in the second under a header of as many names. A first column
    that only counts, by its name, is left out.
    """
    with file.open() as opened:
        lines = [opened.readline(LONGEST).removeprefix(b"\xef\xbb\xbf") for _ in range(2)]
    header, row = map(cells_of, lines)
    if len(header) > 1 and all(map(_is_number, header)):
        return Text(partial(_read, file, 0, 0), "")
    names = [cell.strip("\"' ").lower() for cell in header]
    if len(row) < 2 or len(row) != len(header) or not all(map(_is_number, row)) or {*names} & {*PATH_COLUMNS}:
        return None
    counts = names[0] in COUNTERS
    note = "its first line is taken for a header" + (f", its column {header[0]!r} left out" if counts else "")
    return Text(partial(_read, file, 1, int(counts)), note)


def cells_of(line: bytes) -> list[str]:
    """The cells of a line. Where semicolons separate them, a comma is a decimal point."""
    text = line.decode("latin-1").strip("\r\n")
    if ";" in text:
        return [cell.strip().replace(",", ".") for cell in text.rstrip("; ").split(";")]
    if "," in text:
        return [cell.strip() for cell in text.rstrip(", ").split(",")]
    return text.split("\t") if "\t" in text.strip() and text.startswith("\t") else text.split()


def _read(file: SourceFile, skipped_lines: int, skipped_cells: int) -> NDArray[Any]:
    with file.open() as opened:
        lines = islice((line.removeprefix(b"\xef\xbb\xbf") for line in opened), skipped_lines, None)
        rows = [np.array(cells[skipped_cells:], np.float32) for line in lines if (cells := cells_of(line))]
    return np.stack(rows)


def _is_number(cell: str) -> bool:
    """Whether a cell is a number; Python reads 01_0014, a video of ShanghaiTech, as one."""
    return NUMBER.fullmatch(cell) is not None
