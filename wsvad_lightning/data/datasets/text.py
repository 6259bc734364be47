"""Text files of the benchmarks: one line per video, with numbers and words after its name."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from wsvad_lightning.data.datasets.annotations import canonical_id
from wsvad_lightning.data.datasets.draft import Draft
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.timeline import Interval

HEADERS = ("video-id", "video", "path")  # first cell of lists that are tables
SUFFIX_OF_FEATURES = re.compile(r"(_i3d|__\d)$")  # of lists that name feature files, one per crop
NUMBER = re.compile(r"-?\d+")


class Line(NamedTuple):
    """What a line says.

    Attributes:
        name: as it is written.
        video_id: canonical name, without what features files add to it.
        words: class names or codes.
        num_frames: frames of the video, if given.
        pairs: pairs of frame numbers as they are written; ``-1 -1`` (none) is left out.
    """

    name: str
    video_id: str
    words: tuple[str, ...]
    num_frames: int | None
    pairs: tuple[Interval, ...]


def read_lines(path: Path) -> Iterator[Line]:
    """Read ``name [frames] [words] s1 e1 s2 e2``, separated by blanks or commas.

    An odd count of numbers begins with the frames of the video.

    Args:
        path: the file.

    Raises:
        WSVADError: if it cannot be read as text.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise WSVADError("sources", path, "cannot be read as text", "Give an annotation file") from None
    for line in text.splitlines():
        cells = line.replace(",", " ").split()
        if cells and cells[0].lower() not in HEADERS:
            yield _parse(cells)


def read_once(path: Path, draft: Draft) -> Iterator[Line]:
    """Read the lines; one that repeats another is noted and left out.

    Args:
        path: the file.
        draft: takes the notes.

    Raises:
        WSVADError: if two lines contradict each other.
    """
    seen: dict[str, Line] = {}
    for line in read_lines(path):
        if line.name not in seen:
            seen[line.name] = line
            yield line
        elif seen[line.name] == line:
            draft.repair(f"listed twice in {path.name}, taken once", line.video_id)
        else:
            problem = f"has two lines of {line.name} that differ"
            raise WSVADError("sources", path, problem, "Remove one of them")


def split_of(path: Path) -> str | None:
    """The part of the data set that the name of a list gives: ``Anomaly_Train.txt``."""
    name = path.name.lower()
    return next((part for part in ("train", "test") if part in name), None)


def _parse(cells: list[str]) -> Line:
    name, *rest = cells
    numbers = [int(cell) for cell in rest if NUMBER.fullmatch(cell)]
    words = tuple(cell for cell in rest if not NUMBER.fullmatch(cell))
    num_frames = numbers.pop(0) if len(numbers) % 2 else None
    pairs = zip(numbers[::2], numbers[1::2], strict=True)
    video_id = SUFFIX_OF_FEATURES.sub("", canonical_id(name))
    return Line(name, video_id, words, num_frames, tuple(pair for pair in pairs if pair != (-1, -1)))
