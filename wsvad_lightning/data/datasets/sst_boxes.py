"""The boxes that SST-WSVADL drew on abnormal videos of UCF-Crime and MSAD, as a table that refers to them."""

from collections.abc import Sequence
from pathlib import Path

from wsvad_lightning.data.datasets import msad, ucf_crime
from wsvad_lightning.data.datasets.draft import Draft, files_of
from wsvad_lightning.data.datasets.labels import Label
from wsvad_lightning.data.datasets.regions import read_boxes

FILES = ("merged_*.json", "merged_*.json.gz")


def read(sources: Sequence[Path], draft: Draft) -> None:
    """Read ``merged_ucf_crime.json``, ``merged_MSAD.json`` or others of their form, gzipped or not.

    The files hold abnormal videos alone, without frame counts and parts. Labels and classes follow from the
    names of the videos. The table has the events as intervals and refers to the file for the boxes.

    Args:
        sources: files, or folders that hold them.
        draft: takes what they say.

    Raises:
        WSVADError: if a file holds no such events, or a video is of neither data set.
    """
    for path in files_of(sources, FILES, draft):
        events, boxes = msad.read_events(path), read_boxes(path)
        for video, intervals in events.items():
            label, frame_size = _label_and_size(video)
            draft.infer("label and class by the names of the videos", video)
            if frame_size is not None:
                draft.infer(f"frames of {frame_size[0]} x {frame_size[1]} pixels by the data set", video)
            draft.add(
                video,
                path,
                label=label.label,
                classes=label.classes,
                intervals=intervals,
                frame_size=frame_size,
                regions=path if boxes[video] else None,
            )


def _label_and_size(video: str) -> tuple[Label, tuple[int, int] | None]:
    if video.endswith(ucf_crime.SUFFIX):  # classes of both have the same names
        return ucf_crime.label_of_name(video), ucf_crime.FRAME_SIZE
    return msad.label_of_name(video), None  # of many sizes
