"""The sound of a video: one channel at one rate, in step with its pictures."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsvad_lightning.video.film import broken, choose_track, import_av, open_container
from wsvad_lightning.video.frames import Footage, FrameFolder

JITTER = 0.02  # seconds by which time stamps are off in containers that round them
SILENCE = 2**16  # samples of silence that are made at once

Samples = NDArray[np.float32]


class SoundTrack:
    """The sound track of an open container; made by :func:`open_sound`.

    Args:
        container: of PyAV.
        track: one of its audio streams.
        start: second at which the first picture is shown.
        rate: samples a second to give.

    Attributes:
        failed: packets that could not be decoded so far; they are silent.
    """

    def __init__(self, container: Any, track: Any, start: float, rate: int) -> None:
        self._container, self._track, self._start, self._rate = container, track, start, rate
        self.failed = 0

    def blocks(self) -> Iterator[Samples]:
        """Give the samples in -1..1, the mean of all channels; the first one belongs to the first picture.

        By their time stamps: what is missing between them is silent, what is from before the first picture,
        or from before what was given, is left out.
        """
        given = 0
        for place, samples in self._stamped():
            first = given if place is None else place
            if given and abs(first - given) <= JITTER * self._rate:
                first = given
            while given < first:  # as long as it is asked for: a stamp may be of any time
                silence = np.zeros(min(first - given, SILENCE), np.float32)
                given += len(silence)
                yield silence
            kept = samples[given - first :]
            given += len(kept)
            if len(kept):
                yield kept

    def _stamped(self) -> Iterator[tuple[int | None, Samples]]:
        """Decoded samples, and the number that the first of them is to have."""
        av = import_av()
        resampler = av.AudioResampler(format="flt", layout="mono", rate=self._rate)
        for packet in self._container.demux(self._track):
            try:
                frames = packet.decode()
            except av.FFmpegError:
                self.failed += 1
                continue
            for frame in [*frames, None] if packet.dts is None else frames:
                for part in resampler.resample(frame):
                    seconds = None if part.pts is None else float(part.pts * part.time_base) - self._start
                    place = None if seconds is None else round(seconds * self._rate)
                    yield place, part.to_ndarray().reshape(-1)


@contextmanager
def open_sound(path: str | Footage, rate: int) -> Iterator[SoundTrack | None]:
    """Open the first sound track of a video; gives None of a video without one, such as a folder of images.

    Args:
        path: the video.
        rate: samples a second to give.

    Raises:
        WSVADError: if PyAV is not installed, or the file cannot be opened.
    """
    if isinstance(path, FrameFolder):
        yield None
        return
    path = Path(path)
    with open_container(path) as container:
        tracks = [track for track in container.streams.audio if track.codec_context is not None]
        if not tracks:
            yield None
            return
        film, _ = choose_track(path, container.streams.video)
        start = 0.0 if film.start_time is None else float(film.start_time * film.time_base)
        try:
            yield SoundTrack(container, tracks[0], start, rate)
        except import_av().FFmpegError as error:
            raise broken(path, f"has a sound track that cannot be read ({error.strerror})") from error
