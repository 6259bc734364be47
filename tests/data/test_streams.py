"""Streams that a method reads besides the features: the same snippets, in training and in evaluation."""

from pathlib import Path

import pytest
import torch

from wsvad_lightning.data.datamodule import WSVADDataModule
from wsvad_lightning.data.sampling import Sampling
from wsvad_lightning.data.store import FeatureStore
from wsvad_lightning.data.synthetic import make_store
from wsvad_lightning.data.transform import Crops


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return make_store(tmp_path / "store.h5", crops=2, streams=("features", "text"), views={"text": 3})


def delivering(store: Path, streams: tuple[str, ...] = ("text",), **settings: object) -> WSVADDataModule:
    data = WSVADDataModule(str(store), segments=8, batch_size=2, **settings)  # type: ignore[arg-type]
    data.asked_streams = streams
    data.setup("fit")
    return data


def test_nothing_is_delivered_unasked(store: Path) -> None:
    data = delivering(store, ())
    assert next(iter(data.train_dataloader())).streams == {}
    assert next(iter(data.test_dataloader())).streams == {}


def test_whole_videos_come_as_they_are_stored(store: Path) -> None:
    (video,) = next(iter(delivering(store, normalize="l2").test_dataloader())).streams.values()
    name = next(iter(delivering(store).test_dataloader())).video_ids[0]
    assert torch.equal(video[0], torch.from_numpy(FeatureStore(store).read(name, "text").copy()))


@pytest.mark.parametrize("sampling", ["mean_bins", "pick", "linear", "pad_or_bins", "window"])
@pytest.mark.parametrize("crops", ["all", "each", "random", "mean"])
def test_streams_are_sampled_as_the_features(store: Path, sampling: Sampling, crops: Crops) -> None:
    """Asked for as a stream, the features themselves must come as the features do."""
    data = delivering(store, ("features", "text"), sampling=sampling, crops=crops)
    batch = next(iter(data.train_dataloader()))
    assert batch.streams["text"].shape == (4, 8, 3, 16)
    stream = batch.streams["features"].transpose(1, 2)  # [B, P, S, D]
    if crops == "mean":
        torch.testing.assert_close(batch.features, stream.mean(dim=1, keepdim=True))
    elif crops == "all":
        assert torch.equal(batch.features, stream)
    else:
        assert (batch.features == stream).flatten(2).all(dim=-1).any(dim=-1).all()


def test_the_segment_cache_holds_streams_too(store: Path, tmp_path: Path) -> None:
    plain = next(iter(delivering(store).train_dataloader()))
    cached = next(iter(delivering(store, cache_dir=str(tmp_path / "cache")).train_dataloader()))
    assert torch.equal(plain.streams["text"], cached.streams["text"])
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_workers_deliver_them(store: Path) -> None:
    alone = next(iter(delivering(store).train_dataloader()))
    shared = next(iter(delivering(store, num_workers=1).train_dataloader()))
    assert torch.equal(alone.streams["text"], shared.streams["text"])
