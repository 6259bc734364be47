"""Glances, frames that a person marked inside anomalies: files with a row for each, and drawn ones."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path

import numpy as np

from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.data.datasets.draft import Draft
from wsvad_lightning.data.datasets.labels import Label
from wsvad_lightning.data.datasets.reading import located, read_rows
from wsvad_lightning.data.datasets.spans import read_whole

FILES = ("*glance*.csv",)


def holds_glances(path: Path) -> bool:
    """Whether a file is one of glances, by its name."""
    return any(fnmatch(path.name.lower(), pattern) for pattern in FILES)


def add_glances(path: Path, draft: Draft, label_of_name: Callable[[str], Label]) -> None:
    """Add the glances of a table ``video-id,glance`` to what is known of videos.

    Args:
        path: the table.
        draft: takes them, in the order of the rows.
        label_of_name: gives the label of a video by its name.

    Raises:
        WSVADError: if the file cannot be read, a cell is not a frame, or a name is none of the data set.
    """
    notes: list[str] = []
    frames: dict[str, list[int]] = {}
    for line, row in read_rows(path, "sources", ("video", "glance"), notes):
        with located("sources", f"{path}, line {line}"):
            frames.setdefault(row["video"], []).append(read_whole("glance", row["glance"]))
    for note in notes:
        draft.repair(note, path.name)
    for video, marked in frames.items():
        label = label_of_name(video)
        draft.infer("label and class by the names of the videos", video)
        draft.infer("part train by the glances, which training videos have", video)
        draft.add(video, path, label=label.label, classes=label.classes, split="train", glances=marked)


def draw_glances(videos: Mapping[str, VideoAnnotation], seed: int) -> dict[str, VideoAnnotation]:
    """Draw a glance for every interval, any of its frames with the same probability.

    Args:
        videos: by name, in the order of which is drawn.
        seed: the same seed gives the same glances.

    Returns:
        The annotations with these glances in place of others.
    """
    rng = np.random.default_rng(seed)
    return {
        name: replace(video, glances=tuple(int(rng.integers(*span)) for span in video.intervals or ()))
        for name, video in videos.items()
    }
