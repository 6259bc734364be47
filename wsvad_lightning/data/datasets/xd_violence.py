"""XD-Violence: 4754 videos, six classes of which a video may have up to three, told by its name.

The codes of the data set: B1 fighting, B2 shooting, B4 riot, B5 abuse, B6 car accident, G explosion.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from wsvad_lightning.data.datasets.draft import Draft, files_of
from wsvad_lightning.data.datasets.text import Line, read_once, split_of
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.timeline import Event

FILES = (
    "annotations.txt",
    "XD_Annotation.txt",
    "annotations_multiclasses.txt",
    "*rgb*.list",
    "*train*",
    "*test*",
)
CODES = ("B1", "B2", "B4", "B5", "B6", "G")


def read(sources: Sequence[Path], draft: Draft) -> None:
    """Read ``annotations.txt`` or ``XD_Annotation.txt``, and lists of names.

    VadCLIP's ``annotations_multiclasses.txt`` tells the class of each interval besides. No official file
    holds frame counts: they come from the videos, or from the features.

    Args:
        sources: files, or folders that hold them.
        draft: takes what they say.

    Raises:
        WSVADError: if a name is none of XD-Violence, or the files contradict each other.
    """
    for path in files_of(sources, FILES, draft):
        for line in read_once(path, draft):
            if line.pairs and line.name.lower().endswith(".mp4"):
                draft.repair(f"stray .mp4 in {path.name}, removed", line.video_id)
            classes = _classes_of(line.video_id)
            draft.tell(
                line.video_id,
                path,
                label=int(bool(classes)),
                classes=classes,
                num_frames=line.num_frames,
                intervals=None if line.words else line.pairs or None,
                events=_events_of(path, line, draft),
                split=_split_of(path, line),
            )


def _events_of(path: Path, line: Line, draft: Draft) -> list[Event] | None:
    """Intervals with the codes before them; None where the line has not both.

    Of segments that follow each other, the file lacks the frame between, which ``annotations.txt`` has.
    """
    if not (line.words and line.pairs):
        return None
    if len(line.words) != len(line.pairs) or not set(line.words) <= set(CODES):
        raise WSVADError("sources", path, f"{line.name}: no class of each interval", "Correct the line")
    if not set(line.words) <= set(_classes_of(line.video_id)):
        draft.repair("class that the name lacks, added", line.video_id)
    starts = {start for start, _ in line.pairs}
    events = []
    for (start, end), code in zip(line.pairs, line.words, strict=True):
        if end + 1 in starts:
            draft.repair("frame between two segments, added to the first", f"{line.video_id} {end}")
        events.append(Event(start, end + (end + 1 in starts), code))
    return events


def _classes_of(video_id: str) -> tuple[str, ...]:
    """Classes of ``..._label_G-B2-0``, the dominant one first; none of ``..._label_A``."""
    match = re.search(r"_label_([A-Z0-9-]+)$", video_id)
    codes = [code for code in (match[1] if match else "?").split("-") if code not in ("0", "A")]
    if not set(codes) <= set(CODES):
        raise WSVADError("video", video_id, "is no video of XD-Violence", "Choose --from by the data set")
    return tuple(codes)


def _split_of(path: Path, line: Line) -> str | None:
    """The annotations are of test videos; XDVioDet's list of training videos is called ``rgb.list``."""
    if line.pairs:
        return "test"
    return split_of(path) or ("train" if path.name == "rgb.list" else None)
