"""Clips: a few frames of a video from any place of it, exact to the frame, in bounded memory."""

import os
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.video.crops import WHOLE, Crop, Layout, Size
from wsvad_lightning.video.film import Film, broken, import_av, open_film
from wsvad_lightning.video.frames import Footage, FrameFolder, decode_image
from wsvad_lightning.video.index import FrameIndex, decoded_index, index_video
from wsvad_lightning.video.reader import Picture, VideoReader, make_scaler, upright_size
from wsvad_lightning.video.upright import AS_STORED, Orientation, orientation_of

MOST_OPEN = 8  # videos that a process keeps open
NEAR = 8  # frames: decoding these takes less time than seeking


class Numbered(NamedTuple):
    """A decoded frame.

    Attributes:
        number: of the frame in the file.
        frame: of PyAV.
        orientation: how it is turned upright; None where the frame itself says so.
    """

    number: int
    frame: Any
    orientation: Orientation | None = None

    def picture(self, tags: Mapping[str, str]) -> Picture:
        """The frame on its way out; ``tags`` are those of its track."""
        return Picture(self.frame, self.orientation or orientation_of(self.frame, tags) or AS_STORED)


class Missed(Exception):  # noqa: N818  # caught in the module
    """A frame was not where the index has it: the video is damaged, or its packets mislead."""


class ClipReader:
    """Random access to the frames of one video.

    A read seeks to the last key frame before its first frame and decodes from there, or goes on where the
    last read ended if that is nearer. Every frame that comes is compared with the index. Where one is missing
    or damaged, this and all later reads decode the video from its start, as :class:`VideoReader` does.

    Args:
        video: the file, or the folder of images.
        fps: frames a second to play the video at; None for every frame of the file.
        index: of the video played at that rate; None to make it.

    Attributes:
        index: of the video; another one after it turned out to mislead.

    Raises:
        WSVADError: as :func:`index_video`.
    """

    def __init__(
        self, video: str | Footage, fps: float | None = None, index: FrameIndex | None = None
    ) -> None:
        self._video: Footage = Path(video) if isinstance(video, str) else video
        self._fps, self.index = fps, index or index_video(video, fps)
        self._files, self._scaler = ExitStack(), make_scaler()
        self._film: Film | None = None
        self._coming: Iterator[Numbered] = iter(())
        self._latest: Numbered | None = None
        self._size: Size | None = None  # of the first frame, upright: all others take it

    def read(
        self, frames: Sequence[int] | NDArray[np.int64], size: Size | None = None, crop: Crop = WHOLE
    ) -> NDArray[np.uint8]:
        """Read frames.

        Args:
            frames: T numbers of frames of the video as it is played, ascending; some may be the same.
            size: height and width; None for those of the video.
            crop: the part of each frame.

        Returns:
            ``[T, height, width, 3]``, RGB.

        Raises:
            WSVADError: if the video cannot be decoded.
        """
        numbers, source = np.asarray(frames, np.int64), self.index.source
        wanted, places = np.unique(numbers if source is None else source[numbers], return_inverse=True)
        try:
            pictures = self._pictures(wanted.tolist())
            drawn = [self.layout(size, crop).draw(picture, self._scaler) for picture in pictures]
        except (Missed, import_av().FFmpegError, OSError) as error:
            self.close()
            if self.index.ticks is None:
                raise broken(Path(self._video), "cannot be read again as it was first") from error
            announced, self.index = self.index.num_frames, decoded_index(self._video, self._fps)
            if numbers[-1] >= self.index.num_frames:
                problem = f"gives {self.index.num_frames} frames where its packets announce {announced}"
                raise broken(Path(self._video), problem) from error
            return self.read(frames, size, crop)
        return np.stack([drawn[place] for place in places.tolist()])

    def layout(self, size: Size | None, crop: Crop) -> Layout:
        """Give where a clip lies in the scaled frame; known once a frame was read."""
        assert self._size is not None, "a frame was read"
        return crop.layout(self._size, size)

    def close(self) -> None:
        """Close the file; the next read opens it again."""
        self._coming, self._latest, self._film = iter(()), None, None
        self._files.close()

    def _pictures(self, wanted: Sequence[int]) -> Iterator[Picture]:
        """Frames of the file by their numbers, which ascend."""
        if not self._is_near(wanted[0]):
            self._coming, self._latest = self._from(wanted[0]), None
        for number in wanted:
            while self._latest is None or self._latest.number < number:
                self._latest = next(self._coming, None)
                if self._latest is None:
                    raise Missed
            if self._latest.number != number:
                raise Missed
            picture = self._latest.picture(self._film.tags if self._film else {})
            self._size = self._size or self._size_of(picture)
            yield picture

    def _is_near(self, number: int) -> bool:
        """Whether to go on decoding is the shortest way to a frame."""
        if self._latest is None or self._latest.number > number:
            return False
        keys = self.index.keys
        if keys is None or number <= self._latest.number + NEAR:
            return True
        return bool(keys[_last_key(keys, number)] <= self._latest.number)

    def _size_of(self, picture: Picture) -> Size:
        """Height and width of the first frame: those of the track, or of this picture if it is the first."""
        if self._film is None:
            return height_and_width(picture)
        stored = self._film.track.height, self._film.track.width
        return stored[::-1] if picture.orientation.transposes else stored

    def _from(self, number: int) -> Iterator[Numbered]:
        """Decode a frame and all that follow it."""
        if self.index.ticks is None:
            return self._from_start()
        if isinstance(self._video, FrameFolder):
            return self._from_image(self._video.images, number)
        return self._from_key(self.index.ticks, number)

    def _from_start(self) -> Iterator[Numbered]:
        reader = VideoReader(self._video, resample=self._fps)
        for picture in reader.pictures():
            self._size = self._size or height_and_width(picture)
            yield Numbered(reader.num_frames - 1, *picture)

    def _from_image(self, images: Sequence[Path], first: int) -> Iterator[Numbered]:
        try:
            if self._size is None and first:
                self._size = height_and_width(Numbered(0, decode_image(images[0])).picture({}))
            for number in range(first, len(images)):
                yield Numbered(number, decode_image(images[number]))
        except (IndexError, StopIteration) as error:
            raise Missed from error

    def _from_key(self, ticks: NDArray[np.int64], first: int) -> Iterator[Numbered]:
        """Seek, and decode on.

        Raises:
            Missed: if the frames that come are not those of the index.
        """
        if self._film is None:
            self._film = self._files.enter_context(open_film(Path(self._video), threaded=False))
        begin, frames = self._seek(self._film, ticks, first)
        try:
            for number, frame in enumerate(frames, begin):
                if number == len(ticks) or frame.pts != ticks[number] or frame.is_corrupt:
                    raise Missed
                if number >= first:
                    yield Numbered(number, frame)
        except IndexError as error:  # PyAV's at the end of a file with more tracks
            raise Missed from error

    def _seek(self, film: Film, ticks: NDArray[np.int64], number: int) -> tuple[int, Iterator[Any]]:
        """Find a key frame from which a frame can be decoded; give its number, and all frames from it on.

        Containers without an index of their own (MPEG-TS) may go too far: an earlier key frame is sought
        then.
        """
        keys, targets = self.index.keys, self.index.targets
        assert keys is not None, "an index of packets has them"
        assert targets is not None, "an index of packets has them"
        last = _last_key(keys, number)
        for place in dict.fromkeys((last, max(0, last - 1), 0)):
            begin = int(keys[place])
            film.container.seek(int(targets[place]), stream=film.track)
            frames = film.container.decode(film.track)
            frame = next((f for f in frames if f.pts is not None and f.pts >= ticks[begin]), None)
            if frame is not None and frame.pts == ticks[begin]:
                return begin, chain([frame], frames)
        raise Missed


class ClipReaders:
    """Readers of many videos, of which each process keeps few open; not for several threads.

    Args:
        fps: frames a second to play videos at; None for every frame of the file.
        most_open: videos that a process keeps open.
    """

    def __init__(self, fps: float | None = None, most_open: int = MOST_OPEN) -> None:
        self.fps, self.most_open = fps, most_open
        self._indexes: dict[Path, FrameIndex] = {}
        self._open: OrderedDict[Path, ClipReader] = OrderedDict()
        self._inherited = self._open
        self._pid = os.getpid()

    def __getstate__(self) -> dict[str, Any]:
        """Leave open files behind; a process that receives the readers opens its own."""
        return {**self.__dict__, "_open": OrderedDict(), "_inherited": OrderedDict(), "_pid": -1}

    def has_indexed(self, video: str | Footage) -> bool:
        """Whether the index of a video is made."""
        return Path(video) in self._indexes

    def index(self, video: str | Footage) -> FrameIndex:
        """Give the index of a video, which is made once.

        Raises:
            WSVADError: as :func:`index_video`.
        """
        path = Path(video)
        if path in self._open:
            return self._open[path].index
        if path not in self._indexes:
            self._indexes[path] = index_video(video, self.fps)
        return self._indexes[path]

    def open(self, video: str | Footage) -> ClipReader:
        """Give the reader of a video; that of another one may be closed for it.

        Raises:
            WSVADError: as :func:`index_video`.
        """
        if self._pid != os.getpid():
            # A forked process must not use its parent's files, nor free them: their threads did not follow.
            self._inherited, self._open, self._pid = self._open, OrderedDict(), os.getpid()
        path = Path(video)
        reader = self._open.pop(path, None) or ClipReader(video, self.fps, self.index(video))
        self._open[path] = reader  # the last one in use
        if len(self._open) > self.most_open:
            self._close_oldest()
        return reader

    def read_clip(
        self,
        video: str | Footage,
        start: int,
        length: int = 16,
        stride: int = 1,
        size: Size | None = None,
        crop: Crop = WHOLE,
        *,
        pad: bool = False,
    ) -> Tensor:
        """Read a clip; see :func:`read_clip`."""
        reader = self.open(video)
        frames = clip_frames(Path(video), reader.index.num_frames, start, length, stride, pad=pad)
        return as_clip(reader.read(frames, size, crop))

    def close(self) -> None:
        """Close all files."""
        while self._open:
            self._close_oldest()

    def _close_oldest(self) -> None:
        path, reader = self._open.popitem(last=False)
        self._indexes[path] = reader.index  # another one, if the first turned out to mislead
        reader.close()


def read_clip(
    video: str | Footage,
    start: int,
    length: int = 16,
    stride: int = 1,
    size: Size | None = None,
    crop: Crop = WHOLE,
    *,
    fps: float | None = None,
    pad: bool = False,
) -> Tensor:
    """Read a clip of a video, exact to the frame. For many clips, :class:`ClipReaders` keeps files open.

    Args:
        video: the file, or the folder of images.
        start: number of the first frame, from 0.
        length: T, frames of the clip.
        stride: frames of the video from one frame of the clip to the next.
        size: height and width; None for those of the video.
        crop: the part of each frame.
        fps: frames a second to play the video at; None for every frame of the file.
        pad: whether the last frame of the video is repeated where the clip passes its end.

    Returns:
        ``[3, T, height, width]`` float32 in [0, 1], RGB.

    Raises:
        WSVADError: if the video cannot be decoded, or the clip has no frames or does not lie in it.
    """
    readers = ClipReaders(fps)
    try:
        return readers.read_clip(video, start, length, stride, size, crop, pad=pad)
    finally:
        readers.close()


def clip_frames(
    video: Path, num_frames: int, start: int, length: int, stride: int, *, pad: bool
) -> NDArray[np.int64]:
    """Number the frames of a clip, see :func:`read_clip`.

    Raises:
        WSVADError: if it has no frames, or does not lie in the video.
    """
    for name, value in (("length", length), ("stride", stride)):
        if value < 1:
            raise WSVADError(name, value, "must be at least 1", "Give more")
    frames = start + stride * np.arange(length)
    if not 0 <= start < num_frames or (frames[-1] >= num_frames and not pad):
        span = f"{length} frames, each {stride} after the last," if stride > 1 else f"{length} frames"
        problem = f"a clip of {span} from frame {start} on passes its end: it has {num_frames} frames"
        raise WSVADError("video", video, problem, "Shorten the clip, or leave the video out")
    return np.minimum(frames, num_frames - 1)


def as_clip(pixels: NDArray[np.uint8]) -> Tensor:
    """Turn frames ``[T, H, W, 3]`` into a clip ``[3, T, H, W]``, float32 in [0, 1]."""
    return torch.from_numpy(pixels).permute(3, 0, 1, 2).contiguous() / 255


def height_and_width(picture: Picture) -> Size:
    """The size of a picture that is turned upright."""
    size = upright_size(*picture)
    return size["height"], size["width"]


def _last_key(keys: NDArray[np.int64], number: int) -> int:
    """Place of the last key frame from which a frame can be decoded."""
    return int(np.searchsorted(keys, number, side="right")) - 1
