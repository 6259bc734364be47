"""From the store to batches: bags of segments to train with, whole videos to score."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from traceback import clear_frames
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.data.datasets.regions import regions_of
from wsvad_lightning.data.datasets.rules import Rule
from wsvad_lightning.data.datasets.vectors import ReadyLabels
from wsvad_lightning.data.loading.glances import mark_segments
from wsvad_lightning.data.loading.readers import FeatureReader
from wsvad_lightning.data.loading.sampler import Draw
from wsvad_lightning.data.loading.sampling import Sampling, sample_segments, valid_segments
from wsvad_lightning.data.loading.transform import ALL_VIEWS, FeatureTransform
from wsvad_lightning.data.store import Features
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.types import WSVADBatch

Batch = TypeVar("Batch")


class SegmentSource(Protocol):
    """Gives the bags of videos."""

    def read(self, video_id: str, views: slice, rng: np.random.Generator) -> NDArray[np.float32]:
        """Give ``[N', S, D']`` float32; ``rng`` makes the random choices, if there are any."""


@dataclass(frozen=True)
class StoreSegments:
    """Bags straight from the store.

    Attributes:
        reader: gives the videos.
        sampling: from snippets to segments.
        segments: S.
    """

    reader: FeatureReader
    sampling: Sampling
    segments: int

    def read(self, video_id: str, views: slice, rng: np.random.Generator) -> NDArray[np.float32]:
        """Read, transform and sample a video.

        Raises:
            WSVADError: if the bag is not finite.
        """
        bag = sample_segments(self.reader.read(video_id, views), self.sampling, self.segments, rng)
        self.reader.check_finite(video_id, bag)
        return bag.swapaxes(0, 1)


class BatchDataset(Dataset[Batch]):
    """A data set that loads a whole batch at once, for :class:`BatchLoader`."""

    def load(self, keys: list[Any]) -> Batch:
        """Load the batch of these keys."""
        raise NotImplementedError(f"{type(self).__name__} must give load")

    def __getitems__(self, keys: list[Any]) -> Batch | WSVADError:
        """Load a batch, or give the mistake that was met: raised in a worker it would lose its type."""
        try:
            return self.load(keys)
        except WSVADError as error:
            return error


class TrainingBags(BatchDataset[WSVADBatch]):
    """Bags of the training videos, labelled by video.

    Args:
        source: gives the bags.
        videos: what is known of each video.
        lengths: number of snippets of each video.
        stride: frames from the start of one snippet to the start of the next.
        transform: what ``source`` applies; its ``crops`` says what becomes a bag. ``each``: every view of a
            video is one; otherwise every video, with all views, a ``random`` one, or the merged one.
        sampling: what ``source`` applies.
        segments: S.
        classes: names of the anomaly classes.
        streams: gives what else a batch carries, with all its views; sampled as ``source`` is.
    """

    def __init__(
        self,
        source: SegmentSource,
        videos: Sequence[VideoAnnotation],
        lengths: Sequence[int],
        stride: int,
        transform: FeatureTransform,
        sampling: Sampling,
        segments: int,
        classes: Sequence[str],
        streams: Mapping[str, SegmentSource],
    ) -> None:
        self.source, self.videos, self.classes, self.streams = source, videos, classes, streams
        self.random_view = transform.crops == "random"
        self.bags_a_video = transform.output_views if transform.crops == "each" else 1
        self.num_views = transform.output_views
        views = 1 if transform.crops in ("each", "random") else transform.output_views
        self.bag_shape = (views, segments, transform.output_dim)
        self.sampling, self.segments = sampling, segments
        self.num_snippets, self.stride = lengths, stride
        self.lengths = [valid_segments(sampling, length, segments) for length in lengths]

    def __len__(self) -> int:
        return len(self.videos) * self.bags_a_video

    def bags_of(self, label: int) -> list[int]:
        """Indices of the bags with this label."""
        return [bag for bag in range(len(self)) if self.videos[bag // self.bags_a_video].label == label]

    def load(self, keys: list[Draw]) -> WSVADBatch:
        """Assemble the bags drawn by a :class:`BagSampler` in one tensor."""
        features = np.empty((len(keys), *self.bag_shape), dtype=np.float32)
        numbers = [draw.bag // self.bags_a_video for draw in keys]
        held = []
        for place, (draw, number) in enumerate(zip(keys, numbers, strict=True)):
            rng = np.random.default_rng(draw.seed)
            held.append(self._views(draw.bag, rng))
            features[place] = self.source.read(self.videos[number].video_id, held[-1], rng)
        videos = [self.videos[number] for number in numbers]
        lengths = torch.tensor([self.lengths[number] for number in numbers])
        glances = torch.from_numpy(np.stack([self._marks(draw) for draw in keys]))
        views = None if ALL_VIEWS in held else [view.start for view in held]
        streams = {name: self._read_stream(source, keys) for name, source in self.streams.items()}
        batch = _make_batch(features, lengths, videos, self.classes, streams)
        return batch._replace(views=views, glances=glances)

    def _read_stream(self, source: SegmentSource, keys: list[Draw]) -> NDArray[np.float32]:
        """Read the segments of a stream that the features of these bags are of: ``[B, S, P, D]``."""
        bags = []
        for draw in keys:
            rng = np.random.default_rng(draw.seed)
            self._views(draw.bag, rng)  # drawn before the segments
            video = self.videos[draw.bag // self.bags_a_video]
            bags.append(source.read(video.video_id, ALL_VIEWS, rng).swapaxes(0, 1))
        return np.stack(bags)

    def _marks(self, draw: Draw) -> NDArray[np.bool_]:
        """Mark the segments of a bag that hold a glance: ``[S]``."""
        number = draw.bag // self.bags_a_video
        rng = np.random.default_rng(draw.seed)
        self._views(draw.bag, rng)  # drawn before the segments
        frames, length = self.videos[number].glances, self.num_snippets[number]
        return mark_segments(frames, length, self.stride, self.sampling, self.segments, rng)

    def _views(self, bag: int, rng: np.random.Generator) -> slice:
        """Views that belong to a bag."""
        if self.random_view:
            first = int(rng.integers(self.num_views))
        elif self.bags_a_video > 1:
            first = bag % self.bags_a_video
        else:
            return ALL_VIEWS
        return slice(first, first + 1)


class WholeVideos(BatchDataset[WSVADBatch]):
    """Videos at full length with all their views, one per batch.

    Args:
        reader: gives the videos.
        videos: what is known of each.
        classes: names of the anomaly classes.
        streams: gives what else a batch carries.
        rule: how frames are labelled where that is known, or their labels; None for no frame labels.
        regions: whether to give the regions of the anomalies, where they are known.
    """

    def __init__(
        self,
        reader: FeatureReader,
        videos: Sequence[VideoAnnotation],
        classes: Sequence[str],
        streams: Mapping[str, FeatureReader],
        *,
        rule: Rule | ReadyLabels | None,
        regions: bool = False,
    ) -> None:
        self.reader, self.videos, self.classes, self.streams = reader, videos, classes, streams
        self.rule, self.regions = rule, regions

    def __len__(self) -> int:
        return len(self.videos)

    def load(self, keys: list[int]) -> WSVADBatch:
        """Load the video of a single key.

        Raises:
            WSVADError: if its features are not finite, or its annotated frames or the rule do not fit it.
        """
        (key,) = keys
        video = self.videos[key]
        num_frames = self.reader.store[video.video_id].num_frames
        snippets = self.reader.read_finite(video.video_id)
        features = np.array(snippets.swapaxes(0, 1)[None], dtype=np.float32, order="C")
        streams = {name: reader.read_finite(video.video_id)[None] for name, reader in self.streams.items()}
        batch = _make_batch(features, torch.tensor([len(snippets)]), [video], self.classes, streams)
        frame_labels, regions = None, [regions_of(video, num_frames)] if self.regions else None
        if self.rule is not None and self.rule.knows(video):
            frame_labels = torch.from_numpy(self.rule.label(video, num_frames, len(snippets)))
            num_frames = len(frame_labels)
        return batch._replace(
            num_frames=torch.tensor([num_frames]),
            frame_labels=[frame_labels],
            events=[video.events],
            regions=regions,
        )


class BatchLoader(DataLoader[Batch]):
    """Loader of a :class:`BatchDataset`.

    Attributes:
        waited: seconds that this process has waited for batches so far, or has loaded them itself.
    """

    waited = 0.0

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]  # the loader only iterates over it
        """Yield the batches; a mistake met in a worker is raised here, as what it is."""
        try:
            batches = super().__iter__()
        except BaseException as error:
            # What was begun ends its workers once nothing holds it: they leave signals to this process, which
            # would wait for them for ever as it ends.
            clear_frames(error.__traceback__)
            raise
        while True:
            start = time.perf_counter()
            batch = next(batches, None)
            self.waited += time.perf_counter() - start
            if batch is None:
                return
            if isinstance(batch, WSVADError):
                raise batch
            yield batch

    def __len__(self) -> int:
        """Count the batches; one where a rank has no video, as Lightning skips a stage without batches.

        That rank would miss what all ranks do together at the end of the stage.
        """
        return max(1, super().__len__())

    def state_dict(self) -> dict[str, int]:
        """Show Lightning that the loader resumes; where, its sampler reads from the trainer's own count."""
        return {}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """See :meth:`state_dict`."""


def as_loaded(batch: Any) -> Any:  # DataLoader takes what it collates for a list
    """Collate nothing: a :class:`BatchDataset` gives whole batches."""
    return batch


def _make_batch(
    features: NDArray[np.float32],
    lengths: torch.Tensor,
    videos: Sequence[VideoAnnotation],
    classes: Sequence[str],
    streams: Mapping[str, Features],
) -> WSVADBatch:
    return WSVADBatch(
        features=torch.from_numpy(features),
        lengths=lengths,
        labels=torch.tensor([float(video.label) for video in videos]),
        video_ids=[video.video_id for video in videos],
        streams={name: torch.from_numpy(np.array(values, np.float32)) for name, values in streams.items()},
        class_targets=torch.stack([class_target(video, classes) for video in videos]),
    )


def class_target(video: VideoAnnotation, classes: Sequence[str]) -> torch.Tensor:
    """Give ``[1 + C]``: 1 in column 0 of a normal video, in those of all its classes of an abnormal one."""
    own = [1.0 if name in video.classes else 0.0 for name in classes]
    return torch.tensor([1.0 if video.label == 0 else 0.0, *own])
