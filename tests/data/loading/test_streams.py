"""Further streams that a method reads: the same snippets, in training and in evaluation."""

from pathlib import Path

import numpy as np
import pytest
import torch

from wsvad_lightning.data.loading.datamodule import WSVADDataModule
from wsvad_lightning.data.loading.familiarity import PREFIX
from wsvad_lightning.data.loading.sampling import Sampling
from wsvad_lightning.data.loading.transform import Crops
from wsvad_lightning.data.store import FeatureStore
from wsvad_lightning.data.store.synthetic import make_store
from wsvad_lightning.errors import WSVADError


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return make_store(tmp_path / "store.h5", crops=2, streams=("features", "text"), views={"text": 3})


def delivering(store: Path, streams: tuple[str, ...] = ("text",), **settings: object) -> WSVADDataModule:
    data = WSVADDataModule(str(store), segments=8, batch_size=2, **settings)  # type: ignore[arg-type]
    data.setup("fit")
    data.carry(streams, "fit")
    return data


def test_nothing_is_delivered_unasked(store: Path) -> None:
    data = delivering(store, ())
    assert next(iter(data.train_dataloader())).streams == {}
    assert next(iter(data.test_dataloader())).streams == {}


def test_whole_videos_come_as_they_are_stored(store: Path) -> None:
    batch = next(iter(delivering(store, crops="mean").test_dataloader()))
    stored = FeatureStore(store).read(batch.video_ids[0], "text")
    assert torch.equal(batch.streams["text"][0], torch.from_numpy(stored.copy()))


def test_streams_are_normalised_and_clipped_as_the_features(store: Path) -> None:
    """Asked for as a stream, the features themselves must come as the features do."""
    data = delivering(store, ("features", "text"), normalize="zscore", clip=0.5)
    batch = next(iter(data.train_dataloader()))
    assert torch.equal(batch.features, batch.streams["features"].transpose(1, 2))
    assert batch.streams["text"].abs().max() == 0.5
    text = np.concatenate([data.store.read(name, "text") for name in data.reference_videos])
    torch.testing.assert_close(data.state_dict()["text/mean"], torch.from_numpy(text.mean(axis=0)))


@pytest.mark.parametrize("streams", [("text",), ("features", "text")])
def test_a_checkpoint_carries_the_statistics_of_all_streams(store: Path, streams: tuple[str, ...]) -> None:
    state = delivering(store, streams, normalize="zscore").state_dict()
    restored = WSVADDataModule(str(store), normalize="zscore")
    restored.setup("test")
    restored.carry(streams, "test")
    restored.load_state_dict(state)
    statistics = {f"{name}/{what}" for name in ("features", "text") for what in ("mean", "deviation")}
    assert {name for name in state if not name.startswith(PREFIX)} == statistics
    assert all(torch.equal(values, restored.state_dict()[name]) for name, values in state.items())
    other = WSVADDataModule(str(store))
    other.carry(streams, "test")
    with pytest.raises(WSVADError, match="needs statistics of the shapes"):
        other.load_state_dict(state)


@pytest.mark.parametrize("sampling", ["mean_bins", "pick", "linear", "pad_or_bins", "pad_or_pick", "window"])
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
