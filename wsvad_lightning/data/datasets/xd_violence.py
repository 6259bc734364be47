"""XD-Violence: 4754 videos, six classes of which a video may have up to three, given by its name.

The codes of the data set: B1 fighting, B2 shooting, B4 riot, B5 abuse, B6 car accident, G explosion.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from wsvad_lightning.data.datasets import clicks
from wsvad_lightning.data.datasets.draft import Draft, files_of
from wsvad_lightning.data.datasets.labels import CODES, Label, label_of_codes
from wsvad_lightning.data.datasets.text import Line, check_label, infer_part, read_once
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.timeline import Event

FILES = (
    "annotations.txt",
    "XD_Annotation.txt",
    "annotations_multiclasses.txt",
    "*rgb*.list",
    "*train*",
    "*test*",
    *clicks.FILES,
)
LABEL = re.compile("(?:{0})(?:-(?:{0}))*".format("|".join(("A", "0", *CODES))))  # A normal, 0 nothing


def read(sources: Sequence[Path], draft: Draft) -> None:
    """Read ``annotations.txt`` or ``XD_Annotation.txt``, and lists of names.

    VadCLIP's ``annotations_multiclasses.txt`` also gives the class of each interval, GlanceVAD's
    ``xd_glance_annotations.csv`` glances. No official file holds frame counts: they come from the videos, or
    from the features.

    Args:
        sources: files, or folders that hold them.
        draft: takes what they say.

    Raises:
        WSVADError: if a name is none of XD-Violence, or the files contradict each other.
    """
    for path in files_of(sources, FILES, draft):
        if clicks.holds_glances(path):
            clicks.add_glances(path, draft, label_of_name)
            continue
        for line in read_once(path, draft):
            if line.pairs and line.name.lower().endswith(".mp4"):
                draft.repair(f"stray .mp4 in {path.name}, removed", line.video_id)
            label = label_of_name(line.video_id)
            by_event = len(line.words) == len(line.pairs) > 0 and set(line.words) <= set(CODES)
            if not by_event:
                check_label(path, line, label)
            draft.infer("label and classes by the names of the videos", line.video_id)
            draft.add(
                line.video_id,
                path,
                label=label.label,
                classes=label.classes,
                num_frames=line.num_frames,
                intervals=None if by_event else line.pairs or None,
                events=_events_of(line, draft) if by_event else None,
                split=infer_part(path, line, draft) or _official_part(path, line, draft),
            )


def _events_of(line: Line, draft: Draft) -> list[Event]:
    """Intervals with the codes before them.

    Of segments that follow each other, the file lacks the frame between, which ``annotations.txt`` has.
    """
    if not set(line.words) <= set(label_of_name(line.video_id).classes):
        draft.repair("class that the name lacks, added", line.video_id)
    starts = {start for start, _ in line.pairs}
    events = []
    for (start, end), code in zip(line.pairs, line.words, strict=True):
        if end + 1 in starts:
            draft.repair("frame between two segments, added to the first", f"{line.video_id} {end}")
        events.append(Event(start, end + (end + 1 in starts), code))
    return events


def label_of_name(video_id: str) -> Label:
    """The label that a name such as ``..._label_G-B2-0`` ends in."""
    label = label_of_codes(video_id.rpartition("_label_")[2])
    if "_label_" not in video_id or label is None:
        raise WSVADError("video", video_id, "is not a video of XD-Violence", "Choose --from by the data set")
    return label


def _official_part(path: Path, line: Line, draft: Draft) -> str | None:
    """XDVioDet's list of training videos is called ``rgb.list``."""
    if path.name != "rgb.list":
        return None
    draft.infer(f"part train by the name of {path.name}", line.video_id)
    return "train"
