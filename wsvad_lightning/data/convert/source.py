"""What a source holds: every array by video, stream and crop, and every file that is none of these."""

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np

from wsvad_lightning.data.convert.arrays import Array, Numbers, arrays_of, npy_shape, read_npy
from wsvad_lightning.data.convert.contents import Arrays, find_arrays
from wsvad_lightning.data.convert.files import (
    LIST_SUFFIXES,
    Below,
    SourceFile,
    files_below,
    files_of_archive,
    find_listed,
    read_list,
)
from wsvad_lightning.data.convert.names import (
    FEATURES,
    Name,
    Reading,
    Said,
    crop_of,
    is_complete,
    numbered_sets,
    parse_names,
    places_of,
    split_of,
    stream_of,
)
from wsvad_lightning.data.convert.report import BROKEN, SKIPPED, USED, Entry
from wsvad_lightning.data.datasets.names import base_of, folder_of, name_videos, path_id
from wsvad_lightning.errors import WSVADError, counted
from wsvad_lightning.folders import name_passed

Lengths = dict[str, int | None]

IN_FILES, ENDINGS = "names in the files", "endings of file names"


@dataclass(frozen=True)
class Item:
    """One array of a source and what its name, folders and list say of it.

    Attributes:
        file: where it is.
        array: how to read it.
        video: canonical name of its video.
        stream: the stream it belongs to.
        crop: number of its crop, None if it holds all crops or is the only one.
        split: part of the data set and the name that gives it, None if unknown.
        stream_by: the name that gives the stream, empty if it is not a name.
    """

    file: SourceFile
    array: Array
    video: str
    stream: str
    crop: int | None
    split: Said[str] | None
    stream_by: str = ""

    def path_of(self, video: str) -> str:
        """The path below the source of this video, which may be named by its path already."""
        folders = (*places_of(self.file.folders), f"{folder_of(self.array.name)}{video}")
        return video if "/" in video else path_id("/".join(folders))


@dataclass(frozen=True)
class Source:
    """What was found.

    Attributes:
        items: the arrays, in the order of the files.
        rest: files and lines that are none, for the report.
        is_list: whether a list named the files.
        gives_classes: whether that is a table with labels.
        notes: what was passed over or not taken for what it might be, a line each.
    """

    items: Sequence[Item]
    rest: Sequence[Entry] = field(default_factory=list)
    is_list: bool = False
    gives_classes: bool = False
    notes: Sequence[str] = ()

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
        notes = [*self.notes, *(note for other in others.values() for note in other.notes)]
        return replace(self, items=items, rest=rest, notes=notes)


def open_source(
    path: Path,
    folder: Path | None,
    known: Container[str],
    stream: str | None = None,
    *,
    numbered: bool = False,
) -> Source:
    """Find the arrays of a folder, an archive, one file, or a list.

    Args:
        path: any of these.
        folder: where the files of a list are, by default next to it.
        known: names of videos, see :func:`names.parse_names`.
        stream: the stream of all arrays, if it is known.
        numbered: whether ``x_0``, ``x_1`` … are crops.

    Raises:
        WSVADError: if there is nothing, or a list names nothing that is there.
    """
    reading = Reading(known, numbered=numbered)
    if not _is_list(path):
        below = _files_of(path)
        source = _find_items(below.files, reading, stream, None)
        return replace(source, rest=[*source.rest, *_hidden(below)], notes=[*_notes(below), *source.notes])
    listed = find_listed(path, folder or path.parent, known)
    source = _find_items(listed.files, reading, stream, split_of([path.stem]))
    lines = [Entry(line.path, "", SKIPPED, "listed twice") for line in listed.repeated]
    lines += [Entry(line.path, "", BROKEN, "listed, but does not exist") for line in listed.missing]
    return replace(source, rest=[*source.rest, *lines], is_list=True, gives_classes=listed.gives_classes)


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
    below = files_below(folder)
    files = below.files
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
    _check_ranges(ranges_file, ranges, matrix, names_file, list(map(path_id, lines)))
    parsed = parse_names(lines)
    split = split_of([Path(file.path.name).stem for file in (names_file, matrix_file)])
    videos = name_videos([f"{folder_of(line)}{parsed[line].video}" for line in lines])
    items = []
    for video, (start, end) in zip(videos, ranges.tolist(), strict=True):
        array = Array(video, (end - start, *matrix.shape[1:]), partial(_rows, matrix, start, end))
        items.append(Item(matrix_file, array, video, FEATURES, None, split))
    used = {str(ranges_file): "rows of the videos", str(names_file): "names of the videos"}
    rest = [Entry(file, "", USED, reason) for file, reason in used.items()]
    others = {str(file) for file in files} - {str(matrix_file), *used}
    rest += [Entry(file, "", SKIPPED, "not part of the matrix") for file in sorted(others)]
    return Source(items, [*rest, *_hidden(below)], True, notes=_notes(below))


def is_nalist(file: SourceFile) -> bool:
    """Whether a file is called like the row numbers of a matrix of all videos."""
    return file.suffix == ".npy" and file.path.name.lower().startswith("nalist")


def _is_list(path: Path) -> bool:
    """Whether a path is a list of files; a text file may also be a table of numbers."""
    text = path.is_file() and path.suffix.lower() in LIST_SUFFIXES
    return text and arrays_of(SourceFile(path)) is None


def _files_of(path: Path) -> Below:
    if path.is_file():
        return files_of_archive(path) if path.suffix.lower() == ".zip" else Below([SourceFile(path)], {})
    return files_below(path)


def _hidden(below: Below) -> list[Entry]:
    """An entry of each file that was passed over."""
    return [Entry(name, "", SKIPPED, why) for why, names in below.passed.items() for name in names]


def _notes(below: Below) -> list[str]:
    """Which links were followed and what was passed over, a line each."""
    linked = [f"followed linked folders: {', '.join(map(str, below.linked))}"] if below.linked else []
    return [*linked, *([f"passed over: {name_passed(below.passed)}"] if below.passed else [])]


def _find_items(
    files: Iterable[SourceFile], reading: Reading, stream: str | None, split: Said[str] | None
) -> Source:
    """The arrays in files, and an entry for each file that has none.

    Args:
        files: where to look.
        reading: how to read names.
        stream: the stream of all arrays, if it is known.
        split: the split of all, where their folders do not give it.
    """
    found = find_arrays(files)
    names, notes = _read_names(found.arrays, reading, stream)
    items = []
    for (file, array), name in zip(found.arrays, names, strict=True):
        of_folder = stream_of(file.folders)
        crop = crop_of(file.folders) if name.crop is None else name.crop
        said = [
            *([Said(stream, "")] if stream else []),
            *([Said(array.stream, IN_FILES)] if array.stream else []),
            *([Said(name.stream, ENDINGS)] if name.stream else []),
            *([of_folder] if of_folder else []),
            Said(FEATURES, ""),
        ]
        within = () if array.name == file.path.name else (base_of(file.path.name),)  # several videos
        part = split_of((*file.folders, *within)) or split
        items.append(Item(file, array, name.video, said[0].what, crop, part, said[0].by))
    return Source(_told_apart(items), found.rest, notes=[*found.notes, *notes])


def _told_apart(items: Sequence[Item]) -> list[Item]:
    """Name videos by their folders too, where a base name is of several.

    They are several if every folder has the same crops; some of the crops once more are a mistake.
    """
    crops: dict[str, dict[str, dict[str, set[int | None]]]] = {}
    for item in items:
        places = crops.setdefault(base_of(item.video), {}).setdefault(item.stream, {})
        places.setdefault(item.path_of(item.video), set()).add(item.crop)
    several = {
        video
        for video, streams in crops.items()
        if any(len(places) > 1 for places in streams.values())
        and all(held == other for places in streams.values() for held, other in pairwise(places.values()))
    }
    return [
        replace(item, video=item.path_of(item.video)) if base_of(item.video) in several else item
        for item in items
    ]


def _read_names(arrays: Arrays, reading: Reading, stream: str | None) -> tuple[list[Name], list[str]]:
    """What the names of arrays say, and notes on what was not taken for crops or streams."""
    groups: dict[str | None, Lengths] = defaultdict(dict)  # crops may be named in one way in each
    for file, array in arrays:
        of_folder = stream_of(file.folders)
        groups[of_folder and of_folder.what][array.name] = _rows_of(array)
    parsed = {
        group: parse_names(lengths, reading._replace(lengths=lengths)) for group, lengths in groups.items()
    }
    notes: list[str] = []
    if stream is None and None in groups and (alone := _without_features(parsed)):
        again = parse_names(groups[None], reading._replace(lengths=groups[None]), ignored=alone)
        parsed[None] = again
        notes.append(f"no features go with the endings {', '.join(sorted(alone))}: they belong to the names")
    for named in parsed.values():
        notes += _doubt(named)
    names = []
    for file, array in arrays:
        of_folder = stream_of(file.folders)
        names.append(parsed[of_folder and of_folder.what][array.name])
    return names, notes


def _without_features(parsed: Mapping[str | None, Mapping[str, Name]]) -> set[str]:
    """Streams that endings of names give, of which no video has features."""
    features = {name.video for name in parsed[None].values() if name.stream is None}
    streams: dict[str, set[str]] = defaultdict(set)
    for name in parsed[None].values():
        if name.stream is not None:
            streams[name.stream].add(name.video)
    return {stream for stream, videos in streams.items() if not videos & features}


def _doubt(named: Mapping[str, Name]) -> list[str]:
    """Say that names which end in numbers were not taken for crops, where they might be."""
    sets = numbered_sets(named.values())
    if not sets:
        return []
    (commonest, count), *_ = sets.most_common()
    if len(commonest) < 2 or 0 not in commonest or not is_complete(commonest) or 2 * count <= sets.total():
        return []
    taken = f"taken for {counted(len(named), 'video')}, not for crops of {sets.total()}"
    return [f"names end in _0 to _{max(commonest)}: {taken}; --from urdmu takes them for crops"]


def _rows_of(array: Array) -> int | None:
    return array.shape[0] if array.shape else None


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
        problem = f"names {counted(len(videos), 'video')} where {file} has the rows of {len(ranges)}"
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
