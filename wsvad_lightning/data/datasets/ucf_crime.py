"""UCF-Crime: 1900 videos, 13 classes; the authors' lists, and UR-DMU's with frame counts.

The numbers of an interval are taken as ``[start, end)``, counted from 0, as all later work does. The authors
themselves count from 1 and include the end, see the rule ``official:sultani``.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from wsvad_lightning.data.datasets import clicks
from wsvad_lightning.data.datasets.draft import Draft, files_of
from wsvad_lightning.data.datasets.labels import Label, label_of
from wsvad_lightning.data.datasets.regions import read_boxes
from wsvad_lightning.data.datasets.text import check_label, infer_part, read_once
from wsvad_lightning.errors import WSVADError

LISTS = ("*train*.list", "*test*.list", "*train*.csv", "*test*.csv", "*train*.txt", "*test*.txt")
FILES = ("*Annotation*.txt", "Anomaly_*.txt", "Normal_*.txt", *LISTS)
BOXES = ("merged_ucf_crime*.json", "merged_ucf_crime*.json.gz")
FRAME_SIZE = (320, 240)  # of all videos
SUFFIX = "_x264"  # of all names
CLASSES = (
    "Abuse",
    "Arrest",
    "Arson",
    "Assault",
    "Burglary",
    "Explosion",
    "Fighting",
    "RoadAccidents",
    "Robbery",
    "Shooting",
    "Shoplifting",
    "Stealing",
    "Vandalism",
)


def read(sources: Sequence[Path], draft: Draft) -> None:
    """Read ``Temporal_Anomaly_Annotation.txt``, ``UCF_Annotation.txt`` and lists of names.

    Some lists leave out the ``_x264`` of names; a video that has both names has the whole one. The boxes of
    SST-WSVADL, ``merged_ucf_crime.json``, become regions; the intervals are those of the authors. GlanceVAD's
    ``ucf_glance_annotations.csv`` gives glances.

    Args:
        sources: files, or folders that hold them.
        draft: takes what they say.

    Raises:
        WSVADError: if a name or a class is none of UCF-Crime, or the files contradict each other.
    """
    paths = files_of(sources, (*FILES, *BOXES, *clicks.FILES), draft)
    drawn = [path for path in paths if ".json" in path.suffixes]
    clicked = [path for path in paths if clicks.holds_glances(path)]
    lists = [path for path in paths if path not in (*drawn, *clicked)]
    lines = [(path, line) for path in lists for line in read_once(path, draft)]
    names = {line.video_id for _, line in lines}
    for path, line in lines:
        label = label_of_name(line.video_id)
        check_label(path, line, label)
        draft.infer("label and class by the names of the videos", line.video_id)
        whole = f"{line.video_id}{SUFFIX}"
        if whole in names:
            draft.repair(f"name without {SUFFIX}, which another line has", line.video_id)
        draft.add(
            whole if whole in names else line.video_id,
            path,
            label=label.label,
            classes=label.classes,
            num_frames=line.num_frames,
            intervals=line.pairs or None,
            split=infer_part(path, line, draft),
            frame_size=FRAME_SIZE if drawn else None,
        )
    for path in drawn:
        for video in (video for video, boxes in read_boxes(path).items() if boxes):
            draft.add(video, path, label=1, frame_size=FRAME_SIZE, regions=path)
    for path in clicked:
        clicks.add_glances(path, draft, label_of_name)


def label_of_name(video_id: str) -> Label:
    """The label that a name such as ``Abuse028_x264`` begins with."""
    match = re.match(r"([A-Za-z]+)_?(Videos)?_?\d", video_id)
    if match is None or match[1] not in (*CLASSES, "Normal"):
        raise WSVADError("video", video_id, "is not a video of UCF-Crime", "Choose --from by the data set")
    return label_of(match[1])
