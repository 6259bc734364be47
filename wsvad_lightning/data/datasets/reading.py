"""Texts and tables as people save them: in several encodings, with several separators, with comments."""

import codecs
import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from wsvad_lightning.data.datasets.labels import folded
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.files import cell_of

SHIPPED = Path(__file__).parent / "tables"
MARKS = {  # at the start of a file; the longer ones first
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
NAMES = {"cp1252": "Windows-1252", "utf-16-le": "UTF-16", "utf-16-be": "UTF-16"}  # that no mark states
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f]")  # no text has any
SEPARATORS = ",;\t|"
FILES = ("file", "file name", "filename", "path")
ALIASES = {  # other names of a column that a table must have, where it has none of that name
    "video": (
        "videos",
        "video id",
        "video name",
        "video file",
        "video path",
        "clip",
        "clip name",
        "name",
        *FILES,
    ),
    "label": ("labels", "video label", "is anomaly", "is abnormal", "anomaly", "abnormal", "anomalous"),
}


class Row(NamedTuple):
    """A row of a table: the line it begins in, and its cells by column."""

    line: int
    cells: dict[str, str]


def read_text(path: Path, argument: str, notes: list[str]) -> str:
    """Read a text in UTF-8, UTF-16, UTF-32 or Windows-1252.

    Windows-1252 has a letter for nearly every byte. A text is taken for it only where letters outside of
    ASCII come singly or in pairs, as in western languages: in other languages the words would be garbled.

    Args:
        path: the file.
        argument: what the user gave it as, for the message.
        notes: takes a line where the encoding had to be inferred.

    Raises:
        WSVADError: if the file cannot be read, or is not such a text.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WSVADError(
            argument, path, f"cannot be read: {error.strerror}", "Give a readable file"
        ) from None
    encoding = next((name for mark, name in MARKS.items() if content.startswith(mark)), _unmarked(content))
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        text = "\0"
    garbled = encoding == "cp1252" and re.search(r"[^\x00-\x7f]{3}", text)
    if garbled or CONTROL.search(text):
        problem = "cannot be read: it is not UTF-8 text, nor UTF-16 or Windows-1252"
        raise WSVADError(argument, path, problem, "Save it as UTF-8")
    if encoding in NAMES:
        words = re.findall(r"\w*[^\x00-\x7f]\w*", text)
        such = f", such as {words[0]}" if words else ""
        notes.append(f"{path} is not UTF-8 and was read as {NAMES[encoding]}{such}")
    return text


def read_rows(
    path: str | Path, argument: str, required: Sequence[str], notes: list[str] | None = None
) -> list[Row]:
    """Read a table with a header, separated by commas, semicolons, tabs or bars.

    Lines that begin with ``#`` are comments; a name that does so is quoted. Empty lines, and empty cells
    after the last column, are left out. A first line ``sep=;``, as spreadsheets have it, names the
    separator.

    Args:
        path: the file, or the name of a shipped table.
        argument: what the user gave it as, for messages.
        required: columns that the table must have; the separator is the one by which the header has them.
        notes: takes a line for each thing that was inferred or passed over.

    Returns:
        The rows; the names of the columns are in small letters.

    Raises:
        WSVADError: if it cannot be read, lacks a column or names one twice, or has a row that does not fit.
    """
    shipped, notes = SHIPPED / f"{path}.csv", [] if notes is None else notes
    path = shipped if shipped.is_file() and not Path(path).exists() else Path(path)
    lines = list(io.StringIO(read_text(path, argument, notes), newline=""))
    comments = [number for number, line in enumerate(lines) if line.lstrip().startswith("#")]
    if comments:
        notes.append(f"{path}: lines that begin with # were passed over: {len(comments)}")
        lines = ["\n" if line.lstrip().startswith("#") else line for line in lines]
    separators = SEPARATORS
    if lines and (stated := re.fullmatch(r'"?sep=(.)"?\s*', lines[0])):
        separators, lines[0] = stated[1], "\n"
    header, separator = _find_header(lines, separators, path, argument, required)
    for column in header:
        if column and header.count(column) > 1:
            problem = f"the header names {column!r} twice"
            raise WSVADError(argument, path, problem, "Keep one of the columns")
    rows = list(_records(lines, separator, path, argument))[1:]
    if not rows:
        raise WSVADError(argument, path, "has no rows", "Give a table with one row per video")
    for line, cells in rows:
        if len(cells) < len(header) or any(cells[len(header) :]):
            problem = f"{len(cells)} cells under a header of {len(header)}"
            remedy = "Give every row the cells of the header; quote cells that hold the separator"
            raise WSVADError(argument, f"{path}, line {line}", problem, remedy)
    return [Row(line, dict(zip(header, cells[: len(header)], strict=True))) for line, cells in rows]


def read_json(path: Path, argument: str) -> Any:
    """Read a JSON file, gzipped where its name ends with ``.gz``.

    Args:
        path: the file.
        argument: what the user gave it as, for messages.

    Raises:
        WSVADError: if it cannot be read.
    """
    try:
        content = path.read_bytes()
        return json.loads(gzip.decompress(content) if path.suffix.lower() == ".gz" else content)
    except (OSError, EOFError, zlib.error, ValueError, RecursionError) as error:
        raise WSVADError(argument, path, f"is not JSON: {error}", "Correct the file") from None


@contextmanager
def located(argument: str, place: str) -> Iterator[None]:
    """Say in which file, and where in it, a mistake was met.

    Raises:
        WSVADError: in place of one that names neither.
    """
    try:
        yield
    except WSVADError as error:
        problem = f"{error.argument} {str(error.value)!r}: {error.problem}"
        raise WSVADError(argument, place, problem, error.remedy) from None


def _find_header(
    lines: Sequence[str], separators: str, path: Path, argument: str, required: Sequence[str]
) -> tuple[list[str], str]:
    """The names of the columns, and the separator by which the required ones are among them."""
    headers = []
    for separator in separators:
        _, cells = next(_records(lines, separator, path, argument), (0, []))
        header = _renamed([cell.lower() for cell in cells], required)
        if all(column in header for column in required):
            return header, separator
        headers.append(header)
    header = max(headers, key=len)
    missing = next(column for column in required if column not in header)
    problem = f"the header {header} lacks the column {missing!r}"
    raise WSVADError(argument, path, problem, f"Add the column {missing!r}")


def _renamed(header: list[str], required: Sequence[str]) -> list[str]:
    """Empty names at the end go; a required column that is missing may have another name."""
    while header and not header[-1]:
        header = header[:-1]
    for column in set(required) - set(header):
        others = [name for name in header if folded(name) in (column, *ALIASES.get(column, ()))]
        if len(others) == 1:
            header = [column if name == others[0] else name for name in header]
    return header


def _records(
    lines: Sequence[str], separator: str, path: Path, argument: str
) -> Iterator[tuple[int, list[str]]]:
    """The records that are not empty, each with the line that it ends in."""
    reader = csv.reader(lines, delimiter=separator, strict=True, skipinitialspace=separator != "\t")
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield reader.line_num, [cell_of(cell.strip()) for cell in cells]
    except csv.Error as error:
        remedy = "Close every quote; write a quote within quotes twice"
        raise WSVADError(argument, f"{path}, line {reader.line_num}", f"is broken: {error}", remedy) from None


def _unmarked(content: bytes) -> str:
    """The encoding of a text without a mark: half of the bytes of UTF-16 are 0 in most languages."""
    for encoding, zeros in (("utf-16-le", content[1::2]), ("utf-16-be", content[::2])):
        if len(content) > 1 and zeros.count(0) > len(zeros) / 2:
            return encoding
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"
