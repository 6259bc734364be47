"""What travels between the floors: batches, and what stores hold and methods need.

Layout letters used everywhere: B videos, N crops, T snippets, D channels, P patches, C classes, F frames.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, runtime_checkable

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.timeline import Event, SnippetGrid

if TYPE_CHECKING:  # annotations alone need it: what reads stores and tables starts without torch
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

Bags = Literal["paired", "windows"]
UNKNOWN = -1  # label of an unlabelled video
NORMAL, ABNORMAL = "normal", "abnormal"
LABELS = {0: NORMAL, 1: ABNORMAL, UNKNOWN: "unknown"}  # the word of each label


class Coding(NamedTuple):
    """How the file of a video is encoded.

    Attributes:
        codec: FFmpeg's name, such as ``h264``; of a folder of images the suffix of their names.
        bits_per_pixel: size of the encoded pictures for their number and the pixels of each.
    """

    codec: str
    bits_per_pixel: float


class RegionSpan(NamedTuple):
    """Anomalous regions of successive frames, in which they do not change.

    Attributes:
        start: first frame.
        end: frame after the last one.
        tracks: of each region, the number of the track that it belongs to. Without any, the frames are
            anomalous and their regions unknown, so that metrics leave them out.
        masks: ``[R, H, W]``, the pixels of each region.
    """

    start: int
    end: int
    tracks: tuple[int, ...]
    masks: "NDArray[np.bool_]"


class VideoRegions(Protocol):
    """Where the anomalies of a video are."""

    @property
    def num_frames(self) -> int:
        """F."""
        ...

    @property
    def height(self) -> int:
        """H, pixels of a frame."""
        ...

    @property
    def width(self) -> int:
        """W, pixels of a frame."""
        ...

    def spans(self) -> Iterator[RegionSpan]:
        """Give the anomalous frames in order; all others are normal."""
        ...


class Patches(NamedTuple):
    """A video whose grids of patches have one patch left in, by which maps say where an anomaly is.

    Attributes:
        grid: rows and columns of the finest grid; None if the features are of no grid.
        centred: whether 0 is the mean of the normal videos.
        left_in: gives the features ``[T, N', D']`` for each cell of the grid, row by row.
    """

    grid: tuple[int, int] | None
    centred: bool
    left_in: "Callable[[], Iterable[NDArray[Any]]]"


class WSVADBatch(NamedTuple):
    """A batch of bags. In paired training the normal half comes first, then as many abnormal bags.

    Attributes:
        features: ``[B, N, T, D]`` snippet features.
        lengths: ``[B]`` number of valid snippets of each video; the rest of T is padding.
        labels: ``[B]`` float, 0 normal and 1 abnormal; NaN in training by windows, which knows no labels.
        video_ids: canonical names.
        streams: other named streams that the method asks for, as they are stored: ``[B, T, P, D]`` each, P
            patches or other views.
        num_frames: ``[B]`` exact frame counts; evaluation only.
        frame_labels: a ``[F]`` uint8 tensor a video (0 normal, 1 anomalous), or None for a video of which
            only the label is known; evaluation only.
        events: the annotated anomalies of a video, or None where they are unknown; evaluation only.
        positions: ``[B, T]`` place of each snippet among those of all training videos, joined end to end;
            training by windows only.
        views: the one view that each bag holds, where bags hold one of several; paired training only.
        class_targets: ``[B, 1 + C]`` float, 1 for every class of a video: column 0 for normal, then those of
            the store; an abnormal video of unknown class has none. Not given in training by windows.
        regions: where the anomalies of a video are, or None where that is unknown; tests only.
        glances: ``[B, T]`` bool, segments that hold a glance, a frame that a person marked inside an anomaly;
            paired training only.
        patches: of a single whole video, where its map is asked for.
    """

    features: "Tensor"
    lengths: "Tensor"
    labels: "Tensor"
    video_ids: list[str]
    streams: "dict[str, Tensor]"
    num_frames: "Tensor | None" = None
    frame_labels: "list[Tensor | None] | None" = None
    events: list[tuple[Event, ...] | None] | None = None
    positions: "Tensor | None" = None
    views: list[int] | None = None
    class_targets: "Tensor | None" = None
    regions: "list[VideoRegions | None] | None" = None
    glances: "Tensor | None" = None
    patches: Patches | None = None


class ClipBatch(NamedTuple):
    """A batch of clips of pixels. In paired training the normal half comes first, then as many abnormal ones.

    Frames are those of the video as it is played, counted from 0.

    Attributes:
        clips: ``[B, 3, T, H, W]`` float32 in [0, 1], RGB.
        labels: ``[B]`` float, 0 normal and 1 abnormal; NaN in training without labels, and for a video whose
            label is not known.
        video_ids: canonical names.
        starts: ``[B]`` first frame of each clip.
        frames: ``[B, T]`` all its frames; the last one of the video is repeated where a clip passes its end,
            which happens only where whole videos are read.
        num_frames: ``[B]`` frames of the video.
        fps: ``[B]`` float64 frames a second of the video, on average.
        depth: ``[B, T, h, w]`` float32 depth over what the clip shows of the frame, from a stream of a store;
            None if none was asked for.
    """

    clips: "Tensor"
    labels: "Tensor"
    video_ids: list[str]
    starts: "Tensor"
    frames: "Tensor"
    num_frames: "Tensor"
    fps: "Tensor"
    depth: "Tensor | None" = None


class Prediction(NamedTuple):
    """Scores of one video.

    Attributes:
        video_id: canonical name.
        scores: ``[T]`` float32 score of each snippet.
        num_frames: exact number of frames of the video.
        class_scores: ``[T, 1 + C]`` float32 probabilities: normal, then the ``classes`` of the method; None
            if it knows none.
        maps: ``[T, h, w]`` float32 in [0, 1], how anomalous each part of the frame is in each snippet, or
            ``[F, h, w]`` in each frame; None if the method does not locate anomalies.
        novelty: how unlike the training videos it is, see
            :mod:`wsvad_lightning.data.loading.familiarity`; None if that is not known.
    """

    video_id: str
    scores: "Tensor"
    num_frames: int
    class_scores: "Tensor | None" = None
    maps: "Tensor | None" = None
    novelty: float | None = None


class PseudoLabels(NamedTuple):
    """Labels that a method makes from its own scores to learn from.

    Attributes:
        target: ``[..., T]`` in [0, 1], how anomalous each snippet is taken to be.
        ignored: ``[..., T]`` bool, snippets that are left out as doubtful.
    """

    target: "Tensor"
    ignored: "Tensor"


@runtime_checkable
class MakesPseudoLabels(Protocol):
    """A method whose pseudo-labels change as it trains."""

    def current_labels(self, video_id: str) -> PseudoLabels | None:
        """Give the present labels of a training video; None if it has none yet."""
        ...


@runtime_checkable
class ShowsParts(Protocol):
    """A progress bar over videos that moves within one of them."""

    def show_part(self, part: float) -> None:
        """Show that a part of the video in hand is done, in [0, 1]."""
        ...


@dataclass(frozen=True)
class StreamInfo:
    """One named stream of a store: ``[T, N, D]`` a video.

    Attributes:
        dim: D, channels.
        views: names of the N crops or patches, in order.
    """

    dim: int
    views: tuple[str, ...]


@dataclass(frozen=True)
class StreamShape:
    """What a method needs a stream to be.

    Attributes:
        dim: D, channels.
        num_views: N, crops or patches; None for any number.
    """

    dim: int
    num_views: int | None = None

    def __str__(self) -> str:
        views = "any number of" if self.num_views is None else self.num_views
        return f"{views} views of {self.dim} channels"

    def fits(self, info: StreamInfo) -> bool:
        """Compare with a stream."""
        return info.dim == self.dim and self.num_views in (None, len(info.views))


@dataclass(frozen=True)
class StoreInfo:
    """What a method must know of the features it is given.

    Attributes:
        path: where the features come from, for messages.
        backbone: name of the network that computed them.
        dim: D of ``features`` as the data module delivers them.
        views: N of ``features`` as the data module delivers whole videos.
        streams: the named streams of the store.
        text_aligned: whether the backbone has a text tower in the same space (CLIP).
        classes: names of the anomaly classes; empty where only normal and abnormal are known.
        glances: whether a glance of any video is known.
        grid: positions of the snippets.
        moved_by: setting, and its value, by which the features delivered leave that space; None if they stay.
    """

    path: str
    backbone: str
    dim: int
    views: int = 1
    streams: Mapping[str, StreamInfo] = field(default_factory=dict)
    text_aligned: bool = False
    classes: tuple[str, ...] = ()
    glances: bool = False
    grid: SnippetGrid = field(default_factory=lambda: SnippetGrid(16, 16))
    moved_by: tuple[str, object] | None = None


@dataclass(frozen=True)
class FeatureRequirements:
    """What a method needs of a store; compared once, before the first step.

    Attributes:
        streams: named streams required in addition to the features, and their shapes; batches carry them.
        text_aligned: the backbone must have a text tower, and features must stay in its space.
        classes: the store must name its anomaly classes.
        glances: anomalies of the training videos must have been marked by a frame each.
        prepared: artefacts that must have been computed from the training videos, see
            :mod:`wsvad_lightning.data.store.artefacts`; a checkpoint carries their result.
        bags: what it trains on: as many normal as abnormal videos, or unlabelled windows of snippets.
    """

    streams: Mapping[str, StreamShape] = field(default_factory=dict)
    text_aligned: bool = False
    classes: bool = False
    glances: bool = False
    prepared: tuple[str, ...] = ()
    bags: Bags = "paired"

    def check_bags(self, method: str, bags: Bags) -> None:
        """Compare with what a data module trains on.

        Args:
            method: name of the method, for the message.
            bags: what the data module delivers.

        Raises:
            WSVADError: if it is something else.
        """
        if bags != self.bags:
            problem = f"{method} trains on {self.bags} bags"
            raise WSVADError("data.bags", bags, problem, f"Set data.bags to {self.bags}")

    def check(self, method: str, info: StoreInfo) -> None:
        """Compare with a store.

        Args:
            method: name of the method, for the message.
            info: what the store holds.

        Raises:
            WSVADError: if the store lacks something, or a setting spoils it; names both and the way out.
        """
        if self.text_aligned and not info.text_aligned:
            raise WSVADError(
                "data.store",
                info.path,
                f"{method} needs text-aligned (CLIP) features, the store holds {info.dim}-d {info.backbone}",
                "Set data.store to a CLIP store",
            )
        if self.text_aligned and info.moved_by is not None:
            raise WSVADError(
                *info.moved_by,
                f"{method} compares features with texts, and this moves them away from where CLIP puts them",
                "Set data.normalize to none or l2, data.pca_dim to null, and data.crops to any but concat",
            )
        missing = [name for name in self.streams if name not in info.streams]
        if missing:
            raise WSVADError(
                "data.store",
                info.path,
                f"{method} needs the streams {missing}, the store holds {sorted(info.streams)}",
                "Extract or prepare the missing streams, or choose another store",
            )
        for name, shape in self.streams.items():
            held = info.streams[name]
            if not shape.fits(held):
                problem = f"{method} needs {name} as {shape}, the store holds {len(held.views)} of {held.dim}"
                raise WSVADError(
                    "data.store", info.path, problem, "Extract the stream again, or choose another store"
                )
        if self.classes and not info.classes:
            raise WSVADError(
                "data.store",
                info.path,
                f"{method} needs the names of the anomaly classes, the store knows only normal and abnormal",
                "Give data.annotations a table whose labels are class names",
            )
        if self.glances and not info.glances:
            problem = f"{method} needs glances, a frame inside each anomaly, and no video has any"
            remedy = "Give data.annotations a table with the column glances"
            raise WSVADError("data.store", info.path, problem, remedy)
