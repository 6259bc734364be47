"""The arrays of many files: which are features, what lies next to them, and files of one snippet each."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from wsvad_lightning.data.convert.arrays import Array, Numbers, arrays_of
from wsvad_lightning.data.convert.files import LIST_SUFFIXES, SourceFile
from wsvad_lightning.data.convert.report import BROKEN, SKIPPED, USED, Entry
from wsvad_lightning.data.datasets.names import canonical_id
from wsvad_lightning.errors import WSVADError, counted
from wsvad_lightning.folders import examples, series_of

SIDE = re.compile(r"(.+)_(fps|timestamps_ms)")  # as video_features writes them
SNIPPET = re.compile(r"(.*?)[_. -]*[0-9]+")

Arrays = list[tuple[SourceFile, Array]]
Folders = tuple[str, ...]


class Contents(NamedTuple):
    """What files hold.

    Attributes:
        arrays: those that are features, with their files.
        rest: an entry of each file without, and of what is left out.
        notes: what was done to files, a line each.
    """

    arrays: Arrays
    rest: list[Entry]
    notes: list[str]


def find_arrays(files: Iterable[SourceFile]) -> Contents:
    """Find the features in files."""
    arrays: Arrays = []
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
            continue
        if held.note:
            rest.append(Entry(str(file), "", SKIPPED, held.note))
        arrays += [(file, array) for array in held.arrays]
    found = Contents(arrays, rest, [])
    for step in (_name_by_files, _set_aside, _join_snippets):
        found = step(found)
    return found


def _name_by_files(found: Contents) -> Contents:
    """Where all files of a folder hold arrays of the same few names, these do not name videos."""
    groups: dict[Folders, dict[SourceFile, list[Array]]] = defaultdict(lambda: defaultdict(list))
    arrays: Arrays = []
    for file, array in found.arrays:
        if array.name == file.path.name:
            arrays.append((file, array))
        else:
            groups[file.folders][file].append(array)
    rest = list(found.rest)
    for of_folder in groups.values():
        names = {frozenset(array.name for array in held) for held in of_folder.values()}
        repeated = len(names) == 1 and len(of_folder) > 1  # a video is in one file
        for file, held in of_folder.items():
            if not repeated:
                arrays += [(file, array) for array in held]
            elif len(held) == 1:
                arrays.append((file, replace(held[0], name=file.path.name)))
            else:
                why = f"holds {examples([array.name for array in held])}, as other files do"
                rest.append(Entry(str(file), "", BROKEN, f"{why}: call the features 'features'"))
    return Contents(arrays, rest, found.notes)


def _set_aside(found: Contents) -> Contents:
    """Take out what extractors write next to features: frame rates and time stamps, of one axis or none."""
    kept: Arrays = []
    aside: list[Entry] = []
    for file, array in found.arrays:
        flat = array.shape is not None and len(array.shape) < 2
        if flat and (match := SIDE.fullmatch(canonical_id(array.name))):
            aside.append(Entry(str(file), "", SKIPPED, f"{match[2]} of the frames, no features"))
        else:
            kept.append((file, array))
    return Contents(kept, [*found.rest, *aside], found.notes)


def _join_snippets(found: Contents) -> Contents:
    """Join files of one snippet each, vectors ``[D]`` with numbered names, to one array a video.

    A video is called as the names are before their number: ``walk_0.npy``, ``walk_1.npy``; or as the folder
    where that is nothing, or the same in several folders. A single group of names such as ``v1.npy`` could as
    well be of one vector a video: it is left alone.
    """
    groups: dict[tuple[Folders, str], Arrays] = defaultdict(list)
    arrays: Arrays = []
    for file, array in found.arrays:
        match = SNIPPET.fullmatch(canonical_id(array.name))
        if match and array.shape is not None and len(array.shape) == 1:
            groups[file.folders, match[1]].append((file, array))
        else:
            arrays.append((file, array))
    bases = [base for _, base in groups]
    rest, joined = list(found.rest), 0
    for (folders, base), members in groups.items():
        video = folders[-1] if folders and (not base or bases.count(base) > 1) else base
        series = series_of(Path(file.path.name) for file, _ in members)
        if isinstance(series, str) or not video or (base and len(groups) == 1):
            arrays += members
            continue
        by_name = {file.path.name: (file, array) for file, array in members}
        ordered = [by_name[path.name] for path in series.paths]
        if series.absent:
            missing = counted(series.absent, "file is", "files are")
            lacking = f"{missing} missing between {series.paths[0].name} and the last"
            rest += [Entry(str(file), video, BROKEN, lacking) for file, _ in ordered]
            continue
        arrays.append((ordered[0][0], _stacked(video, ordered)))
        rest += [Entry(str(file), video, USED, "a snippet of the video") for file, _ in ordered[1:]]
        joined += 1
    note = f"files of one snippet each are joined to {counted(joined, 'video')}, by their numbers"
    return Contents(arrays, rest, [*found.notes, *([note] if joined else [])])


def _stacked(video: str, ordered: Arrays) -> Array:
    """One array of the vectors of files."""
    shape = ordered[0][1].shape or ()
    return Array(video, (len(ordered), *shape), partial(_stack, ordered))


def _stack(ordered: Sequence[tuple[SourceFile, Array]]) -> Numbers:
    rows = [array.read() for _, array in ordered]
    if len({row.shape for row in rows}) > 1:
        problem = "and others of its video differ in their channels"
        raise WSVADError("source", ordered[0][0], problem, "Copy the files again")
    return np.stack(rows)
