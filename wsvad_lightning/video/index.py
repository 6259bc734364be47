"""Which frames a video has and where decoding can begin, found without decoding it."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsvad_lightning.video.film import Film, import_av, open_film
from wsvad_lightning.video.frames import Footage, FrameFolder
from wsvad_lightning.video.reader import VideoReader
from wsvad_lightning.video.stamps import JUMP, TimeStamps

REORDERED = 32  # places by which packets may lie out of the order of display: a decoder holds 16 pictures
HIDDEN = ("vp8",)  # codecs of which a packet may show nothing

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class FrameIndex:
    """The frames of a video as it is played; their numbers are those of :class:`VideoReader`.

    Attributes:
        num_frames: F, as it is played.
        fps: frames a second, as it is played.
        ticks: time stamp of each frame of the file, in units of its track; None where frames are found only
            by decoding the video from its start.
        keys: ``[K]`` numbers of the frames of the file at which decoding can begin, ascending.
        targets: ``[K]`` what to seek to for each: the time at which it is decoded, as containers index it.
        source: ``[F]`` which frame of the file is shown at each; None if each one is shown once.
    """

    num_frames: int
    fps: float
    ticks: Numbers | None = None
    keys: Numbers | None = None
    targets: Numbers | None = None
    source: Numbers | None = None


def index_video(video: str | Footage, fps: float | None = None) -> FrameIndex:
    """Index the frames of a video, by the time stamps of its packets where these are in order.

    Where they are not, the video is decoded once as a whole: of files without time stamps, with damaged
    packets, with packets that show nothing (VP8), and of AVI with B-frames.

    Args:
        video: the file, or the folder of images.
        fps: frames a second to play the video at; None for every frame of the file.

    Raises:
        WSVADError: as :class:`VideoReader`.
    """
    index = _of_images(video, fps) if isinstance(video, FrameFolder) else _of_packets(Path(video), fps)
    return index or decoded_index(video, fps)


def decoded_index(video: str | Footage, fps: float | None = None) -> FrameIndex:
    """Count the frames of a video by decoding it; reading it means decoding from the start.

    Args:
        video: as for :func:`index_video`.
        fps: as for :func:`index_video`.

    Raises:
        WSVADError: as :class:`VideoReader`.
    """
    reader = VideoReader(video, resample=fps)
    for _ in reader.pictures():
        pass
    return FrameIndex(reader.num_frames, reader.fps)


def _of_images(folder: FrameFolder, fps: float | None) -> FrameIndex:
    """Each image is a frame that decoding can begin at."""
    numbers = np.arange(len(folder.images))
    found = FrameIndex(len(numbers), folder.fps, numbers, numbers, numbers)
    return _played(found, numbers / folder.fps, fps)


def _of_packets(path: Path, fps: float | None) -> FrameIndex | None:
    """The index of a file; None if its frames do not follow from its packets."""
    try:
        with open_film(path, threaded=False) as film:
            return _of_film(film, fps)
    except (import_av().FFmpegError, IndexError):  # the second at the end of a file with more tracks
        return None


def _of_film(film: Film, fps: float | None) -> FrameIndex | None:
    codec, container = film.track.codec_context, film.container.format.name
    if codec.name in HIDDEN or container == "gif" or (container == "avi" and codec.has_b_frames):
        return None
    stamps, keys = list[int](), dict[int, int]()  # in the order of decoding
    for packet in film.container.demux(film.track):
        if packet.size:
            if packet.pts is None or packet.is_corrupt:
                return None
            if packet.is_keyframe:
                keys[packet.pts] = packet.pts if packet.dts is None else packet.dts
            if not packet.is_discard:
                stamps.append(packet.pts)
    decoded, begins = np.array(stamps, np.int64), np.array(sorted(keys), np.int64)
    ticks = np.unique(decoded)
    if not 2 <= len(ticks) == len(decoded) or not len(begins) or begins[0] > ticks[0]:
        return None
    moved = np.abs(np.searchsorted(ticks, decoded) - np.arange(len(ticks)))
    shown = ticks * film.track.time_base.numerator / film.track.time_base.denominator
    seconds = shown - shown[0]  # rounded as those of the reader are
    if moved.max() > REORDERED or np.diff(seconds).max() > JUMP:  # time begins anew, or pauses
        return None
    clock = TimeStamps(film.rate)
    clock.num_frames, clock.elapsed = len(ticks), float(seconds[-1])
    rate = clock.rate()
    targets = np.array([keys[begin] for begin in begins.tolist()], np.int64)
    # What an edit list hides may hold a key frame: decoding from there gives the first frame that is shown.
    found = FrameIndex(len(ticks), rate, ticks, np.searchsorted(ticks, begins), targets)
    return _played(found, seconds, fps) if rate > 0 else None


def _played(index: FrameIndex, seconds: NDArray[np.float64], fps: float | None) -> FrameIndex:
    """The index of a video played at a rate, by the rule of :class:`VideoReader`.

    Args:
        index: of every frame of the file.
        seconds: ``[F]`` when each of them is shown.
        fps: as for :func:`index_video`.
    """
    if fps is None:
        return index
    ends = np.append(seconds[1:], seconds[-1] + 1 / index.fps)
    until = np.floor(ends * fps + 0.5).astype(np.int64)  # the frame of the played video after each frame
    until[-1] = max(1, until[-1])
    source = np.searchsorted(until, np.arange(until[-1]), side="right")
    return replace(index, num_frames=len(source), fps=fps, source=source)
