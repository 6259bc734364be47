"""From videos to batches of clips: drawn ones to train with, all of a video in order to score."""

import logging
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_only
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor
from torch.nn import functional
from torch.utils.data import get_worker_info

from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.data.loading.catalogue import as_settings
from wsvad_lightning.data.loading.dataset import BatchDataset
from wsvad_lightning.data.loading.sampler import Draw
from wsvad_lightning.data.store import FeatureStore
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.types import UNKNOWN, ClipBatch
from wsvad_lightning.video.clips import ClipReaders, clip_frames
from wsvad_lightning.video.crops import WHOLE, Crop, Layout, Size
from wsvad_lightning.video.film import broken
from wsvad_lightning.video.frames import Footage
from wsvad_lightning.video.index import decoded_index
from wsvad_lightning.video.views import CROP, grid_of

Cropping = Literal["full", "center", "random", "multi_scale"]
SCALES = (1.0, 0.875, 0.75, 0.66)  # of ``multi_scale``, as VideoMAE trains


@dataclass(frozen=True)
class ClipShape:
    """What a clip is.

    Attributes:
        length: T, frames.
        stride: frames of the video from one frame of the clip to the next.
        size: height and width in pixels.
        crop: the part of each frame, the same in a whole clip. ``full`` squeezes the frame into ``size``. The
            others keep its proportions: ``center`` and ``random`` show 7/8 of the largest rectangle of that
            shape, ``multi_scale`` 1, 7/8, 3/4 or 0.66 of it, at a random place (VideoMAE). Where whole videos
            are read, what is random is the centre.
    """

    length: int
    stride: int
    size: Size
    crop: Cropping

    @property
    def span(self) -> int:
        """Frames of the video from the first to the last of a clip."""
        return (self.length - 1) * self.stride + 1

    @property
    def hop(self) -> int:
        """Frames from a clip to the next one where clips cover a video without gaps."""
        return self.length * self.stride

    def draw_crop(self, rng: np.random.Generator) -> Crop:
        """Draw the part of the frames that a clip shows."""
        if self.crop in ("full", "center"):
            return self.fixed_crop
        extent = float(rng.choice(SCALES)) if self.crop == "multi_scale" else CROP
        top, left = rng.random(2).tolist()
        return Crop(extent, (top, left))

    @property
    def fixed_crop(self) -> Crop:
        """The part of the frames where nothing is random."""
        return WHOLE if self.crop == "full" else Crop(CROP)


class DepthStream:
    """Depth maps of videos, a map a snippet, from a store.

    Args:
        store: feature store with a stream of one channel, whose views are the cells of a grid.
        stream: name of the stream.

    Raises:
        WSVADError: if the store lacks the stream, or its views are not a grid, or it has more channels.
    """

    def __init__(self, store: str, stream: str) -> None:
        with as_settings({"store": "data.depth_store"}):
            self.store, self.stream = FeatureStore(store), stream
        held = self.store.streams
        if stream not in held:
            problem = f"{store} holds the streams {sorted(held)}"
            raise WSVADError("data.depth_stream", stream, problem, "Choose one of these, or extract depth")
        grid = grid_of(held[stream].views)
        if held[stream].dim != 1 or grid is None:
            problem = f"{stream} has {held[stream].dim} channels and {len(held[stream].views)} views"
            remedy = "Give a stream of one channel, the views of which are a grid such as 14x14"
            raise WSVADError("data.depth_store", store, f"{problem}, not a depth map", remedy)
        self.grid = grid

    def check(self, video_id: str, num_frames: int) -> None:
        """Compare the store with a video.

        Raises:
            WSVADError: if it lacks the video, or has another one of that name.
        """
        held = self.store[video_id].num_frames
        if held != num_frames:
            problem = f"{self.store.path} has {held} frames of it, the video {num_frames}"
            raise WSVADError("video", video_id, problem, "Extract depth from these videos, at the same fps")

    def read(self, video_id: str, frames: NDArray[np.int64], layout: Layout) -> Tensor:
        """Read the depth ``[T, h, w]`` of what a clip shows of each frame."""
        stored = self.store.read(video_id, self.stream)
        snippets = np.minimum(frames // self.store.provenance.grid.stride, len(stored) - 1)
        maps = torch.from_numpy(np.array(stored[snippets, :, 0], np.float32)).view(-1, *self.grid)
        top, left, bottom, right = layout.box
        if (top, left, bottom, right) == (0, 0, 1, 1):
            return maps
        affine = torch.tensor([[right - left, 0, left + right - 1], [0, bottom - top, top + bottom - 1]])
        places = functional.affine_grid(affine[None], [1, 1, *self.grid], align_corners=False)
        sampled: Tensor = functional.grid_sample(
            maps[None], places, padding_mode="border", align_corners=False
        )
        return sampled[0]


MOST_FAILURES = 100  # clips in a row that cannot be read, after which it is not for a few videos
LOGGER = logging.getLogger("lightning.pytorch")

ClipRange = tuple[VideoAnnotation, range]  # clips of a video, by their starts


class Wanted(NamedTuple):
    """A clip to read.

    Attributes:
        video: what is known of the video.
        start: its first frame.
        crop: the part of the frames.
    """

    video: VideoAnnotation
    start: int
    crop: Crop


Another = Callable[[int, int], Wanted]


class ClipSource:
    """Reads batches of clips.

    Args:
        footage: the videos by name.
        shape: of the clips.
        readers: of the videos.
        depth: of the videos, if that is wanted.
    """

    def __init__(
        self,
        footage: Mapping[str, Footage],
        shape: ClipShape,
        readers: ClipReaders,
        depth: DepthStream | None = None,
    ) -> None:
        self.footage, self.shape, self.readers, self.depth = footage, shape, readers, depth
        self._named = set[str]()

    def lengths(self, videos: Sequence[VideoAnnotation]) -> list[int]:
        """Frames of each video: as annotated, or else by its index; the first rank shows progress."""
        paths = [self.footage[video.video_id] for video in videos if not video.num_frames]
        unknown = [path for path in paths if not self.readers.has_indexed(path)]
        hidden = not unknown or getattr(rank_zero_only, "rank", 0) != 0
        for path in track(unknown, "indexing videos", transient=True, disable=hidden):
            self.readers.index(path)
        return [v.num_frames or self.readers.index(self.footage[v.video_id]).num_frames for v in videos]

    def problems(
        self, videos: Sequence[VideoAnnotation], as_wholes: Collection[str]
    ) -> dict[str, WSVADError]:
        """Open videos, and say by name why some cannot be read; the first rank shows progress.

        Args:
            videos: what is known of each.
            as_wholes: names of those that are read as a whole. These are decoded once; of the others packets
                are counted, and damage among these may be met later.
        """
        hidden = getattr(rank_zero_only, "rank", 0) != 0
        found = {}
        for video in track(videos, "opening videos", transient=True, disable=hidden):
            try:
                self._check(video, whole=video.video_id in as_wholes)
            except WSVADError as error:
                found[video.video_id] = error
        return found

    def _check(self, video: VideoAnnotation, *, whole: bool) -> None:
        path = self.footage[video.video_id]
        length = self.readers.index(path).num_frames
        video.check_num_frames(length)
        if self.depth is not None:
            self.depth.check(video.video_id, length)
        if whole and decoded_index(path, self.readers.fps).num_frames != length:
            raise broken(Path(path), f"does not give the {length} frames that its packets announce")

    def read(self, wanted: Sequence[Wanted], *, pad: bool, another: Another | None = None) -> ClipBatch:
        """Read a batch.

        Args:
            wanted: B clips. Those of one video are read in the order of their starts: decoding goes on.
            pad: see :func:`wsvad_lightning.video.clips.read_clip`.
            another: gives what to read in place of a clip that cannot be read, by its place and the number of
                failures there; None to raise an error.

        Raises:
            WSVADError: if a video cannot be decoded, or is not as its annotation or the store of depth says.
        """
        height, width = self.shape.size
        clips = new_batch(len(wanted), 3, self.shape.length, height, width)
        frames = torch.empty(len(wanted), self.shape.length, dtype=torch.int64)
        depth: dict[int, Tensor] = {}
        read = [*wanted]
        for place in sorted(range(len(read)), key=lambda i: (read[i].video.video_id, read[i].start)):
            for failures in count(1):
                try:
                    pixels, frames[place], maps = self._read(read[place], pad=pad)
                    break
                except WSVADError as error:
                    if another is None or error.argument != "video" or failures > MOST_FAILURES:
                        raise
                    self._name_once(read[place].video.video_id, error)
                    read[place] = another(place, failures)
            torch.div(pixels.permute(3, 0, 1, 2).contiguous(), 255, out=clips[place])
            if maps is not None:
                depth[place] = maps
        labels = [torch.nan if clip.video.label == UNKNOWN else float(clip.video.label) for clip in read]
        indexes = [self.readers.index(self.footage[clip.video.video_id]) for clip in read]
        return ClipBatch(
            clips=clips,
            labels=torch.tensor(labels),
            video_ids=[clip.video.video_id for clip in read],
            starts=torch.tensor([clip.start for clip in read]),
            frames=frames,
            num_frames=torch.tensor([index.num_frames for index in indexes]),
            fps=torch.tensor([index.fps for index in indexes], dtype=torch.float64),
            depth=torch.stack([depth[place] for place in range(len(read))]) if depth else None,
        )

    def _read(self, clip: Wanted, *, pad: bool) -> tuple[Tensor, Tensor, Tensor | None]:
        """Read the pixels ``[T, H, W, 3]`` of a clip, the numbers of its frames, and its depth."""
        path = self.footage[clip.video.video_id]
        reader = self.readers.open(path)
        length = reader.index.num_frames
        clip.video.check_num_frames(length)
        numbers = clip_frames(Path(path), length, clip.start, self.shape.length, self.shape.stride, pad=pad)
        pixels = torch.from_numpy(reader.read(numbers, self.shape.size, clip.crop))
        maps = None
        if self.depth is not None:
            self.depth.check(clip.video.video_id, length)
            layout = reader.layout(self.shape.size, clip.crop)
            maps = self.depth.read(clip.video.video_id, numbers, layout)
        return pixels, torch.from_numpy(numbers), maps

    def _name_once(self, video_id: str, error: WSVADError) -> None:
        """Say that clips of a video are left out: once a process, on whichever rank it is met."""
        if video_id not in self._named:
            self._named.add(video_id)
            LOGGER.info(f"note: clips of {video_id} are left out: {error.problem}")


def new_batch(*shape: int) -> Tensor:
    """A float32 tensor to fill; in a worker it lies where the training process sees it, uncopied."""
    if get_worker_info() is None:
        return torch.empty(shape)
    size = 4 * math.prod(shape)  # bytes, shared as by PyTorch's own collation
    storage: torch.UntypedStorage = torch.UntypedStorage._new_shared(size)  # type: ignore[no-untyped-call]
    return torch.empty(0).set_(storage).view(shape)


class TrainingClips(BatchDataset[ClipBatch]):
    """Clips of the training videos, each from a random place.

    Args:
        source: reads them.
        videos: what is known of each video.
        labelled: whether a bag is a video, so that each counts once in a pass. Without labels a bag is a
            place in a video, and a pass sees as many clips of a video as follow each other in it.
        skip_broken: whether a clip that cannot be read is replaced by one of another bag, of the same label
            where there are labels. Which one follows from the seed of the draw.
    """

    def __init__(
        self,
        source: ClipSource,
        videos: Sequence[VideoAnnotation],
        *,
        labelled: bool,
        skip_broken: bool = False,
    ) -> None:
        self.source, self.videos, self.labelled = source, videos, labelled
        self.skip_broken = skip_broken
        lengths = np.array(source.lengths(videos))
        self.choices = lengths - source.shape.span + 1  # of a start
        self.check_lengths(lengths)
        self.bags = np.ones_like(lengths) if labelled else np.maximum(1, lengths // source.shape.hop)
        self.ends = np.cumsum(self.bags)

    def __len__(self) -> int:
        return int(self.ends[-1])

    def bags_of(self, label: int) -> list[int]:
        """Indices of the bags with this label, where a bag is a video."""
        return [bag for bag, video in enumerate(self.videos) if video.label == label]

    def check_lengths(self, lengths: NDArray[np.int64]) -> None:
        """Refuse videos that are shorter than a clip.

        Raises:
            WSVADError: if there are any.
        """
        short = np.flatnonzero(self.choices < 1)
        if len(short):
            first = short[0]
            named = f"{self.videos[first].video_id} has {lengths[first]}"
            problem = f"a clip spans {self.source.shape.span} frames, and of {len(short)} training videos"
            remedy = "Give less length or stride, or leave these videos out of the training part"
            value = f"{self.source.shape.length}"
            raise WSVADError("data.length", value, f"{problem} each has fewer: {named}", remedy)

    def load(self, keys: list[Draw]) -> ClipBatch:
        """Read the clips drawn by a :class:`BagSampler`."""

        def another(place: int, failures: int) -> Wanted:
            bag, seed = keys[place]
            rng = np.random.default_rng([seed, failures])
            bags = self.bags_of(self.videos[bag].label) if self.labelled else range(len(self))
            return self._wanted(Draw(int(rng.choice(bags)), int(rng.integers(2**63))))

        wanted = [self._wanted(draw) for draw in keys]
        batch = self.source.read(wanted, pad=False, another=another if self.skip_broken else None)
        return batch if self.labelled else batch._replace(labels=torch.full_like(batch.labels, torch.nan))

    def _wanted(self, draw: Draw) -> Wanted:
        rng = np.random.default_rng(draw.seed)
        number = int(np.searchsorted(self.ends, draw.bag, side="right"))
        bags, choices = int(self.bags[number]), int(self.choices[number])
        place = draw.bag - int(self.ends[number]) + bags  # of the bag in its video
        start = rng.integers(place * choices // bags, (place + 1) * choices // bags)
        return Wanted(self.videos[number], int(start), self.source.shape.draw_crop(rng))


class WholeClips(BatchDataset[ClipBatch]):
    """All frames of videos, in order: clips that follow each other without gaps, some a batch.

    A batch holds clips of one video. The last clip of a video repeats its last frame where it passes the end.

    Args:
        source: reads them.
        videos: what is known of each.
        batch_size: most clips of a batch.
        share: gives the batches to read, of all of them; by default each.
    """

    def __init__(
        self,
        source: ClipSource,
        videos: Sequence[VideoAnnotation],
        batch_size: int,
        share: Callable[[Sequence[ClipRange]], Sequence[ClipRange]] = lambda batches: batches,
    ) -> None:
        self.source = source
        batches = [
            (video, starts[first : first + batch_size])
            for video, length in zip(videos, source.lengths(videos), strict=True)
            for starts in [range(0, length, source.shape.hop)]
            for first in range(0, len(starts), batch_size)
        ]
        self.batches = share(batches)

    def __len__(self) -> int:
        return len(self.batches)

    def load(self, keys: list[int]) -> ClipBatch:
        """Read the batch of a single key."""
        (key,) = keys
        video, starts = self.batches[key]
        crop = self.source.shape.fixed_crop
        return self.source.read([Wanted(video, start, crop) for start in starts], pad=True)
