"""``wsvad data convert``: from features that others published to a feature store."""

import json
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import track

from wsvad_lightning.data.convert.annotate import Frames, Table, annotate, find_name, settle_frames, spellings
from wsvad_lightning.data.convert.arrays import FEATURE_KEYS
from wsvad_lightning.data.convert.inferred import Inferred
from wsvad_lightning.data.convert.layouts import detect
from wsvad_lightning.data.convert.names import FEATURES
from wsvad_lightning.data.convert.parts import words_of
from wsvad_lightning.data.convert.plugged import is_plugin, layout_of, open_plugin
from wsvad_lightning.data.convert.report import BROKEN, MISSING, SKIPPED, USED, Entry, table_of, write_report
from wsvad_lightning.data.convert.source import Item, Source, open_matrix, open_source
from wsvad_lightning.data.convert.streams import AudioClock, Dtype, StreamReader, Unequal
from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.data.datasets.labels import part_of
from wsvad_lightning.data.datasets.names import base_of
from wsvad_lightning.data.datasets.table import read_annotations
from wsvad_lightning.data.store import Provenance, StoreWriter
from wsvad_lightning.data.store.records import UNTOLD
from wsvad_lightning.errors import WSVADError, counted
from wsvad_lightning.timeline import SnippetGrid
from wsvad_lightning.types import UNKNOWN

Videos = dict[str, list[Item]]
NAMELESS = {
    *FEATURE_KEYS,
    "all",
    "x",
    "array",
    "matrix",
    "concat",
    "videos",
}  # these name no video, nor do parts


def convert(
    source: str,
    *,
    output: str,
    from_: str = "auto",
    annotations: str | None = None,
    folder: str | None = None,
    streams: dict[str, str] | None = None,
    nalist: str | None = None,
    names: str | None = None,
    split: str | None = None,
    backbone: str = UNTOLD,
    text_aligned: bool = False,
    snippet_length: int = 16,
    snippet_stride: int | None = None,
    frames: Frames = "exact",
    unequal: Unequal = "one",
    audio_hop: float | None = None,
    fps: float | None = None,
    dtype: Dtype = "float32",
    skip_broken: bool = False,
) -> int:
    """Turn published features into a feature store; run again, it continues where it stopped.

    Args:
        source: folder of feature files, searched with all its subfolders and ZIP archives; a list or table
            of them; or one file.
        output: the store to make or to add to. What became of every file is written next to it, into
            ``store.h5.report.csv``.
        from_: layout of the source, also one of a plug-in; ``auto`` recognises it and reports by what.
        annotations: table of the videos; others are left out. Without it, labels and splits are those that
            the names and lists give.
        folder: where the files of lists are, by default next to each.
        streams: folders or lists of more streams by name, such as ``--streams.flow Flow/``.
        nalist: of layout ``c2fpl``: first and last row of each video in the matrix.
        names: of layout ``c2fpl``: list of the videos in the order of the matrix.
        split: part of the data set of videos whose part the annotations do not give.
        backbone: name of the network that computed the features.
        text_aligned: the network is CLIP's image tower; always so in layout ``vadclip``.
        snippet_length: frames covered by a snippet.
        snippet_stride: frames from the start of one snippet to the start of the next, by default the length.
        frames: ``exact`` keeps the annotated number of frames, which the snippets must fit; ``covered`` drops
            the frames after the last snippet, as many authors do.
        unequal: what becomes of a stream that has more or fewer rows than the features: ``one`` drops or
            repeats one row, ``last`` any number; ``zeros`` puts zeros in place of missing rows and streams.
        audio_hop: seconds from one row of audio to the next; without it, row t belongs to snippet t.
        fps: frames a second of the videos; recorded as 30 where it is not given.
        dtype: type of the stored features.
        skip_broken: finish the store without the videos that cannot be converted.

    Returns:
        0 if all videos are in the store, 1 if broken ones were left out.

    Raises:
        WSVADError: if an option is wrong, the layout is not recognised, or videos cannot be converted and
            must not be skipped. What is converted by then stays, and the next run continues.
    """
    if audio_hop is not None and audio_hop <= 0:
        raise WSVADError("audio_hop", audio_hop, "must be above 0", "Give seconds, such as 0.96")
    if audio_hop is not None and fps is None:
        raise WSVADError("audio_hop", audio_hop, "needs the frame rate", "Give --fps, 24 for XD-Violence")
    rate = 30.0 if fps is None else fps
    console, report = Console(), Path(f"{output}.report.csv")
    notes: list[str] = []
    table = None if annotations is None else read_annotations(annotations, notes=notes)
    if fps is None and any(video.seconds for video in (table or {}).values()):
        raise WSVADError("fps", None, "is required: the annotations give times", "Give frames a second")
    for note in notes:
        console.print(f"note: {note}", markup=False, highlight=False, soft_wrap=True)
    known = {base_of(video) for video in table or ()}
    opened, name, why = _open(source, from_, folder, nalist, names, streams or {}, known)
    if annotations is not None:  # again, by the names of the videos that were found
        table = read_annotations(
            annotations, {name: item.path_of(name) for item in opened.items for name in spellings(item.video)}
        )
    for line in (f"layout {name}: {why}", *opened.notes):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    layout, stride = layout_of(name), snippet_length if snippet_stride is None else snippet_stride
    grid = SnippetGrid(snippet_length, stride)
    clock = None if audio_hop is None else AudioClock(audio_hop, rate, grid)
    recipe = Provenance(
        backbone=backbone,
        source=f"published features in the layout {name}{f', {why}' if layout.stated else ''}",
        snippet_length=grid.length,
        snippet_stride=grid.stride,
        pooling=UNTOLD,
        tail=UNTOLD,
        preprocessing=json.dumps({"dtype": dtype}),
        text_aligned=text_aligned or layout.text_aligned,
    )
    videos, entries = _sort(source, opened, table)
    used = [item for items in videos.values() for item in items]
    reader = StreamReader(used, layout, unequal, clock, dtype)
    with StoreWriter(output, recipe) as writer:
        adder = _Adder(writer, reader, table, split, frames, layout.segments, rate)
        for video_id, items in track(videos.items(), "converting", console=console, transient=True):
            entries += adder.add(video_id, items)
        for line in adder.inferred.lines():
            console.print(line, markup=False, highlight=False, soft_wrap=True)
        write_report(report, entries)
        console.print(table_of(entries, report))
        broken = [entry for entry in entries if entry.status == BROKEN]
        if broken and not skip_broken:
            named = broken[0].video or broken[0].file
            problem = f"{len(broken)} of its files cannot be converted, such as {named}: {broken[0].reason}"
            raise WSVADError("source", source, problem, f"Repair what {report} names, or give --skip-broken")
    return int(bool(broken))


@dataclass(frozen=True)
class _Adder:
    """Adds videos to a store, and reports what happened to their files."""

    writer: StoreWriter
    reader: StreamReader
    table: Table | None
    split: str | None
    frames: Frames
    segments: bool
    fps: float
    inferred: Inferred = field(default_factory=Inferred)

    def add(self, video_id: str, items: Sequence[Item]) -> list[Entry]:
        """Add one video; a broken one is reported in its entries."""
        try:
            status, reason = USED, self._add(video_id, items)
        except WSVADError as error:
            if error.argument == "output":  # a full disk does not concern the video
                raise
            by_store = error.argument == "video"  # by the store, whose remedy is to extract the video again
            status, reason = BROKEN, error.problem if by_store else f"{error.problem}. {error.remedy}"
        return [Entry(str(item.file), video_id, status, reason) for item in items]

    def _add(self, video_id: str, items: Sequence[Item]) -> str:
        """Add a video, and give notes on it."""
        first = next(item for item in items if item.stream == FEATURES)
        annotation, conflict, inferred = annotate(first, self.table, self.split)
        if video_id in self.writer:
            return f"was in the store before{self._outdated(annotation)}"
        streams, notes = self.reader.read(items)
        grid, num_snippets = self.writer.provenance.grid, len(streams[FEATURES])
        length = annotation.num_frames or grid.covered(num_snippets)
        annotation = annotation.in_frames(self.fps, length)
        annotation, num_frames, cut = settle_frames(
            annotation, num_snippets, grid, self.frames, self.segments
        )
        self.writer.add(annotation, streams, num_frames=num_frames, fps=self.fps)
        self.inferred.count(inferred, items)
        unknown = [
            *(["label unknown"] if annotation.label == UNKNOWN else []),
            *(["split unknown"] if annotation.split is None else []),
        ]
        return "; ".join(note for note in (conflict, *notes, cut, *unknown) if note)

    def _outdated(self, now: VideoAnnotation) -> str:
        """What else is known of a video than the store says."""
        record = self.writer.before(now.video_id)
        then = now if record is None else record.annotation
        others = [
            name
            for name in ("label", "classes", "split")
            if (given := getattr(now, name)) not in (UNKNOWN, (), None) and given != getattr(then, name)
        ]
        return f" with another {' and '.join(others)}; `wsvad data remove` takes it out" if others else ""


def _open(
    source: str,
    layout: str,
    folder: str | None,
    nalist: str | None,
    names: str | None,
    streams: Mapping[str, str],
    known: Container[str],
) -> tuple[Source, str, str]:
    """Find the arrays of a source, its layout, and what that was recognised by."""
    path, why, plugin = Path(source), "as given", is_plugin(layout)
    if nalist or names:
        if layout not in ("auto", "c2fpl"):
            raise WSVADError("from", layout, "knows no --nalist and --names", "Give --from c2fpl")
        layout, why = "c2fpl", "which alone has --nalist and --names"
    if layout != "c2fpl":
        where = None if folder is None else Path(folder)
        others = {name: open_source(Path(given), where, known, name) for name, given in streams.items()}
        if plugin:
            found, why = open_plugin(layout, path)
        else:
            found = open_source(path, where, known, numbered=layout == "urdmu")
        found = found.joined(others)
        if layout != "auto":
            return found, layout, why
        name, why = detect(found)
        if name != "c2fpl":
            return found, name, why
    parts = [None if part is None else Path(part) for part in (nalist, names)]
    return open_matrix(path, *parts), "c2fpl", why


def _is_nameless(name: str) -> bool:
    """Whether an array may be of one video or of all, by its name."""
    words = [word.lower() for word in words_of(base_of(name))]
    return all(word in NAMELESS or part_of(word) is not None for word in words)


def _sort(path: str, source: Source, table: Table | None) -> tuple[Videos, list[Entry]]:
    """Arrays by video, as the annotations name it, and what becomes of the rest.

    Raises:
        WSVADError: if no video is left, or the only one may be all videos.
    """
    found: Videos = {}
    for item in source.items:
        found.setdefault(item.video, []).append(item)
    videos: Videos = {}
    entries = list(source.rest)
    for video, items in found.items():
        name = video if table is None else find_name(video, table)
        with_features = any(item.stream == FEATURES for item in items)
        if name is not None and with_features:
            videos.setdefault(name, []).extend(items)
        else:
            reason = "not in the annotations" if name is None else "no features go with it"
            entries += [Entry(str(item.file), video, SKIPPED, reason) for item in items]
    if not videos:
        example = f"such as {next(iter(found))}" if found else "as it holds no arrays"
        problem = (
            f"none of its {counted(len(found), 'video')} can be converted, {example}: {entries[-1].reason}"
        )
        raise WSVADError("source", path, problem, "Give the features, and annotations of these videos")
    if table is None and len(videos) == 1 and _is_nameless(only := next(iter(videos))):
        problem = f"holds one array, {only}, which may be of one video or have the rows of all"
        remedy = "Call it after its video, or give rows and names of the videos by --nalist and --names"
        raise WSVADError("source", path, problem, remedy)
    absent = [name for name in table or {} if name not in videos]
    entries += [Entry("", name, MISSING, "annotated, but has no file") for name in absent]
    return videos, entries
