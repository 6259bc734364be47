"""``wsvad extract``: from videos to a feature store."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from lightning.pytorch.utilities import rank_zero_info, rank_zero_only
from rich.console import Console

from wsvad_lightning.data.datasets import footage
from wsvad_lightning.data.datasets.footage import LISTED, SourceVideo, few, is_table
from wsvad_lightning.data.store import FeatureStore
from wsvad_lightning.errors import WSVADError, counted
from wsvad_lightning.extraction.changes import (
    UNCHANGED,
    Changes,
    compare,
    names_in,
    with_known_labels,
)
from wsvad_lightning.extraction.job import ONE_PROCESS, Outcome, Processes, extract_videos
from wsvad_lightning.extraction.pooling import Pooling, SnippetRecipe, Tail
from wsvad_lightning.extraction.recipe import Dtype, ExtractionRecipe, with_weights
from wsvad_lightning.extraction.streams import StreamSpec
from wsvad_lightning.signals import continuing
from wsvad_lightning.video.film import import_av
from wsvad_lightning.video.frames import Footage
from wsvad_lightning.video.views import parse_grid

DEFAULT_STREAMS = (StreamSpec(),)
MOST_LINES = 50  # of changed videos


def extract(
    videos: str,
    output: str,
    annotations: str | None = None,
    streams: Sequence[StreamSpec] | None = None,
    weights: str | None = None,
    patch_grids: str | None = None,
    snippet_length: int = 16,
    snippet_stride: int | None = None,
    frame_stride: int = 1,
    pooling: Pooling = "mean",
    tail: Tail = "keep",
    fps: float | None = None,
    dtype: Dtype = "float32",
    batch_size: int = 16,
    trainer: Processes = ONE_PROCESS,
    skip_broken: bool = False,
    image_fps: float | None = None,
    update: bool = False,
) -> int:
    """Turn videos into a feature store; run again, it continues where it stopped.

    Nothing is written where the files or labels of videos in the store are others now. They are listed.

    Args:
        videos: folder of videos, searched with all its subfolders; one video; or an annotations table whose
            column ``video`` holds paths, seen from the table's folder. A folder of numbered images is a
            video.
        output: the store to make or to add to, such as ``features.h5``.
        annotations: table of the videos to extract, with their labels. Without any table all videos are
            extracted, for prediction: their labels are unknown and they belong to the split ``predict``.
        streams: what to compute; each stream names a backbone and what it sees of the frames. By default
            ``features`` alone, EfficientNet on whole frames.
        weights: released weights of the one backbone among the streams that needs some.
        patch_grids: grids such as ``2x3,3x5,4x7``. The first stream is computed of their patches too, as more
            streams, ``patches_2x3`` and so on.
        snippet_length: frames covered by a snippet.
        snippet_stride: frames from the start of one snippet to the start of the next, by default the length.
        frame_stride: every how many frames one goes through the backbones.
        pooling: how the frames of a snippet become one vector; ``mean_max`` doubles the channels.
        tail: what becomes of the frames after the last full snippet: ``keep`` pools those there are,
            ``pad`` repeats the last one until the snippet is full, ``drop`` leaves them out.
        fps: frames a second to play the videos at, by their time stamps; every decoded frame counts unless
            given. Snippets, frame counts and annotated intervals count the frames that are played.
        dtype: type of the stored features.
        batch_size: frames encoded at once; decoding is a few times as many ahead.
        trainer: where to compute: on how many processes, with GPUs or without.
        skip_broken: continue past videos that cannot be read, or whose frame count is not the annotated one.
        image_fps: frames a second of folders of images, 30 unless given; every image is a frame.
        update: extract changed files of the store again, and take labels and splits as the table has them
            now.

    Returns:
        0 if all videos are in the store, 1 if broken ones were skipped; these are listed at the end.

    Raises:
        WSVADError: if an option is wrong, videos are missing or named twice, those in the store are others
            now, or one is broken and must not be skipped. What is finished by then stays in the store.
    """
    import_av()
    if batch_size < 1:
        raise WSVADError("batch_size", batch_size, "must be at least 1", "Give a number of frames")
    stride = snippet_length if snippet_stride is None else snippet_stride
    snippets = SnippetRecipe(snippet_length, stride, frame_stride, pooling, tail)
    streams = DEFAULT_STREAMS if streams is None else streams
    seen = [*streams, *_patches(streams, patch_grids.split(",") if patch_grids else [])]
    recipe = ExtractionRecipe(with_weights(seen, weights), snippets, fps, dtype)
    labels = videos if annotations is None and is_table(videos) else annotations
    before = read_store(output)
    todo = find_videos(videos, labels, before, image_fps)
    changes = UNCHANGED
    if before is not None:
        changes = compare(todo, before, labelled=labels is not None)
        report_changes(changes, before, todo)
        todo = with_known_labels(todo, before) if labels is None else todo
    if changes != UNCHANGED and not update:
        raise differs(changes, output)
    with continuing():
        outcome = extract_videos(
            todo, output, recipe, batch_size, trainer, skip_broken=skip_broken, changes=changes
        )
    report(outcome)
    if store := read_store(output):
        rank_zero_info(describe(store, there_before=len(before or ())))
    return 1 if outcome.broken else 0


def _patches(streams: Sequence[StreamSpec], grids: Sequence[str]) -> list[StreamSpec]:
    """The first stream once more for each grid, of its patches."""
    for grid in grids:
        parse_grid(grid, "patch_grids")
    return [replace(streams[0], name=f"patches_{grid}", view=grid) for grid in grids if streams]


def report(outcome: Outcome) -> None:
    """Name the videos that were skipped, and what is odd about others, on standard error."""
    lines = [f"skipped: {problem}" for problem in outcome.broken]
    named: dict[str, list[str]] = {}
    for video_id, note in outcome.notes:
        named.setdefault(note, []).append(video_id)
    say([*lines, *(f"note: {few(names)}: {note}" for note, names in named.items())])


@rank_zero_only
def say(lines: Iterable[str]) -> None:
    """Print lines on standard error, by the first process alone."""
    for line in lines:
        Console(stderr=True).print(line, markup=False, highlight=False, soft_wrap=True)


def report_changes(changes: Changes, store: FeatureStore, todo: Sequence[SourceVideo]) -> None:
    """List what differs between a store and what is given, on standard error."""
    listed = list(changes.lines())
    for line in listed[:MOST_LINES]:
        rank_zero_info(line)
    if len(listed) > MOST_LINES:
        rank_zero_info(f"and {counted(len(listed) - MOST_LINES, 'more video')}")
    given = {video.annotation.video_id for video in todo}
    unsure = [name for name in store if name in given and store[name].origin is None]
    if unsure:
        rank_zero_info(
            f"note: of {few(unsure)} the store does not record the file: whether it has changed is unknown"
        )
    if others := [name for name in store if name not in given]:
        rank_zero_info(
            f"note: {store.path} also holds {few(others)}, not among these videos; to take videos out: "
            f"wsvad data remove {shlex.join([store.path, *others[:LISTED]])}"
        )


def differs(changes: Changes, output: str) -> WSVADError:
    """The error of a store whose videos are given otherwise now."""
    counts = [(len(changes.files), "another file"), (len(changes.annotations), "another label or split")]
    found = " and ".join(f"{counted(count, 'video')} with {what} than now" for count, what in counts if count)
    remedy = "Give --update to take files, labels and splits as they are now"
    return WSVADError("output", output, f"holds {found}: {few(changes.names)}", remedy)


def read_store(path: str) -> FeatureStore | None:
    """Open a store; None if there is none yet, or another command is just joining its parts."""
    try:
        return FeatureStore(path)
    except WSVADError:
        return None


def describe(store: FeatureStore, there_before: int) -> str:
    """Say in a line what a store holds, and how many of its videos are new."""
    videos = f"{len(store) - there_before} new" + (
        f", {there_before} {'was' if there_before == 1 else 'were'} there" if there_before else ""
    )
    held = [f"{counted(len(store), 'video')}: {videos}", counted(len(store.streams), "stream")]
    if store.classes:
        held.append(counted(len(store.classes), "class", "classes"))
    return f"{store.path} holds {'; '.join(held)}"


def find_videos(
    videos: str | Path,
    annotations: str | None = None,
    store: FeatureStore | None = None,
    image_fps: float | None = None,
) -> list[SourceVideo]:
    """The videos to extract and what is known of them, in the order of their paths.

    Standard error says what was passed over.

    Args:
        videos: folder, searched with all its subfolders; one file; one folder of images; or a table of these.
        annotations: table of labels. Videos that it does not name are left out; without a table, the labels
            of all are unknown and they belong to the split ``predict``.
        store: what was extracted before; a video keeps the name that it has there.
        image_fps: frames a second of folders of images.

    Raises:
        WSVADError: if no video is found, one is listed twice, the table cannot be read or may mean several
            videos, or a video of the table is missing.
    """

    def kept(given: Mapping[str, Footage]) -> Mapping[str, str]:
        return {} if store is None else names_in(store, given)

    found, notes = footage.find_videos(videos, annotations, image_fps, kept)
    say(f"note: {note}" for note in notes)
    return found
