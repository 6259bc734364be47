"""How fast training batches load: one ``.npy`` a video, the feature store, and the segment cache."""

import statistics
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
import torch
from rich.progress import track
from rich.table import Table
from torch import Tensor

from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.data.loading.datamodule import WSVADDataModule
from wsvad_lightning.data.store import FeatureStore, Provenance, StoreWriter
from wsvad_lightning.speed.console import open_console
from wsvad_lightning.types import WSVADBatch

SHORTEST, LONGEST = 20, 4000  # snippets of a video
Distribution = Literal["uniform", "log-uniform"]


@dataclass(frozen=True)
class Measurement:
    """How one way of loading did.

    Attributes:
        name: of the way.
        seconds: for each of the batches.
        peak_bytes: most memory allocated while loading a batch; pages of mapped files do not count.
        equal: whether its batch is that of the first way, bit for bit.
    """

    name: str
    seconds: list[float]
    peak_bytes: int
    equal: bool


def benchmark_loading(
    bags: int = 128,
    segments: int = 200,
    dim: int = 1024,
    repeats: int = 15,
    folder: str | None = None,
) -> None:
    """Measure three ways of loading a training batch, and print a table.

    Synthetic float32 videos of 20 to 4,000 snippets, one for each bag, are in the page cache; their lengths
    are uniform in one table and log-uniform in another. The ways alternate: ``.npy files`` loads one file per
    video and averages the bins in Python; ``feature store`` and ``segment cache`` are the data module's.

    Args:
        bags: of a batch, half of them normal.
        segments: of a bag.
        dim: channels.
        repeats: batches that each way loads.
        folder: where to put the data, up to 2 GB by default and removed at the end; None for the system's
            folder of temporary files.
    """
    console = open_console()
    distributions: tuple[Distribution, ...] = ("uniform", "log-uniform")
    for distribution in distributions:
        with TemporaryDirectory(prefix="wsvad-", dir=folder) as temporary:
            snippets = make_data(Path(temporary), bags, dim, distribution)
            measurements = measure(Path(temporary), bags, segments, repeats)
        title = f"{bags} bags of {segments} x {dim}, {distribution} lengths ({snippets:,} snippets)"
        console.print(_table(title, measurements))


def make_data(folder: Path, bags: int, dim: int, distribution: Distribution) -> int:
    """Write a store and the same features as one ``.npy`` a video; give the number of snippets."""
    rng = np.random.default_rng(0)
    lengths = rng.uniform(SHORTEST, LONGEST, bags)
    if distribution == "log-uniform":
        lengths = np.exp(rng.uniform(np.log(SHORTEST), np.log(LONGEST), bags))
    snippets = [int(length) for length in lengths]
    with StoreWriter(folder / "store.h5", Provenance("synthetic", "noise", 16, 16)) as writer:
        for i, length in enumerate(track(snippets, f"{distribution} lengths", transient=True)):
            video = VideoAnnotation(f"video{i:04d}", label=i % 2, split="train")
            features = rng.standard_normal((length, 1, dim), dtype=np.float32)
            writer.add(video, {"features": features}, num_frames=16 * length, fps=25.0)
    store = FeatureStore(folder / "store.h5")
    for video_id in store:
        np.save(folder / f"{video_id}.npy", store.read(video_id)[:, 0])
    return sum(snippets)


def measure(folder: Path, bags: int, segments: int, repeats: int) -> list[Measurement]:
    """Load batches of the same videos in each way, in turn."""

    def loader(cache_dir: Path | None) -> Callable[[], WSVADBatch]:
        data = WSVADDataModule(
            str(folder / "store.h5"),
            segments=segments,
            batch_size=bags // 2,
            cache_dir=None if cache_dir is None else str(cache_dir),
        )
        data.setup("fit")
        batches = data.train_dataloader()
        return lambda: next(iter(batches))

    from_store, from_cache = loader(None), loader(folder / "cache")
    order = from_store().video_ids
    ways: dict[str, Callable[[], Tensor]] = {
        ".npy files": lambda: load_naively(folder, order, segments),
        "feature store": lambda: from_store().features,
        "segment cache": lambda: from_cache().features,
    }
    expected = load_naively(folder, order, segments)
    checked = {name: _check(load, expected) for name, load in ways.items()}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in track(range(repeats), "loading", transient=True):
        for name, load in ways.items():
            start = time.perf_counter()
            load()
            seconds[name].append(time.perf_counter() - start)
    return [Measurement(name, seconds[name], *checked[name]) for name in ways]


def load_naively(folder: Path, video_ids: list[str], segments: int) -> Tensor:
    """Load a batch as the methods' published code does: whole files, one bin after the other."""
    bags = []
    for video_id in video_ids:
        snippets = np.load(folder / f"{video_id}.npy")
        borders = np.linspace(0, len(snippets), segments + 1, dtype=int)
        bag = np.zeros((segments, snippets.shape[1]), dtype=np.float32)
        for i, (start, end) in enumerate(pairwise(borders)):
            bag[i] = snippets[start:end].mean(axis=0) if start != end else snippets[start]
        bags.append(bag)
    return torch.from_numpy(np.stack(bags))[:, None]


def _check(load: Callable[[], Tensor], expected: Tensor) -> tuple[int, bool]:
    """Give the peak of allocated memory, and whether the batch is as expected."""
    tracemalloc.start()
    try:
        batch = load()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    return peak, torch.equal(batch, expected)


def _table(title: str, measurements: list[Measurement]) -> Table:
    table = Table(title=title)
    for column in ("way", "median", "fastest", "speed-up", "memory", "equal"):
        table.add_column(column, no_wrap=True)
    medians = [statistics.median(measurement.seconds) for measurement in measurements]
    for measurement, median in zip(measurements, medians, strict=True):
        table.add_row(
            measurement.name,
            f"{1e3 * median:.1f} ms",
            f"{1e3 * min(measurement.seconds):.1f} ms",
            f"{medians[0] / median:.1f}",
            f"{measurement.peak_bytes / 2**20:.0f} MiB",
            "yes" if measurement.equal else "NO",
        )
    return table
