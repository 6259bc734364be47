"""What ``wsvad watch`` looks at: files, growing folders and cameras, each decoded by a thread of its own."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from wsvad_lightning.data.datasets.names import VIDEO_SUFFIXES
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.video.live import DEVICE, SCHEMES, CameraError, open_camera
from wsvad_lightning.video.reader import VideoReader

MOST_WAITING = 32  # frames of a source
MOST_NOTES = 5  # that are kept where frames are left out
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds until a camera is connected anew
SETTLED = 2.0  # seconds for which a new file in a folder must not have changed


class Begin(NamedTuple):
    """A video or the stream of a camera begins.

    Attributes:
        name: of the video or camera.
        live: whether it is a camera.
        rate: frames a second that a camera states, 0 if it does not.
    """

    name: str
    live: bool
    rate: float = 0.0


class Shown(NamedTuple):
    """A frame.

    Attributes:
        picture: ``[H, W, 3]`` RGB.
        seconds: when it is shown: of a file after its first frame, of a camera as it counts.
        arrived: when it came, by the clock ``time.time``.
    """

    picture: NDArray[np.uint8]
    seconds: float
    arrived: float


class End(NamedTuple):
    """A video is over, or the stream of a camera is interrupted.

    Attributes:
        reason: in a few words; empty if a file was read to its end.
        dropped: frames that were left out since they came too late.
        damaged: packets that could not be decoded.
        broken: whether a file could not be read.
    """

    reason: str
    dropped: int = 0
    damaged: int = 0
    broken: bool = False


class Note(NamedTuple):
    """Something to know about a source."""

    name: str
    text: str


Item = Begin | Shown | End | Note


class Source(threading.Thread):
    """Decodes one source and lets its frames wait, a few at most.

    Args:
        name: of the source.
        live: whether frames that cannot wait are left out; else the thread waits.
        ready: set when something came.

    Attributes:
        stop: set to end the thread.
    """

    def __init__(self, name: str, ready: threading.Event, *, live: bool) -> None:
        super().__init__(daemon=True, name=name)
        self.stop, self._ready, self._live = threading.Event(), ready, live
        self._waiting: deque[Item] = deque()
        self._room = threading.Condition()

    def take(self) -> list[Item]:
        """Take what came since."""
        with self._room:
            items = list(self._waiting)
            self._waiting.clear()
            self._room.notify_all()
        return items

    def run(self) -> None:
        """Decode until the source is over or ``stop`` is set."""
        raise NotImplementedError

    def put(self, item: Item) -> None:
        """Let something wait. Of a camera, all frames that wait are left out if there are too many."""
        with self._room:
            if self._live and len(self._waiting) >= MOST_WAITING:
                self._leave_out()
            while not self._live and len(self._waiting) >= MOST_WAITING and not self.stop.is_set():
                self._room.wait(1)
            self._waiting.append(item)
        self._ready.set()

    def _leave_out(self) -> None:
        """Leave out the frames that wait: what follows is a new beginning, with a gap before it."""
        dropped = sum(isinstance(item, Shown) for item in self._waiting)
        ends = [item for item in self._waiting if isinstance(item, End)]
        begun = [item for item in self._waiting if isinstance(item, Begin)]
        dropped += sum(end.dropped for end in ends)
        damaged = sum(end.damaged for end in ends)
        notes = [item for item in self._waiting if isinstance(item, Note)][-MOST_NOTES:]
        self._waiting.clear()
        self._waiting.extend(notes)
        self._waiting.append(End("frames came faster than they are scored", dropped, damaged))
        self._begun = begun[-1] if begun else self._begun
        self._waiting.append(self._begun)

    _begun: Begin = Begin("", live=True)


class File(Source):
    """One video file, read once.

    Args:
        path: of the file.
        fps: frames a second to play it at; None for every frame.
        ready: see :class:`Source`.
    """

    def __init__(self, path: Path, fps: float | None, ready: threading.Event) -> None:
        super().__init__(path.name, ready, live=False)
        self._path, self._fps = path, fps

    def run(self) -> None:
        """See :class:`Source`."""
        read_file(self, self._path, self._path.name, self._fps)


class Folder(Source):
    """A folder that grows: each of its videos is read once it has not changed for two seconds.

    Args:
        path: of the folder, whose subfolders count.
        fps: see :class:`File`.
        ready: see :class:`Source`.
    """

    def __init__(self, path: Path, fps: float | None, ready: threading.Event) -> None:
        super().__init__(str(path), ready, live=False)
        self._path, self._fps = path, fps

    def run(self) -> None:
        """See :class:`Source`."""
        done = set[Path]()
        seen: dict[Path, tuple[int, int]] = {}
        while not self.stop.is_set():
            found = {path: state for path in self._videos() if (state := _state(path))}
            done &= found.keys()
            here = {path: state for path, state in found.items() if path not in done}
            for path in sorted(path for path, state in here.items() if seen.get(path) == state):
                if self.stop.is_set():
                    return
                done.add(path)
                read_file(self, path, str(path.relative_to(self._path)), self._fps)
            seen = here
            self.stop.wait(SETTLED)

    def _videos(self) -> list[Path]:
        try:
            return [p for p in self._path.rglob("*") if p.name.lower().endswith(VIDEO_SUFFIXES)]
        except OSError:
            return []


class CameraSource(Source):
    """A camera, connected anew whenever it is lost, after pauses that grow to a minute.

    Args:
        address: see :func:`open_camera`.
        silence: seconds without a frame after which it counts as lost.
        ready: see :class:`Source`.
    """

    def __init__(self, address: str, silence: float, ready: threading.Event) -> None:
        super().__init__(without_password(address), ready, live=True)
        self._address, self._silence = address, silence

    def run(self) -> None:
        """See :class:`Source`."""
        pause = FIRST_PAUSE
        while not self.stop.is_set():
            came, damaged, reason = 0, 0, "the stream ended"
            try:
                with open_camera(self._address, self._silence) as camera:
                    self._begun = Begin(self.name, live=True, rate=camera.rate)
                    self.put(self._begun)
                    try:
                        for frame in camera:
                            came += 1
                            self.put(Shown(frame.picture, frame.stamp, time.time()))
                            if self.stop.is_set():
                                return
                    finally:
                        damaged = camera.damaged
                        if len(camera.sizes) > 1:
                            sizes = ", ".join(f"{width} x {height}" for width, height in camera.sizes)
                            text = f"the size of frames changed ({sizes}); all were scaled to the first"
                            self.put(Note(self.name, text))
            except CameraError as error:
                reason = str(error)
            self.put(End(reason, damaged=damaged))
            pause = FIRST_PAUSE if came else pause
            self.stop.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE)


def read_file(source: Source, path: Path, name: str, fps: float | None) -> None:
    """Let the frames of a file wait."""
    source.put(Begin(name, live=False))
    reader = VideoReader(path, resample=fps)
    end = End("")
    try:
        for picture in reader:
            source.put(Shown(picture, reader.seconds, time.time()))
            if source.stop.is_set():
                return
        for note in reader.notes:
            source.put(Note(name, note))
    except WSVADError as error:
        end = End(error.problem, broken=True)
    source.put(end)


def open_source(given: str, fps: float | None, silence: float, ready: threading.Event) -> Source:
    """Make the thread of a source, without starting it.

    Args:
        given: a file, a folder, a device or an address.
        fps: frames a second to play files at; None for every frame.
        silence: see :class:`CameraSource`.
        ready: see :class:`Source`.

    Raises:
        WSVADError: if it is none of these.
    """
    scheme, separator, _ = given.partition("://")
    if separator:
        if scheme not in SCHEMES:
            known = ", ".join(f"{name}://" for name in SCHEMES)
            raise WSVADError("source", without_password(given), f"{scheme}:// is not known", f"Give {known}")
        return CameraSource(given, silence, ready)
    path = Path(given)
    if given.startswith(DEVICE) and path.exists():
        return CameraSource(given, silence, ready)
    if path.is_dir():
        return Folder(path, fps, ready)
    if path.is_file():
        return File(path, fps, ready)
    remedy = "Give a video, a folder, rtsp://…, tcp://… or a device such as /dev/video0"
    raise WSVADError("source", given, "no such file, folder or device", remedy)


def without_password(address: str) -> str:
    """An address as it may be written down: without user and password."""
    parts = urlsplit(address) if "://" in address else None
    if parts is None or "@" not in parts.netloc:
        return address
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def start_all(sources: Sequence[str], make: Callable[[str], Source]) -> list[Source]:
    """Make and start the threads of all sources, or of none.

    Raises:
        WSVADError: if one is unknown, or given twice.
    """
    threads = [make(source) for source in sources]
    names = [thread.name for thread in threads]
    if twice := [name for name in names if names.count(name) > 1]:
        raise WSVADError("source", twice[0], "is the name of two sources", "Give each once")
    for thread in threads:
        thread.start()
    return threads


def _state(path: Path) -> tuple[int, int] | None:
    """Size and time of a file that is there."""
    try:
        state = path.stat()
    except OSError:
        return None
    return (state.st_size, state.st_mtime_ns) if path.is_file() else None
