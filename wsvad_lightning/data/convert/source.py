"""What a source holds: every array by video, stream and crop, and every file that is none of these."""

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np

from wsvad_lightning.data.convert.arrays import Array, Numbers, arrays_of, npy_shape, read_npy
from wsvad_lightning.data.convert.files import (
    LIST_SUFFIXES,
    SourceFile,
    files_below,
    files_of_archive,
    find_listed,
    read_list,
)
from wsvad_lightning.data.convert.names import FEATURES, crop_of, parse_names, places_of, split_of, stream_of
from wsvad_lightning.data.convert.report import BROKEN, SKIPPED, USED, Entry
from wsvad_lightning.data.datasets.names import folder_of, name_videos, path_id, stem_of
from wsvad_lightning.errors import WSVADError


@dataclass(frozen=True)
class Item:
    """One array of a source and what its name, folders and list say of it.

    Attributes:
        file: where it is.
        array: how to read it.
        video: canonical name of its video.
        stream: the stream it belongs to.
        crop: number of its crop, None if it holds all crops or is the only one.
        split: part of the data set, None if unknown.
    """

    file: SourceFile
    array: Array
    video: str
    stream: str
    crop: int | None
    split: str | None


@dataclass(frozen=True)
class Source:
    """What was found.

    Attributes:
        items: the arrays, in the order of the files.
        rest: files and lines that are none, for the report.
        is_list: whether a list named the files.
        gives_classes: whether that is a table with labels.
    """

    items: Sequence[Item]
    rest: Sequence[Entry] = field(default_factory=list)
    is_list: bool = False
    gives_classes: bool = False

    def joined(self, others: Mapping[str, "Source"]) -> "Source":
        """Add the sources of more streams, which take the place of arrays of these streams here."""
        given = {item.file.path for other in others.values() for item in other.items}
        own = [item for item in self.items if item.stream not in others]
        replaced = [
            Entry(str(item.file), item.video, SKIPPED, f"--streams gives {item.stream}")
            for item in self.items
            if item.stream in others and item.file.path not in given
        ]
        items = [*own, *(item for other in others.values() for item in other.items)]
        rest = [*self.rest, *replaced, *(entry for other in others.values() for entry in other.rest)]
        return replace(self, items=items, rest=rest)


def open_source(path: Path, folder: Path | None, known: Container[str], stream: str | None = None) -> Source:
    """Find the arrays of a folder, an archive, one file, or a list.

    Args:
        path: any of these.
        folder: where the files of a list are, by default next to it.
        known: names of videos, see :func:`names.parse_names`.
        stream: the stream of all arrays, if it is known.

    Raises:
        WSVADError: if there is nothing, or a list names nothing that is there.
    """
    if not _is_list(path):
        items, rest = _find_items(_files_of(path), known, stream, None)
        return Source(items, rest)
    listed = find_listed(path, folder or path.parent, known)
    items, rest = _find_items(listed.files, known, stream, split_of([path.stem]))
    rest += [Entry(line.path, "", SKIPPED, "listed twice") for line in listed.repeated]
    rest += [Entry(line.path, "", BROKEN, "listed, but does not exist") for line in listed.missing]
    return Source(items, rest, True, listed.gives_classes)


def open_matrix(path: Path, nalist: Path | None, names: Path | None) -> Source:
    """Cut a matrix of all videos, as C2FPL joins them, into the videos.

    Args:
        path: the matrix, or a folder that holds one next to its ``nalist`` and its list.
        nalist: ``[V, 2]`` first row and row after the last one of each video; by default found by its name.
        names: list of the V videos in this order; by default the one list of the folder that has V lines.

    Raises:
        WSVADError: if one of the three is missing or there are several, or if they do not fit each other.
    """
    folder = path if path.is_dir() else path.parent
    files = files_below(folder)
    ranges_file = _one("nalist", nalist, filter(is_nalist, files), folder, "file nalist.npy")
    ranges = read_npy(ranges_file)
    if ranges.ndim != 2 or ranges.shape[1] != 2 or ranges.dtype.kind not in "iu":
        problem = f"is {ranges.dtype} of shape {ranges.shape}, not whole numbers [V, 2]"
        raise WSVADError("nalist", ranges_file, problem, "Give the first and the last row of each video")
    arrays = [file for file in files if file.suffix == ".npy" and not is_nalist(file)]
    matrices = [file for file in arrays if _has_rows(file, ranges)]
    own = path if path.is_file() else None
    matrix_file = _one("source", own, matrices, folder, f"array of the rows in {ranges_file}")
    lists = [file for file in files if _has_lines(file, len(ranges))]
    names_file = _one("names", names, lists, folder, f"list of {len(ranges)} videos, as in {ranges_file}")
    lines = _lines(names_file)
    matrix = read_npy(matrix_file, mapped=True)
    _check_ranges(ranges_file, ranges, matrix, names_file, list(map(stem_of, lines)))
    parsed, split = parse_names(lines), split_of([names_file.path.name, matrix_file.path.name])
    videos = name_videos([f"{folder_of(line)}{parsed[line].video}" for line in lines])
    items = []
    for video, (start, end) in zip(videos, ranges.tolist(), strict=True):
        array = Array(video, (end - start, *matrix.shape[1:]), partial(_rows, matrix, start, end))
        items.append(Item(matrix_file, array, video, FEATURES, None, split))
    used = {str(ranges_file): "rows of the videos", str(names_file): "names of the videos"}
    rest = [Entry(file, "", USED, reason) for file, reason in used.items()]
    others = {str(file) for file in files} - {str(matrix_file), *used}
    rest += [Entry(file, "", SKIPPED, "not part of the matrix") for file in sorted(others)]
    return Source(items, rest, True)


def is_nalist(file: SourceFile) -> bool:
    """Whether a file is called like the row numbers of a matrix of all videos."""
    return file.suffix == ".npy" and file.path.name.lower().startswith("nalist")


def _is_list(path: Path) -> bool:
    """Whether a path is a list of files; a text file may also be a table of numbers."""
    text = path.is_file() and path.suffix.lower() in LIST_SUFFIXES
    return text and arrays_of(SourceFile(path)) is None


def _files_of(path: Path) -> list[SourceFile]:
    if path.is_file():
        return files_of_archive(path) if path.suffix.lower() == ".zip" else [SourceFile(path)]
    return files_below(path)


def _find_items(
    files: Iterable[SourceFile], known: Container[str], stream: str | None, split: str | None
) -> tuple[list[Item], list[Entry]]:
    """The arrays in files, and an entry for each file that has none.

    Args:
        files: where to look.
        known: names of videos.
        stream: the stream of all arrays, if it is known.
        split: the split of all, where their folders do not give it.
    """
    arrays: list[tuple[SourceFile, Array]] = []
    rest: list[Entry] = []
    for file in files:
        try:
            held = arrays_of(file)
        except WSVADError as error:
            rest.append(Entry(str(file), "", BROKEN, error.problem))
            continue
        if held is None:
            lists = file.suffix in LIST_SUFFIXES
            reason = "a list or text; lists are read as the source" if lists else "not a file of features"
            rest.append(Entry(str(file), "", SKIPPED, reason))
        arrays += [(file, array) for array in held or ()]
    by_stream: dict[str | None, set[str]] = defaultdict(set)  # crops may be named in one way in each
    for file, array in arrays:
        by_stream[stream_of(file.folders)].add(array.name)
    parsed = {stream: parse_names(names, known) for stream, names in by_stream.items()}
    items = []
    for file, array in arrays:
        of_folder = stream_of(file.folders)
        name = parsed[of_folder][array.name]
        crop = crop_of(file.folders) if name.crop is None else name.crop
        found = stream or name.stream or of_folder or FEATURES
        within = () if array.name == file.path.name else (file.path.stem,)  # a file of several videos
        part = split_of((*file.folders, *within)) or split
        items.append(Item(file, array, name.video, found, crop, part))
    return _told_apart(items), rest


def _told_apart(items: Sequence[Item]) -> list[Item]:
    """Name videos by their folders too, where a base name is of several.

    They are several if every folder has the same crops; some of the crops once more are a mistake.
    """
    crops: dict[str, dict[str, dict[str, set[int | None]]]] = {}
    for item in items:
        places = crops.setdefault(item.video, {}).setdefault(item.stream, {})
        places.setdefault(_place(item), set()).add(item.crop)
    several = {
        video
        for video, streams in crops.items()
        if any(len(places) > 1 for places in streams.values())
        and all(held == other for places in streams.values() for held, other in pairwise(places.values()))
    }
    return [replace(item, video=_place(item)) if item.video in several else item for item in items]


def _place(item: Item) -> str:
    """The folders of a video and its name."""
    folders = (*places_of(item.file.folders), f"{folder_of(item.array.name)}{item.video}")
    return path_id("/".join(folders))


def _one(
    argument: str, given: Path | None, found: Iterable[SourceFile], folder: Path, wanted: str
) -> SourceFile:
    """The file that was given, or the only one that was found in the folder."""
    if given is not None:
        if not given.is_file():
            raise WSVADError(argument, given, "no such file", "Correct the path")
        return SourceFile(given)
    fitting = list(found)
    if len(fitting) != 1:
        problem = f"several files fit: {', '.join(map(str, fitting))}" if fitting else f"holds no {wanted}"
        remedy = "Give the file of the matrix" if argument == "source" else f"Give it by --{argument}"
        raise WSVADError(argument, folder, problem, remedy)
    return fitting[0]


def _has_rows(file: SourceFile, ranges: Numbers) -> bool:
    shape = npy_shape(file)
    return shape is not None and len(shape) > 1 and shape[0] == ranges.max(initial=0)


def _has_lines(file: SourceFile, count: int) -> bool:
    if file.suffix not in LIST_SUFFIXES or not isinstance(file.path, Path):
        return False
    try:
        return len(_lines(file)) == count
    except WSVADError:  # some other text
        return False


def _lines(file: SourceFile) -> list[str]:
    assert isinstance(file.path, Path)
    return [line.path for line in read_list(file.path)[0]]


def _check_ranges(
    file: SourceFile, ranges: Numbers, matrix: Numbers, names_file: SourceFile, videos: Sequence[str]
) -> None:
    if len(videos) != len(ranges):
        problem = f"names {len(videos)} videos where {file} has the rows of {len(ranges)}"
        raise WSVADError("names", names_file, problem, "Give the list that the matrix was joined from")
    if len(set(videos)) != len(videos):
        (video, count), *_ = Counter(videos).most_common(1)
        problem = f"names {video} {count} times"
        raise WSVADError("names", names_file, problem, "Give the list that the matrix was joined from")
    starts, ends = ranges[:, 0], ranges[:, 1]
    if (starts >= ends).any() or starts[0] != 0 or (starts[1:] != ends[:-1]).any() or ends[-1] != len(matrix):
        problem = f"does not divide {len(matrix)} rows into consecutive videos"
        raise WSVADError("nalist", file, problem, "Give the row numbers of this matrix")


def _rows(matrix: Numbers, start: int, end: int) -> Numbers:
    return np.array(matrix[start:end])
