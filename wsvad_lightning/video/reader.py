"""Decoding: the frames of a video one at a time, in bounded memory."""

import math
from collections.abc import Iterator
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wsvad_lightning.types import Coding
from wsvad_lightning.video.film import Damaged, Film, Shot, broken, import_av, open_film
from wsvad_lightning.video.frames import Footage, FrameFolder, open_images
from wsvad_lightning.video.oddities import Oddities
from wsvad_lightning.video.stamps import TimeStamps
from wsvad_lightning.video.upright import AS_STORED, WORDS, Orientation, orientation_of

END = Shot(None, math.nan, doubtful=False)


class Picture(NamedTuple):
    """A frame on its way out.

    Attributes:
        frame: of PyAV.
        orientation: how it is turned upright.
    """

    frame: Any
    orientation: Orientation


class VideoReader:
    """The frames of one video, in order: ``for frame in VideoReader(path)`` gives uint8 RGB ``[H, W, 3]``.

    Every frame is decoded, and counted: the number in a file's header is often wrong. Frames are turned
    upright as the file asks players to, and all get the size of the first. The file is closed when the
    iteration ends or is abandoned.

    Without ``resample``, every decoded frame counts once, however long it is shown. With ``resample``, the
    video is played at a constant rate by its time stamps: frame k is the last one that is due by
    ``(k + 1/2) / resample`` seconds after the first. Frames are repeated where the file has too few of them
    and left out where it has too many. The last frame lasts as long as the average one.

    Damage costs its own frames alone: decoding goes on at the next packet. A lost frame keeps its place, so
    that the numbers of all others stay right; the frame before is shown once more, or the first one that
    there is. A frame is lost if its packet cannot be decoded, and where the frame rate is constant also if
    the time stamps lack it between the damage and the next whole key frame. A file that ends too early is
    read as far as it goes. ``notes`` has all that.

    Args:
        path: the file, or the folder of images.
        step: give every ``step``-th frame; the others are decoded and counted only.
        resample: frames a second to play the video at; None for every frame of the file.

    Attributes:
        num_frames: frames so far, given or not; all of them once the iteration is over.
        seconds: when the latest frame is shown, after the first.
        fps: average frames a second; known once the iteration is over.
        irregular: whether the file has a variable frame rate; known once the iteration is over.
        notes: what is odd about the video, each in a few words; known once the iteration is over.
        coding: how the file is encoded; None until the iteration is over.

    Raises:
        WSVADError: if PyAV is not installed; while iterating, if the file is missing, is not a video, has no
            frames that can be decoded, or lacks the time stamps to resample it.
    """

    def __init__(self, path: str | Footage, step: int = 1, resample: float | None = None) -> None:
        self._av = import_av()
        self._folder = path if isinstance(path, FrameFolder) else None
        self.path, self.step, self.resample = Path(path), step, resample
        self._restart()

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        size: dict[str, int] = {}
        scaler = make_scaler()
        for frame, orientation in self.pictures():
            size = size or upright_size(frame, orientation)
            if (self.num_frames - 1) % self.step == 0:
                yield draw(scaler, frame, orientation, **size)

    def times(self) -> list[float]:
        """Go through the video for the sake of its time stamps.

        Returns:
            Seconds ``[F + 1]`` after the first frame: when each frame is shown, and when the last one ends.

        Raises:
            WSVADError: as in the iteration.
        """
        shown = [self.seconds for _ in self.pictures()]
        return [*shown, shown[-1] + 1 / self.fps]

    def pictures(self) -> Iterator[Picture]:
        """Give every frame, as the video is played, without drawing it; ``num_frames`` counts them."""
        self._restart()
        try:
            for picture in self._decoded() if self.resample is None else self._resampled(self.resample):
                self.num_frames += 1
                yield picture
        except self._av.FFmpegError as error:
            raise broken(self.path, f"cannot be decoded ({error.strerror})") from error
        self.fps = self.resample or self._stamps.rate()
        self.irregular = self._stamps.irregular
        if self.fps <= 0:
            raise broken(self.path, "states no frame rate")

    def _restart(self) -> None:
        self._stamps, self._oddities = TimeStamps(0), Oddities()
        self._gaps: list[tuple[float, float]] = []  # between the stamps of frames, filled by lost ones
        self.num_frames, self.seconds, self.fps, self.irregular = 0, 0.0, 0.0, False
        self.notes: tuple[str, ...] = ()
        self.coding: Coding | None = None

    def _decoded(self) -> Iterator[Picture]:
        """Every frame of the file: decoded by threads until something may be damaged, then without."""
        given = 0
        try:
            for picture in self._pass(threaded=True):
                given += 1
                yield picture
        except Damaged:
            yield from islice(self._pass(threaded=False), given, None)

    def _pass(self, *, threaded: bool) -> Iterator[Picture]:
        """Every frame of the file, those that are lost included."""
        opened = open_images(self._folder) if self._folder else open_film(self.path, threaded=threaded)
        with opened as film:
            self._stamps, self._oddities, self._gaps = TimeStamps(film.rate), Oddities(), []
            latest: Picture | None = None
            for shot, following in pairwise(chain(film.shots(), [END])):
                if shot.doubtful and any(begin < shot.stamp < end for begin, end in self._gaps):
                    continue  # given too late: its place is taken
                if threaded and not self._folder and self._may_be_damaged(shot, following):
                    raise Damaged
                picture = self._picture(shot.frame, film)
                for stamp in self._lost_before(shot, following.stamp, film):
                    yield self._lost(latest or picture, stamp)
                if shot.frame.is_corrupt:
                    self._oddities.damaged.append(self._stamps.num_frames)
                latest = picture
                yield self._timed(picture, shot.stamp, following.stamp)
            if latest is None:
                raise broken(self.path, film.without_frames())
            for stamp in self._lost_at_end(film):
                yield self._lost(latest, stamp)
            if self._stamps.num_frames == 1 and film.holds_music:
                raise broken(self.path, "has no video, only the cover of its music")
            pixels = latest.frame.width * latest.frame.height * self._stamps.num_frames
            self.coding = Coding(film.codec, 8 * film.size / pixels)
            self.notes = self._oddities.notes(film, self._stamps, resampled=self.resample is not None)

    def _may_be_damaged(self, shot: Shot, following: Shot) -> bool:
        """Whether frames may be lost before a frame; threads mark those that follow as damaged or not."""
        return shot.doubtful or self._stamps.lost_before(shot.stamp, following.stamp) > 0

    def _lost_before(self, shot: Shot, following: float, film: Film) -> list[float]:
        """The time stamps of the frames that are lost before a frame, as far as they are known."""
        failed = sorted(stamp for stamp in film.failed if not stamp >= shot.stamp)
        film.failed = [stamp for stamp in film.failed if stamp > shot.stamp]
        number = self._stamps.lost_before(shot.stamp, following) if shot.doubtful else 0
        if number > len(failed):
            failed = self._stamps.between(shot.stamp, number)
        if failed:
            self._gaps.append((self._stamps.latest, shot.stamp))
        return failed

    def _lost_at_end(self, film: Film) -> list[float]:
        """The time stamps of the frames that are lost after the last one that was decoded."""
        last = max((stamp for stamp in film.failed if not math.isnan(stamp)), default=math.nan)
        number = self._stamps.lost_before(last, math.nan)
        if 0 < len(film.failed) <= number:
            return [*self._stamps.between(last, number), last]
        return sorted(film.failed)

    def _lost(self, neighbour: Picture, stamp: float) -> Picture:
        """Let another frame take the place of a lost one."""
        self._oddities.lost.append(self._stamps.num_frames)
        return self._timed(neighbour, stamp)

    def _timed(self, picture: Picture, stamp: float, following: float = math.nan) -> Picture:
        """Let the clock go on to a frame."""
        self._stamps.add(stamp, following)
        self.seconds = self._stamps.elapsed
        return picture

    def _picture(self, frame: Any, film: Film) -> Picture:
        orientation = orientation_of(frame, film.tags)
        if orientation is None:
            self._oddities.turned.add("not turned upright: the file asks for an angle between")
        elif orientation != AS_STORED:
            self._oddities.turned.add(WORDS[orientation])
        self._oddities.sizes.add((frame.width, frame.height))
        return Picture(frame, orientation or AS_STORED)

    def _resampled(self, rate: float) -> Iterator[Picture]:
        """The frames that are due, at an even rate."""
        given = 0
        for picture, until in self._shown(rate):
            while given < until:
                self.seconds = given / rate
                yield picture
                given += 1

    def _shown(self, rate: float) -> Iterator[tuple[Picture, int]]:
        """Every frame of the file, with the number of the frame that follows it at an even rate."""
        shown = None
        for picture in self._decoded():
            if shown is not None:
                yield shown, math.floor(self._stamps.elapsed * rate + 0.5)
            shown = picture
        if self._stamps.missing == self._stamps.num_frames:
            raise broken(self.path, "lacks time stamps, which --fps requires")
        if shown is not None:
            end = self._stamps.elapsed + 1 / (self._stamps.rate() or rate)
            yield shown, max(1, math.floor(end * rate + 0.5))


def upright_size(frame: Any, orientation: Orientation) -> dict[str, int]:
    """The width and height of a frame that is turned upright, as :func:`draw` takes them."""
    width, height = frame.width, frame.height
    return (
        {"width": height, "height": width} if orientation.transposes else {"width": width, "height": height}
    )


def make_scaler() -> Any:
    """Make what :func:`draw` scales frames with; it is prepared once for all frames of a video."""
    av = import_av()
    return av.video.reformatter.VideoReformatter()


def draw(scaler: Any, frame: Any, orientation: Orientation, width: int, height: int) -> NDArray[np.uint8]:
    """Get the pixels ``[height, width, 3]`` of a frame, upright and scaled to a size."""
    if orientation.transposes:
        width, height = height, width
    # One thread: to start others for every frame takes longer than to scale it.
    pixels: NDArray[np.uint8] = scaler.reformat(frame, width, height, "rgb24", threads=1).to_ndarray()
    return orientation.turn(pixels)
