"""Folders as sources: the files below one, what is passed over on the way, and numbered series of files."""

import os
import re
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

SHOWN = 3  # examples in a line
SYSTEM_FILES = ("thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information")
UNFINISHED = (".part", ".partial", ".crdownload", ".download", ".aria2", ".!ut", ".filepart")
NUMBER = re.compile("[0-9]+")

HIDDEN, SYSTEM, UNDONE = "hidden", "files of the operating system", "unfinished downloads"
TWICE, CLOSED = "links that lead back or to what is read anyway", "folders that cannot be read"
SPECIAL, NOWHERE = "devices, pipes or sockets", "links that lead nowhere"

Passed = dict[str, list[Path]]  # by reason


class Walk(NamedTuple):
    """What is below a folder.

    Attributes:
        files: all files, sorted by path; they may be empty, or links that lead nowhere and have a suffix.
        passed: files and folders that were passed over, by the reason.
        linked: links to folders that were followed.
    """

    files: list[Path]
    passed: Passed
    linked: list[Path]


def walk(folder: Path) -> Walk:
    """Find the files of a folder and all its subfolders, those that are links included.

    Every folder is read once, by its own path where it has one below ``folder``: links that lead back or to a
    folder that is read anyway are passed over.

    Args:
        folder: where to begin.
    """
    files: list[Path] = []
    passed: Passed = defaultdict(list)
    linked: list[Path] = []
    seen = {_identity(above) for above in folder.resolve().parents}
    real, links = deque([folder]), deque[Path]()
    while real or links:
        current, by_link = (real.popleft(), False) if real else (links.popleft(), True)
        try:
            identity = _identity(current)
            entries = sorted(os.scandir(current), key=lambda entry: entry.name)
        except OSError:
            passed[CLOSED].append(current)
            continue
        if identity in seen:
            passed[TWICE].append(current)
            continue
        seen.add(identity)
        if by_link:
            linked.append(current)
        for entry in entries:
            path = current / entry.name
            linked_to = path if entry.is_symlink() else entry  # the entry of a file knows its kind already
            if reason := passed_by_name(entry.name):
                passed[reason].append(path)
            elif linked_to.is_dir():
                (links if entry.is_symlink() else real).append(path)
            elif linked_to.is_file() or (path.suffix and not path.exists()):
                files.append(path)
            else:  # reading a pipe would wait for ever
                passed[SPECIAL if path.exists() else NOWHERE].append(path)
    return Walk(sorted(files), dict(passed), linked)


def passed_by_name(name: str) -> str:
    """Why a file or folder of this name is passed over; empty if it is not."""
    lower = name.lower()
    if lower in SYSTEM_FILES or lower.startswith(("._", "__macosx")) or lower == ".ds_store":
        return SYSTEM
    if lower.startswith("."):
        return HIDDEN
    return UNDONE if lower.endswith(UNFINISHED) else ""


def name_passed(passed: Mapping[str, Sequence[Path | str]]) -> str:
    """Count what was passed over, with examples: ``hidden: 2 (.git, .x.mp4); empty: 1 (a.mp4)``."""
    return "; ".join(f"{why}: {len(paths)} ({examples(paths)})" for why, paths in passed.items() if paths)


def examples(paths: Sequence[Path | str]) -> str:
    """The names of the first few."""
    names = [Path(path).name or str(path) for path in paths[:SHOWN]]
    return ", ".join(dict.fromkeys(names)) + (", …" if len(paths) > SHOWN else "")


class Series(NamedTuple):
    """Numbered files in the order of their numbers.

    Attributes:
        paths: the files.
        base: what their names have before the number.
        absent: how many numbers between the first and the last have no file.
        others: files without any number, which belong to no series.
    """

    paths: tuple[Path, ...]
    base: str
    absent: int
    others: tuple[Path, ...]


def series_of(paths: Iterable[Path]) -> Series | str:
    """Put files such as ``frame_2.jpg``, ``frame_10.jpg`` in order, or say why they are not a series.

    Their names may differ in a single number, whatever its digits; suffixes may differ.

    Args:
        paths: files of one folder.
    """
    numbered: dict[str, list[tuple[tuple[int, ...], Path]]] = defaultdict(list)
    others: list[Path] = []
    for path in sorted(paths):
        numbers = tuple(map(int, NUMBER.findall(path.stem)))
        if numbers:
            numbered[NUMBER.sub("#", path.stem)].append((numbers, path))
        else:
            others.append(path)
    if not numbered:
        return "without numbers in their names"
    if len(numbered) > 1:
        (_, first), (_, second) = (members[0] for members in list(numbered.values())[:2])
        return f"named in several ways ({first.name}, {second.name})"
    (members,) = numbered.values()
    if len(members) == 1:
        return "alone in their folder"
    columns = list(zip(*(numbers for numbers, _ in members), strict=True))
    varying = [place for place, column in enumerate(columns) if len(set(column)) > 1]
    if len(varying) > 1:
        (_, first), (_, last) = members[0], members[-1]
        return f"whose names differ in several numbers ({first.name}, {last.name})"
    place = varying[0] if varying else 0
    ordered = sorted(members, key=lambda member: member[0][place])
    values = [numbers[place] for numbers, _ in ordered]
    if len(set(values)) < len(values):
        number, _ = Counter(values).most_common(1)[0]
        return f"of which several have the number {number}"
    absent = values[-1] - values[0] + 1 - len(values)
    in_order = tuple(path for _, path in ordered)
    return Series(in_order, _before(in_order[0].stem, place), absent, tuple(others))


def _identity(folder: Path) -> tuple[int, int]:
    state = folder.stat()
    return state.st_dev, state.st_ino


def _before(stem: str, place: int) -> str:
    """The part of a name before its number at this place."""
    return stem[: list(NUMBER.finditer(stem))[place].start()]
