"""What is known of a video: from the annotations, or else from names and lists; and how long it is."""

import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import compress
from typing import Literal, NamedTuple

from wsvad_lightning.data.convert.names import Said, named_label
from wsvad_lightning.data.convert.source import Item
from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.data.datasets.labels import Label, label_of
from wsvad_lightning.data.datasets.names import base_of, digest_of
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.timeline import SnippetGrid
from wsvad_lightning.types import LABELS, UNKNOWN

Table = Mapping[str, VideoAnnotation]
Frames = Literal["exact", "covered"]

LIST = "the list"
SEGMENTS = 32
MOST_DROPPED = 3  # snippets: published features end up to two snippets before their video
DIGEST = re.compile("[0-9a-f]{32}")
OPTIONAL = "_x264"  # part of the names of UCF-Crime that some leave out


def find_name(video: str, table: Table) -> str | None:
    """The name of a video in the annotations, with or without ``_x264``; None if it is not there.

    A name that is too long for a file is found by its digest, which `wsvad data export` puts in its place.
    """
    found = next((name for name in spellings(video) if name in table), None)
    if found is None and DIGEST.fullmatch(video):
        found = next((name for name in table if digest_of(name) == video), None)
    return found


def spellings(video: str) -> tuple[str, ...]:
    """The names that a video may have in the annotations."""
    return video, f"{video}{OPTIONAL}", video.removesuffix(OPTIONAL)


class Known(NamedTuple):
    """What is known of a video.

    Attributes:
        annotation: that.
        conflict: where the table and the names disagree; empty if they do not.
        inferred: what was taken from names or a list in want of a table, and from which name.
    """

    annotation: VideoAnnotation
    conflict: str
    inferred: Mapping[str, Said[str] | Said[Label]]


def annotate(item: Item, table: Table | None, split: str | None) -> Known:
    """Say what is known of a video.

    Args:
        item: one of its arrays.
        table: annotations that hold the video; None if there are none.
        split: part of the data set; names of folders and lists come after it, the table before it.

    Raises:
        WSVADError: if the label that a list gives is none.
    """
    listed = item.file.label
    found = Said(label_of(listed), LIST) if listed else named_label(base_of(item.video), item.file.folders)
    label = Label(UNKNOWN) if found is None else found.what
    inferred: dict[str, Said[str] | Said[Label]] = {}
    if table is None:
        known = VideoAnnotation(item.video, label.label, label.classes)
        inferred |= {"label": found} if found else {}
    else:
        name = find_name(item.video, table)
        assert name is not None
        known = table[name]
    part = known.split or split
    if part is None and item.split is not None:
        part, inferred["split"] = item.split.what, item.split
    annotation = replace(known, split=part)
    if UNKNOWN in (annotation.label, label.label) or label.label == annotation.label:
        return Known(annotation, "", inferred)
    conflict = f"{LABELS[known.label]} in the annotations, {LABELS[label.label]} by list or name"
    return Known(annotation, conflict, inferred)


def settle_frames(
    annotation: VideoAnnotation, num_snippets: int, grid: SnippetGrid, frames: Frames, segments: bool
) -> tuple[VideoAnnotation, int, str]:
    """Decide how many frames a video has.

    * ``exact``: as many as are annotated, or else as its snippets and intervals cover. The snippets must
      fit them, see :meth:`SnippetGrid.bounds`.
    * ``covered``: frames after the last snippet are dropped, and intervals cut, as UR-DMU, DeepMIL, PEL4VAD
      and VadCLIP do; by up to three snippets.
    * 32 segments of a whole video have no frames of their own: 32 strides are recorded, and no intervals.

    Args:
        annotation: what is known of the video.
        num_snippets: T.
        grid: positions of the snippets.
        frames: the rule.
        segments: whether 32 rows may be segments.

    Returns:
        The annotation that fits, the number of frames, and a note on what was changed, empty if nothing.

    Raises:
        WSVADError: if snippets and frames do not fit; names both.
    """
    covered = grid.covered(num_snippets)
    ends = [*(end for _, end in annotation.intervals or ()), *(frame + 1 for frame in annotation.glances)]
    last_end = max(ends, default=0)
    total = annotation.num_frames or max(covered, last_end)
    fewest, most = grid.bounds(total)
    if segments and num_snippets == SEGMENTS and not fewest <= num_snippets <= most:
        note = f"{SEGMENTS} segments of the whole video: its frames, intervals and glances are left out"
        bare = replace(annotation, num_frames=None, intervals=None, interval_classes=(), glances=())
        return bare, covered, note
    if frames == "covered" and covered < total <= covered + MOST_DROPPED * grid.stride:
        note = f"frames {covered} to {total} dropped, which no snippet covers"
        return _cut(annotation, covered), covered, note
    if fewest <= num_snippets <= most:
        return annotation, total, ""
    problem = f"{num_snippets} snippets cover {covered} frames, {total} are annotated"
    few = covered < total and frames == "exact"
    remedy = "Give --frames covered to drop the rest" if few else "Correct --snippet_stride or num_frames"
    raise WSVADError("source", annotation.video_id, problem, remedy)


def _cut(annotation: VideoAnnotation, num_frames: int) -> VideoAnnotation:
    """Leave out what comes after so many frames."""
    glances = tuple(frame for frame in annotation.glances if frame < num_frames)
    annotation = replace(annotation, glances=glances)
    if annotation.intervals is None:
        return replace(annotation, num_frames=num_frames)
    kept = [start < num_frames for start, _ in annotation.intervals]
    intervals = tuple((start, min(end, num_frames)) for start, end in compress(annotation.intervals, kept))
    classes = tuple(compress(annotation.interval_classes, kept))
    return replace(annotation, num_frames=num_frames, intervals=intervals, interval_classes=classes)
