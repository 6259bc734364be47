"""The data module of pixels: videos, a split and annotations become loaders of clips."""

from collections.abc import Collection, Mapping
from functools import cached_property
from math import inf
from pathlib import Path

import h5py
from lightning.pytorch.utilities import rank_zero_info

from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.data.datasets.footage import SourceVideo, find_videos, is_table
from wsvad_lightning.data.loading.base import STAGES, ResumableDataModule
from wsvad_lightning.data.loading.catalogue import Parts, as_settings
from wsvad_lightning.data.loading.clips import (
    ClipShape,
    ClipSource,
    Cropping,
    DepthStream,
    TrainingClips,
    WholeClips,
)
from wsvad_lightning.data.loading.dataset import BatchLoader
from wsvad_lightning.data.store.reader import parts_folder
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.types import ClipBatch
from wsvad_lightning.video.clips import ClipReaders
from wsvad_lightning.video.crops import Size
from wsvad_lightning.video.frames import Footage


class FootageCatalogue(Parts):
    """Annotations of videos and their parts; names and labels are those that ``wsvad extract`` would give.

    Args:
        videos: folder, searched with all its subfolders; one video; or an annotations table whose column
            ``video`` holds paths.
        split: file of the parts; None for those that the table names. Without split and table, all videos
            train.
        split_index: which of the splits in that file, from 0.
        annotations: table of the videos, with their labels; videos that it does not name are left out.
        val_fraction: as for :class:`Parts`.
        seed: as for :class:`Parts`.
        by_label: as for :class:`Parts`.

    Raises:
        WSVADError: as for :class:`Parts`; also if ``videos`` is a feature store.
    """

    where = "data.videos"

    def __init__(
        self,
        videos: str,
        split: str | None = None,
        split_index: int = 0,
        annotations: str | None = None,
        val_fraction: float = 0.0,
        seed: int = 0,
        *,
        by_label: bool = True,
    ) -> None:
        if annotations is None and is_table(videos):
            annotations = videos
        super().__init__(split, split_index, annotations, val_fraction, seed, by_label=by_label)
        self.source = videos
        if (Path(videos).is_file() and h5py.is_hdf5(videos)) or parts_folder(Path(videos)).is_dir():
            problem = "is a feature store, and frames are needed"
            raise WSVADError("data.videos", videos, problem, "Give the videos that it was made from")

    @cached_property
    def videos(self) -> dict[str, SourceVideo]:
        """The videos by name."""
        with as_settings():
            found, notes = find_videos(self.source, self.annotations_path)
        self.notes += notes
        return {video.annotation.video_id: video for video in found}

    @property
    def path(self) -> str:
        """The videos as they were given."""
        return self.source

    @property
    def video_paths(self) -> Mapping[str, str]:
        """The paths of the videos below ``data.videos``, by name."""
        return {name: video.source for name, video in self.videos.items()}

    @cached_property
    def annotations(self) -> Mapping[str, VideoAnnotation]:
        """What the table says of the videos; without one, their labels are unknown."""
        return {name: video.annotation for name, video in self.videos.items()}

    def leave_out(self, names: Collection[str]) -> None:
        """Take videos out, and out of the parts."""
        for part in self.parts.values():
            part[:] = [name for name in part if name not in names]
        self.videos = {name: video for name, video in self.videos.items() if name not in names}

    def _read_parts(self) -> dict[str, list[str]]:
        if self.split_path is None and self.annotations_path is None:
            return {"train": self.video_ids, "val": [], "test": []}
        return super()._read_parts()


class ClipDataModule(ResumableDataModule):
    """Clips of pixels to train with; held-out, test and other videos as a whole, clip after clip.

    * Training: clips from random places. With labels ``[2 batch_size, 3, T, H, W]``, the normal half first,
      a bag being a video; without labels ``[batch_size, 3, T, H, W]``, a pass seeing each video as often as
      clips follow each other in it. The order survives interruptions, ranks share no bag in a pass, and all
      have the same number of steps.
    * Validation, test: the videos of the part, each on one rank, in batches of at most ``batch_size`` clips
      of one video, from its first frame to its last without gaps; prediction: all videos.

    Frames are counted as :class:`wsvad_lightning.video.reader.VideoReader` counts them, and as features and
    annotations do. A process keeps few videos open, and memory does not grow with their length.

    Args:
        videos: folder of videos, searched with all its subfolders; one video; or an annotations table whose
            column ``video`` holds paths. A folder of numbered images is a video.
        annotations: table of the videos, with their labels; videos that it does not name are left out.
        split: file that names the videos of each part; None for the parts that the table names. Without
            split and table, all videos train.
        split_index: which of the splits in that file, from 0.
        labelled: whether to train on pairs of normal and abnormal clips, or on clips without labels.
        length: T, frames of a clip.
        stride: frames of the video from one frame of a clip to the next.
        size: height and width in pixels; a number for a square.
        crop: the part of the frames: ``full``, ``center``, ``random`` or ``multi_scale``, see
            :class:`wsvad_lightning.data.loading.clips.ClipShape`.
        fps: frames a second to play the videos at, by their time stamps; every frame of the file counts
            unless given.
        depth_store: feature store that holds depth maps of the videos; batches carry them.
        depth_stream: name of the stream there.
        batch_size: clips of each class, or clips without labels, in a batch, on each device.
        val_fraction: part of the training videos to hold out; of each class, where ``labelled``.
        num_workers: processes that decode; 0 decodes in the training process.
        skip_broken: go on without videos that cannot be read, and name them. All are opened first, and those
            that are read as a whole are decoded once. A clip of a training video that turns out to be
            damaged later is replaced by one of another video.
        seed: of everything random; None for a run that is not seeded, whose data are those of seed 0.

    Raises:
        WSVADError: if a number is out of range, or ``videos`` is a feature store; later, if videos, split
            and annotations do not fit together, or a clip is longer than a training video.
    """

    def __init__(
        self,
        videos: str,
        annotations: str | None = None,
        split: str | None = None,
        split_index: int = 0,
        labelled: bool = False,
        length: int = 16,
        stride: int = 1,
        size: int | Size = 224,
        crop: Cropping = "full",
        fps: float | None = None,
        depth_store: str | None = None,
        depth_stream: str = "depth",
        batch_size: int = 8,
        val_fraction: float = 0.0,
        num_workers: int = 0,
        seed: int | None = 0,
        skip_broken: bool = False,
    ) -> None:
        height, width = (size, size) if isinstance(size, int) else size
        least = {"length": (length, 1), "stride": (stride, 1), "size": (min(height, width), 1)}
        super().__init__(batch_size, num_workers, seed, least)
        if fps is not None and not 0 < fps < inf:
            raise WSVADError("data.fps", fps, "must be more than 0", "Give frames a second")
        self.catalogue: FootageCatalogue = FootageCatalogue(
            videos, split, split_index, annotations, val_fraction, self.seed, by_label=labelled
        )
        self.skip_broken = skip_broken
        self.labelled, self.shape = labelled, ClipShape(length, stride, (height, width), crop)
        self.readers = ClipReaders(fps)
        self.depth = None if depth_store is None else DepthStream(depth_store, depth_stream)

    @property
    def footage(self) -> dict[str, Footage]:
        """The files and folders of images, by name of the video."""
        return {name: video.path for name, video in self.catalogue.videos.items()}

    def check_patches(self, method: str, tubelet: int, patch: int) -> None:
        """Compare the clips with the patches that a method cuts them into.

        Args:
            method: name of the method, for the message.
            tubelet: frames of a patch.
            patch: side of a patch in pixels.

        Raises:
            WSVADError: if length, height or width is not a multiple.
        """
        height, width = self.shape.size
        for name, value, unit in (
            ("data.length", self.shape.length, tubelet),
            ("data.size", height, patch),
            ("data.size", width, patch),
        ):
            if value % unit:
                nearest = max(1, round(value / unit)) * unit
                problem = f"must be a multiple of {unit}, which {method} cuts it into"
                raise WSVADError(name, value, problem, f"Give {nearest}, for example")

    def setup(self, stage: str) -> None:
        """Find the videos of the stage, and compare them with split and annotations.

        Raises:
            WSVADError: if something is missing or does not fit.
        """
        super().setup(stage)
        if stage == "fit" and self.labelled:
            self.catalogue.require_labels("train")
        _ = self.catalogue.videos  # found in prediction, too, before the first batch
        if self.depth is not None:
            self._check_depth(STAGES.get(stage, ()))
        if self.skip_broken:
            self._leave_out_broken(STAGES.get(stage, ()))
        self.show_notes()

    def train_dataloader(self) -> BatchLoader[ClipBatch]:
        """Clips to train on, from the step that the trainer has reached."""
        videos = [self.annotations[name] for name in self.parts["train"]]
        clips = TrainingClips(self._source, videos, labelled=self.labelled, skip_broken=self.skip_broken)
        if self.labelled:
            sides = {"normal video": clips.bags_of(label=0), "abnormal video": clips.bags_of(label=1)}
            return self.training_loader(clips, sides)
        return self.training_loader(clips, {"clip": range(len(clips))})

    def val_dataloader(self) -> BatchLoader[ClipBatch] | list[BatchLoader[ClipBatch]]:
        """The held-out videos, whole; no loader if none are held out.

        With labels, these are the videos of this rank. Without, all ranks have as many batches, so that
        layers may be sharded over them; those that remain, fewer than there are ranks, are left out.
        """
        if not self.parts["val"] or self.labelled:
            return self._whole(self.parts["val"]) if self.parts["val"] else []
        videos = [self.annotations[name] for name in self.parts["val"]]
        return self.loader(WholeClips(self._source, videos, self.batch_size, self.even_share))

    def test_dataloader(self) -> BatchLoader[ClipBatch]:
        """The test videos of this rank, whole."""
        return self._whole(self.parts["test"])

    def predict_dataloader(self) -> BatchLoader[ClipBatch]:
        """All videos, those of this rank, whole."""
        return self._whole(self.catalogue.video_ids)

    @property
    def _source(self) -> ClipSource:
        return ClipSource(self.footage, self.shape, self.readers, self.depth)

    def _whole(self, names: list[str]) -> BatchLoader[ClipBatch]:
        videos = [self.annotations[name] for name in self.share(names)]
        return self.loader(WholeClips(self._source, videos, self.batch_size))

    def _leave_out_broken(self, parts: tuple[str, ...]) -> None:
        """Take out the videos of some parts that cannot be read, or of all without parts, on all ranks alike.

        Raises:
            WSVADError: if none remains of the first part.
        """
        names = [name for part in parts for name in self.parts[part]] or self.catalogue.video_ids
        wholes = {*names} - {*(self.parts["train"] if "train" in parts else ())}
        problems = self._source.problems([self.annotations[name] for name in names], wholes)
        for error in problems.values():
            rank_zero_info(f"skipped: {error}")
        self.catalogue.leave_out(problems.keys())
        if not (self.parts[parts[0]] if parts else self.catalogue.video_ids):
            problem = "none of its videos can be read, as listed above"
            raise WSVADError("data.videos", self.catalogue.path, problem, "Repair or replace them")

    def _check_depth(self, parts: tuple[str, ...]) -> None:
        """Refuse a store of depth that lacks videos of a part."""
        assert self.depth is not None, "there is one"
        names = [name for part in parts for name in self.parts[part]] or self.catalogue.video_ids
        if missing := [name for name in names if name not in self.depth.store]:
            problem = f"lacks {len(missing)} of the videos, such as {missing[0]}"
            raise WSVADError("data.depth_store", self.depth.store.path, problem, "Extract their depth, too")


def require_clips(method: str, data: object) -> ClipDataModule:
    """Give the data module of a run as one of clips.

    Args:
        method: name of the method, for the message.
        data: the data module.

    Raises:
        WSVADError: if it delivers features of a store.
    """
    if not isinstance(data, ClipDataModule):
        store = getattr(getattr(data, "catalogue", None), "store_path", None)
        problem = f"holds features, and {method} needs frames"
        raise WSVADError("data.store", store, problem, "Give data.videos, the videos themselves")
    return data
