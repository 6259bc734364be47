"""Small videos, made on the spot."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

VideoMaker = Callable[..., Path]
WORDS = ("normal", "abnormal")


@pytest.fixture(scope="session")
def texture() -> NDArray[np.uint8]:
    """A smooth random picture, larger than any frame."""
    tiles = np.kron(np.random.default_rng(0).uniform(40, 216, (24, 32)), np.ones((8, 8)))
    rows = np.mean([np.roll(tiles, shift, axis=0) for shift in range(-4, 5)], axis=0)
    both = np.mean([np.roll(rows, shift, axis=1) for shift in range(-4, 5)], axis=0)
    return np.repeat(both[..., None], 3, axis=2).astype(np.uint8)


@pytest.fixture
def make_video(tmp_path: Path, texture: NDArray[np.uint8]) -> VideoMaker:
    """Write a video over which the texture drifts by a pixel a frame; frame t starts at column t."""

    def make(
        name: str,
        num_frames: int = 20,
        *,
        height: int = 48,
        width: int = 64,
        fps: int = 10,
        codec: str = "libx264",
        pixels: str = "yuv420p",
        options: dict[str, str] | None = None,
        encoder: dict[str, str] | None = None,
        tags: dict[str, str] | None = None,
    ) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w", options=options or {}) as container:
            container.metadata.update(tags or {})
            stream: Any = container.add_stream(codec, rate=fps, options=encoder or {})
            stream.width, stream.height, stream.pix_fmt = width, height, pixels
            for t in range(num_frames):
                picture = np.ascontiguousarray(np.roll(texture, -t, axis=1)[:height, :width])
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode(None))
        return path

    return make


def write_stamped(path: Path, stamps: list[float]) -> Path:
    """A video whose frame t has the grey level 10 t and is shown from the given second on."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264")
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for t, seconds in enumerate(stamps):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 10 * t, np.uint8), format="rgb24")
            frame.pts, frame.time_base = round(seconds * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def save_heard(
    path: Path,
    samples: NDArray[np.float32] | None,
    *,
    num_frames: int = 40,
    fps: int = 10,
    late: float = 0.0,
    rate: int = 16_000,
    lost: Sequence[int] = (),
) -> Path:
    """Write a grey video with these samples as its sound, ``late`` seconds after the pictures.

    Blocks of a thousand samples are left out where ``lost`` says so.
    """
    with av.open(str(path), "w") as container:
        film: Any = container.add_stream("libx264", rate=fps)
        film.width, film.height, film.pix_fmt = 64, 48, "yuv420p"
        sound: Any = None if samples is None else container.add_stream("pcm_s16le", rate=rate, layout="mono")
        for t in range(num_frames):
            picture = np.full((48, 64, 3), 100 + t, np.uint8)
            container.mux(film.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(film.encode(None))
        for start in range(0, 0 if samples is None else len(samples), 1000):
            if samples is None or start // 1000 in lost:
                continue
            block = (32767 * samples[None, start : start + 1000]).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
            frame.rate, frame.time_base = rate, Fraction(1, rate)
            frame.pts = start + round(late * rate)
            container.mux(sound.encode(frame))
        if sound is not None:
            container.mux(sound.encode(None))
    return path


def save_grey(path: Path, levels: Sequence[int]) -> Path:
    """Write a video whose frames each have one grey level."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=25, options={"crf": "1", "g": "8"})
        stream.width, stream.height, stream.pix_fmt = 16, 16, "yuv420p"
        for level in levels:
            picture = np.full((16, 16, 3), level, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def save_videos(folder: Path, most: int = 8, num_frames: int = 640) -> Path:
    """Write the videos of synthetic stores, all of them one file."""
    names = [f"{part}_{kind}_{i:03d}" for part in ("train", "test") for kind in WORDS for i in range(most)]
    first, *others = (folder / f"{name}.mp4" for name in names)
    if not first.exists():
        save_grey(first, [t % 256 for t in range(num_frames)])
        for path in others:
            path.hardlink_to(first)
    return folder
