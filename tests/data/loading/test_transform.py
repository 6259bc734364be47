import io
import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from wsvad_lightning.data.loading.transform import (
    Crops,
    FeatureTransform,
    Normalize,
    Streams,
    expected_maximum,
)
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.types import StreamInfo

ONE = {"features": StreamInfo(6, ("left", "right"))}
TWO = {"whole": StreamInfo(3, ("full",)), "grid": StreamInfo(5, ("a", "b"))}


def make_videos(streams: dict[str, StreamInfo], count: int = 8) -> list[dict[str, NDArray[np.float32]]]:
    rng = np.random.default_rng(1)
    videos = []
    for _ in range(count):
        num_snippets = int(rng.integers(3, 30))
        videos.append(
            {
                name: (3 * rng.standard_normal((num_snippets, len(info.views), info.dim)) + 1).astype("f4")
                for name, info in streams.items()
            }
        )
    return videos


def fitted(
    videos: list[dict[str, NDArray[np.float32]]],
    normalize: Normalize = "zscore",
    crops: Crops = "all",
    pca_dim: int | None = None,
    streams: dict[str, StreamInfo] = ONE,
) -> FeatureTransform:
    transform = FeatureTransform(streams, normalize, crops=crops, pca_dim=pca_dim)
    transform.fit(lambda: videos)
    return transform


def test_without_steps_nothing_is_copied() -> None:
    video = make_videos(ONE)[0]
    assert np.shares_memory(FeatureTransform(ONE)(video), video["features"])


def test_zscore_is_by_view_and_channel() -> None:
    videos = make_videos(ONE)
    transform = fitted(videos)
    scores = np.concatenate([transform(video) for video in videos])
    np.testing.assert_allclose(scores.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(scores.std(axis=0), 1, atol=1e-5)
    right = transform(videos[0], slice(1, 2))
    np.testing.assert_array_equal(right, transform(videos[0])[:, 1:2])


def test_a_shared_zscore_keeps_views_comparable() -> None:
    videos = make_videos(ONE)
    transform = fitted(videos, "zscore_shared")
    scores = np.concatenate([transform(video) for video in videos])
    np.testing.assert_allclose(scores.mean(axis=(0, 1)), 0, atol=1e-5)
    np.testing.assert_allclose(scores.std(axis=(0, 1)), 1, atol=1e-5)
    stored = np.concatenate([video["features"] for video in videos])
    slopes = np.diff(scores, axis=1) / np.diff(stored, axis=1)
    np.testing.assert_allclose(slopes, np.broadcast_to(slopes[:1], slopes.shape), rtol=1e-3)
    np.testing.assert_array_equal(transform(videos[0], slice(1, 2)), transform(videos[0])[:, 1:2])
    with pytest.raises(WSVADError, match="the checkpoint has"):
        FeatureTransform(ONE, "zscore").load_state_dict(transform.state_dict())


def test_zscore_only_centres_constant_channels() -> None:
    videos = make_videos(ONE)
    for video in videos:
        video["features"][..., 0] = 0.1  # not exact in binary
        video["features"][..., 1] = 0
    for video in videos:
        np.testing.assert_allclose(fitted(videos)(video)[..., :2], 0, atol=1e-6)


def test_l2_leaves_zero_vectors() -> None:
    video = make_videos(ONE)[0]
    video["features"][0] = 0
    scaled = FeatureTransform(ONE, "l2")(video)
    np.testing.assert_allclose(np.linalg.norm(scaled[1:], axis=-1), 1, rtol=1e-6)
    assert not scaled[0].any()


def test_clip_limits_the_scores() -> None:
    transform = FeatureTransform(ONE, "zscore", clip=0.5)
    videos = make_videos(ONE)
    transform.fit(lambda: videos)
    assert np.abs(transform(videos[0])).max() == 0.5


@pytest.mark.parametrize("count", [1, 40])  # fewer vectors than channels, and many
def test_pca_is_the_svd_of_the_centred_vectors(count: int) -> None:
    streams = {"features": StreamInfo(60, ("left", "right"))}
    videos = make_videos(streams, count)
    transform = fitted(videos, "none", pca_dim=4, streams=streams)
    vectors = np.concatenate([video["features"].reshape(-1, 60) for video in videos]).astype(np.float64)
    assert (len(vectors) < 60) == (count == 1)
    centred = vectors - vectors.mean(axis=0)
    axes = np.linalg.svd(centred, full_matrices=False)[2][:4]
    projected = np.concatenate([transform(video).reshape(-1, 4) for video in videos])
    np.testing.assert_allclose(np.abs(projected), np.abs(centred @ axes.T), rtol=1e-4, atol=1e-4)
    ours = transform.state_dict()["axes"]
    assert (ours.gather(0, ours.abs().argmax(dim=0, keepdim=True)) > 0).all()


def test_pca_follows_the_merging_of_views() -> None:
    videos = make_videos(ONE)
    transform = fitted(videos, crops="concat", pca_dim=7)
    assert transform(videos[0]).shape == (len(videos[0]["features"]), 1, 7)
    assert transform.state_dict()["axes"].shape == (12, 7)


def test_views_merge_stream_by_stream_before_joining() -> None:
    video = make_videos(TWO)[0]
    whole, grid = video["whole"], video["grid"]
    by_crops: dict[Crops, NDArray[np.float32]] = {
        "mean": grid.mean(axis=1),
        "max": grid.max(axis=1),
        "concat": grid.reshape(-1, 10),
    }
    for crops, merged in by_crops.items():
        transform = FeatureTransform(TWO, crops=crops)
        assert transform.output_dim == 3 + merged.shape[1]
        assert transform.output_views == 1
        np.testing.assert_allclose(
            transform(video)[:, 0], np.concatenate([whole[:, 0], merged], axis=1), rtol=1e-6
        )


def test_streams_of_several_different_views_are_not_joined_view_by_view() -> None:
    with pytest.raises(WSVADError, match="'all'.*'whole': 1, 'coarse': 2, 'fine': 8.*Merge the views"):
        FeatureTransform(grids())


@pytest.mark.parametrize("crops", ["all", "each", "random"])
@pytest.mark.parametrize("normalize", ["none", "zscore"])
def test_a_stream_of_one_view_is_joined_to_every_view(crops: Crops, normalize: Normalize) -> None:
    videos = make_videos(TWO)
    transform = fitted(videos, normalize, crops, streams=TWO)
    assert (transform.output_views, transform.output_dim) == (2, 8)
    whole, grid = (
        fitted(videos, normalize, streams={name: TWO[name]})({name: videos[0][name]}) for name in TWO
    )
    joined = transform(videos[0])
    for view in range(2):
        np.testing.assert_array_equal(joined[:, view, :3], whole[:, 0])
        np.testing.assert_array_equal(joined[:, view, 3:], grid[:, view])
        np.testing.assert_array_equal(transform(videos[0], slice(view, view + 1)), joined[:, view : view + 1])


def test_streams_of_one_view_each_are_joined_whatever_the_views_are_called() -> None:
    streams = {"whole": StreamInfo(2, ("full",)), "sound": StreamInfo(3, ("ear",))}
    transform = FeatureTransform(streams)
    assert transform(make_videos(streams)[0]).shape[1:] == (transform.output_views, 5)


def test_half_precision_becomes_single() -> None:
    video = {"features": np.ones((4, 2, 6), dtype=np.float16)}
    videos = make_videos(ONE)
    for transform in (fitted(videos), fitted(videos, "none", pca_dim=2), FeatureTransform(ONE, "l2")):
        assert transform(video).dtype == np.float32
    assert FeatureTransform(ONE, crops="mean")(video).dtype == np.float32


def test_a_state_survives_a_safe_file() -> None:
    videos = make_videos(TWO)
    transform = fitted(videos, crops="max", pca_dim=4, streams=TWO)
    file = io.BytesIO()
    torch.save(transform.state_dict(), file)
    file.seek(0)
    restored = FeatureTransform(TWO, "zscore", crops="max", pca_dim=4)
    assert restored.needs_fit
    restored.load_state_dict(torch.load(file, weights_only=True))
    assert not restored.needs_fit
    np.testing.assert_array_equal(restored(videos[0]), transform(videos[0]))


@pytest.mark.parametrize(
    "other",
    [
        FeatureTransform({"features": StreamInfo(6, ("a", "b", "c"))}, "zscore"),
        FeatureTransform({"features": StreamInfo(5, ("a", "b"))}, "zscore"),
        FeatureTransform({"others": StreamInfo(6, ("a", "b"))}, "zscore"),
        FeatureTransform(ONE, "zscore", pca_dim=3),
        FeatureTransform(ONE),
    ],
)
def test_a_state_of_another_form_is_refused(other: FeatureTransform) -> None:
    state = fitted(make_videos(ONE)).state_dict()
    with pytest.raises(WSVADError, match="the checkpoint has"):
        other.load_state_dict(state)


@pytest.mark.parametrize("pca_dim", [0, 7])
def test_pca_needs_as_many_channels(pca_dim: int) -> None:
    with pytest.raises(WSVADError, match=f"pca_dim='{pca_dim}'.*6 channels.*Give 1 to 6"):
        FeatureTransform(ONE, pca_dim=pca_dim)


def test_pca_needs_as_many_snippets() -> None:
    videos = [{"features": np.ones((1, 2, 6), dtype=np.float32)}]
    with pytest.raises(WSVADError, match="only 2 snippets"):
        fitted(videos, "none", pca_dim=3)


def test_fitting_takes_no_more_memory_for_more_videos() -> None:
    streams = {"features": StreamInfo(50, ("full",))}

    def peak(count: int) -> int:
        def videos() -> Iterator[Streams]:
            for i in range(count):
                yield {"features": np.random.default_rng(i).standard_normal((500, 1, 50), dtype=np.float32)}

        transform = FeatureTransform(streams, "zscore", pca_dim=8)
        tracemalloc.start()
        try:
            transform.fit(videos)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(2)  # what is imported on the first call is not the data's
    assert peak(40) < 1.2 * peak(4)


def grids() -> dict[str, StreamInfo]:
    """A whole frame, and patches of two grids."""
    return {
        "whole": StreamInfo(2, ("full",)),
        "coarse": StreamInfo(3, ("r0c0", "r0c1")),
        "fine": StreamInfo(3, tuple(f"r{r}c{c}" for r in range(2) for c in range(4))),
    }


@pytest.mark.parametrize("crops", ["max", "mean"])
def test_merged_patches_are_left_in_one_of_each_grid(crops: Crops) -> None:
    videos = make_videos(grids())
    transform = fitted(videos, crops=crops, streams=grids())
    assert transform.patch_grid == (2, 4)
    left = transform.leave_in(videos[0], 0.75, 0.625)  # the second row, the third of four columns
    every = fitted(videos, streams={"fine": grids()["fine"]})({"fine": videos[0]["fine"]})
    assert left.shape == (len(every), 1, 8)

    def average(own: Any, count: int) -> Any:
        return np.maximum(own, expected_maximum(count)) if crops == "max" else own / count

    np.testing.assert_allclose(left[:, 0, 5:], average(every[:, 4 + 2], 8), rtol=1e-6)
    coarse = fitted(videos, streams={"coarse": grids()["coarse"]})({"coarse": videos[0]["coarse"]})
    np.testing.assert_allclose(left[:, 0, 2:5], average(coarse[:, 1], 2), rtol=1e-6)
    assert not left[:, 0, :2].any()  # of the whole frame
    plain = FeatureTransform(grids(), crops=crops)
    as_stored = plain.leave_in(videos[0], 0.75, 0.625)
    np.testing.assert_array_equal(as_stored[:, 0, :2], videos[0]["whole"][:, 0])
    np.testing.assert_array_equal(as_stored[:, 0, 5:], videos[0]["fine"][:, 4 + 2])


def test_the_largest_of_normal_numbers_is_expected() -> None:
    numbers = np.random.default_rng(0).standard_normal((20_000, 24))
    assert expected_maximum(24) == pytest.approx(numbers.max(axis=1).mean(), rel=0.02)
    assert expected_maximum(1) == pytest.approx(0)


def test_joined_patches_cannot_be_left_in_alone() -> None:
    transform = FeatureTransform(grids(), crops="concat")
    assert transform.patch_grid is None
    assert transform.joins_patches
    assert not FeatureTransform({"whole": grids()["whole"]}, crops="concat").joins_patches
    assert not FeatureTransform(grids(), crops="max").joins_patches


def test_patches_of_one_stream_are_views_of_their_own() -> None:
    videos = make_videos({"fine": grids()["fine"]})
    transform = fitted(videos, pca_dim=2, streams={"fine": grids()["fine"]})
    np.testing.assert_allclose(
        transform.leave_in(videos[0], 0.1, 0.9), transform(videos[0])[:, 3:4], rtol=1e-5, atol=1e-6
    )
    assert FeatureTransform(ONE).patch_grid is None
