"""Faults planted in stores are named, and sound stores are left alone."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from wsvad_lightning.cli import main
from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.data.store import StoreWriter
from wsvad_lightning.data.store.inspect import (
    FIVE,
    PARTNERS,
    SIDE,
    Sample,
    describe,
    find,
    mirror_pairs,
    probe,
    ranking,
)
from wsvad_lightning.data.store.records import Provenance

Values = NDArray[np.float64]
CELL = 32  # pixels of a frame that a latent vector is of
ROWS, COLUMNS = 8, 11


class Made(NamedTuple):
    samples: dict[str, Sample]
    provenance: Provenance


def crops_of(latent: Values, count: int, rng: np.random.Generator) -> Values:
    """Average latent vectors ``[T, rows, columns, D]`` over crops; a mirrored crop is nearly its original."""
    places = []
    for left, top in FIVE:
        rows = slice(round(top / CELL), round((top + SIDE) / CELL))
        places.append(latent[:, rows, round(left / CELL) : round((left + SIDE) / CELL)].mean(axis=(1, 2)))
    if count == 10:
        places += [places[PARTNERS.index(5 + place)] for place in range(5)]
    views = np.stack(places[:count], axis=1)
    scale = views.std(axis=1, keepdims=True).mean()
    noise: Values = views + 0.2 * scale * rng.standard_normal(views.shape)
    return noise


def make(seed: int, crops: int = 10, dim: int = 64, signed: bool = False, backbone: str = "mine") -> Made:
    """Make a sound store: channels of one network, three scenes, crops that overlap, time that goes on."""
    rng = np.random.default_rng(seed)
    strengths = np.exp(rng.normal(0, 0.8, dim)) * np.where(signed, rng.choice([-1.0, 1.0], dim), 1.0)
    scenes = np.exp(rng.normal(0, 0.2, (3, dim)))
    samples = {}
    for number in range(14):
        length = int(rng.integers(10, 20))
        latent = rng.standard_normal((length, *((ROWS, COLUMNS) if crops > 1 else (1, 1)), dim))
        for t in range(1, length):
            latent[t] = 0.7 * latent[t - 1] + 0.7 * latent[t]
        seen = crops_of(latent, crops, rng) if crops > 1 else 0.3 * latent[:, 0]
        views = 1 + 1.5 * (0.3 * rng.standard_normal(dim) + seen)
        features = 5 * strengths * scenes[number % 3] * np.exp(rng.normal(0, 0.1)) * views
        features = features if signed else np.maximum(features, 0)
        frames = 16 * length - int(rng.integers(16))
        samples[f"v{number:02d}"] = Sample(features, length, frames, number % 2)
    return Made(samples, Provenance(backbone, "made", 16, 16))


def changed(made: Made, change: Callable[[Values], Values], names: list[str] | None = None) -> Made:
    """Change the features of all videos, or of some."""
    samples = {
        name: sample._replace(features=change(sample.features)) if names is None or name in names else sample
        for name, sample in made.samples.items()
    }
    return made._replace(samples=samples)


# ------------------------------------------------------------------------------------------------- faults


def in_order(order: list[int], crops: int = 10) -> Callable[[int], Made]:
    return lambda seed: changed(make(seed, crops), lambda x: x[:, order])


def reshaped(crops: int) -> Callable[[int], Made]:
    """Crops one after the other, read as snippets one after the other."""
    return lambda seed: changed(make(seed, crops), lambda x: x.transpose(1, 0, 2).reshape(x.shape))


def of_two_networks(*numbers: int, dim: int = 64) -> Callable[[int], Made]:
    def mixed(seed: int) -> Made:
        own, other = make(seed, 1, dim), make(seed + 100, 1, dim)
        names = [f"v{number:02d}" for number in numbers]
        return own._replace(samples={n: (other if n in names else own).samples[n] for n in own.samples})

    return mixed


def scaled(change: Callable[[Values], Values], *numbers: int) -> Callable[[int], Made]:
    return lambda seed: changed(make(seed, 1), change, [f"v{number:02d}" for number in numbers])


def unit(x: Values) -> Values:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)  # type: ignore[no-any-return]


def at_stride(stride: int, *numbers: int) -> Callable[[int], Made]:
    def other(seed: int) -> Made:
        made = make(seed, 1)
        chosen = [f"v{number:02d}" for number in numbers] or [*made.samples]
        frames = {n: made.samples[n].num_snippets * stride - 3 for n in chosen}
        samples = {n: s._replace(num_frames=frames.get(n, s.num_frames)) for n, s in made.samples.items()}
        return made._replace(samples=samples)

    return other


def pooled(segments: int) -> Callable[[int], Made]:
    def bags(seed: int) -> Made:
        made = make(seed, 1)
        return made._replace(samples={n: s._replace(num_snippets=segments) for n, s in made.samples.items()})

    return bags


def called(
    backbone: str, dim: int, signed: bool, change: Callable[[Values], Values] = np.copy
) -> Callable[[int], Made]:
    return lambda seed: changed(make(seed, 1, dim, signed, backbone), change)


SWAPPED = [1, 0, 2, 3, 4]
FAULTS: list[tuple[str, Callable[[int], Made]]] = [
    *[("crop order", in_order([*np.random.default_rng(seed).permutation(10)])) for seed in range(5)],
    ("crop order", in_order([0, 5, 1, 6, 2, 7, 3, 8, 4, 9])),
    ("crop order", in_order([0, 6, 1, 5, 2, 7, 3, 9, 4, 8])),
    ("crop order", in_order([0, 1, 2, 3, 4, 6, 5, 7, 9, 8])),
    ("crop order", in_order([5, 6, 7, 8, 9, 1, 0, 2, 4, 3])),
    ("crop order", in_order([2, 0, 1, 3, 4, 7, 6, 5, 8, 9])),
    *[("crop order", in_order(order, 5)) for order in ([2, 0, 1, 3, 4], [0, 3, 1, 4, 2], [0, 1, 3, 4, 2])],
    *[("layout", reshaped(crops)) for crops in (10, 10, 5, 5)],
    *[("copies", in_order([0] * 10)), ("copies", in_order([3] * 10)), ("copies", in_order([1] * 5, 5))],
    *[("lineage", of_two_networks(*some)) for some in (range(7), (2, 3, 9), (4, 11), (7,), (12,))],
    *[("lineage", of_two_networks(*range(first, 14, 2), dim=256)) for first in (0, 1)],
    ("lineage", scaled(np.zeros_like, 5)),
    *[("scale", scaled(partial(np.multiply, by), 1, 4, 8)) for by in (0.1, 0.3, 2.5, 10.0, 255.0)],
    *[("scale", scaled(unit, *some)) for some in ((0, 3, 6, 9), (1, 3, 5, 7, 9, 11, 13), (13,))],
    *[("stride", at_stride(stride)) for stride in (1, 4, 8, 32, 64)],
    *[("stride", at_stride(8, 0, 3, 5)), ("stride", pooled(32)), ("stride", pooled(200))],
    *[("backbone", called(name, dim, sign)) for name, dim, sign in (
        ("i3d_resnet50", 1024, False), ("clip", 2048, True), ("i3d_inception", 2048, False),
        ("i3d_resnet50", 2048, True), ("videomae", 768, False))],
    ("backbone", called("clip", 512, True, unit)),
]  # fmt: skip
SOUND = [
    *[(seed, crops, 64, False, "mine") for crops in (1, 5, 10) for seed in range(4)],
    *[(seed, 10, 128, True, "mine") for seed in range(4)],
    (0, 10, 1024, False, "i3d_inception"),
    (1, 1, 512, True, "clip"),
    (2, 1, 768, True, "videomae_base"),
    (3, 5, 1024, False, "i3d_inception"),
]


def test_planted_faults_are_named_and_sound_stores_pass() -> None:
    assert (len(FAULTS), len(SOUND)) == (50, 20)
    kinds = [(kind, [finding.kind for finding in find(*plant(n))]) for n, (kind, plant) in enumerate(FAULTS)]
    missed = [(kind, found) for kind, found in kinds if kind not in found]
    assert len(missed) <= 2, missed
    assert [(made, found) for made in SOUND if (found := [*find(*make(*made))])] == []


def test_a_leak_of_labels_is_named() -> None:
    (finding,) = find(*of_two_networks(*range(0, 14, 2))(0))
    assert finding.problem.endswith(
        "which are all that have one label: a detector would learn the extraction"
    )
    (finding,) = find(*of_two_networks(0, 1, 2)(0))
    assert finding.problem == "channels are of two networks: 3 of 14 videos (v00, v01, v02)"


def test_mirror_images_are_found_only_where_they_are_clear() -> None:
    alike = np.full((10, 10), 0.1)
    assert mirror_pairs(alike) == {}
    for a, b in enumerate(PARTNERS):
        alike[a, b] = alike[b, a] = 0.5
    assert mirror_pairs(alike) == dict(enumerate(PARTNERS))


def test_patches_of_a_grid_are_no_crops() -> None:
    made = make(0, 10)
    shuffled = in_order([3, 1, 4, 0, 5, 9, 2, 6, 8, 7])(0)
    assert [finding.kind for finding in find(*shuffled)] == ["crop order"]
    assert [*find(*shuffled, [f"r{cell // 5}c{cell % 5}" for cell in range(10)])] == []
    assert [*find(*made)] == []


def test_what_labels_say_is_measured() -> None:
    assert ranking(np.array([3.0, 1.0, 1.0]), np.array([1, 0, 1])) == 0.75
    assert ranking(np.array([1.0]), np.array([1])) is None
    rng = np.random.default_rng(0)
    means, labels = rng.standard_normal((60, 20)), np.arange(60) % 2
    chance = probe(means, labels)
    assert chance is not None
    assert 0.3 < chance < 0.7
    assert probe(means + labels[:, None], labels) == pytest.approx(1.0, abs=0.05)
    assert probe(means[:8], labels[:8]) is None
    described = describe(*make(0, 10))
    assert described["crops"].startswith("10, ")
    assert described["frames a snippet"].endswith("the store says 16")


def write(made: Made, path: Path, streams: Sequence[str] = ("features",)) -> Path:
    with StoreWriter(path, made.provenance) as writer:
        for name, sample in made.samples.items():
            annotation = VideoAnnotation(name, sample.label, intervals=() if sample.label == 0 else None)
            features = dict.fromkeys(streams, sample.features.astype(np.float32))
            writer.add(annotation, features, num_frames=sample.num_frames, fps=25.0)
    return path


def test_every_stream_is_inspected_where_none_is_called_features(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    motion = write(make(1, 1), tmp_path / "motion.h5", ("flow", "speed"))
    assert main(["data", "inspect", str(motion)]) == 0
    shown = capfd.readouterr().out
    assert shown.count("14 of 14 videos read, 0 findings") == 2
    assert shown.index("flow") < shown.index("speed")
    assert main(["data", "inspect", str(motion), "--stream", "speed"]) == 0
    assert "flow" not in capfd.readouterr().out


def test_the_command_says_what_it_found(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    sound = write(make(1, 10), tmp_path / "sound.h5")
    assert main(["data", "inspect", str(sound)]) == 0
    shown = capfd.readouterr().out
    assert "14 of 14 videos read, 0 findings" in shown
    assert "none known" in shown
    faulty = write(in_order([4, 3, 2, 1, 0, 5, 6, 7, 8, 9])(1), tmp_path / "faulty.h5")
    assert main(["data", "inspect", str(faulty)]) == 1
    assert "crop order: mirror images are 0-8, 1-9" in capfd.readouterr().out
    assert main(["data", "inspect", str(sound), "--stream", "text"]) == 2
    assert "--stream='text': is not a stream of" in capfd.readouterr().err
    few = make(1, 1)
    few = few._replace(samples={name: few.samples[name] for name in [*few.samples][:3]})
    assert main(["data", "inspect", str(write(few, tmp_path / "few.h5"))]) == 2
    assert "has 3 videos, too few to compare" in capfd.readouterr().err
