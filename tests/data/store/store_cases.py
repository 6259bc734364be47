"""Small stores for the tests: videos whose features depend on their number alone."""

import itertools
import os
import resource
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.data.store import Features, FeatureStore, Provenance, StoreWriter
from wsvad_lightning.data.store.layout import checksum

PROVENANCE = Provenance(
    backbone="tiny",
    source="numbers",
    snippet_length=16,
    snippet_stride=16,
    preprocessing='{"size": 8}',
    views={"features": ("left", "right")},
)

CHANGES = ("open", "os.chmod", "os.mkdir", "os.remove", "os.rename", "os.rmdir")  # audit events


def make_streams(number: int) -> dict[str, Features]:
    """A float32 stream of two crops and a float16 one of six patches; 1 to 9 snippets."""
    rng = np.random.default_rng(number)
    num_snippets = 1 + number % 9
    return {
        "features": rng.normal(size=(num_snippets, 2, 17)).astype(np.float32),
        "patches_2x3": rng.normal(size=(num_snippets, 6, 5)).astype(np.float16),
    }


def make_annotation(number: int) -> VideoAnnotation:
    """Even videos are normal, odd ones abnormal; one has the class of an interval, and glances."""
    abnormal = number % 2 == 1
    return VideoAnnotation(
        video_id=f"video{number:02d}",
        label=int(abnormal),
        classes=("Fighting", "Riot") if abnormal else (),
        num_frames=16 * (1 + number % 9),
        intervals=((2, 9), (12, 16)) if abnormal else (),
        split="train" if number < 5 else "test",
        interval_classes=("Riot", None) if number == 3 else (),
        glances=(13, 4) if number == 3 else (),
    )


OTHER = 13  # a video that takes the place of another
CHANGED = VideoAnnotation("video00", 1, ("Theft",), split="val")


def add_video(writer: StoreWriter, number: int) -> None:
    annotation = make_annotation(number)
    assert annotation.num_frames is not None
    writer.add(annotation, make_streams(number), num_frames=annotation.num_frames, fps=25.0)


def write_store(path: Path, numbers: Iterable[int], provenance: Provenance = PROVENANCE) -> Path:
    with StoreWriter(path, provenance) as writer:
        for number in numbers:
            add_video(writer, number)
    return path


def write_missing(path: Path, numbers: Iterable[int], journal: Path | None = None) -> None:
    """What an extraction does; notes each video that is written in a journal, if there is one."""
    with StoreWriter(path, PROVENANCE) as writer:
        for number in numbers:
            if f"video{number:02d}" not in writer:
                add_video(writer, number)
            if journal is not None:
                note(journal, f"video{number:02d}")


def write_until(path: Path, numbers: Iterable[int], journal: Path, step: int) -> None:
    """Write, and be killed at a step."""
    be_killed(path, step)
    write_missing(path, numbers, journal)


def change_until(path: Path, step: int) -> None:
    """Change a store, and be killed at a step."""
    be_killed(path, step)
    change(path)


def change(path: Path) -> None:
    """Of a store of three, annotate the first video anew, replace the second and take the third out."""
    again = replace(make_annotation(1), num_frames=16 * (1 + OTHER % 9))
    with StoreWriter(path, PROVENANCE) as writer:
        writer.annotate(CHANGED)
        writer.add(again, make_streams(OTHER), num_frames=again.num_frames or 0, fps=25.0, replace=True)
    with StoreWriter(path, PROVENANCE) as writer:
        writer.remove({"video02"} & {*FeatureStore(path)})


def be_killed(path: Path, step: int) -> None:
    """Kill this process before the given one of the calls that change the folder of the store."""
    calls = itertools.count()

    def kill_at_step(event: str, arguments: tuple[object, ...]) -> None:
        relevant = event == "fcntl.flock" or (event in CHANGES and str(path.parent) in str(arguments))
        if relevant and next(calls) == step:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(kill_at_step)


def note(journal: Path, line: str) -> None:
    descriptor = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"{line}\n".encode())
    os.close(descriptor)


def assert_whole(store: FeatureStore) -> None:
    """Every video that can be read is as it was written."""
    for video_id in store:
        number = int(video_id.removeprefix("video"))
        assert store[video_id].annotation == make_annotation(number)
        for name, expected in make_streams(number).items():
            array = store.read(video_id, name)
            assert checksum(array) == store[video_id].streams[name].checksum
            np.testing.assert_array_equal(array, expected)


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Stands for a full disk: a program meets both as a write that fails."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


class StoreDataset(Dataset[tuple[int, Tensor]]):
    """Reads in the process that asks, and says which one that is."""

    def __init__(self, stores: list[FeatureStore]) -> None:
        self.items = [(store, video_id) for store in stores for video_id in store]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[int, Tensor]:
        store, video_id = self.items[index]
        return os.getpid(), torch.from_numpy(store.read(video_id).copy())
