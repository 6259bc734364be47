"""Texts of what happens in videos, each with the seconds that it describes."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from wsvad_lightning.files import write_table


class Caption(NamedTuple):
    """A text of a part of a video.

    Attributes:
        video_id: name of the video.
        start: second at which the part begins.
        end: second at which it ends.
        text: what happens, on one line.
    """

    video_id: str
    start: float
    end: float
    text: str


def write_captions(path: str | Path, captions: Iterable[Caption]) -> None:
    """Write a CSV table ``video,start,end,text``, in the order of videos and times.

    Args:
        path: the file.
        captions: in any order.

    Raises:
        WSVADError: if the file cannot be written.
    """
    write_table(path, ("video", "start", "end", "text"), sorted(captions))
