"""What travels between the floors: batches, and what stores hold and methods need.

Layout letters used everywhere: B videos, N crops, T snippets, D channels, P patches, C classes, F frames.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor

from wsvad_lightning.errors import WSVADError


class WSVADBatch(NamedTuple):
    """A batch of bags. In training the normal half comes first, then as many abnormal bags.

    Attributes:
        features: ``[B, N, T, D]`` snippet features.
        lengths: ``[B]`` number of valid snippets of each video; the rest of T is padding.
        labels: ``[B]`` float, 0 normal and 1 abnormal.
        class_ids: ``[B]`` 0 for normal, 1 + position among the store's classes, -1 for an unknown anomaly.
        video_ids: canonical names.
        streams: other named streams that the method asks for, ``[B, T, ...]`` each.
        num_frames: ``[B]`` exact frame counts; evaluation only.
        frame_labels: a ``[F]`` uint8 tensor a video (0 normal, 1 anomalous), or None for a video of which
            only the label is known; evaluation only.
    """

    features: Tensor
    lengths: Tensor
    labels: Tensor
    class_ids: Tensor
    video_ids: list[str]
    streams: dict[str, Tensor]
    num_frames: Tensor | None = None
    frame_labels: list[Tensor | None] | None = None


class Prediction(NamedTuple):
    """Scores of one video.

    Attributes:
        video_id: canonical name.
        scores: ``[T]`` float32 score of each snippet.
        num_frames: exact number of frames of the video.
    """

    video_id: str
    scores: Tensor
    num_frames: int


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
class StoreInfo:
    """What a method must know of the features it is given.

    Attributes:
        path: where the features come from, for messages.
        backbone: name of the network that computed them.
        dim: D of ``features`` as the data module delivers them.
        streams: the named streams of the store.
        text_aligned: whether the backbone has a text tower in the same space (CLIP).
        classes: names of the anomaly classes; empty where only normal and abnormal are known.
        snippet_length: frames covered by a snippet.
        snippet_stride: frames from the start of one snippet to the start of the next.
    """

    path: str
    backbone: str
    dim: int
    streams: Mapping[str, StreamInfo] = field(default_factory=dict)
    text_aligned: bool = False
    classes: tuple[str, ...] = ()
    snippet_length: int = 16
    snippet_stride: int = 16


@dataclass(frozen=True)
class FeatureRequirements:
    """What a method needs of a store; compared once, before the first step.

    Attributes:
        streams: named streams that must be there besides the features.
        text_aligned: the backbone must have a text tower.
        classes: the store must name its anomaly classes.
    """

    streams: tuple[str, ...] = ()
    text_aligned: bool = False
    classes: bool = False

    def check(self, method: str, info: StoreInfo) -> None:
        """Compare with a store.

        Args:
            method: name of the method, for the message.
            info: what the store holds.

        Raises:
            WSVADError: if the store lacks something; names both sides and the way out.
        """
        missing = [name for name in self.streams if name not in info.streams]
        if missing:
            raise WSVADError(
                "data.store",
                info.path,
                f"{method} needs the streams {missing}, the store holds {sorted(info.streams)}",
                "Extract or prepare the missing streams, or choose another store",
            )
        if self.text_aligned and not info.text_aligned:
            raise WSVADError(
                "data.store",
                info.path,
                f"{method} needs text-aligned (CLIP) features, the store holds {info.dim}-d {info.backbone}",
                "Set data.store to a CLIP store",
            )
        if self.classes and not info.classes:
            raise WSVADError(
                "data.store",
                info.path,
                f"{method} needs the names of the anomaly classes, the store knows only normal and abnormal",
                "Give data.annotations a table whose labels are class names",
            )
