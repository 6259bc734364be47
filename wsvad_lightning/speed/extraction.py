"""How near extraction comes to its limits: decoding alone, and each backbone alone."""

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from rich.table import Table

from wsvad_lightning.extraction.encode import encode_video, frame_windows
from wsvad_lightning.extraction.encoders import build_encoder
from wsvad_lightning.extraction.pooling import SnippetRecipe
from wsvad_lightning.extraction.streams import Encoder, FrameWindow, StreamSpec
from wsvad_lightning.speed.console import open_console
from wsvad_lightning.video.reader import VideoReader
from wsvad_lightning.video.writer import write_video

BATCH_SIZE = 16
RECIPE = SnippetRecipe()
WIDTH, HEIGHT, FRAMES = 360, 240, 240  # of the video that is made where none is given
STREAMS = (
    StreamSpec("flow_statistics", "flow_statistics"),
    StreamSpec("flow_histogram_4x6", "flow_histogram", view="4x6"),
    StreamSpec("efficientnet_lite0"),
    StreamSpec("efficientnet_lite0_2x3", view="2x3", size=128),
)


@dataclass(frozen=True)
class Measurement:
    """Frames a second of one backbone, a value for each repetition.

    Attributes:
        decode: of decoding alone.
        encode: of the backbone alone, on frames that are in memory.
        both: of the whole extraction.
    """

    decode: list[float]
    encode: list[float]
    both: list[float]

    @property
    def share(self) -> float:
        """The whole as a part of the slower of the two, in each repetition: the median."""
        rows = zip(self.decode, self.encode, self.both, strict=True)
        return statistics.median(both / min(decode, encode) for decode, encode, both in rows)

    @property
    def in_turn(self) -> float:
        """The share if one waited for the other: what decoding ahead is compared with."""
        rows = zip(self.decode, self.encode, strict=True)
        return statistics.median(max(rates) / sum(rates) for rates in rows)


def benchmark_extraction(
    video: str | None = None, streams: Sequence[StreamSpec] = STREAMS, repeats: int = 5
) -> None:
    """Measure decoding, each backbone and the two together on the CPU; print a table.

    The three take turns, so that whatever else the machine does slows all of them.

    Args:
        video: file to extract; None for a texture that drifts, 240 frames of 360 x 240.
        streams: each is measured by itself.
        repeats: repetitions that are timed, after one that is not.

    Raises:
        WSVADError: if the video is broken, or the weights of a backbone are missing.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(video) if video else moving_texture(Path(folder) / "texture.mp4", FRAMES)
        measured = {}
        for spec in track(streams, "streams", transient=True):
            encoder = build_encoder(spec, torch.device("cpu"))
            measured[spec.name] = measure(path, encoder, repeats)
    title = f"Extraction, frames/s ({path.name}, {torch.get_num_threads()} threads)"
    open_console().print(table(measured, title))


def moving_texture(path: Path, frames: int) -> Path:
    """Make a video, H.264, over which a noisy texture drifts by two pixels a frame."""
    rng = np.random.default_rng(0)
    tiles = rng.uniform(40, 216, (HEIGHT // 8, WIDTH // 8 + frames // 4, 3))
    texture = np.kron(tiles, np.ones((8, 8, 1)))
    with write_video(path, fps=25) as video:
        for t in range(frames):
            picture = texture[:, 2 * t : 2 * t + WIDTH] + rng.normal(0, 4, (HEIGHT, WIDTH, 1))
            video.write(picture.clip(0, 255).astype(np.uint8))
    return path


def measure(path: Path, encoder: Encoder, repeats: int) -> Measurement:
    """Measure one backbone on one video.

    Args:
        path: the video.
        encoder: of the backbone.
        repeats: repetitions that are timed.
    """
    windows = [(window.frames, window.opens) for window in frame_windows(VideoReader(path), BATCH_SIZE)]
    with encode_video(path, {"features": encoder}, RECIPE, BATCH_SIZE) as video:  # warms up
        num_frames = video.num_frames

    @torch.inference_mode()
    def encode() -> None:
        features = encoder.open(RECIPE)
        for frames, opens in windows:
            features.add(FrameWindow(frames.permute(0, 2, 3, 1).numpy(), opens=opens))
        features.finish(num_frames)

    def decode() -> None:
        for _ in frame_windows(VideoReader(path), BATCH_SIZE):
            pass

    def both() -> None:
        with encode_video(path, {"features": encoder}, RECIPE, BATCH_SIZE):
            pass

    ways = (decode, encode, both)
    rounds = [[num_frames / seconds_of(way) for way in ways] for _ in range(repeats)]
    return Measurement(*map(list, zip(*rounds, strict=True)))


def seconds_of(task: Callable[[], None]) -> float:
    """Time a task."""
    start = time.perf_counter()
    task()
    return time.perf_counter() - start


def table(measured: dict[str, Measurement], title: str) -> Table:
    """Tabulate the medians, and the whole as a share of its limit."""
    made = Table(title=title)
    for column in ("stream", "decoding alone", "backbone alone", "end to end", "share", "share in turn"):
        made.add_column(column, no_wrap=True)
    for name, rates in measured.items():
        medians = (f"{statistics.median(values):,.1f}" for values in (rates.decode, rates.encode, rates.both))
        made.add_row(name, *medians, f"{rates.share:.2f}", f"{rates.in_turn:.2f}")
    return made
