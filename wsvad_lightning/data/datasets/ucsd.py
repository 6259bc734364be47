"""UCSD Ped1 and Ped2: folders of frames, the anomalous ones in a MATLAB list or as mask pictures."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from wsvad_lightning.data.datasets.draft import Draft, find_inside
from wsvad_lightning.data.datasets.masks import picture_size, read_pictures
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.timeline import Interval, join, runs
from wsvad_lightning.video.frames import images_of

CLIP = re.compile(r"(Train|Test)\d{3}(_gt)?")
ENTRY = re.compile(r"^[^%\n]*gt_frame\s*=\s*\[([^\]]*)\]", re.MULTILINE)  # not behind a comment sign
RANGE = re.compile(r"(\d+)(?::(\d+))?")


def read(sources: Sequence[Path], draft: Draft) -> None:
    """Read ``UCSDped1`` or ``UCSDped2``: folders ``TrainNNN``, ``TestNNN``, ``TestNNN_gt``, the ``.m`` file.

    The clips of the two halves have the same names, so each half makes a table of its own. The ``.m`` file
    has the last word: entry i is of clip i, its ranges count from 1 and include the end. Masks are used where
    it is absent, and compared with it where it is not.

    Args:
        sources: the folder, or its parts.
        draft: takes what they say.

    Raises:
        WSVADError: if the folder does not exist, or the parts contradict each other.
    """
    listed: dict[str, list[Interval]] = {}
    for path in find_inside(sources, "*.m"):
        listed |= _read_list(path)
        for video, intervals in listed.items():
            draft.add(video, path, label=1, intervals=intervals, split="test")
    for folder in find_inside(sources, "T*"):
        match = CLIP.fullmatch(folder.name)
        if match is None or not folder.is_dir():
            continue
        if match[2]:
            _read_masks(folder, listed, draft)
        else:
            label, split = (0, "train") if match[1] == "Train" else (1, "test")
            draft.add(
                folder.name,
                folder,
                label=label,
                num_frames=len(images_of(folder)) or None,
                split=split,
                frame_size=picture_size(folder),
            )


def _read_list(path: Path) -> dict[str, list[Interval]]:
    entries = ENTRY.findall(path.read_text(encoding="utf-8", errors="replace"))
    if not entries:
        raise WSVADError("sources", path, "holds no gt_frame = [...]", "Give UCSDped1.m or UCSDped2.m")
    clips = {}
    for number, entry in enumerate(entries, start=1):
        ranges = [(int(match[1]), int(match[2] or match[1])) for match in RANGE.finditer(entry)]
        clips[f"Test{number:03d}"] = join((start - 1, end) for start, end in ranges)
    return clips


def _read_masks(folder: Path, listed: dict[str, list[Interval]], draft: Draft) -> None:
    video = folder.name.removesuffix("_gt")
    masks = np.array([mask.any() for mask in read_pictures(folder)], dtype=bool)
    intervals = runs(masks)
    if masks.any():
        draft.add(video, folder, regions=folder)
    if video not in listed:
        draft.add(video, folder, label=1, num_frames=len(masks), intervals=intervals, split="test")
    elif intervals != listed[video]:
        draft.repair("masks differ from the list of frames, the list taken", video)
