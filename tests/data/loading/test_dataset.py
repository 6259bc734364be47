import pickle
import tracemalloc
from collections.abc import Iterator
from multiprocessing import active_children
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.data.datasets.rules import RULES
from wsvad_lightning.data.loading.cache import SegmentCache
from wsvad_lightning.data.loading.dataset import (
    BatchLoader,
    SegmentSource,
    StoreSegments,
    TrainingBags,
    WholeVideos,
    as_loaded,
    class_target,
)
from wsvad_lightning.data.loading.readers import FeatureReader
from wsvad_lightning.data.loading.sampler import Draw
from wsvad_lightning.data.loading.sampling import Sampling
from wsvad_lightning.data.loading.transform import Crops, FeatureTransform, Normalize
from wsvad_lightning.data.store import FeatureStore
from wsvad_lightning.data.store.synthetic import make_store
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.signals import leave_signals

SEGMENTS, STRIDE = 6, 16
ALL_CROPS: tuple[Crops, ...] = ("all", "each", "random", "mean", "max", "concat")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    path = tmp_path_factory.mktemp("store") / "s.h5"
    return FeatureStore(make_store(path, train=3, test=1, dim=4, crops=3, classes=("fight", "fire")))


def make_reader(store: FeatureStore, crops: Crops = "all", normalize: Normalize = "none") -> FeatureReader:
    transform = FeatureTransform(store.streams, normalize, crops=crops)
    reader = FeatureReader(store, transform)
    if transform.needs_fit:
        transform.fit(lambda: map(reader.read_stored, store))
    return reader


def make_source(
    store: FeatureStore, crops: Crops = "all", sampling: Sampling = "mean_bins", normalize: Normalize = "none"
) -> StoreSegments:
    return StoreSegments(make_reader(store, crops, normalize), sampling, SEGMENTS)


def make_bags(store: FeatureStore, source: StoreSegments, cache: SegmentSource | None = None) -> TrainingBags:
    videos = [store[video_id].annotation for video_id in store]
    lengths = [store[video_id].num_snippets for video_id in store]
    transform = source.reader.transform
    how = transform, source.sampling, SEGMENTS
    return TrainingBags(cache or source, videos, lengths, STRIDE, *how, store.classes, {})


def draws(bags: TrainingBags) -> list[Draw]:
    return [Draw(bag, 100 + bag) for bag in range(len(bags))]


@pytest.mark.parametrize(
    ("crops", "views", "dim"), [("all", 3, 4), ("mean", 1, 4), ("max", 1, 4), ("concat", 1, 12)]
)
def test_bags_hold_the_sampled_views(store: FeatureStore, crops: Crops, views: int, dim: int) -> None:
    source = make_source(store, crops)
    bags = make_bags(store, source)
    batch = bags.load(draws(bags))
    assert batch.features.shape == (8, views, SEGMENTS, dim)
    assert batch.features.dtype == torch.float32
    assert batch.features.is_contiguous()
    assert batch.video_ids == list(store)
    for features, video_id in zip(batch.features, batch.video_ids, strict=True):
        expected = source.read(video_id, slice(None), np.random.default_rng(0))
        np.testing.assert_array_equal(features, expected)


def test_each_view_can_be_a_bag(store: FeatureStore) -> None:
    bags = make_bags(store, make_source(store, "each"))
    every = make_bags(store, make_source(store, "all"))
    assert len(bags) == 24
    batch, whole = bags.load(draws(bags)), every.load(draws(every))
    assert batch.features.shape == (24, 1, SEGMENTS, 4)
    torch.testing.assert_close(batch.features.reshape(8, 3, SEGMENTS, 4), whole.features, rtol=0, atol=0)
    assert batch.video_ids == [video_id for video_id in store for _ in range(3)]
    for label in (0, 1):
        assert (batch.labels[bags.bags_of(label)] == label).all()


@pytest.mark.parametrize(("crops", "sampling"), [("random", "mean_bins"), ("all", "window")])
def test_random_choices_are_those_of_the_draw(store: FeatureStore, crops: Crops, sampling: Sampling) -> None:
    bags = make_bags(store, make_source(store, crops, sampling))
    longest = max(range(len(bags)), key=lambda bag: store[list(store)[bag]].num_snippets)
    batch = bags.load([Draw(longest, seed) for seed in (1, 2, 3, 4, 5, 6, 7, 8, 1)])
    assert torch.equal(batch.features[0], batch.features[-1])
    assert len({features.numpy().tobytes() for features in batch.features}) > 1


def test_padding_is_reported(store: FeatureStore) -> None:
    bags = make_bags(store, make_source(store, sampling="pad_or_bins"))
    batch = bags.load(draws(bags))
    expected = [min(SEGMENTS, store[video_id].num_snippets) for video_id in store]
    assert batch.lengths.tolist() == expected
    assert min(expected) < SEGMENTS
    for features, length in zip(batch.features, expected, strict=True):
        assert features[:, :length].all()
        assert not features[:, length:].any()


def test_labels_and_classes(store: FeatureStore) -> None:
    bags = make_bags(store, make_source(store))
    batch = bags.load(draws(bags))
    assert batch.labels.tolist() == [1, 0, 1, 1, 1, 0, 0, 0]
    assert batch.class_targets is not None
    assert batch.class_targets.argmax(dim=1).tolist() == [1, 0, 1, 2, 1, 0, 0, 0]  # abnormal, then normal
    assert batch.num_frames is None
    assert batch.frame_labels is None


def test_an_abnormal_video_of_unknown_class() -> None:
    assert class_target(VideoAnnotation("v", 1), ("fight",)).tolist() == [0, 0]


@pytest.mark.parametrize("crops", ALL_CROPS)
def test_whole_videos(store: FeatureStore, crops: Crops) -> None:
    videos = [store[video_id].annotation for video_id in store]
    whole = WholeVideos(make_reader(store, crops), videos, store.classes, {}, rule=RULES["exact"])
    for i, video in enumerate(videos):
        record, batch = store[video.video_id], whole.load([i])
        features = store.read(video.video_id)
        merged = {
            "mean": features.mean(axis=1),
            "max": features.max(axis=1),
            "concat": features.reshape(-1, 12),
        }
        expected = merged[crops][:, None] if crops in merged else features
        np.testing.assert_allclose(batch.features[0], expected.swapaxes(0, 1), rtol=1e-6)
        assert batch.features.is_contiguous()
        assert batch.lengths.tolist() == [record.num_snippets]
        assert batch.num_frames is not None
        assert batch.num_frames.tolist() == [record.num_frames]
        assert batch.frame_labels is not None
        (labels,) = batch.frame_labels
        assert labels is not None
        np.testing.assert_array_equal(labels, video.frame_labels(record.num_frames))


def test_unknown_frame_labels_are_none(store: FeatureStore) -> None:
    weak = VideoAnnotation("train_abnormal_000", 1)
    normal = store["train_normal_000"].annotation
    whole = WholeVideos(make_reader(store), [weak, normal], (), {}, rule=RULES["exact"])
    assert whole.load([0]).frame_labels == [None]
    assert whole.load([1]).frame_labels != [None]
    blind = WholeVideos(make_reader(store), [weak, normal], (), {}, rule=None)
    assert blind.load([1]).frame_labels == [None]


@pytest.mark.parametrize("sampling", ["mean_bins", "pick", "pad_or_bins"])
@pytest.mark.parametrize("crops", ALL_CROPS)
def test_the_cache_gives_the_same_numbers(
    store: FeatureStore, tmp_path: Path, crops: Crops, sampling: Sampling
) -> None:
    source = make_source(store, crops, sampling, "zscore")
    cache = SegmentCache(tmp_path, source, list(store))
    cache.build()
    travelled: SegmentCache = pickle.loads(pickle.dumps(cache))
    bags = make_bags(store, source)
    for segments in (cache, travelled):
        cached = make_bags(store, source, segments)
        assert torch.equal(cached.load(draws(bags)).features, bags.load(draws(bags)).features)
    assert len(pickle.dumps(cache)) == len(pickle.dumps(SegmentCache(tmp_path, source, list(store))))


def test_the_cache_is_built_once(store: FeatureStore, tmp_path: Path) -> None:
    SegmentCache(tmp_path, make_source(store), list(store)).build()
    (file,) = tmp_path.iterdir()
    stamp = file.stat().st_mtime_ns
    SegmentCache(tmp_path, make_source(store), list(store)).build()
    assert [path.stat().st_mtime_ns for path in tmp_path.iterdir()] == [stamp]


def test_whatever_changes_the_bags_changes_the_file(store: FeatureStore, tmp_path: Path) -> None:
    other_store = FeatureStore(make_store(tmp_path / "o.h5", train=3, test=1, dim=4, crops=3, seed=9))
    reader = make_reader(store)
    sources = [
        (make_source(store), list(store)),
        (make_source(store), list(store)[1:]),
        (make_source(store, sampling="pick"), list(store)),
        (StoreSegments(reader, "mean_bins", SEGMENTS + 1), list(store)),
        (make_source(store, "mean"), list(store)),
        (make_source(store, "max"), list(store)),
        (make_source(store, normalize="l2"), list(store)),
        (make_source(store, normalize="zscore"), list(store)),
        (make_source(other_store), list(store)),
    ]
    names = [SegmentCache(tmp_path, source, videos).path.name for source, videos in sources]
    assert len(set(names)) == len(names)
    fitted_elsewhere = make_source(store, normalize="zscore")
    fitted_elsewhere.reader.transform.statistics["features/mean"] += 1
    assert SegmentCache(tmp_path, fitted_elsewhere, list(store)).path.name not in names
    same = SegmentCache(tmp_path, make_source(store, "random"), list(store))  # views stay apart in both
    assert same.path.name == names[0]


def test_a_cache_that_cannot_be_written_leaves_nothing(store: FeatureStore, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WSVADError, match="cannot be written"):
        SegmentCache(tmp_path / "file", make_source(store), list(store)).build()
    with pytest.raises(WSVADError, match="is not in"):
        SegmentCache(tmp_path / "cache", make_source(store), [*store, "missing"]).build()
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.fixture
def damaged(tmp_path: Path) -> FeatureStore:
    path = make_store(tmp_path / "s.h5", train=2, test=0, dim=4, lengths=(9, 9))
    with h5py.File(path, "r+") as file:
        file["videos/train_abnormal_001/features"][3, 0, 2] = np.nan
        file["videos/train_normal_001/features"][0, 0, 0] = np.inf
        file["videos/train_normal_001/features"][0, 0, 1] = -np.inf
    return FeatureStore(path)


def test_values_that_are_not_finite_are_refused(damaged: FeatureStore) -> None:
    bags = make_bags(damaged, make_source(damaged))
    bags.load([Draw(0, 0), Draw(2, 0)])
    for bag, name in ((1, "train_abnormal_001"), (3, "train_normal_001")):
        with pytest.raises(WSVADError, match=f"features of {name} hold NaN or infinite"):
            bags.load([Draw(0, 0), Draw(bag, 0)])
        whole = WholeVideos(make_reader(damaged), bags.videos, (), {}, rule=None)
        with pytest.raises(WSVADError, match=f"features of {name} hold NaN or infinite"):
            whole.load([bag])


def test_a_loader_that_cannot_begin_leaves_no_worker(damaged: FeatureStore) -> None:
    """A worker leaves signals to its parent, which would wait for it for ever as it ends."""

    class Batches(list[list[Draw]]):
        def __iter__(self) -> Iterator[list[Draw]]:
            yield from [[Draw(0, 0)]] * (len(self) - 1)
            raise MemoryError

    bags = make_bags(damaged, make_source(damaged))
    loader = BatchLoader(bags, batch_sampler=Batches([[]]), num_workers=1, worker_init_fn=leave_signals)
    before = active_children()
    with pytest.raises(MemoryError) as raised:  # which keeps what was begun, as the interpreter does
        next(iter(loader))
    for worker in {*active_children()} - {*before}:
        worker.join(5)
    assert active_children() == before
    del raised


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_mistake_met_in_a_worker_is_raised_as_what_it_is(damaged: FeatureStore, num_workers: int) -> None:
    bags = make_bags(damaged, make_source(damaged))
    batches = [[Draw(0, 0)], [Draw(1, 0)], [Draw(2, 0)]]
    loader = BatchLoader(bags, batch_sampler=batches, num_workers=num_workers, collate_fn=as_loaded)
    with pytest.raises(WSVADError, match="train_abnormal_001") as caught:
        list(loader)
    assert caught.value.argument == "data.store"


@pytest.mark.parametrize(
    ("context", "cached"),
    # Both of the last two are given a pickled data set; it takes seconds to start a Python.
    [("fork", False), ("fork", True), ("spawn", False), ("forkserver", True)],
)
def test_workers_load_what_the_process_loads(
    store: FeatureStore, tmp_path: Path, context: str, cached: bool
) -> None:
    source = make_source(store, normalize="zscore")
    cache = SegmentCache(tmp_path, source, list(store))
    cache.build()
    bags = make_bags(store, source, cache if cached else None)
    here = bags.load(draws(bags))  # opens files that the worker must not share
    loader = BatchLoader(
        bags,
        batch_sampler=[draws(bags)] * 2,
        num_workers=1,
        collate_fn=as_loaded,
        multiprocessing_context=context,
    )
    batches = list(loader)
    assert len(batches) == 2
    assert all(torch.equal(batch.features, here.features) for batch in batches)


@pytest.mark.parametrize(
    ("label", "own", "expected"),
    [
        (0, (), [1.0, 0.0, 0.0, 0.0]),
        (1, ("G", "B2"), [0.0, 0.0, 1.0, 1.0]),
        (1, (), [0.0, 0.0, 0.0, 0.0]),
        (-1, (), [0.0, 0.0, 0.0, 0.0]),
    ],
)
def test_a_video_may_be_of_several_classes_or_of_none_known(
    label: int, own: tuple[str, ...], expected: list[float]
) -> None:
    assert class_target(VideoAnnotation("v", label, own), ("B1", "B2", "G")).tolist() == expected


def test_memory_does_not_grow_with_the_data_set(tmp_path: Path) -> None:
    def peak(train: int) -> int:
        path = make_store(tmp_path / f"{train}.h5", train=train, test=0, dim=256, lengths=(200, 200))
        store = FeatureStore(path)
        source = make_source(store)
        tracemalloc.start()
        try:
            cache = SegmentCache(tmp_path / f"cache{train}", source, list(store))
            cache.build()
            for bags in (make_bags(store, source), make_bags(store, source, cache)):
                for first in range(0, len(bags), 4):
                    bags.load(draws(bags)[first : first + 4])
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(2)  # what is imported on the first call is not the data's
    assert peak(20) < 1.2 * peak(4)
