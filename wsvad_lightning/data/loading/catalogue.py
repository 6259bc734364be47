"""What is known of videos: labels, classes, and which of them train, validate and test."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import ClassVar

import numpy as np

from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.data.datasets.regions import needs_size
from wsvad_lightning.data.datasets.splits import count_splits, read_split
from wsvad_lightning.data.datasets.table import read_annotations
from wsvad_lightning.data.store import FeatureStore
from wsvad_lightning.errors import WSVADError, counted, few
from wsvad_lightning.types import LABELS, UNKNOWN

HOLD_OUT_STREAM = 3  # of the seed; the sampler uses the first ones
SETTINGS = {name: f"data.{name}" for name in ("store", "videos", "split", "split_index", "annotations")}


@contextmanager
def as_settings(names: Mapping[str, str] = SETTINGS) -> Iterator[None]:
    """Name what a mistake is about as the setting that gave it, such as ``data.split`` for ``split``.

    Args:
        names: of the settings, by those that the readers of files use.

    Raises:
        WSVADError: in place of one that names a file by its reader's argument.
    """
    try:
        yield
    except WSVADError as error:
        named = names.get(error.argument, error.argument)
        raise WSVADError(named, error.value, error.problem, error.remedy) from None


class Parts(ABC):
    """The parts ``train``, ``val`` and ``test`` of a source of videos, by a split and annotations.

    Args:
        split: file of the parts; None for those that the annotations name.
        split_index: which of the splits in that file, from 0.
        annotations: table of labels, classes and intervals; None for what the source itself knows.
        val_fraction: part of the training videos to hold out for validation.
        seed: of the choice of held-out videos.
        by_label: whether to hold out that part of the normal and of the abnormal videos, or of all videos,
            whatever their labels.

    Attributes:
        notes: what was inferred from the table, once it is read.

    Raises:
        WSVADError: if ``val_fraction`` is out of range; later, if source, split and annotations do not fit
            together.
    """

    where: ClassVar[str]  # what messages call the source

    def __init__(
        self,
        split: str | None,
        split_index: int,
        annotations: str | None,
        val_fraction: float,
        seed: int,
        *,
        by_label: bool = True,
    ) -> None:
        if not 0 <= val_fraction < 1:
            raise WSVADError("data.val_fraction", val_fraction, "must be in [0, 1)", "Give 0 for none")
        self.split_path, self.split_index = split, split_index
        self.annotations_path, self.val_fraction = annotations, val_fraction
        self.seed, self.by_label = seed, by_label
        self.notes: list[str] = []

    # ---------------------------------------------------------------------------------- what a source gives

    @property
    @abstractmethod
    def path(self) -> str:
        """Where the videos are, for messages."""

    @property
    @abstractmethod
    def video_paths(self) -> Mapping[str, str]:
        """The videos by name, with what tables may call them, see :func:`read_annotations`."""

    @property
    @abstractmethod
    def annotations(self) -> Mapping[str, VideoAnnotation]:
        """What is known of the videos."""

    # -------------------------------------------------------------------------------------- what follows

    @property
    def video_ids(self) -> list[str]:
        """All videos, sorted: the same on every rank and in every stage."""
        return sorted(self.video_paths)

    @cached_property
    def locates_anomalies(self) -> bool:
        """Whether the table refers to the regions of a test video, and gives the sizes that they need."""
        videos = [self.annotations[name] for name in self.parts["test"]]
        if not any(video.regions for video in videos):
            return False
        sizeless = [video.video_id for video in videos if needs_size(video)]
        if sizeless:
            more = "" if len(sizeless) == 1 else f" and {len(sizeless) - 1} more"
            self.notes.append(
                f"regions are not measured: {self.annotations_path or self.path} has no width and height of "
                f"{sizeless[0]}{more}"
            )
        return not sizeless

    @cached_property
    def parts(self) -> dict[str, list[str]]:
        """Videos of the parts ``train``, ``val`` and ``test``.

        Raises:
            WSVADError: if the split names a video that the source or the annotations lack, or holding out
                leaves no video to train with.
        """
        parts = self._read_parts()
        names = [name for part in parts.values() for name in part]
        _require("data.split", self._split_source, names, self.video_paths, self.where)
        _require("data.split", self._split_source, names, self.annotations, "data.annotations")
        if self.val_fraction == 0 or not parts["train"]:
            return parts
        if parts["val"]:
            problem = f"the split already names {counted(len(parts['val']), 'video')} to validate with"
            raise WSVADError("data.val_fraction", self.val_fraction, problem, "Set it to 0")
        if self.by_label:
            self._require_labels("train", parts["train"])
            labels = {self.annotations[name].label for name in parts["train"]}  # perhaps of normal ones alone
            held_out = {name for label in labels for name in self._hold_out(parts["train"], label)}
        else:
            held_out = set(self._hold_out(parts["train"]))
        train = [name for name in parts["train"] if name not in held_out]
        return {**parts, "train": train, "val": sorted(held_out)}

    @property
    def normal_training_videos(self) -> list[str]:
        """The training videos labelled normal."""
        return [name for name in self.parts["train"] if self.annotations[name].label == 0]

    @property
    def chosen_split(self) -> str | None:
        """Which of several splits in a file is used, such as ``split 0 of 5``; None if it is the only one."""
        with as_settings():
            count = 1 if self.split_path is None else count_splits(self.split_path)
        return f"split {self.split_index} of {count}" if count > 1 else None

    def summary(self, part: str) -> str:
        """Count the videos of a part by label, such as ``24 normal and 30 abnormal videos``."""
        counts = Counter(LABELS[self.annotations[name].label] for name in self.parts[part])
        listed = [f"{counts[word]} {word}" for word in LABELS.values() if counts[word]]
        total = len(self.parts[part])
        return f"{' and '.join(listed) or 'no'} {'video' if total == 1 else 'videos'}"

    def require_videos(self, part: str) -> None:
        """Check that a part has videos.

        Raises:
            WSVADError: if it is empty.
        """
        if not self.parts[part]:
            if part == "val":
                remedy = "Set data.val_fraction"
            elif self.split_path is None:
                remedy = "Fill the column split of the annotations, or give one that wsvad data split makes"
            else:
                remedy = f"Give a split that names videos to {part} with"
            raise WSVADError("data.split", self._split_source, f"the part {part!r} is empty", remedy)

    def require_labels(self, part: str) -> None:
        """Check that every video of a part is labelled normal or abnormal.

        Raises:
            WSVADError: if one is not.
        """
        self._require_labels(part, self.parts[part])

    @property
    def _split_source(self) -> str:
        return self.split_path or self.path

    def _read_parts(self) -> dict[str, list[str]]:
        if self.split_path is not None:
            with as_settings():
                split = read_split(self.split_path, self.split_index, self.video_paths)
            return {"train": list(split.train), "val": list(split.val), "test": list(split.test)}
        parts: dict[str, list[str]] = {"train": [], "val": [], "test": []}
        for video_id, video in sorted(self.annotations.items()):
            if video.split in parts:
                parts[video.split].append(video_id)
        return parts

    def _hold_out(self, names: Sequence[str], label: int | None = None) -> list[str]:
        """Choose the videos of a label that validate; of all labels if it is None."""
        own = sorted(name for name in names if label in (None, self.annotations[name].label))
        count = max(1, round(self.val_fraction * len(own)))
        if count >= len(own):
            kind = "" if label is None else f"{LABELS[label]} "
            problem = f"of {len(own)} {kind}training videos it leaves none"
            raise WSVADError("data.val_fraction", self.val_fraction, problem, "Give less, or more videos")
        stream = [self.seed, HOLD_OUT_STREAM, *([] if label is None else [label])]
        return [own[i] for i in np.random.default_rng(stream).permutation(len(own))[:count]]

    def _require_labels(self, part: str, names: Iterable[str]) -> None:
        missing = [name for name in names if self.annotations[name].label == UNKNOWN]
        if missing:
            where = self.annotations_path or self.path
            of_part = f"of the part {part!r}"
            lacking = counted(len(missing), f"video {of_part} has", f"videos {of_part} have")
            problem = f"{lacking} no label: {few(missing)}"
            remedy = "Label them normal or abnormal, or choose a method that trains without labels"
            raise WSVADError("data.annotations", where, problem, remedy)


class Catalogue(Parts):
    """Annotations of a store and its parts; files are read when asked for.

    Args:
        store: feature store, several of them, or a glob pattern.
        split: as for :class:`Parts`; None for the split written in the store.
        split_index: as for :class:`Parts`.
        annotations: table that replaces the labels, classes and intervals written in the store.
        val_fraction: as for :class:`Parts`.
        seed: as for :class:`Parts`.

    Raises:
        WSVADError: as for :class:`Parts`.
    """

    where = "the store"

    def __init__(
        self,
        store: str | list[str],
        split: str | None = None,
        split_index: int = 0,
        annotations: str | None = None,
        val_fraction: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__(split, split_index, annotations, val_fraction, seed)
        self.store_path = store

    @cached_property
    def store(self) -> FeatureStore:
        """The open feature store."""
        with as_settings():
            return FeatureStore(self.store_path)

    @property
    def path(self) -> str:
        """The store as it was given."""
        return self.store.path

    @property
    def video_paths(self) -> Mapping[str, str]:
        """The videos of the store, by name."""
        return self.store.video_paths

    @property
    def written(self) -> dict[str, VideoAnnotation]:
        """What the store itself knows of its videos."""
        return {video_id: self.store[video_id].annotation for video_id in self.store}

    @cached_property
    def annotations(self) -> Mapping[str, VideoAnnotation]:
        """What is known of the videos: by the table if there is one, or else by the store.

        Raises:
            WSVADError: if the table names a video that the store lacks, or does not fit its number of frames.
        """
        written = self.written
        if self.annotations_path is None:
            return written
        with as_settings():
            table = read_annotations(self.annotations_path, self.store.video_paths, notes=self.notes)
        _require("data.annotations", self.annotations_path, table, written, self.where)
        for video_id, video in table.items():
            record = self.store[video_id]
            video = video.in_frames(record.fps, record.num_frames).of_size(record.annotation.frame_size)
            video.check_num_frames(record.num_frames)
            table[video_id] = replace(video, split=video.split or written[video_id].split)
        return table

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the anomaly classes, sorted."""
        if self.annotations_path is None:
            return self.store.classes
        return tuple(sorted({name for video in self.annotations.values() for name in video.classes}))


def _require(argument: str, value: str, names: Iterable[str], known: Container[str], where: str) -> None:
    """Refuse a list that names videos which are not known."""
    missing = [name for name in names if name not in known]
    if missing:
        problem = f"{len(missing)} of its videos are not in {where}: {few(missing)}"
        raise WSVADError(argument, value, problem, f"Add them to {where}, or remove them here")
