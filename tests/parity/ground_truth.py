"""Frame labels of the public benchmarks, from the annotation files and rules that the field uses.

A rule is a sentence such as ``frame counts of ucf_crime/UCF_Annotation.txt rounded up to a multiple of 16;
intervals of Temporal_Anomaly_Annotation.txt with the end frame included (gt[s:e+1])``. It says:

* the files, at its beginning or after ``frame counts of`` and ``intervals of``: ``.json`` (intervals and
  frame counts), ``.json.gz`` (a list of box events), ``.txt`` and ``.list`` (a line a video: name, frame
  count if any, class if any, pairs of frames), ``.npy`` (one array for all videos);
* ``gt[s:e]``, ``gt[s:e+1]``, ``gt[s-1:e]``: the slice of a pair of frames, clipped at the last frame;
* ``rounded up|down to a multiple of N``: what happens to the frame counts;
* ``in file order``; otherwise abnormal videos come first, each half by name.
"""

import json
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsvad_lightning.data.datasets.msad import read_events
from wsvad_lightning.data.datasets.text import read_lines
from wsvad_lightning.errors import WSVADError

Labels = NDArray[np.uint8]
Intervals = dict[str, list[tuple[int, int]]]

FILE = re.compile(r"(?:^|frame counts of |intervals of )([\w./-]+\.(?:json(?:\.gz)?|txt|list|npy))\b")
SLICE = re.compile(r"gt\[s([+-]\d+)?:e([+-]\d+)?\]")
ROUNDING = re.compile(r"rounded (up|down) to a multiple of (\d+)")


def frame_labels(rule: str, root: Path) -> dict[str, Labels]:
    """Build what a rule describes.

    Args:
        rule: the sentence.
        root: folder that the files are relative to; a bare name may also lie next to the first file.

    Returns:
        0 and 1 per frame of each video; of one pseudo video ``all`` where the boundaries are unknown.

    Raises:
        WSVADError: if a file is absent, or the rule does not say how many frames a video has.
    """
    names = FILE.findall(rule)
    files = [_locate(name, root, names[0]) for name in names]
    arrays = [path for path in files if path.suffix == ".npy"]
    if arrays:
        return {"all": np.load(arrays[0]).astype(np.uint8)}
    frame_counts: dict[str, int] = {}
    intervals: Intervals = {}
    for path in files:
        counts, pairs = _read_json(path) if ".json" in path.suffixes else _read_lines(path)
        frame_counts |= counts
        intervals |= pairs
    if not frame_counts:
        raise WSVADError("gt", rule, "gives no frame counts", "Name a file that holds them")
    shift = SLICE.search(rule)
    before, after = (int(shift[1] or 0), int(shift[2] or 0)) if shift else (0, 0)
    labels = {}
    for video, frames in frame_counts.items():
        labels[video] = np.zeros(_rounded(frames, rule), dtype=np.uint8)
        for start, end in intervals.get(video, []):
            labels[video][max(0, start + before) : end + after] = 1
    if "in file order" in rule:
        return labels
    return dict(sorted(labels.items(), key=lambda item: (not item[1].any(), item[0])))


def class_of(video: str) -> str:
    """Class that a video's name states: ``Abuse`` of ``Abuse028_x264``, ``B4`` of ``..._label_B4-0-0``."""
    match = re.search(r"_label_([^-]+)", video) or re.match(r"(.+?)_?\d", video)
    return match[1] if match else video


def _locate(name: str, root: Path, first: str) -> Path:
    for path in (root / name, (root / first).parent / name):
        if path.is_file():
            return path
    raise WSVADError("--root", root, f"holds no {name}", "Give the folder of the annotation files")


def _rounded(frames: int, rule: str) -> int:
    match = ROUNDING.search(rule)
    if match is None:
        return frames
    multiple = int(match[2])
    return -(-frames // multiple) * multiple if match[1] == "up" else frames // multiple * multiple


def _read_json(path: Path) -> tuple[dict[str, int], Intervals]:
    """Read ``{video: {num_frames, anomalous}}``, or a list of events whose ends are included."""
    if path.suffix == ".gz":
        events = read_events(path)
        return {}, {video: [(start, end - 1) for start, end in pairs] for video, pairs in events.items()}
    videos = json.loads(path.read_text())
    return (
        {video: entry["num_frames"] for video, entry in videos.items()},
        {video: [(start, end) for start, end in entry["anomalous"]] for video, entry in videos.items()},
    )


def _read_lines(path: Path) -> tuple[dict[str, int], Intervals]:
    """Read lines ``name [frames] [class] s1 e1 s2 e2``."""
    lines = list(read_lines(path))
    return (
        {line.video_id: line.num_frames for line in lines if line.num_frames is not None},
        {line.video_id: list(line.pairs) for line in lines if line.pairs},
    )
