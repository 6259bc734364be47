"""Texts of what happens in videos, each with the seconds that it describes."""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from wsvad_lightning.data.datasets.names import resolve_names
from wsvad_lightning.data.datasets.reading import located, read_rows
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.files import write_table

COLUMNS = ("video", "start", "end", "text")


class Caption(NamedTuple):
    """A text of a part of a video.

    Attributes:
        video_id: name of the video.
        start: second at which the part begins.
        end: second at which it ends.
        text: what happens, on one line.
    """

    video_id: str
    start: float
    end: float
    text: str


def write_captions(path: str | Path, captions: Iterable[Caption]) -> None:
    """Write a CSV table ``video,start,end,text``, in the order of videos and times.

    Args:
        path: the file.
        captions: in any order.

    Raises:
        WSVADError: if the file cannot be written.
    """
    write_table(path, COLUMNS, sorted(captions))


def read_captions(path: str | Path, known: Mapping[str, str]) -> dict[str, list[Caption]]:
    """Read a table as :func:`write_captions` writes it, and as a spreadsheet may have changed it.

    Args:
        path: the table.
        known: videos that the table may name, see :func:`match_videos`; others keep the names that it gives.

    Returns:
        The texts by video, in the order of the table.

    Raises:
        WSVADError: if it cannot be read, or a row is without text or of no part of a video; names the line.
    """
    rows = read_rows(path, "texts", COLUMNS)
    with located("texts", str(path)):
        names = resolve_names([row["video"] for _, row in rows], known)
    captions: dict[str, list[Caption]] = {}
    for (line, row), name in zip(rows, names, strict=True):
        with located("texts", f"{path}, line {line}"):
            start, end = (_seconds(column, row[column]) for column in ("start", "end"))
            if not start < end:
                raise WSVADError("end", row["end"], f"is not after {row['start']}", "Give start < end")
            if not row["text"]:
                raise WSVADError("text", "", "is empty", "Give what happens, or remove the row")
            captions.setdefault(name, []).append(Caption(name, start, end, row["text"]))
    return captions


def _seconds(column: str, cell: str) -> float:
    try:
        seconds = float(cell)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise WSVADError(column, cell, "is no time in seconds", "Give a number that is not negative")
    return seconds
