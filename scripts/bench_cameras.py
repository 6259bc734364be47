"""How often a changed camera is named: ``python scripts/bench_cameras.py rendered --help``.

Videos of one rendered camera train. Others of the same camera, with another seed, are unchanged. The changed
ones are filmed at night, by other cameras, or are the first of the unchanged ones, encoded otherwise. What is
measured is the comparison that a checkpoint carries, with motion features; no method is trained. ``splits``
measures unchanged videos of a store.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av
from jsonargparse import auto_cli
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from wsvad_lightning.cli import main
from wsvad_lightning.data.datasets.splits import read_splits
from wsvad_lightning.data.loading.codings import Codings
from wsvad_lightning.data.loading.familiarity import LIMIT, VIDEOS, Familiarity, evenly
from wsvad_lightning.data.store import FeatureStore
from wsvad_lightning.demo.drawing import draw_scene
from wsvad_lightning.demo.render import CRF, Clip, DemoSpec
from wsvad_lightning.demo.scenes import CAMERAS, Camera
from wsvad_lightning.demo.script import ANOMALIES
from wsvad_lightning.files import replacing
from wsvad_lightning.types import NORMAL

SPEC = DemoSpec(min_frames=60, max_frames=70)
SCENE = CAMERAS[0]
NIGHT = replace(SCENE, gain=0.35 * SCENE.gain, noise=2 * SCENE.noise)
STREAMS = ("motion_1x1", "motion_2x3", "motion_4x6")


@dataclass(frozen=True)
class Coding:
    """How videos are encoded.

    Attributes:
        codec: FFmpeg's name of the encoder.
        suffix: of the file, which is also the name of the container.
        options: of the encoder.
        pixels: format of the pixels.
        bit_rate: bits a second, where the options state no quality.
    """

    codec: str
    suffix: str
    options: dict[str, str]
    pixels: str = "yuv420p"
    bit_rate: int | None = None


QUIET = {"x265-params": "log-level=error"}
H264 = Coding("libx264", "mp4", {"preset": "veryfast", "crf": str(CRF)})


@dataclass(frozen=True)
class Part:
    """Videos that are rendered alike.

    Attributes:
        name: what is changed.
        camera: that films.
        seed: of the part; parts of one seed and camera show the same.
        coding: of its videos.
    """

    name: str
    camera: Camera = SCENE
    seed: int = 2
    coding: Coding = H264


PARTS = (
    Part("train", seed=1),
    Part("same"),
    Part("night", NIGHT, seed=3),
    *(Part(f"camera {camera.name}", camera, seed=3) for camera in CAMERAS[1:]),
    Part("H.264 CRF 40", coding=Coding("libx264", "mp4", {"preset": "veryfast", "crf": "40"})),
    Part("MPEG-4 200k", coding=Coding("mpeg4", "mp4", {}, bit_rate=200_000)),
    Part("MPEG-4 60k", coding=Coding("mpeg4", "mp4", {}, bit_rate=60_000)),
    Part("MJPEG q12", coding=Coding("mjpeg", "avi", {"qmin": "12", "qmax": "12"}, "yuvj420p")),
    Part("VP9 CRF 42", coding=Coding("libvpx-vp9", "webm", {"crf": "42", "cpu-used": "8"}, bit_rate=0)),
    Part("H.265 CRF 36", coding=Coding("libx265", "mp4", {"preset": "ultrafast", "crf": "36"} | QUIET)),
)


def rendered(
    folder: str, seed: int = 91_000, train: Sequence[int] = (24, 48), same: int = 100, changed: int = 10
) -> None:
    """Render and extract what is not there yet, and print how many videos of each part are named.

    Args:
        folder: for videos and features.
        seed: added to those of the parts.
        train: numbers of training videos to compare.
        same: unchanged videos.
        changed: videos of each change.
    """
    videos = Path(folder, "videos")
    counts = {"train": max(train), "same": same}
    names = {part.name: render(videos, part, seed, counts.get(part.name, changed)) for part in PARTS}
    path = str(Path(folder, "motion.h5"))
    main(["extract", str(videos), path, "--config", "extract/motion.yaml"])
    store = FeatureStore(path)
    table = Table("videos", *(f"{number} to train with" for number in train))
    shares = [named(store, names["train"][:number], names) for number in train]
    for name in list(names)[1:]:
        table.add_row(f"{name}, {len(names[name])}", *(share[name] for share in shares))
    Console().print(table)


def splits(store: str, file: str, streams: Sequence[str] = STREAMS) -> None:
    """Print how many test videos of splits are named, which all are unchanged.

    Args:
        store: with features of the streams.
        file: of the splits.
        streams: that are compared.
    """
    opened = FeatureStore(store)
    for index, split in enumerate(read_splits(file)):
        print(index, named(opened, split.train, {"test": list(split.test)}, streams)["test"])


def named(
    store: FeatureStore, train: Sequence[str], parts: dict[str, list[str]], streams: Sequence[str] = STREAMS
) -> dict[str, str]:
    """Count the videos of each part that are named: by novelty, with its range, and by coding."""
    familiarity = Familiarity({name: store.streams[name] for name in streams})

    def read(video: str) -> dict[str, Any]:
        return {name: store.read(video, name) for name in streams}

    familiarity.fit(read(train[i]) for i in evenly(len(train), VIDEOS))
    codings = Codings()
    codings.fit([store[video].coding for video in train])
    found = {}
    for name, videos in parts.items():
        novelties = sorted(familiarity.novelty(read(video)) or 0.0 for video in videos)
        above = sum(novelty > LIMIT for novelty in novelties)
        low, median, high = novelties[0], novelties[len(videos) // 2], novelties[-1]
        recoded = sum(bool(codings.change(store[video].coding)) for video in videos)
        found[name] = f"{above} of {len(videos)} ({low:.1f}, {median:.1f}, {high:.1f}), by coding {recoded}"
    return found


def render(folder: Path, part: Part, seed: int, count: int) -> list[str]:
    """Write the videos of a part that are not there yet, every third abnormal; give the names."""
    folder.mkdir(parents=True, exist_ok=True)
    kinds, names = list(ANOMALIES), []
    for i in track(range(count), part.name, count):
        label = kinds[i // 3 % len(kinds)] if i % 3 == 2 else NORMAL
        name = f"{part.name.replace(' ', '_')}_{i:03d}_{label}"
        clip = Clip(name, label, "train", part.camera, (seed + part.seed, i), SPEC)
        names.append(name)
        path = folder / f"{name}.{part.coding.suffix}"
        if not path.exists():
            scene, rng = clip.scene()
            write(path, draw_scene(scene, clip.camera, (SPEC.width, SPEC.height), rng), part.coding)
    return names


def write(path: Path, frames: Iterable[NDArray[Any]], coding: Coding) -> None:
    """Encode a video, on one thread, so that every machine writes the same."""
    with replacing(path) as temporary, av.open(str(temporary), "w", format=coding.suffix) as container:
        stream: Any = container.add_stream(coding.codec, SPEC.fps, coding.options)
        stream.width, stream.height, stream.pix_fmt = SPEC.width, SPEC.height, coding.pixels
        stream.codec_context.thread_count = 1
        if coding.bit_rate is not None:
            stream.bit_rate = coding.bit_rate
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


if __name__ == "__main__":
    auto_cli([rendered, splits])
