"""How near loading clips comes to decoding alone, and how long a training step waits for them."""

import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import chain, islice, repeat
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from rich.progress import track
from rich.table import Table
from torch import Tensor, nn

from wsvad_lightning.data.loading.frames import ClipDataModule
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.speed.console import open_console
from wsvad_lightning.speed.extraction import moving_texture
from wsvad_lightning.types import ClipBatch
from wsvad_lightning.video.film import import_av

VIDEOS, FRAMES = 8, 480  # that are made where none are given, and the frames of each
AHEAD = 2  # batches that a worker loads ahead, PyTorch's default
TUBELET, PATCH, CHANNELS, BLOCKS = 2, 16, 192, 4  # of the network that is trained

Plan = list[tuple[str, int, frozenset[int]]]  # of each clip: its file, where to seek, and what to decode


class Round(NamedTuple):
    """Seconds that the same clips took.

    Attributes:
        decoding: frames as they are coded.
        drawing: frames decoded to RGB, in the video's own size.
        loading: batches of the data module.
    """

    decoding: float
    drawing: float
    loading: float


def benchmark_clips(
    videos: str | None = None,
    length: int = 16,
    stride: int = 2,
    size: int = 112,
    batch_size: int = 8,
    num_workers: Sequence[int] = (0, 1, 2),
    batches: int = 8,
    repeats: int = 5,
    steps: int = 12,
) -> None:
    """Measure loading of clips against decoding alone, and the wait of a training step; print two tables.

    Decoding alone is a plain loop of PyAV over the same clips, by as many processes, with all files open: it
    seeks to the key frame, decodes and drops the frames. Decoding to RGB also converts the frames of the
    clips, in the video's own size. Loading gives batches of float tensors. The three take turns, so that what
    else the machine does slows all of them. Without workers, seconds are those of the processor.

    A training step takes the forward and backward pass and the update of a small video transformer on all
    patches, with as many threads as PyTorch has. The wait is the time until the loader hands a batch over.

    Args:
        videos: folder of videos; None for eight that are made, 480 frames of 360 x 240 in H.264.
        length: frames of a clip.
        stride: frames of the video from one frame of a clip to the next.
        size: height and width of a clip.
        batch_size: clips of a batch.
        num_workers: processes that decode, a row each.
        batches: that are loaded in a round, all in one pass: at its end workers wait for each other.
        repeats: rounds.
        steps: of the training.

    Raises:
        WSVADError: if the videos cannot be read, or are too few for so many batches.
    """
    with tempfile.TemporaryDirectory() as folder:
        source = videos or str(make_videos(Path(folder)))

        def module(workers: int) -> ClipDataModule:
            data = ClipDataModule(
                source, length=length, stride=stride, size=size, batch_size=batch_size, num_workers=workers
            )
            data.setup("fit")
            return data

        rounds = {workers: measure(module(workers), batches, repeats) for workers in num_workers}
        waits = {workers: waiting(module(workers), steps) for workers in num_workers if workers}
    load = f"load average {os.getloadavg()[0]:.0f} on {os.cpu_count()} cores"
    clips = f"{batches * batch_size} clips of {length} frames, stride {stride}, {size} x {size}"
    open_console().print(loading_table(rounds, batches * batch_size, f"{clips} ({load})"))
    threads = torch.get_num_threads()
    open_console().print(waiting_table(waits, f"Training steps of {batch_size} ({threads} threads, {load})"))


def make_videos(folder: Path) -> Path:
    """Write the videos of a benchmark; give their folder."""
    first = moving_texture(folder / "0.mp4", FRAMES)
    for number in range(1, VIDEOS):
        (folder / f"{number}.mp4").write_bytes(first.read_bytes())
    return folder


# ------------------------------------------------------------------------------------- loading and decoding


def measure(data: ClipDataModule, batches: int, repeats: int) -> list[Round]:
    """Decode and load the same clips, in turn.

    Args:
        data: set up for training.
        batches: of a round.
        repeats: rounds.
    """
    load_batches(data, 1)  # indexes the videos
    rounds = []
    with ProcessPoolExecutor(data.num_workers or 1, get_context("spawn")) as pool:
        for number in track(range(-1, repeats), f"{data.num_workers} workers", transient=True):
            loading, given = load_batches(data, batches)
            plans = plans_of(data, given)
            decoding, drawing = (
                decode_all(pool, data.num_workers, plans, draw=draw) for draw in (False, True)
            )
            if number >= 0:  # the first one starts the processes
                rounds.append(Round(decoding, drawing, loading))
    return rounds


def load_batches(data: ClipDataModule, batches: int) -> tuple[float, list[ClipBatch]]:
    """Load batches; give the seconds that they took once the workers were busy, and the batches."""
    loader, ahead = data.train_dataloader(), AHEAD * data.num_workers
    if len(loader) < ahead + batches:
        problem = f"a pass over the videos has {len(loader)}, of which {ahead} are loaded ahead"
        raise WSVADError("batches", batches, problem, "Give fewer, or more videos")
    coming = iter(loader)
    for _ in range(ahead):  # those that were loaded while nobody waited
        next(coming)
    clock = time.perf_counter if data.num_workers else time.process_time
    begin = clock()
    given = [batch._replace(clips=batch.clips[:, :, :1, :1, :1].clone()) for batch in islice(coming, batches)]
    return clock() - begin, given


def endless(data: ClipDataModule) -> Iterator[ClipBatch]:
    """The batches of a training without end; videos are indexed at once."""
    return chain.from_iterable(repeat(data.train_dataloader()))


def plans_of(data: ClipDataModule, batches: Sequence[ClipBatch]) -> list[Plan]:
    """What to decode for the batches of each worker, which take turns as in a loader."""
    plans: list[Plan] = [[] for _ in range(data.num_workers or 1)]
    for place, batch in enumerate(batches):
        for video_id, frames in zip(batch.video_ids, batch.frames.numpy(), strict=True):
            index = data.readers.index(data.footage[video_id])
            if index.ticks is None or index.keys is None or index.targets is None:
                raise WSVADError("videos", video_id, "has no index of packets", "Choose videos in MP4")
            key = np.searchsorted(index.keys, frames[0], side="right") - 1
            wanted = frozenset(index.ticks[frames].tolist())
            plans[place % len(plans)].append((str(data.footage[video_id]), int(index.targets[key]), wanted))
    return plans


def decode_all(pool: ProcessPoolExecutor, num_workers: int, plans: Sequence[Plan], *, draw: bool) -> float:
    """Decode what each worker has to; give the seconds."""
    if not num_workers:
        begin = time.process_time()
        decode(plans[0], draw)
        return time.process_time() - begin
    begin = time.perf_counter()
    list(pool.map(decode, plans, [draw] * len(plans)))
    return time.perf_counter() - begin


OPENED: dict[str, Any] = {}  # files of this process


def decode(plan: Plan, draw: bool) -> None:
    """Decode clips by a plain loop.

    Args:
        plan: the clips.
        draw: whether their frames are converted to RGB.
    """
    for path, target, wanted in plan:
        if path not in OPENED:
            OPENED[path] = import_av().open(path)
            OPENED[path].streams.video[0].thread_count = 1
        track = OPENED[path].streams.video[0]
        OPENED[path].seek(target, stream=track)
        last = max(wanted)
        for frame in OPENED[path].decode(track):
            if draw and frame.pts in wanted:
                frame.to_ndarray(format="rgb24", threads=1)
            if frame.pts >= last:
                break


# -------------------------------------------------------------------------------------------------- training


class Wait(NamedTuple):
    """Seconds of training steps.

    Attributes:
        step: of each, the wait included.
        wait: until its batch was there.
    """

    step: list[float]
    wait: list[float]


def waiting(data: ClipDataModule, steps: int) -> Wait:
    """Train a small video transformer, and time its waits.

    Args:
        data: set up for training.
        steps: that are timed; the first one is not.
    """
    coming = endless(data)
    network = small_transformer()
    optimizer = torch.optim.AdamW(network.parameters())
    waited = Wait([], [])
    for number in track(range(-1, steps), f"training, {data.num_workers} workers", transient=True):
        begin = time.perf_counter()
        clips = next(coming).clips
        arrived = time.perf_counter()
        loss = network(clips).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if number >= 0:
            waited.wait.append(arrived - begin)
            waited.step.append(time.perf_counter() - begin)
    return waited


def small_transformer() -> nn.Module:
    """Patches of 2 x 16 x 16, four blocks of 192 channels, and what each patch becomes."""
    block = nn.TransformerEncoderLayer(
        CHANNELS, 3, 4 * CHANNELS, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )
    patches = nn.Conv3d(3, CHANNELS, kernel := (TUBELET, PATCH, PATCH), kernel)
    rest = nn.TransformerEncoder(block, BLOCKS, enable_nested_tensor=False)
    return nn.Sequential(
        patches, nn.Flatten(2), Transposed(), rest, nn.Linear(CHANNELS, 3 * TUBELET * PATCH**2)
    )


class Transposed(nn.Module):
    """Exchange the last two dimensions."""

    def forward(self, x: Tensor) -> Tensor:
        """Turn ``[B, D, P]`` into ``[B, P, D]``."""
        return x.transpose(1, 2)


# ---------------------------------------------------------------------------------------------------- tables


def loading_table(rounds: dict[int, list[Round]], clips: int, title: str) -> Table:
    """Tabulate the medians in clips a second, and loading as a share of decoding in each round."""
    made = Table(title=title)
    for column in ("workers", "decoding", "decoding to RGB", "loading", "share", "share of RGB"):
        made.add_column(column, no_wrap=True)
    for workers, own in rounds.items():
        rates = [f"{clips / statistics.median(seconds):,.1f}" for seconds in zip(*own, strict=True)]
        shares = [
            statistics.median(getattr(r, name) / r.loading for r in own) for name in ("decoding", "drawing")
        ]
        made.add_row(str(workers), *rates, *(f"{share:.2f}" for share in shares))
    return made


def waiting_table(waits: dict[int, Wait], title: str) -> Table:
    """Tabulate the seconds of steps and waits, and the share of the time that was waited."""
    made = Table(title=title)
    for column in ("workers", "step, median", "wait, median", "waiting"):
        made.add_column(column, no_wrap=True)
    for workers, own in waits.items():
        share = sum(own.wait) / sum(own.step)
        step, wait = statistics.median(own.step), statistics.median(own.wait)
        made.add_row(str(workers), f"{step:.2f} s", f"{1e3 * wait:.0f} ms", f"{share:.1%}")
    return made
