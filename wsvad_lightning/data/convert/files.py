"""The files of a source: a folder with all its subfolders and ZIP archives, or what a list names."""

import csv
import gzip
import re
import zipfile
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, NamedTuple, cast

from wsvad_lightning.data.convert.names import Reading, parse_names
from wsvad_lightning.data.datasets.limits import RATIO, SMALL, check_archive
from wsvad_lightning.data.datasets.names import FEATURE_SUFFIXES, VIDEO_SUFFIXES, canonical_id, printable
from wsvad_lightning.data.datasets.reading import read_text
from wsvad_lightning.errors import WSVADError, counted
from wsvad_lightning.folders import name_passed, passed_by_name, walk

PACKED = ".gz"
LIST_SUFFIXES = (".list", ".txt", ".csv", ".tsv")
PATH_COLUMNS = ("path", "video-id", "video_id", "video", "name", "file", "filename")
LABEL_COLUMNS = ("label", "class")
SUFFIX = "|".join(re.escape(suffix) for suffix in FEATURE_SUFFIXES + VIDEO_SUFFIXES)
SEPARATOR = "[,;\t|]"
LABELLED_LINE = re.compile(rf'"?(.+?(?:{SUFFIX}))"?(?:\s|{SEPARATOR})+([^\s,;|]+)[\s,;|]*', re.IGNORECASE)


@dataclass(frozen=True)
class SourceFile:
    """One file of a source.

    Attributes:
        path: where it is, on the disk or in a ZIP archive.
        folders: names of the folders it lies in, below the source; an archive counts as a folder.
        label: what the list says of it, empty if nothing.
    """

    path: Path | zipfile.Path
    folders: tuple[str, ...] = ()
    label: str = ""

    def __str__(self) -> str:
        return printable("/".join((*self.folders, self.path.name)))

    @property
    def suffix(self) -> str:
        """Of the name, in small letters; of what is packed in a .gz file."""
        return Path(self.path.name.lower().removesuffix(PACKED)).suffix

    @property
    def size(self) -> int:
        """In bytes; of a packed file what it may unpack to."""
        if isinstance(self.path, zipfile.Path):
            size = self.path.root.getinfo(self.path.at).file_size
        else:
            size = self.path.stat().st_size
        return max(SMALL, RATIO * size) if self.path.name.lower().endswith(PACKED) else size

    def open(self) -> IO[bytes]:
        """Open the file for reading; a .gz file is unpacked."""
        if not self.path.name.lower().endswith(PACKED):
            return self.path.open("rb")
        within = self.path if isinstance(self.path, Path) else self.path.open("rb")
        return cast(IO[bytes], gzip.open(within))


class Line(NamedTuple):
    """One line of a list: a path as its author had it, and the label, empty if there is none."""

    path: str
    label: str


class Listed(NamedTuple):
    """What a list names: files, lines without a file, lines that name a file again, and its title."""

    files: list[SourceFile]
    missing: list[Line]
    repeated: list[Line]
    gives_classes: bool


class Below(NamedTuple):
    """What is below a folder or in an archive.

    Attributes:
        files: those to look at.
        passed: what was passed over, by the reason.
        linked: links to folders that were followed.
    """

    files: list[SourceFile]
    passed: dict[str, list[str]]
    linked: Sequence[Path] = ()


def files_below(folder: Path) -> Below:
    """All files of a folder, its linked folders and its ZIP archives, sorted by path.

    Raises:
        WSVADError: if the folder does not exist, it holds no files, or an archive is damaged.
    """
    if not folder.is_dir():
        raise WSVADError("source", folder, "no such file or folder", "Correct the path")
    files: list[SourceFile] = []
    found, passed_over, linked = walk(folder)
    passed = {
        why: [path.relative_to(folder).as_posix() for path in paths] for why, paths in passed_over.items()
    }
    for path in found:
        inside = path.relative_to(folder).parts
        if path.suffix.lower() != ".zip":
            files.append(SourceFile(path, inside[:-1]))
            continue
        packed = files_of_archive(path, inside)
        files += packed.files
        for why, names in packed.passed.items():
            passed.setdefault(why, []).extend(names)
    if not files:
        over = f"; passed over: {name_passed(passed)}" if passed else ""
        raise WSVADError("source", folder, f"holds no files{over}", "Give the folder of the features")
    return Below(files, passed, linked)


def files_of_archive(path: Path, inside: Sequence[str] = ()) -> Below:
    """The files of a ZIP archive, sorted by path. Links in it are not followed.

    Raises:
        WSVADError: if it is damaged.
    """
    try:
        archive = zipfile.ZipFile(path)
        check_archive(archive)
    except Exception as error:  # a damaged file fails anywhere in its reader
        raise WSVADError("source", path, f"cannot be read: {error}", "Copy the archive again") from None
    files: list[SourceFile] = []
    passed: dict[str, list[str]] = {}
    for entry in sorted(archive.infolist(), key=lambda entry: entry.filename):
        parts = tuple(entry.filename.split("/"))
        why = next(filter(None, map(passed_by_name, parts)), "")
        if why:
            passed.setdefault(why, []).append("/".join((*inside, *parts)))
        elif not entry.is_dir():
            files.append(SourceFile(zipfile.Path(archive, entry.filename), (*inside, *parts[:-1])))
    return Below(files, passed)


def read_list(path: Path) -> tuple[list[Line], bool]:
    """Read a list of feature files.

    A table with one of the columns ``path``, ``video-id``, ``video``, ``name``, ``file``, and optionally
    ``label``; or one path per line, optionally followed by the label. Commas, semicolons, tabs or bars
    separate them; the text is in UTF-8, UTF-16 or Windows-1252.

    Returns:
        The lines, and whether it is a table with labels.

    Raises:
        WSVADError: if it cannot be read or names nothing.
    """
    lines = [line.strip() for line in read_text(path, "source", []).splitlines() if line.strip()]
    if not lines:
        raise WSVADError("source", path, "is empty", "Give a list with one path a line")
    header = [cell.strip(' "').lower() for cell in re.split(SEPARATOR, lines[0])]
    paths = [name for name in header if name in PATH_COLUMNS]
    if not paths:
        matches = [(line, LABELLED_LINE.fullmatch(line)) for line in lines]
        return [Line(match[1], match[2]) if match else Line(line, "") for line, match in matches], False
    labels = [name for name in header if name in LABEL_COLUMNS]
    separator = match[0] if (match := re.search(SEPARATOR, lines[0])) else ","
    rows = list(csv.DictReader(lines[1:], header, restval="", delimiter=separator))
    if not rows or not all(row[paths[0]].strip() for row in rows):
        raise WSVADError("source", path, f"lacks a {paths[0]} in a row", "Give every row its file")
    return [Line(row[paths[0]], row[labels[0]].strip() if labels else "") for row in rows], bool(labels)


def find_listed(path: Path, folder: Path, known: Container[str]) -> Listed:
    """Find the files that a list names, wherever its author had them.

    A path is looked up as it is written, then in the folder: by file name, by file name without suffix (as
    lists of videos need), and by name of the video. Of several files of that name the one counts that shares
    most of its folders with the list.

    Args:
        path: the list.
        folder: where the files are.
        known: names of videos, see :func:`names.parse_names`.

    Raises:
        WSVADError: if the list or the folder cannot be read, none of its files is there, or a name may mean
            several files.
    """
    lines, gives_classes = read_list(path)
    index = _index(files_below(folder).files, known)
    found: dict[Path | zipfile.Path, SourceFile] = {}
    missing, repeated = [], []
    for line in lines:
        files = list(_find(line, folder, index))
        if not files:
            missing.append(line)
        elif all(file.path in found for file in files):
            repeated.append(line)
        found |= {file.path: replace(file, label=line.label) for file in files if file.path not in found}
    if not found:
        problem = f"none of its {counted(len(lines), 'file')} is in {folder}, such as {lines[0].path}"
        raise WSVADError("source", path, problem, "Give their folder by --folder")
    return Listed(list(found.values()), missing, repeated, gives_classes)


def parts_of(path: str) -> list[str]:
    """Folders and name in a path of any system."""
    return [part for part in re.split(r"[/\\]", path) if part]


def _index(files: Iterable[SourceFile], known: Container[str]) -> list[dict[str, list[SourceFile]]]:
    """Files by name, by name without suffix, and by video."""
    readable = [file for file in files if file.suffix in FEATURE_SUFFIXES]
    names = parse_names({file.path.name for file in readable}, Reading(known))
    by_name, by_stem, by_video = (defaultdict[str, list[SourceFile]](list) for _ in range(3))
    for file in readable:
        by_name[file.path.name].append(file)
        by_stem[canonical_id(file.path.name)].append(file)
        by_video[names[file.path.name].video].append(file)
    return [by_name, by_stem, by_video]


def _find(line: Line, folder: Path, index: Sequence[dict[str, list[SourceFile]]]) -> Iterator[SourceFile]:
    path = Path(line.path)
    if path.is_absolute() and path.is_file():
        below = path.is_relative_to(folder.absolute())
        yield SourceFile(path, path.relative_to(folder.absolute()).parts[:-1] if below else path.parts[-2:-1])
        return
    *folders, name = parts_of(line.path)
    stem = canonical_id(name)
    for files, key in zip(index, (name, stem, stem), strict=True):
        if key in files:
            best = max(_shared(file.folders, folders) for file in files[key])
            near = [file for file in files[key] if _shared(file.folders, folders) == best]
            if len({file.folders for file in near}) > 1:
                problem = f"may mean {near[0]} or {near[1]}"
                raise WSVADError("source", line.path, problem, "Give by --folder the folder of one of them")
            yield from near
            return


def _shared(folders: Sequence[str], listed: Sequence[str]) -> int:
    """How many folders two paths have in common, counted from the file."""
    count = 0
    while count < min(len(folders), len(listed)) and folders[-1 - count] == listed[-1 - count]:
        count += 1
    return count
