"""What a store says of its features and of each video, whatever the file they lie in."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.timeline import SnippetGrid
from wsvad_lightning.types import Coding, StreamInfo

Features = NDArray[np.floating[Any]]
"""The features of a video, ``[T, N, D]``."""
Compression = Literal["gzip", "lzf"]
UNTOLD = "not told"  # field of a provenance that converted features do not tell, as it lies in files


class Rows(Protocol):
    """Features ``[T, N, D]`` that may lie in a file and not fit into memory; any array will do."""

    @property
    def shape(self) -> tuple[int, ...]:
        """``(T, N, D)``."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the values."""
        ...

    def __getitem__(self, rows: slice, /) -> Features:
        """Consecutive snippets."""
        ...


@dataclass(frozen=True)
class Provenance:
    """Where features come from: the whole recipe, the same for every video of a store.

    Attributes:
        backbone: name of the network.
        source: what was read, in words, such as ``video files``; a recipe, so without names of folders.
        snippet_length: frames covered by a snippet.
        snippet_stride: frames from the start of one snippet to the start of the next.
        frame_stride: every how many frames of a snippet one goes through the network.
        pooling: how the frames of a snippet become one vector.
        tail: what becomes of the frames after the last full snippet.
        preprocessing: the rest of the recipe of each stream, as JSON text.
        text_aligned: whether the backbone has a text tower in the same space (CLIP).
        views: names of the N crops or patches of each stream; those of other streams are numbered.
        decoder: what decoded the videos, and its version; several where the store grew. Features are the same
            up to its rounding, so that it may differ within a store.

    Raises:
        WSVADError: if a length or stride is less than 1.
    """

    backbone: str
    source: str
    snippet_length: int
    snippet_stride: int
    frame_stride: int = 1
    pooling: str = "mean"
    tail: str = "pad"
    preprocessing: str = ""
    text_aligned: bool = False
    views: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    decoder: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        SnippetGrid(self.snippet_length, self.snippet_stride)
        if self.frame_stride < 1:
            raise WSVADError(
                "frame_stride", self.frame_stride, "must be at least 1", "Give a number of frames"
            )
        object.__setattr__(self, "views", {stream: tuple(names) for stream, names in self.views.items()})

    @property
    def grid(self) -> SnippetGrid:
        """Where the snippets lie."""
        return SnippetGrid(self.snippet_length, self.snippet_stride)

    def check_same(self, other: "Provenance", path: Path) -> None:
        """Compare with features that are to be in one store with these.

        Args:
            other: their recipe.
            path: where they are, for the message.

        Raises:
            WSVADError: if the recipes differ; names the first field that does, and both values.
        """
        for name in (entry.name for entry in fields(self) if entry.compare):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                problem = f"its {name} is {in_words(theirs)!r} where {in_words(mine)!r} is wanted"
                remedy = "Use the same settings, or a store of its own for each"
                if path.is_dir():  # parts, see :mod:`wsvad_lightning.data.store.writer`
                    remedy = "A run that has not finished left it: use the settings of that, or remove it"
                raise WSVADError("store", path, problem, remedy)


def in_words(value: object) -> object:
    """Show a field of :class:`Provenance`: converted features do not tell all of it."""
    return "unknown" if value == UNTOLD else value


def join_decoders(recipes: Iterable[Provenance]) -> str:
    """Name every decoder of some features once."""
    named = (name for recipe in recipes for name in recipe.decoder.split("; ") if name)
    return "; ".join(dict.fromkeys(named))


@dataclass(frozen=True)
class StreamLocation:
    """Where one stream of a video lies.

    Attributes:
        file: HDF5 file.
        dataset: name within the file.
        offset: first byte within the file; None if compressed.
        shape: ``(T, N, D)``.
        dtype: of the values.
        checksum: see :func:`checksum`.
        mean_norm: mean Euclidean norm of the T x N vectors.
    """

    file: Path
    dataset: str
    offset: int | None
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    checksum: str
    mean_norm: float


@dataclass(frozen=True)
class Origin:
    """The file that a video was extracted from, as it was then.

    Attributes:
        path: below the source that was given, as :func:`path_id` spells it.
        size: bytes.
        mtime_ns: time of its last change.
        sha256: of its bytes.
    """

    path: str
    size: int
    mtime_ns: int
    sha256: str


@dataclass(frozen=True)
class VideoRecord:
    """One video of a store.

    Attributes:
        annotation: what was known of the video when its features were written.
        num_snippets: T.
        num_frames: exact number of frames.
        fps: frames a second.
        streams: where each stream lies.
        notes: what is odd about the file of the video, such as frames that are lost.
        coding: how that file is encoded; None if that is unknown.
        origin: the file it was extracted from; None if that is unknown.
        checksum: of all this; None in a store of an older version.
    """

    annotation: VideoAnnotation
    num_snippets: int
    num_frames: int
    fps: float
    streams: Mapping[str, StreamLocation]
    notes: tuple[str, ...] = ()
    coding: Coding | None = None
    origin: Origin | None = None
    checksum: str | None = None


def describe_streams(
    video_id: str,
    shapes: Mapping[str, tuple[int, ...]],
    provenance: Provenance,
    expected: Mapping[str, StreamInfo] | None,
) -> dict[str, StreamInfo]:
    """Give channels and views of each stream of a video, the same for all videos of a store.

    Args:
        video_id: name of the video.
        shapes: ``(T, N, D)`` of each stream.
        provenance: names the views.
        expected: streams of the other videos; None for the first video.

    Raises:
        WSVADError: if they differ from those of the other videos, or from the named views.
    """
    described = {}
    for name, (_, num_views, dim) in sorted(shapes.items()):
        views = provenance.views.get(name, tuple(map(str, range(num_views))))
        if len(views) != num_views:
            problem = f"stream {name!r} has {num_views} views where the store names {len(views)}: {views}"
            raise WSVADError("video", video_id, problem, "Extract the video again, with the same settings")
        described[name] = StreamInfo(dim, views)
    if expected is not None and described != expected:
        problem = f"its streams are {_spell(described)} where other videos have {_spell(expected)}"
        raise WSVADError("video", video_id, problem, "Extract the video again, with the same settings")
    return described


def _spell(streams: Mapping[str, StreamInfo]) -> str:
    """Streams in words."""
    return ", ".join(f"{name} ({len(info.views)} x {info.dim})" for name, info in streams.items())
