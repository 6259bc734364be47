"""MSAD as SST-WSVADL publishes it: 720 videos, 11 classes, events of bounding boxes."""

import re
from collections.abc import Sequence
from pathlib import Path

from wsvad_lightning.data.datasets.draft import Draft, files_of
from wsvad_lightning.data.datasets.labels import Label
from wsvad_lightning.data.datasets.names import canonical_id
from wsvad_lightning.data.datasets.reading import read_json
from wsvad_lightning.data.datasets.regions import read_boxes
from wsvad_lightning.data.datasets.text import check_label, infer_part, read_once
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.timeline import Interval

FILES = ("MSAD*.txt", "MSAD*.list", "*MSAD*.json", "*MSAD*.json.gz")
SNIPPET = 16
CLASSES = (
    "Assault",
    "Explosion",
    "Fighting",
    "Fire",
    "Object_falling",
    "People_falling",
    "Robbery",
    "Shooting",
    "Traffic_accident",
    "Vandalism",
    "Water_incident",
)


def read(sources: Sequence[Path], draft: Draft) -> None:
    """Read lists of names, frame counts and ``merged_MSAD.json``, whose ends are included.

    Args:
        sources: files, or folders that hold them.
        draft: takes what they say.

    Raises:
        WSVADError: if a name is not of MSAD, or the files contradict each other.
    """
    for path in files_of(sources, FILES, draft):
        if ".json" in path.suffixes:
            events, boxes = read_events(path), read_boxes(path)
            for video, intervals in events.items():
                _add(draft, video, path, intervals=intervals, regions=path if boxes[video] else None)
        else:
            _read_lines(path, draft)


def read_events(path: Path) -> dict[str, list[Interval]]:
    """Read a list of events ``{file_name, start_frame, end_frame, ...}``, the end included.

    Args:
        path: JSON file, gzipped or not.

    Returns:
        ``[start, end)`` by name of the video.

    Raises:
        WSVADError: if it holds no such list.
    """
    intervals: dict[str, list[Interval]] = {}
    events = read_json(path, "sources")
    try:
        for event in events:
            interval = (int(event["start_frame"]), int(event["end_frame"]) + 1)
            intervals.setdefault(canonical_id(event["file_name"]), []).append(interval)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        raise WSVADError("sources", path, "holds no list of events", "Give merged_MSAD.json") from None
    return intervals


def _read_lines(path: Path, draft: Draft) -> None:
    """Read names, with frame counts if they are exact: one of the files has them cut to whole snippets."""
    lines = list(read_once(path, draft))
    counts = [line.num_frames for line in lines if line.num_frames is not None]
    exact = any(count % SNIPPET for count in counts)
    if counts and not exact:
        draft.repair("frame counts cut to whole snippets, not taken", path.name)
    for line in lines:
        if line.pairs:
            problem = f"gives intervals of {line.video_id}, and not whether their ends are included"
            raise WSVADError("sources", path, problem, "Give them by merged_MSAD.json")
        check_label(path, line, label_of_name(line.video_id))
        split = infer_part(path, line, draft)
        if split is None and counts:
            split = "test"
            draft.infer(f"part test by the frame counts in {path.name}", line.video_id)
        _add(draft, line.video_id, path, num_frames=line.num_frames if exact else None, split=split)


def label_of_name(video_id: str) -> Label:
    """The label that a name such as ``Fire_2`` begins with."""
    if video_id.startswith("MSAD_normal"):
        return Label(0)
    name = re.sub(r"_\d+$", "", video_id)
    if name not in CLASSES:
        raise WSVADError("video", video_id, "is not a video of MSAD", "Choose --from by the data set")
    return Label(1, (name,))


def _add(
    draft: Draft,
    video_id: str,
    path: Path,
    *,
    num_frames: int | None = None,
    intervals: list[Interval] | None = None,
    split: str | None = None,
    regions: Path | None = None,
) -> None:
    """Add what a file says, and the class that the name gives."""
    label = label_of_name(video_id)
    draft.infer("label and class by the names of the videos", video_id)
    draft.add(
        video_id,
        path,
        label=label.label,
        classes=label.classes,
        num_frames=num_frames,
        intervals=intervals,
        split=split,
        regions=regions,
    )
