"""The demo's clips: the same for the same seed, with annotations that fit what is in the files."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from wsvad_lightning.data.datasets.splits import read_split
from wsvad_lightning.data.datasets.table import read_annotations
from wsvad_lightning.demo.drawing import draw_scene
from wsvad_lightning.demo.render import DemoSpec, list_clips, render_dataset

av = pytest.importorskip("av")

SMALL = DemoSpec(
    train_normal=1,
    train_abnormal=2,
    test_normal=1,
    test_abnormal=2,
    min_frames=60,
    max_frames=66,
    width=96,
    height=64,
)


def decode(path: Path) -> NDArray[np.uint8]:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    render_dataset(folder, seed=3, spec=SMALL, workers=2)
    return folder


def test_every_clip_is_annotated_with_its_exact_length(dataset: Path) -> None:
    annotations = read_annotations(dataset / "annotations.csv")
    assert {path.stem for path in (dataset / "videos").iterdir()} == set(annotations)
    for name, annotation in annotations.items():
        frames = decode(dataset / "videos" / f"{name}.mp4")
        assert frames.shape == (annotation.num_frames, 64, 96, 3)
        assert 60 <= len(frames) <= 66
        assert annotation.frame_labels(len(frames)).any() == (annotation.label == 1)


def test_the_annotations_are_a_split(dataset: Path) -> None:
    split = read_split(dataset / "annotations.csv")
    annotations = read_annotations(dataset / "annotations.csv")
    assert [annotations[name].classes for name in split.train] == [(), ("running",), ("vehicle",)]
    assert [annotations[name].classes for name in split.test] == [(), ("running",), ("vehicle",)]


def drawn(seed: int) -> NDArray[np.uint8]:
    clip = list_clips(SMALL, seed)[1]
    scene, rng = clip.scene()
    return np.stack(list(draw_scene(scene, clip.camera, (SMALL.width, SMALL.height), rng)))


def test_the_same_seed_gives_the_same_frames(dataset: Path) -> None:
    frames = drawn(3)
    np.testing.assert_array_equal(drawn(3), frames)
    assert not np.array_equal(drawn(4)[:60], frames[:60])
    clip = list_clips(SMALL, 3)[1]
    decoded = decode(dataset / "videos" / f"{clip.name}.mp4").astype(float)
    assert np.abs(decoded - frames).mean() < 8  # grey levels: the encoder takes away noise
