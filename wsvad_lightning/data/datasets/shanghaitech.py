"""ShanghaiTech in its weakly supervised split: 437 videos, the abnormal ones have names of four digits."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wsvad_lightning.data.datasets.draft import Draft, files_of
from wsvad_lightning.data.datasets.labels import Label, label_of
from wsvad_lightning.data.datasets.masks import read_array
from wsvad_lightning.data.datasets.text import Line, check_label, infer_part, read_once
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.timeline import Interval, runs

NAME = re.compile(r"\d\d_\d{3,4}")
CROP = re.compile(r"(?<=\d)_\d$")  # after the name, in lists of feature files
MASKS = ("[01][0-9]_[0-9][0-9][0-9][0-9].npy", "*mask*.json")
FILES = ("*train*.csv", "*test*.csv", "*train*.txt", "*test*.txt", "*.list", *MASKS)
SNIPPET = 16


def read(sources: Sequence[Path], draft: Draft) -> None:
    """Read lists of names, ``relabel.list`` (classes), and frame masks.

    Masks are ``.npy`` files named after their videos, as in the data set's ``test_frame_mask``, or JSON:
    ``{video: {"num_frames": F, "labels": [0, 1, ...]}}``, or ``"anomalous": [[start, end], ...]`` half-open.

    Args:
        sources: files, or folders that hold them.
        draft: takes what they say.

    Raises:
        WSVADError: if a name is none of ShanghaiTech, a mask is none, or files contradict each other.
    """
    for path in files_of(sources, FILES, draft):
        if path.suffix == ".npy":
            labels = read_array(path)
            _add(draft, path.stem, path, len(labels), runs(labels))
        elif path.suffix == ".json":
            for video, num_frames, intervals in _read_json(path):
                _add(draft, video, path, num_frames, intervals)
        else:
            for line in read_once(path, draft):
                _add_line(draft, line, path)


def _add_line(draft: Draft, line: Line, path: Path) -> None:
    """Add what a list says: classes are words after the name, separated by commas."""
    video = CROP.sub("", line.video_id)
    label = _label_of(video)
    check_label(path, line, Label(label))
    classes = tuple(name for word in line.words for name in label_of(word).classes)
    draft.infer("label by the names of the videos", video)
    draft.add(
        video,
        path,
        label=label,
        classes=classes or None,
        num_frames=line.num_frames,
        intervals=line.pairs or None,
        split=infer_part(path, line._replace(video_id=video), draft),
    )


def _add(draft: Draft, video: str, path: Path, num_frames: int, intervals: list[Interval]) -> None:
    label = _label_of(video)
    if label == 1 and not intervals:
        raise WSVADError("sources", path, f"says that {video} has no anomaly", "Give the mask of the video")
    draft.add(video, path, label=label, num_frames=num_frames, intervals=intervals)


def _label_of(video_id: str) -> int:
    """The videos with four digits are those of the original test set; each of them holds an anomaly."""
    if not NAME.fullmatch(video_id):
        raise WSVADError("video", video_id, "is not a video of ShanghaiTech", "Choose --from by the data set")
    return int(len(video_id) == len("01_0014"))


def _read_json(path: Path) -> list[tuple[str, int, list[Interval]]]:
    try:
        content: dict[str, dict[str, Any]] = json.loads(path.read_text())
        found = [(video, int(entry["num_frames"]), _intervals(entry)) for video, entry in content.items()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        remedy = 'Give {video: {"num_frames": F, "labels": [...]}}'
        raise WSVADError("sources", path, "holds no frame masks", remedy) from None
    if all(num_frames % SNIPPET == 0 for _, num_frames, _ in found):
        problem = f"holds labels that are padded to whole snippets of {SNIPPET} frames"
        raise WSVADError("sources", path, problem, "Give the frame masks of the data set")
    return found


def _intervals(entry: dict[str, Any]) -> list[Interval]:
    if "labels" in entry:
        return runs(np.array(entry["labels"], dtype=float))
    return [(int(start), int(end)) for start, end in entry["anomalous"]]
