from pathlib import Path

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture

from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.data.loading.datamodule import WSVADDataModule
from wsvad_lightning.data.store import Provenance, StoreWriter
from wsvad_lightning.data.store.artefacts import read_artefact
from wsvad_lightning.data.store.synthetic import make_store
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.prepare.c2fpl_labels import (
    Component,
    divide_videos,
    mark_windows,
    most_varying,
    normal_gaussian,
    prepare,
    squared_lengths,
    video_statistics,
)

EVENT = slice(8, 12)


@pytest.fixture
def store(tmp_path: Path) -> str:
    """Unlabelled videos of 20 snippets; in every fourth one, some snippets are longer."""
    rng = np.random.default_rng(0)
    with StoreWriter(tmp_path / "s.h5", Provenance("made", "test", 16, 16)) as writer:
        for number in range(24):
            features = 1 + 0.1 * rng.standard_normal() + 0.01 * rng.standard_normal((20, 2, 6))
            if number % 4 == 0:
                features[EVENT] *= 2 + 0.2 * rng.random()
            annotation = VideoAnnotation(f"video{number:02d}", -1, split="train")
            writer.add(annotation, {"features": features.astype(np.float32)}, num_frames=320, fps=25.0)
    return str(tmp_path / "s.h5")


def data_of(store: str, **settings: object) -> WSVADDataModule:
    return WSVADDataModule(store, bags="windows", **settings)  # type: ignore[arg-type]  # any settings


# ------------------------------------------------------------------------------------------------- coarse


def test_a_snippet_counts_by_its_squared_length() -> None:
    features = np.array([[[3.0, 4.0], [1.0, 0.0]], [[0.0, 0.0], [2.0, 0.0]]], np.float16)
    np.testing.assert_array_equal(squared_lengths(features), [13, 2])


def test_a_video_counts_by_mean_and_unbiased_variance() -> None:
    statistics = video_statistics([np.array([1.0, 3.0]), np.array([5.0])])
    np.testing.assert_array_equal(statistics, [[2, 2], [5, 0]])


def clusters(first: int, second: int) -> np.ndarray:
    """Videos of which ``second`` vary much."""
    rng = np.random.default_rng(first)
    quiet = np.column_stack([10 + rng.random(first), 1 + rng.random(first)])
    lively = np.column_stack([20 + rng.random(second), 60 + rng.random(second)])
    return np.concatenate([quiet, lively])


@pytest.mark.parametrize("order", [1, -1])
def test_the_component_that_varies_more_can_be_asked_for(order: int) -> None:
    """Whichever component the mixture happens to call the second."""
    statistics = clusters(10, 10)[::order]
    varies = statistics[:, 1] > 30
    assert (divide_videos(statistics, 3, 1.0, "larger-mean").abnormal == varies).all()
    second = GaussianMixture(2, covariance_type="spherical", max_iter=150, random_state=0)
    expected = second.fit_predict(statistics) == 1
    assert (divide_videos(statistics, 3, 1.0, "second").abnormal == expected).all()


@pytest.mark.parametrize("ratio", [0.25, 0.5, 1.0, 1.5])
def test_videos_are_moved_until_enough_are_abnormal(ratio: float) -> None:
    statistics = clusters(40, 4)
    division = divide_videos(statistics, 3, ratio, "larger-mean")
    abnormal = division.abnormal.sum()
    assert division.abnormal[40:].all()
    assert abnormal >= ratio * (44 - abnormal)
    least = divide_videos(statistics, 3, 0.1, "larger-mean")
    assert (least.rounds, least.abnormal.sum()) == (0, 4)
    assert division.rounds > 0


@pytest.mark.parametrize("component", ["second", "larger-mean"])
@pytest.mark.parametrize("videos", [2, 3, 9])
def test_videos_that_are_all_alike_end_the_division(videos: int, component: Component) -> None:
    statistics = np.full((videos, 2), 3.0)
    if component == "larger-mean":  # the first of equal components, to which all videos belong
        with pytest.raises(WSVADError, match="the mixture takes no video for normal"):
            divide_videos(statistics, 3, 1.0, component)
    else:
        assert divide_videos(statistics, 3, 1.0, component).rounds == 0


def test_one_video_cannot_be_divided() -> None:
    with pytest.raises(WSVADError, match="1 video.*cannot be divided"):
        divide_videos(np.ones((1, 2)), 3, 1.0, "second")


# --------------------------------------------------------------------------------------------------- fine


@pytest.mark.parametrize(
    ("size", "expected"), [(0, []), (1, [0]), (2, [2, 3]), (3, [2, 3, 4]), (6, [0, 1, 2, 3, 4, 5])]
)
def test_the_window_that_varies_most_by_hand(size: int, expected: list[int]) -> None:
    values = np.array([0.0, 1.0, 1.0, 5.0, 1.0, 1.0])  # differences 1 0 4 4 0
    assert np.arange(6)[most_varying(values, size)].tolist() == expected


def test_the_first_of_equal_windows_is_marked() -> None:
    assert most_varying(np.array([0.0, 1.0, 0.0, 1.0]), 2) == slice(0, 2)


def test_only_abnormal_videos_are_marked() -> None:
    normal, abnormal = np.array([1.0, 2.0, 3.0, 2.0, 2.0]), np.array([2.0, 2.0, 2.0, 2.0, 2.0, 3.0, 9.0, 9.0])
    labels = mark_windows([normal, abnormal], np.array([False, True]), window=0.25)
    assert not labels[0].any()
    assert np.flatnonzero(labels[1]).tolist() == [4, 5]
    assert normal_gaussian([normal, abnormal], np.array([False, True])) == (2.0, 0.5)


@pytest.mark.parametrize("normal", [np.full(5, 2.0), np.array([2.0])])
def test_normal_videos_without_variance_give_labels(normal: np.ndarray) -> None:
    labels = mark_windows([normal, np.array([2.0, 2.0, 1e9, 2.0])], np.array([False, True]), window=0.5)
    assert np.flatnonzero(labels[1]).tolist() == [1, 2]


# ----------------------------------------------------------------------------------------------- the artefact


def test_events_are_found_without_labels(store: str) -> None:
    path = prepare(data_of(store), ratio=0.3, abnormal_component="larger-mean")
    made = read_artefact(path)
    assert made.videos == tuple(f"video{number:02d}" for number in range(24))
    labels = made.values.reshape(24, 20)
    assert set(np.unique(labels)) == {0, 1}
    assert (labels[::4].sum(axis=1) == 4).all()
    assert labels[::4, EVENT].any(axis=1).all()
    parameters = {"window": 0.2, "percentile": 3.0, "ratio": 0.3, "abnormal_component": "larger-mean"}
    assert made.parameters == parameters
    assert prepare(data_of(store), ratio=0.3, abnormal_component="larger-mean") == path


def test_labels_are_the_same_every_time(store: str) -> None:
    path = prepare(data_of(store))
    first = read_artefact(path).values
    path.unlink()
    np.testing.assert_array_equal(read_artefact(prepare(data_of(store))).values, first)


def test_other_parameters_are_not_passed_off(store: str) -> None:
    prepare(data_of(store))
    with pytest.raises(WSVADError, match="was prepared with .*second.*larger-mean.*remove the file"):
        prepare(data_of(store), abnormal_component="larger-mean")


def test_labels_in_the_store_change_nothing(tmp_path: Path) -> None:
    """What the data module delivers for a labelled store are labels of all its training videos, in order."""
    path = str(make_store(tmp_path / "s.h5", train=4, test=1, dim=5, crops=2))
    data = data_of(path)
    prepare(data)
    labels = data.prepared("c2fpl_labels")
    assert labels is not None
    assert len(labels) == sum(data.store[name].num_snippets for name in data.parts["train"])
    assert WSVADDataModule(path).prepared("c2fpl_labels") is None


def test_videos_too_short_to_mark_give_no_labels(store: str) -> None:
    with pytest.raises(WSVADError, match="model.window='0.04': marks no snippet of the 12 videos"):
        prepare(data_of(store), window=0.04)
    assert not Path(f"{store}.prepared").exists()


def test_mistakes_are_named(store: str) -> None:
    with pytest.raises(WSVADError, match="data.bags='paired'.*Set data.bags to windows"):
        prepare(WSVADDataModule(store))
    for name in ("window", "percentile", "ratio"):
        with pytest.raises(WSVADError, match=f"model.{name}='0'.*more than 0"):
            prepare(data_of(store), **{name: 0})  # type: ignore[arg-type]  # each of them a number
    with pytest.raises(WSVADError, match="model.window='1.5'.*at most 1"):
        prepare(data_of(store), window=1.5)
    assert not Path(f"{store}.prepared").exists()
