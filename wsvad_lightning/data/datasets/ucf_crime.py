"""UCF-Crime: 1900 videos, 13 classes; the authors' lists, and UR-DMU's with frame counts.

The numbers of an interval are taken as ``[start, end)``, counted from 0, as all later work does. The authors
themselves count from 1 and include the end, see the rule ``official:sultani``.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from wsvad_lightning.data.datasets.draft import Draft, files_of
from wsvad_lightning.data.datasets.labels import Label, label_of
from wsvad_lightning.data.datasets.text import read_once, split_of
from wsvad_lightning.errors import WSVADError

FILES = ("*Annotation*.txt", "Anomaly_*.txt", "*train*.list", "*test*.list", "*train*.csv", "*test*.csv")
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

    Args:
        sources: files, or folders that hold them.
        draft: takes what they say.

    Raises:
        WSVADError: if a name or a class is none of UCF-Crime, or the files contradict each other.
    """
    for path in files_of(sources, FILES, draft):
        for line in read_once(path, draft):
            label = _label_of_name(line.video_id)
            if line.words and label_of(" ".join(line.words)) != label:
                problem = f"calls {line.video_id} {' '.join(line.words)}"
                raise WSVADError("sources", path, problem, "Correct the class by the name")
            annotated = line.num_frames is not None or bool(line.words)
            draft.add(
                line.video_id,
                path,
                label=label.label,
                classes=label.classes,
                num_frames=line.num_frames,
                intervals=line.pairs or None,
                split=split_of(path) or ("test" if annotated else None),
            )


def _label_of_name(video_id: str) -> Label:
    """The label that a name such as ``Abuse028_x264`` begins with."""
    match = re.match(r"([A-Za-z]+)_?(Videos)?_?\d", video_id)
    if match is None or match[1] not in (*CLASSES, "Normal"):
        raise WSVADError("video", video_id, "is not a video of UCF-Crime", "Choose --from by the data set")
    return label_of(match[1])
