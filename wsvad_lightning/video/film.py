"""The video track of a file: chosen among others, and decoded past what is damaged."""

import math
import re
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from os import SEEK_END
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from wsvad_lightning.errors import WSVADError, counted
from wsvad_lightning.video.endings import is_cut

ATTACHED_PICTURE = 1 << 10  # FFmpeg's AV_DISPOSITION_ATTACHED_PIC
DEFAULT = 1  # FFmpeg's AV_DISPOSITION_DEFAULT
STILLS = ("mjpeg", "png", "bmp", "webp", "tiff", "gif")  # codecs of pictures; some cameras use the first
FEW = 10  # times as many frames has a film next to a track of pictures
HELD = 64  # packets that a decoder may hold: those of its threads and those that wait for their turn
STUCK = 100  # errors in a row after which nothing more is read
DURATION = re.compile(r"(\d+):(\d+):([\d.]+)")  # of a track, as Matroska has it
MOST_UNREAD = 0.1, 2**12  # part and bytes of a file after its last frame: an end of a container is shorter
GIF_END = b";"
OPTIONS = {"protocol_whitelist": "file"}  # a file may name addresses, and these are not followed
LISTS = (b"#EXTM3U", b"ffconcat", b"<?xml", b"v=0")  # how files begin that name other files
PICTURES = ("image2", "ico")  # FFmpeg's formats of pictures, besides those that end in _pipe
PICTURE_BRANDS = ("avif", "heic", "heix", "mif1")  # of pictures in the format of MP4 (ISO/IEC 23008-12)


def import_av() -> ModuleType:
    """PyAV, the package that decodes.

    Raises:
        WSVADError: if it is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise WSVADError(
            "videos",
            "PyAV",
            "the package that decodes videos is not installed",
            'Install it with: pip install "wsvad-lightning[video]"',
        ) from error
    return av


def decoder_version() -> str:
    """The decoder and its version, for the provenance of what it decodes.

    Raises:
        WSVADError: if PyAV is not installed.
    """
    av = import_av()
    return f"PyAV {av.__version__}, libavcodec {'.'.join(map(str, av.library_versions['libavcodec']))}"


def broken(path: Path, problem: str) -> WSVADError:
    """Make the error of a video that cannot be read."""
    remedy = (
        "Repair or replace it, or leave it out; `extract`, `predict` and `normal` do so by --skip-broken, "
        "`fit` on pixels by --data.skip_broken"
    )
    return WSVADError("video", path, problem, remedy)


class Damaged(Exception):  # noqa: N818  # caught in the package
    """A film that is decoded by threads is damaged: without threads less of it is lost."""


class Shot(NamedTuple):
    """A decoded frame.

    Attributes:
        frame: of PyAV.
        stamp: when it is shown, in seconds; NaN if it has no time stamp.
        doubtful: whether something was damaged since the last whole key frame, so that frames may be missing
            before this one.
    """

    frame: Any
    stamp: float
    doubtful: bool


class Film:
    """The video track of an open container; made by :func:`open_film`.

    Args:
        container: of PyAV.
        track: one of its video streams.
        threaded: decode by threads, until something is damaged. What threads hold at that moment may be
            lost; one thread loses the damaged packet alone.
        notes: what was chosen.

    Attributes:
        container: see above.
        track: see above.
        notes: what was chosen, and what is missing at the start.
        rate: frames a second that the file states; 0 if it does not.
        tags: of the track, by name.
        failed: stamps of the packets that could not be decoded, NaN for one that has none.
        codec: FFmpeg's name of how the track is encoded, such as ``h264``.
        size: bytes of the track; known after the last shot.
    """

    def __init__(self, container: Any, track: Any, *, threaded: bool, notes: Sequence[str] = ()) -> None:
        self.container, self.track, self._threaded = container, track, threaded
        self._format: str = container.format.name
        self._mistakes = import_av().FFmpegError
        self.rate = float(track.average_rate or track.guessed_rate or 0)
        self.tags: dict[str, str] = dict(track.metadata)
        self.codec: str = track.codec_context.codec.canonical_name
        self.size = 0
        self.notes, self.failed = list(notes), list[float]()
        self._doubtful, self._until, self._error = False, -math.inf, ""
        self._discarded, self._end = 0, 0  # packets that are not to be shown; byte after the latest one
        # What follows damage in a GIF is given as part of the last picture.
        self._largest = 2 * track.width * track.height + 2**12 if self._format == "gif" else 2**63
        self._ticks = deque[int]()  # in AVI: stamps of packets, the frames of which have not come

    def shots(self) -> Iterator[Shot]:
        """Give every frame that can be decoded, in the order in which they are shown.

        Raises:
            Damaged: if the film is decoded by threads, and something cannot be decoded.
        """
        packets, frames = deque[int](maxlen=HELD), deque[int](maxlen=2 * HELD)  # time stamps of the latest
        surplus, cut = 0, False  # packets that gave no frame; whether one is not whole
        before: list[int] | None = []  # time stamps until the first frame comes
        for packet in self._packets():
            if packet is not None and packet.is_corrupt:
                cut = True
                self._doubt(self._stamp(packet))
            if packet is not None and packet.pts is not None and not packet.is_discard:
                packets.append(packet.pts)
                surplus += 1
                if before is not None:
                    before.append(packet.pts)
            for frame in self._decode(packet):
                if before and frame.pts is not None:
                    self._begin(sum(pts < frame.pts for pts in before) - len(self.failed))
                before = None
                frames.append(frame.pts)
                surplus -= 1
                yield self._shot(frame)
        unseen = set(packets) - set(frames)
        if self._threaded and unseen and (cut or surplus == len(unseen)):
            raise Damaged  # at the end of a film threads lose frames without an error
        if self._doubtful:  # after damage a decoder may give nothing until a key frame, and no error
            latest = max((pts for pts in frames if pts is not None), default=0)
            self.failed += [self._seconds(pts) for pts in unseen if pts > latest]

    def stated_counts(self) -> list[float]:
        """Numbers of frames that the header states, in whichever ways it does; known after the last shot."""
        track = self.track
        if self._format == "gif":  # states none; FFmpeg counts what there is
            return []
        counts = [float(track.frames - self._discarded)] if track.frames else []
        if counts and track.duration and self._format.startswith("mov"):  # where edits may shorten it
            counts.append(float(track.duration * track.time_base) * self.rate)
        if stated := DURATION.fullmatch(self.tags.get("DURATION", "")):
            hours, minutes, seconds = map(float, stated.groups())
            counts.append((3600 * hours + 60 * minutes + seconds) * self.rate)
        return counts

    def unread(self) -> float:
        """The part of the file after the last frame, 0 if it is not remarkable; known after the last shot.

        Where the header states the number of frames, that says more: an index may follow the frames.
        """
        size = self.container.size
        rest = size - self._end
        if self._format == "gif":
            with Path(self.container.name).open("rb") as file:
                file.seek(-1, SEEK_END)
                return 0.0 if rest <= len(GIF_END) and file.read() == GIF_END else max(1, rest) / size
        part, number = MOST_UNREAD
        known = self._end and not self.stated_counts()
        return rest / size if known and rest > part * size and rest > number else 0.0

    def is_cut(self) -> bool:
        """Whether the file does not end as its format does; known of formats without a number of frames."""
        return is_cut(Path(self.container.name), self._format)

    def without_frames(self) -> str:
        """Say what is wrong if not a single frame could be decoded."""
        return f"cannot be decoded ({self._error})" if self._error else "has no frames"

    @property
    def holds_music(self) -> bool:
        """Whether a single frame is the cover of a piece of music."""
        return self.track.codec_context.name in STILLS and bool(self.container.streams.audio)

    def _begin(self, headless: int) -> None:
        """Note how many packets before the first frame gave none."""
        if headless > 0:
            lacking = counted(headless, "frame that lacks", "frames that lack")
            self.notes.append(f"begins with {lacking} a key frame, not read")

    def _packets(self) -> Iterator[Any]:
        """Give the packets of the track that hold data; then None, for what the decoder still holds."""
        for _ in range(STUCK):
            try:
                for packet in self.container.demux(self.track):
                    self._discarded += packet.is_discard
                    if packet.size:  # an empty one would end the decoding
                        self.size += packet.size
                        self._end = max(self._end, (packet.pos or 0) + min(packet.size, self._largest))
                        yield packet
                break
            except IndexError:  # in PyAV 18, at the end of a file in which more tracks turned up
                break
            except self._mistakes as error:
                self._go_on(error)
        yield None

    def _decode(self, packet: Any) -> list[Any]:
        if self._format == "avi" and packet is not None and packet.dts is not None:
            self._ticks.append(packet.dts)
        try:
            frames: list[Any] = self.track.decode(packet)
        except self._mistakes as error:
            self._go_on(error)
            if packet is not None:
                self.failed.append(self._stamp(packet))
                self._doubt(self.failed[-1])
                with suppress(ValueError):
                    self._ticks.remove(packet.dts)
            return []
        return frames

    def _go_on(self, error: Exception) -> None:
        """Go on after an error, unless threads may have lost more by it than necessary."""
        if self._threaded:
            raise Damaged from error
        self._doubtful, self._error = True, getattr(error, "strerror", None) or str(error)

    def _doubt(self, stamp: float) -> None:
        """Doubt all that comes until a whole key frame after that moment."""
        self._doubtful = True
        self._until = self._until if math.isnan(stamp) else max(self._until, stamp)

    def _shot(self, frame: Any) -> Shot:
        """Describe a frame; a whole key frame after the damage ends the doubts."""
        self._doubtful |= frame.is_corrupt
        # AVI numbers packets, and does not say in which order their frames are shown.
        ticks = self._ticks.popleft() if self._ticks else frame.pts
        shot = Shot(frame, self._seconds(ticks), self._doubtful)
        if frame.key_frame and not frame.is_corrupt and not shot.stamp <= self._until:
            self._doubtful = False
        return shot

    def _stamp(self, packet: Any) -> float:
        """When the frame of a packet is shown or, where that is not known, decoded."""
        return self._seconds(packet.dts if packet.pts is None or self._ticks else packet.pts)

    def _seconds(self, ticks: int | None) -> float:
        return math.nan if ticks is None else float(ticks * self.track.time_base)


@contextmanager
def open_container(path: Path) -> Iterator[Any]:
    """Open a file by PyAV, which follows no address that it names.

    Raises:
        WSVADError: if PyAV is not installed, or the file is a list of others, or a picture.
    """
    if _beginning(path).startswith(LISTS):
        raise broken(path, "is a list of other files")
    # An absolute path is never taken for an address, whatever letters it has.
    with import_av().open(str(path.absolute()), options=OPTIONS, metadata_errors="replace") as container:
        if _is_picture(container):
            raise broken(path, "is a picture, not a video")
        yield container


def _is_picture(container: Any) -> bool:
    """Whether a file is of a format of single pictures, whatever its name; GIF may hold a film."""
    kind: str = container.format.name
    brand = container.metadata.get("major_brand")
    return kind in PICTURES or kind.endswith("_pipe") or brand in PICTURE_BRANDS


@contextmanager
def open_film(path: Path, *, threaded: bool) -> Iterator[Film]:
    """Open the video track of a file.

    Args:
        path: of the file.
        threaded: see :class:`Film`.

    Raises:
        WSVADError: if PyAV is not installed, or the file has no video track that can be decoded.
    """
    with open_container(path) as container:
        track, notes = choose_track(path, container.streams.video)
        if threaded:
            track.thread_type = "AUTO"
        else:
            track.thread_count = 1
        yield Film(container, track, threaded=threaded, notes=notes)


def _beginning(path: Path) -> bytes:
    """The first bytes of a file; nothing of one that cannot be read, which the decoder explains."""
    with suppress(OSError), path.open("rb") as file:
        return file.read(16).lstrip(b"\xef\xbb\xbf")
    return b""


def choose_track(path: Path, tracks: Sequence[Any]) -> tuple[Any, list[str]]:
    """Choose the film among the video tracks of a file, and say if there was a choice.

    Covers and single pictures are not films. Of several films it is the one that players show by default,
    else the first.

    Args:
        path: of the file.
        tracks: of PyAV.

    Raises:
        WSVADError: if none of them can be decoded.
    """
    moving = [track for track in tracks if not int(track.disposition) & ATTACHED_PICTURE]
    films = [track for track in moving if track.codec_context is not None]
    if not films:
        lack = "no video, only a cover picture" if tracks and not moving else "no video stream to decode"
        raise broken(path, f"has {lack}")
    stills = {track.index for track in films if _is_still(track, max(other.frames for other in films))}
    films.sort(
        key=lambda track: (track.index in stills, not track.width, not int(track.disposition) & DEFAULT)
    )
    best, *others = films
    if all(track.index in stills for track in others):
        return best, []
    place = [track.index for track in tracks].index(best.index) + 1
    chosen = f"number {place}, {best.codec_context.name}, {best.width} x {best.height}"
    return best, [f"{len(films)} video tracks: {chosen} is read"]


def _is_still(track: Any, most: int) -> bool:
    """Whether a track holds pictures next to a film of so many frames; AVI counts one as several."""
    return track.codec_context.name in STILLS and track.frames <= max(1, most // FEW)
