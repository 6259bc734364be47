"""What became of every file of a source."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.markup import escape
from rich.table import Table

from wsvad_lightning.files import write_table

USED = "used"
SKIPPED = "skipped"  # not in the store: no features, or of a video that was not asked for
MISSING = "missing"  # a video that is annotated and has no file
BROKEN = "broken"  # a video or file that should be in the store and cannot be
ROWS = 30  # of the printed table; the file has all


class Entry(NamedTuple):
    """One file, or a part of one.

    Attributes:
        file: its path below the source.
        video: canonical name of its video, empty if it has none.
        status: ``used``, ``skipped``, ``missing`` or ``broken``.
        reason: why, or a note on its use.
    """

    file: str
    video: str
    status: str
    reason: str


def write_report(path: Path, entries: Iterable[Entry]) -> None:
    """Write one row an entry, as CSV.

    Raises:
        WSVADError: if it cannot be written.
    """
    write_table(path, Entry._fields, entries)


def table_of(entries: Sequence[Entry], report: Path) -> Table:
    """Entries of the same status and reason in one row, with an example; broken ones first.

    Reasons that differ only in numbers are the same, except for broken videos.
    """
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        reason = entry.reason if entry.status == BROKEN else re.sub(r"\d+", "#", entry.reason)
        groups.setdefault((entry.status, reason), []).append(entry)
    table = Table("status", "files", "videos", "reason", "such as", title=escape(str(report)))
    table.columns[3].overflow = table.columns[4].overflow = "fold"
    order = sorted(groups, key=lambda group: (group[0] != BROKEN, group[0] != USED))
    for group in order[:ROWS]:
        first, held = groups[group][0], groups[group]
        files = sum(bool(entry.file) for entry in held)
        videos = len({entry.video for entry in held if entry.video})
        example = escape(first.file or first.video)
        table.add_row(first.status, str(files), str(videos), escape(first.reason), example)
    if len(order) > ROWS:
        table.add_row("…", "", "", f"{len(order) - ROWS} more in the report", "")
    return table
