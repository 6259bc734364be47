"""Videos as every browser plays them: H.264, each frame shown when the original shows it."""

import threading
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wsvad_lightning.video.frames import Footage
from wsvad_lightning.video.reader import VideoReader, draw, make_scaler, upright_size
from wsvad_lightning.video.writer import write_video

LARGEST = (854, 480)  # width and height that a page shows


class Film(NamedTuple):
    """A video that can be played.

    Attributes:
        path: MP4.
        times: ``[F + 1]`` seconds after the first frame: when each is shown, and when the last one ends.
    """

    path: Path
    times: list[float]


class Films:
    """Makes films when they are asked for, each once.

    Args:
        videos: in order.
        folder: where films are put.
    """

    def __init__(self, videos: Sequence[Footage], folder: Path) -> None:
        self._videos, self._folder = list(videos), folder
        self._films: dict[int, Film] = {}
        self._locks = [threading.Lock() for _ in videos]

    def film(self, place: int) -> Film:
        """Give the film of a video.

        Raises:
            WSVADError: if the video cannot be read.
        """
        with self._locks[place]:
            if place not in self._films:
                self._films[place] = make_film(self._videos[place], self._folder / f"{place}.mp4")
            return self._films[place]


def make_film(video: Footage, path: Path) -> Film:
    """Write a video, not larger than ``LARGEST``, frame by frame.

    Raises:
        WSVADError: if it cannot be read or written.
    """
    times: list[float] = []
    with write_video(path) as film:
        for (picture, at), (_, until) in pairwise(timed_pictures(video)):
            film.write(picture, at, until)
            times.append(at)
    return Film(path, [*times, until])


def timed_pictures(video: Footage) -> Iterator[tuple[NDArray[np.uint8], float]]:
    """Give the frames of a video with when they are shown, and at last its end with the last frame again."""
    reader, scaler, size = VideoReader(video), make_scaler(), dict[str, int]()
    for frame, orientation in reader.pictures():
        size = size or fitted(upright_size(frame, orientation))
        picture = draw(scaler, frame, orientation, **size)
        yield picture, reader.seconds
    yield picture, reader.seconds + 1 / reader.fps


def fitted(size: dict[str, int]) -> dict[str, int]:
    """Shrink a size to ``LARGEST`` in its proportions; both sides become even, as the encoder wants them."""
    scale = min(1.0, LARGEST[0] / size["width"], LARGEST[1] / size["height"])
    return {side: max(2, round(scale * length / 2) * 2) for side, length in size.items()}
