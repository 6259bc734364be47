"""What ``wsvad data info`` and ``wsvad data verify`` do."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.data.datasets.counts import table_of_classes
from wsvad_lightning.data.datasets.regions import needs_size, regions_of
from wsvad_lightning.data.datasets.splits import read_splits
from wsvad_lightning.data.datasets.table import read_annotations
from wsvad_lightning.data.store.artefacts import Artefact, artefacts_of, read_artefact
from wsvad_lightning.data.store.contents import (
    CHECKSUM,
    attributes,
    check_heaps,
    file_checksum,
    video_checksum,
)
from wsvad_lightning.data.store.layout import blocks, checksum, damaged, open_file, reason_of
from wsvad_lightning.data.store.reader import FeatureStore, files_of, store_paths
from wsvad_lightning.data.store.records import Provenance, VideoRecord, in_words
from wsvad_lightning.errors import WSVADError, counted
from wsvad_lightning.timeline import runs
from wsvad_lightning.types import UNKNOWN

MOST_NOTES = 50  # lines of different notes


class Finding(NamedTuple):
    """Something that is wrong with a store.

    Attributes:
        where: video or file.
        problem: what is wrong with it.
    """

    where: str
    problem: str


def info(store: str) -> None:
    """Show what a feature store holds, where it comes from, and what extraction noted of its videos.

    Args:
        store: path of a store, or a glob pattern that names several.

    Raises:
        WSVADError: if it cannot be opened.
    """
    opened = FeatureStore(store)
    console = Console()
    console.print(_table_of_videos(opened))
    if opened.classes:
        console.print(table_of_classes(opened[video_id].annotation for video_id in opened))
    glances = [len(marked) for video_id in opened if (marked := opened[video_id].annotation.glances)]
    if glances:
        console.print(f"glances: {sum(glances)}, in {counted(len(glances), 'video')}")
    console.print(_table_of_streams(opened), _table_of_provenance(opened))
    _show_notes({video_id: opened[video_id] for video_id in opened}, console)
    prepared = [(path, read_artefact(path)) for path in artefacts_of(opened)]
    if prepared:
        console.print(_table_of_artefacts(prepared))


def verify(store: str, annotations: str | None = None, split: str | None = None) -> int:
    """Check that a feature store is whole, and that it fits annotations and splits.

    Every checksum is recomputed and every value checked; lengths, labels and names are compared. What cannot
    be read is a finding, and the rest is checked all the same. What extraction noted of videos, such as lost
    frames, is shown and does not count as a finding.

    Args:
        store: path of a store, or a glob pattern that names several.
        annotations: table to compare with.
        split: split file to compare with.

    Returns:
        0 if nothing was found, 1 otherwise; the findings are printed.

    Raises:
        WSVADError: if the store does not exist, or the table or the split cannot be read.
    """
    stores, findings = _open_stores(store)
    videos = [(opened, video_id) for opened in stores for video_id in opened]
    console = Console()
    for opened, video_id in track(videos, "verifying", console=console, transient=True):
        findings += _guarded(video_id, _check_features(opened, video_id))
    for opened in stores:
        findings += _guarded(opened.path, _check_checksums(opened))
    records = {video_id: opened[video_id] for opened, video_id in videos}
    paths = {video_id: path for opened in stores for video_id, path in opened.video_paths.items()}
    if annotations is not None:
        notes: list[str] = []
        findings += _check_annotations(records, read_annotations(annotations, paths, notes=notes))
        for note in notes:
            console.print(f"note: {note}", markup=False, highlight=False, soft_wrap=True)
    splits = [] if split is None else read_splits(split, paths)
    named = {name for choice in splits for name in (*choice.train, *choice.test, *choice.val)}
    findings += [
        Finding(name, "is in the split and not in the store") for name in sorted(named - set(records))
    ]
    if findings:
        console.print(_table_of_findings(findings))
    _show_notes(records, console)
    console.print(f"{counted(len(records), 'video')}, {counted(len(findings), 'finding')}")
    if older := sum(record.checksum is None for record in records.values()):
        are = "is" if older == 1 else "are"
        console.print(f"{older} {are} of an older version, whose checksums cover features alone")
    return int(bool(findings))


def _open_stores(store: str) -> tuple[list[FeatureStore], list[Finding]]:
    """Open each store by itself, so that a damaged one does not hide the others, and compare them."""
    stores: list[FeatureStore] = []
    findings = []
    for path in store_paths(store):
        faults: list[WSVADError] = []
        try:
            for file in files_of(path):
                _check_heaps(file)
            opened = FeatureStore([path], faults=faults)
            if stores:
                stores[0].provenance.check_same(opened.provenance, path)
        except WSVADError as error:
            faults.append(error)
        else:
            stores.append(opened)
        findings += [Finding(str(error.value), error.problem) for error in faults]
    counts = Counter(video_id for opened in stores for video_id in opened)
    findings += [
        Finding(name, f"is in {count} stores") for name, count in sorted(counts.items()) if count > 1
    ]
    return stores, findings


def _check_heaps(path: Path) -> None:
    try:
        check_heaps(path)
    except ValueError as error:
        raise damaged(path, str(error)) from None


def _guarded(where: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    """Make a finding of whatever else a damaged file does."""
    try:
        yield from findings
    except Exception as error:  # it fails anywhere in HDF5
        yield Finding(where, f"cannot be checked: {reason_of(error)}")


def _check_features(store: FeatureStore, video_id: str) -> Iterator[Finding]:
    record = store[video_id]
    for name, location in record.streams.items():
        try:
            array = store.read(video_id, name)
        except WSVADError as error:
            yield Finding(video_id, error.problem)
            continue
        if checksum(array) != location.checksum:
            yield Finding(video_id, f"{name} is not what was written: its checksum differs")
        if not all(np.isfinite(block).all() for _, block in blocks(array)):
            yield Finding(video_id, f"{name} holds NaN or infinite values")
        if len(array) != record.num_snippets:
            yield Finding(
                video_id, f"{name} has {counted(len(array), 'snippet')}, another stream {record.num_snippets}"
            )
    yield from _check_length(video_id, record, store.provenance)
    yield from _check_glances(record.annotation)


def _check_checksums(store: FeatureStore) -> Iterator[Finding]:
    """Compare what is known of videos, and where features come from, with the checksums of a store.

    A video that cannot be read changes that of its file as well, and is found before.
    """
    for path in files_of(store.paths[0]):
        with open_file(path) as file:
            names = [name for name in file["videos"] if name in store]
            for name in names:
                if store[name].checksum not in (None, video_checksum(file["videos"][name])):
                    yield Finding(name, "its annotation is not what was written: its checksum differs")
            own = attributes(file).get(CHECKSUM)
            sealed = any(store[name].checksum is not None for name in names)
            if len(names) == len(file["videos"]) and (sealed or own) and own != file_checksum(file):
                problem = "its provenance or its list of videos is not what was written: its checksum differs"
                yield Finding(str(path), problem)


def _check_length(video_id: str, record: VideoRecord, provenance: Provenance) -> Iterator[Finding]:
    """T snippets fit F frames if the tail was dropped, padded, or anything between."""
    fewest, most = provenance.grid.bounds(record.num_frames)
    if not fewest <= record.num_snippets <= most:
        has = counted(record.num_snippets, "snippet")
        problem = f"has {has} where {record.num_frames} frames give {fewest} to {most}"
        yield Finding(video_id, problem)


def _check_annotations(
    records: Mapping[str, VideoRecord], annotations: Mapping[str, VideoAnnotation]
) -> Iterator[Finding]:
    for name in sorted(annotations.keys() - records.keys()):
        yield Finding(name, "is annotated and not in the store")
    for name in sorted(records.keys() - annotations.keys()):
        yield Finding(name, "is in the store and not annotated")
    sizeless = []
    for name in sorted(records.keys() & annotations.keys()):
        record, stored = records[name], records[name].annotation
        given = annotations[name]
        try:
            given = given.in_frames(record.fps, record.num_frames)
            given.check_num_frames(record.num_frames)
        except WSVADError as error:
            yield Finding(name, error.problem)
        yield from _check_glances(given)
        for entry in ("label", "classes", "intervals", "interval_classes", "split", "glances"):
            now, then = getattr(given, entry), getattr(stored, entry)
            if now not in (None, (), UNKNOWN) and now != then:
                yield Finding(name, f"{entry} {now} in the annotations, {then} in the store")
        if stored.frame_size is not None and given.frame_size not in (None, stored.frame_size):
            sizes = [f"{width} x {height}" for width, height in (given.frame_size, stored.frame_size)]
            yield Finding(name, f"frames of {sizes[0]} in the annotations, {sizes[1]} in the store")
        given = given.of_size(stored.frame_size)
        if given.regions is not None and needs_size(given):
            sizeless.append(name)
        elif given.regions is not None:
            yield from _guarded(name, _check_regions(given, record.num_frames))
    if sizeless:
        more = "" if len(sizeless) == 1 else f", as of {len(sizeless) - 1} more"
        problem = f"has boxes, and neither annotations nor store give the size of its frames{more}"
        yield Finding(sizeless[0], problem)


def _check_glances(video: VideoAnnotation) -> Iterator[Finding]:
    """A glance is in an interval, where these are known."""
    if video.intervals is None:
        return
    outside = [g for g in video.glances if not any(start <= g < end for start, end in video.intervals)]
    if outside:
        problem = f"has glances outside of its intervals: {', '.join(map(str, outside))}"
        yield Finding(video.video_id, problem)


def _check_regions(video: VideoAnnotation, num_frames: int) -> Iterator[Finding]:
    """Read all regions of a video, and compare their frames with its intervals."""
    try:
        regions = regions_of(video, num_frames)
        located = np.zeros(num_frames, dtype=bool)
        for span in regions.spans() if regions is not None else ():
            located[span.start : span.end] = bool(span.tracks)
    except WSVADError as error:
        yield Finding(video.video_id, f"{error.value}: {error.problem}")
        return
    for start, end in video.intervals or ((0, num_frames),):
        located[start:end] = False
    if outside := runs(located):
        start, end = outside[0]
        problem = f"has regions in {len(outside)} stretches of normal frames, such as {start}-{end}"
        yield Finding(video.video_id, problem)


def _table_of_findings(findings: Iterable[Finding]) -> Table:
    table = Table("where", "problem", title="findings", title_justify="left")
    for finding in findings:
        table.add_row(*map(escape, finding))
    return table


def _show_notes(records: Mapping[str, VideoRecord], console: Console) -> None:
    """Show what extraction noted of the files of videos, if anything, each note with its videos."""
    noted = defaultdict[str, list[str]](list)
    for name, record in records.items():
        for note in record.notes:
            noted[note].append(name)
    if not noted:
        return
    table = Table("note", "videos", "such as", title="notes of extraction", title_justify="left")
    for note, names in sorted(noted.items(), key=lambda item: -len(item[1]))[:MOST_NOTES]:
        table.add_row(escape(note), str(len(names)), escape(names[0]))
    console.print(table)
    if len(noted) > MOST_NOTES:
        console.print(f"and {counted(len(noted) - MOST_NOTES, 'more note')}")


def _table_of_videos(store: FeatureStore) -> Table:
    """One row per split, and one for all."""
    records = [store[video_id] for video_id in store]
    splits = sorted({record.annotation.split or "" for record in records})
    table = Table("videos", "normal", "abnormal", "unlabelled", "hours", "snippets", title=escape(store.path))
    for split in splits:
        table.add_row(
            split or "no split", *_count([r for r in records if (r.annotation.split or "") == split])
        )
    if len(splits) > 1:
        table.add_row("all", *_count(records))
    return table


def _count(records: Sequence[VideoRecord]) -> list[str]:
    labels = [record.annotation.label for record in records]
    hours = sum(record.num_frames / record.fps for record in records) / 3600
    snippets = sum(record.num_snippets for record in records)
    counts = [str(labels.count(label)) for label in (0, 1, UNKNOWN)]
    return [*counts, f"{hours:.2f}", str(snippets)]


def _table_of_streams(store: FeatureStore) -> Table:
    table = Table("stream", "channels", "views", "type", "mean norm")
    locations = [location for video_id in store for location in store[video_id].streams.items()]
    for name, stream in store.streams.items():
        types = sorted({location.dtype.name for other, location in locations if other == name})
        views = f"{len(stream.views)}: {' '.join(stream.views)}"
        table.add_row(name, str(stream.dim), escape(views), " ".join(types), f"{store.mean_norm(name):.4g}")
    return table


def _table_of_provenance(store: FeatureStore) -> Table:
    table = Table("provenance", show_header=False)
    table.add_column(overflow="fold")  # a checksum is shown to its end
    for entry in fields(Provenance):
        if entry.name != "views":  # shown with the streams
            table.add_row(entry.name, escape(f"{in_words(getattr(store.provenance, entry.name))}"))
    table.add_row("classes", escape(" ".join(store.classes)) or "only normal and abnormal")
    table.add_row("checksum", store.checksum())
    return table


def _table_of_artefacts(prepared: Iterable[tuple[Path, Artefact]]) -> Table:
    table = Table("prepared", "shape", "videos", "settings", "parameters")
    table.columns[0].overflow = "fold"  # a file's name is shown to its end
    for path, artefact in prepared:
        shape = " x ".join(map(str, artefact.values.shape))
        described = (_spell(values) for values in (artefact.settings, artefact.parameters))
        table.add_row(escape(path.name), shape, str(len(artefact.videos)), *described)
    return table


def _spell(values: Mapping[str, Any]) -> str:
    return escape(", ".join(f"{name} {value}" for name, value in values.items() if value is not None))
