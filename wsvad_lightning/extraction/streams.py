"""Streams: what a backbone sees of the frames, and the interface of the encoders that compute vectors."""

import re
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import EntryPoint
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wsvad_lightning.errors import WSVADError, did_you_mean
from wsvad_lightning.extraction.backbones.flow import measure_motion
from wsvad_lightning.extraction.backbones.svmae import TokenFusion
from wsvad_lightning.extraction.pooling import SnippetRecipe
from wsvad_lightning.plugins import plugins

GROUP: Literal["wsvad.backbones"] = "wsvad.backbones"
STREAM_NAME = re.compile(r"\w+")
MIN_SIZE = 32
DIFF_GAIN = 4  # differences of frames are small: without it the network sees black

BACKBONES = (
    "efficientnet_lite0",
    "flow_statistics",
    "flow_histogram",
    "i3d_inception",
    "i3d_resnet50",
    "clip",
    "dinov2",
    "videomae",
    "svmae",
    "log_mel",
    "vggish",
)
SOUND = ("log_mel", "vggish")  # hear the sound of a video
SIZES = {"efficientnet_lite0": 224, "flow_statistics": 120, "flow_histogram": 120}  # others have theirs fixed
FUSION = ("motion_share", "depth_weight", "depth_network")
VIEWS = {"i3d_inception": "ten_crop", "i3d_resnet50": "ten_crop"}  # as published; others: full


@dataclass(frozen=True)
class StreamSpec:
    """One named stream of features: a backbone and what it sees.

    Attributes:
        name: name of the stream in the store.
        backbone: ``efficientnet_lite0`` (1280 channels, ImageNet), or motion without learning:
            ``flow_statistics`` (10: how much moves, how fast) or ``flow_histogram`` (34: in which direction
            too). With released weights: ``i3d_inception`` (1024), ``i3d_resnet50`` (2048), ``clip``,
            ``dinov2`` and ``videomae``. With weights of a pre-training by ``wsvad fit``: ``svmae``. Or one
            that an installed package announces, see :class:`PluginBackbone`.
        view: ``full``, ``center``, ``five_crop``, ``ten_crop`` or a grid of patches such as ``2x3``; by
            default ``ten_crop`` for I3D and ``full`` for the others.
        input: what EfficientNet sees: the frames (``rgb``), or four times their absolute difference to the
            frame sampled before (``diff``). Leave it as it is for all others.
        size: side of the square images that EfficientNet sees, by default 224; for flow the shorter side of
            the frames while they are compared, by default 120. Other networks have a size of their own.
        weights: released weights: a file for I3D and VGGish, a folder as transformers saves it for CLIP,
            DINOv2 and VideoMAE, a checkpoint for SVMAE. Others take none by path.
        motion_share: for ``svmae``: part of the tokens that is kept, those that move most; by default 0.5.
        depth_weight: for ``svmae``: how much more the farthest token weighs than the nearest, by default
            0.05.
        depth_network: for ``svmae``: folder of a depth network as transformers saves it; without it, depth
            grows from the bottom of the frame to its top.
        no_sound: for ``log_mel`` and ``vggish``: whether to ``refuse`` a video without a sound track, or to
            give it ``zeros``.
    """

    name: str = "features"
    backbone: str = "efficientnet_lite0"
    view: str | None = None
    input: Literal["rgb", "diff"] = "rgb"
    size: int | None = None
    weights: str | None = None
    motion_share: float | None = None
    depth_weight: float | None = None
    depth_network: str | None = None
    no_sound: Literal["refuse", "zeros"] = "refuse"

    def __post_init__(self) -> None:
        if not STREAM_NAME.fullmatch(self.name):
            raise WSVADError(
                "streams.name", self.name, "is not valid", "Give letters, digits and underscores"
            )
        if self.backbone not in BACKBONES and self.plugin is None:
            known = [*BACKBONES, *plugins(GROUP)]
            remedy = f"{did_you_mean(self.backbone, known)}Give one of {', '.join(known)}"
            raise WSVADError("streams.backbone", self.backbone, "no such backbone", remedy)
        if self.size is not None and self.size < MIN_SIZE:
            raise WSVADError("streams.size", self.size, "is too small", f"Give {MIN_SIZE} pixels or more")
        if self.size is not None and self.backbone in SOUND:
            raise WSVADError("streams.size", self.size, f"{self.backbone} sees no images", "Leave size out")
        if self.backbone in SOUND and self.view not in (None, "full"):
            raise WSVADError("streams.view", self.view, f"{self.backbone} sees no images", "Leave view out")
        if self.no_sound != "refuse" and self.backbone not in SOUND:
            problem = f"{self.backbone} hears no sound"
            raise WSVADError("streams.no_sound", self.no_sound, problem, "Leave no_sound out")
        if self.size is not None and self.needs_weights:
            problem = f"{self.backbone} sees images of the size that its weights are for"
            raise WSVADError("streams.size", self.size, problem, "Leave size out")
        if self.input == "diff" and self.backbone != "efficientnet_lite0":
            raise WSVADError(
                "streams.input", self.input, f"{self.backbone} takes frames as they are", "Leave input out"
            )
        if self.weights is not None and not self.needs_weights:
            problem = f"{self.backbone} takes no weights by path"
            raise WSVADError("streams.weights", self.weights, problem, "Leave weights out")
        self._check_fusion()

    def _check_fusion(self) -> None:
        """Validate how tokens are fused.

        Raises:
            WSVADError: if a number is out of range, or the backbone has no tokens to fuse.
        """
        given = {name: getattr(self, name) for name in FUSION if getattr(self, name) is not None}
        for name, value in given.items() if self.backbone != "svmae" else ():
            raise WSVADError(
                f"streams.{name}", value, f"{self.backbone} fuses no tokens", f"Leave {name} out"
            )
        if not 0 < self.fusion.motion_share <= 1:
            problem = "must be more than 0, and at most 1"
            raise WSVADError("streams.motion_share", self.motion_share, problem, "Give a part, such as 0.5")
        if not 0 <= self.fusion.depth_weight < float("inf"):
            raise WSVADError("streams.depth_weight", self.depth_weight, "must be at least 0", "Give 0.05")

    @property
    def fusion(self) -> TokenFusion:
        """How tokens are fused."""
        given = {name: getattr(self, name) for name in FUSION}
        return TokenFusion(**{name: value for name, value in given.items() if value is not None})

    @property
    def plugin(self) -> EntryPoint | None:
        """What an installed package announces by this name; None for a backbone of the suite."""
        return None if self.backbone in BACKBONES else plugins(GROUP).get(self.backbone)

    @property
    def needs_weights(self) -> bool:
        """Whether the user has to say where the weights are, or may where they are of a plug-in."""
        return self.backbone not in SIZES and self.backbone != "log_mel"

    @property
    def seen(self) -> str:
        """The view in force."""
        return self.view or VIEWS.get(self.backbone, "full")

    def recorded(self, **details: Any) -> dict[str, Any]:
        """What a store is to say of this stream: the settings in force, but no paths.

        Args:
            details: what else the vectors depend on.
        """
        settings = {"name": self.name, "backbone": self.backbone, "view": self.seen, "input": self.input}
        own: dict[str, Any] = {"no_sound": self.no_sound} if self.backbone in SOUND else {}
        if self.backbone in SIZES:
            own["size"] = self.size or SIZES[self.backbone]
        return settings | own | details


class PluginBackbone(Protocol):
    """What a package gives by an entry point of the group ``wsvad.backbones``: a class of one's own.

    It is made once a stream by ``(weights, device)``: a path or None, and where it is to run.

    Attributes:
        size: S, side of the square images that it sees.
        clip_length: L, frames of a clip; None for single images.
        recipe: what else its vectors depend on, in plain values, such as the hash of its weights.
    """

    size: int
    clip_length: int | None
    recipe: dict[str, Any]

    def __call__(self, images: Tensor) -> Tensor:
        """Give ``[B, D]`` of RGB images ``[B, 3, S, S]`` in 0..255, or of clips ``[B, L, 3, S, S]``."""
        ...


class FrameWindow:
    """Consecutive sampled frames, and what is derived from them: once, for all streams.

    Args:
        frames: ``[K + 1, H, W, 3]`` RGB. The first is the last of the window before, there only to be
            compared with; in the window that opens a video it counts as well: ``[K, H, W, 3]``, K > 1.
        opens: whether this window opens its video. The first frame of a video has none before it; it takes
            the motion of the second.
    """

    def __init__(self, frames: NDArray[np.uint8], *, opens: bool) -> None:
        self.frames = torch.from_numpy(frames).permute(0, 3, 1, 2)
        self.opens = opens
        self._motion: dict[int, Tensor] = {}

    @property
    def rgb(self) -> Tensor:
        """``[K, 3, H, W]`` uint8, the frames that count."""
        return self.frames if self.opens else self.frames[1:]

    @cached_property
    def diff(self) -> Tensor:
        """``[K, 3, H, W]`` uint8, four times the absolute difference to the frame before, at most 252."""
        earlier, later = self.frames[:-1], self.frames[1:]
        change = torch.maximum(earlier, later) - torch.minimum(earlier, later)
        return self._of_every_frame(change.clamp_(max=255 // DIFF_GAIN).mul_(DIFF_GAIN))

    def motion(self, size: int) -> Tensor:
        """``[K, 3, h, w]`` motion since the frame before, see :func:`measure_motion`."""
        if size not in self._motion:
            self._motion[size] = self._of_every_frame(measure_motion(self.frames, size))
        return self._motion[size]

    def _of_every_frame(self, pairs: Tensor) -> Tensor:
        return torch.cat([pairs[:1], pairs]) if self.opens else pairs


class VideoFeatures(Protocol):
    """The features of one video, given out while its frames come in, so that they need not be held.

    All that is given out may be more than the ``recipe.num_snippets(num_frames)`` snippets that count: frames
    that are not sampled may be what the last one lacks.
    """

    def add(self, window: FrameWindow) -> list[Tensor]:
        """Take the next frames, and give the snippets ``[N, D]`` that are ready."""
        ...

    def finish(self, num_frames: int) -> list[Tensor]:
        """Give the rest of the snippets ``[N, D]`` of the video, which turned out to have so many frames."""
        ...


class Encoder(Protocol):
    """Turns videos into vectors.

    Attributes:
        views: names of the N views.
        recipe: everything that the vectors depend on, as plain values.
    """

    views: tuple[str, ...]
    recipe: dict[str, Any]

    def open(self, recipe: SnippetRecipe) -> VideoFeatures:
        """Begin a video, cut into snippets by ``recipe``.

        Raises:
            WSVADError: if the network cannot take such snippets.
        """
        ...
