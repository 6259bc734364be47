"""Small synthetic feature stores, for tests and smoke runs."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np

from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.data.store.records import Features, Provenance
from wsvad_lightning.data.store.writer import StoreWriter

SHIFT = 4.0  # of anomalous snippets along the direction of their class, in standard deviations of the noise
SPREAD = 0.3  # of the videos' centres, in the same unit


def make_store(
    path: str | Path,
    *,
    train: int = 6,
    test: int = 3,
    dim: int = 16,
    crops: int = 1,
    lengths: tuple[int, int] = (5, 40),
    classes: Sequence[str] = (),
    streams: Sequence[str] = ("features",),
    views: Mapping[str, int] = MappingProxyType({}),
    dtype: Literal["float16", "float32"] = "float32",
    snippet_length: int = 16,
    text_aligned: bool = False,
    offset: float = 0.0,
    seed: int = 0,
) -> Path:
    """Write a store of synthetic videos that a detector can learn from.

    Snippets are Gaussian noise around a centre of their video's own; between a third and all of an abnormal
    video is moved along a direction that belongs to its class, and its middle is a glance. Videos are called
    ``train_normal_000``, ``test_abnormal_002`` and so on. The last snippet of a video may cover frames that
    the video lacks.

    Args:
        path: where to write it.
        train: normal videos to train with, and as many abnormal ones.
        test: normal videos to test with, and as many abnormal ones.
        dim: D.
        crops: N.
        lengths: fewest and most snippets of a video.
        classes: names of the anomaly classes, used in turn; none: only normal and abnormal are known.
        streams: names of the streams.
        views: N of streams that have others than the crops.
        dtype: type of the stored values.
        snippet_length: frames of a snippet, and from one to the next.
        text_aligned: whether the store says that its backbone has a text tower.
        offset: of all features, as another camera may give them.
        seed: the same seed gives the same store.

    Returns:
        ``path``.
    """
    counts = {name: views.get(name, crops) for name in streams}
    provenance = Provenance(
        "synthetic",
        f"seed {seed}",
        snippet_length,
        snippet_length,
        text_aligned=text_aligned,
        views={name: tuple(f"crop{i}" for i in range(count)) for name, count in counts.items()},
    )
    rng = np.random.default_rng(seed)
    directions = rng.standard_normal((max(1, len(classes)), dim))
    directions *= SHIFT / np.linalg.norm(directions, axis=1, keepdims=True)
    with StoreWriter(path, provenance) as writer:
        for video_id, split, label, kind in _cast(train, test, max(1, len(classes))):
            num_snippets = int(rng.integers(lengths[0], lengths[1] + 1))
            num_frames = num_snippets * snippet_length - int(rng.integers(snippet_length))
            start, end = _anomaly(num_snippets, rng) if label else (0, 0)
            arrays: dict[str, Features] = {}
            for name, count in counts.items():
                features = rng.standard_normal((num_snippets, count, dim)) + SPREAD * rng.standard_normal(dim)
                features[start:end] += directions[kind]
                features += offset
                arrays[name] = features.astype(dtype)
            frames = (start * snippet_length, min(end * snippet_length, num_frames))
            annotation = VideoAnnotation(
                video_id,
                label,
                classes=(classes[kind],) if label and classes else (),
                intervals=(frames,) if label else (),
                split=split,
                glances=((frames[0] + frames[1]) // 2,) if label else (),
            )
            writer.add(annotation, arrays, num_frames=num_frames, fps=25.0)
    return Path(path)


def _cast(train: int, test: int, kinds: int) -> Iterator[tuple[str, str, int, int]]:
    """Yield name, split, label and class of each video."""
    for split, count in (("train", train), ("test", test)):
        for label, name in enumerate(("normal", "abnormal")):
            for i in range(count):
                yield f"{split}_{name}_{i:03d}", split, label, i % kinds


def _anomaly(num_snippets: int, rng: np.random.Generator) -> tuple[int, int]:
    """Choose the anomalous snippets of a video: a third of it or more."""
    duration = int(rng.integers(-(-num_snippets // 3), num_snippets + 1))
    start = int(rng.integers(num_snippets - duration + 1))
    return start, start + duration
