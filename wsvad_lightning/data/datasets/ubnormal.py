"""UBnormal (Acsintoae et al., CVPR 2022): 543 rendered videos of 29 scenes, with tracks and masks of objects.

Each scene is a folder that holds the videos, and for each abnormal one a folder ``NAME_annotations`` with the
frames of every abnormal object (``NAME_tracks.txt``) and masks (``NAME_0000_gt.png`` and so on).
"""

import re
from collections.abc import Sequence
from pathlib import Path

from wsvad_lightning.data.datasets.draft import Draft, find_inside
from wsvad_lightning.data.datasets.masks import picture_size
from wsvad_lightning.data.datasets.text import read_once, split_of
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.timeline import Interval
from wsvad_lightning.video.frames import images_of

NAME = re.compile(r"(normal|abnormal)_scene_\d+_scenario_?\d+(?:_[a-z0-9]+)?")  # _fog, _fire, _smoke, _1
ANNOTATIONS = "_annotations"
MASK = re.compile(r".*_(\d+)_gt")


def read(sources: Sequence[Path], draft: Draft) -> None:
    """Read the folders of the scenes, and lists such as ``abnormal_training_video_names.txt``.

    A line of tracks is ``object,start,end``, the end included. Where corrected tracks lie next to them
    (``NAME_new_tracks.txt``), these are read, as by the authors.

    Args:
        sources: the folder of the data set, scenes, or lists.
        draft: takes what they say.

    Raises:
        WSVADError: if a name is none of UBnormal, or the files contradict each other.
    """
    for path in find_inside(sources, "*_video_names.txt"):
        for line in read_once(path, draft):
            _add(draft, line.video_id, path, split=split_of(path))
    for path in find_inside(sources, "*.mp4"):
        _add(draft, path.stem, path)
    for folder in find_inside(sources, f"*{ANNOTATIONS}"):
        _read_folder(folder, draft)


def _read_folder(folder: Path, draft: Draft) -> None:
    """Read the tracks of a video, and refer to its masks if there is one for each frame."""
    video = folder.name.removesuffix(ANNOTATIONS)
    tracks = next(filter(Path.is_file, (folder / f"{video}_{n}.txt" for n in ("new_tracks", "tracks"))), None)
    intervals = None if tracks is None else _read_tracks(tracks)
    pictures = images_of(folder)
    matches = [MASK.fullmatch(picture.stem) for picture in pictures]
    numbers = [int(match[1]) for match in matches if match is not None]
    whole = bool(numbers) and numbers == [*range(len(pictures))]
    if numbers and not whole:
        draft.repair("masks of some frames only, not taken", video)
    _add(
        draft,
        video,
        tracks or folder,
        intervals=intervals,
        frame_size=picture_size(folder) if whole else None,
        regions=folder if whole else None,
    )


def _read_tracks(path: Path) -> list[Interval]:
    """Read ``[start, end)`` of each object."""
    try:
        rows = [line.split(",") for line in path.read_text("utf-8").splitlines() if line.strip()]
        return [(int(float(row[1])), int(float(row[2])) + 1) for row in rows]
    except (OSError, ValueError, IndexError, OverflowError):
        raise WSVADError("sources", path, "holds no tracks", "Give lines of object,start,end") from None


def _add(
    draft: Draft,
    video: str,
    path: Path,
    *,
    intervals: list[Interval] | None = None,
    split: str | None = None,
    frame_size: tuple[int, int] | None = None,
    regions: Path | None = None,
) -> None:
    match = NAME.fullmatch(video)
    if match is None:
        raise WSVADError("video", video, "is not a video of UBnormal", "Choose --from by the data set")
    draft.infer("label by the names of the videos", video)
    draft.add(
        video,
        path,
        label=int(match[1] == "abnormal"),
        intervals=intervals,
        split=split,
        frame_size=frame_size,
        regions=regions,
    )
