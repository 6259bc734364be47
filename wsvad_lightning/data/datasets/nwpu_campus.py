"""NWPU Campus (Cao et al., CVPR 2023): 43 scenes, 305 normal training videos, labels of the 242 test frames.

The labels of the test frames are one archive, an array for each video by its name. Lists of names give the
training videos, and classes where a word follows a name.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from wsvad_lightning.data.datasets.draft import Draft, files_of
from wsvad_lightning.data.datasets.labels import Label, label_of
from wsvad_lightning.data.datasets.limits import read_npz
from wsvad_lightning.data.datasets.text import Line, read_once, split_of
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.timeline import runs

NAME = re.compile(r"[DN]\d{3}_\d{2,3}")  # day or night, scene, number
FILES = ("*gt*.npz", "*.txt", "*.list", "*.csv")


def read(sources: Sequence[Path], draft: Draft) -> None:
    """Read ``NWPU_Campus_gt.npz``, and lists ``name`` or ``name class`` of the training and test videos.

    Args:
        sources: files, or folders that hold them.
        draft: takes what they say.

    Raises:
        WSVADError: if a name is none of NWPU Campus, labels are not 0 and 1 a frame, or files contradict each
            other.
    """
    for path in files_of(sources, FILES, draft):
        if path.suffix.lower() == ".npz":
            _read_labels(path, draft)
        else:
            for line in read_once(path, draft):
                _add_line(path, line, draft)


def _read_labels(path: Path, draft: Draft) -> None:
    for name, labels in read_npz("sources", str(path)).items():
        _check_name(name)
        if labels.ndim != 1 or not len(labels) or not set(labels.tolist()) <= {0, 1}:
            problem = f"has labels of shape {labels.shape} for {name}, not a 0 or 1 for each frame"
            raise WSVADError("sources", path, problem, "Give the ground truth of the data set")
        intervals = runs(labels)
        draft.infer(f"part test by the labels in {path.name}", name)
        label = int(bool(intervals))
        draft.add(name, path, label=label, num_frames=len(labels), intervals=intervals, split="test")


def _add_line(path: Path, line: Line, draft: Draft) -> None:
    """Add what a list says: a word after the name is a class; training videos are normal."""
    _check_name(line.video_id)
    split = split_of(path)
    said = label_of(" ".join(line.words)) if line.words else None
    if said is None and split == "train":
        said = Label(0)
        draft.infer(f"normal by the part train of {path.name}", line.video_id)
    if said is not None:
        draft.add(line.video_id, path, label=said.label, classes=said.classes or None)
    draft.add(line.video_id, path, split=split)


def _check_name(video_id: str) -> None:
    if not NAME.fullmatch(video_id):
        raise WSVADError("video", video_id, "is not a video of NWPU Campus", "Choose --from by the data set")
