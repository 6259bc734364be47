from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.data.loading.test_datamodule import Recorder, SaveAt, make_trainer
from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.data.loading.datamodule import WSVADDataModule
from wsvad_lightning.data.loading.dataset import BatchLoader
from wsvad_lightning.data.loading.sampler import Draw
from wsvad_lightning.data.loading.windows import TrainingWindows, window_positions
from wsvad_lightning.data.store import FeatureStore, Provenance, StoreWriter
from wsvad_lightning.data.store.synthetic import make_store
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.types import WSVADBatch

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning"),  # Lightning's use of torch
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("store")
    return str(make_store(folder / "s.h5", train=4, test=1, dim=4, crops=2, lengths=(2, 9)))


def unlabelled_store(path: Path, **labels: int) -> str:
    """Videos of ones with the given labels, 5 snippets each."""
    with StoreWriter(path, Provenance("made", "test", 16, 16)) as writer:
        for name, label in labels.items():
            annotation = VideoAnnotation(name, label, split=name.partition("_")[0])
            writer.add(annotation, {"features": np.ones((5, 1, 4), np.float32)}, num_frames=80, fps=25.0)
    return str(path)


def windows_of(store: str, size: int, **settings: Any) -> TrainingWindows:
    loader = WSVADDataModule(store, bags="windows", segments=size, **settings).train_dataloader()
    assert isinstance(loader.dataset, TrainingWindows)
    return loader.dataset


def joined(store: str) -> np.ndarray:
    """All snippets of the training videos, end to end."""
    opened = FeatureStore(store)
    names = WSVADDataModule(store).parts["train"]
    return np.concatenate([opened.read(name, "features") for name in names])


# ------------------------------------------------------------------------------------------- the windows


@pytest.mark.parametrize(
    ("lengths", "size", "across", "expected"),
    [
        ([5, 2], 4, False, [[0, 1, 2, 3], [1, 2, 3, 4], [5, 6, 5, 5]]),
        ([2, 3], 4, True, [[0, 1, 2, 3], [1, 2, 3, 4], [2, 3, 4, 2], [3, 4, 3, 3], [4, 4, 4, 4]]),
        ([2, 1], 1, False, [[0], [1], [2]]),
        ([2, 1], 1, True, [[0], [1], [2]]),
        ([4, 4], 4, False, [[0, 1, 2, 3], [4, 5, 6, 7]]),
    ],
)
def test_windows_by_hand(lengths: Sequence[int], size: int, across: bool, expected: list[list[int]]) -> None:
    assert window_positions(lengths, size, across).tolist() == expected


@pytest.mark.parametrize("across", [False, True])
def test_windows_hold_the_snippets_that_their_positions_name(store: str, across: bool) -> None:
    windows = windows_of(store, 3, across_videos=across)
    batch = windows.load([Draw(bag, 0) for bag in range(len(windows))])
    assert batch.positions is not None
    expected = joined(store)[batch.positions].swapaxes(1, 2)
    np.testing.assert_array_equal(batch.features.numpy(), expected)
    assert batch.features.shape == (len(windows), 2, 3, 4)
    assert batch.lengths.eq(3).all()
    assert batch.video_ids == [video_at(store, int(row[0])) for row in batch.positions]


def video_at(store: str, position: int) -> str:
    """Name of the training video that holds a snippet."""
    data = WSVADDataModule(store)
    names = [name for name in data.parts["train"] for _ in range(data.store[name].num_snippets)]
    return names[position]


def test_features_are_transformed_as_whole_videos_are(store: str) -> None:
    settings: dict[str, Any] = {"normalize": "l2", "crops": "mean"}
    windows = windows_of(store, 2, **settings)
    data = WSVADDataModule(store, **settings)
    expected = np.concatenate([data.read(name) for name in data.parts["train"]])
    batch = windows.load([Draw(3, 0), Draw(9, 0)])
    assert batch.positions is not None
    np.testing.assert_allclose(batch.features.numpy(), expected[batch.positions].swapaxes(1, 2), rtol=1e-6)


def test_statistics_are_of_all_training_videos(store: str) -> None:
    data = WSVADDataModule(store, bags="windows", normalize="zscore")
    data.setup("fit")
    mean = data.state_dict()["features/mean"].numpy()
    np.testing.assert_allclose(mean, joined(store).mean(axis=0), rtol=1e-4, atol=1e-5)


def test_a_batch_knows_no_labels(store: str) -> None:
    data = WSVADDataModule(store, bags="windows", segments=1, batch_size=5)
    batch = next(iter(data.train_dataloader()))
    assert batch.labels.isnan().all()
    assert batch.class_targets is None
    assert len(batch.video_ids) == 5


def test_a_pass_shows_every_window_once(store: str) -> None:
    data = WSVADDataModule(store, bags="windows", segments=2, batch_size=1)
    loader = data.train_dataloader()
    assert isinstance(loader.dataset, TrainingWindows)
    seen = [tuple(batch.positions[0].tolist()) for batch in loader if batch.positions is not None]
    assert len(seen) == len(loader.dataset)
    assert sorted(seen) == [tuple(row) for row in loader.dataset.positions.tolist()]
    assert seen != sorted(seen)


def test_values_that_are_not_finite_are_reported_by_video(tmp_path: Path) -> None:
    path = make_store(tmp_path / "s.h5", train=2, test=1, dim=4)
    data = WSVADDataModule(str(path), bags="windows", segments=1, batch_size=64)
    name = data.parts["train"][1]
    location = data.store[name].streams["features"]
    with path.open("r+b") as file:
        assert location.offset is not None
        file.seek(location.offset)
        file.write(np.float32(np.nan).tobytes())
    with pytest.raises(WSVADError, match=f"features of {name} hold NaN"):
        list(WSVADDataModule(str(path), bags="windows", segments=1, batch_size=64).train_dataloader())


# -------------------------------------------------------------------------------------- resume and ranks


class WindowRecorder(Recorder):
    """Notes which windows it is given."""

    def training_step(self, batch: WSVADBatch, batch_idx: int) -> torch.Tensor:
        loss = super().training_step(batch, batch_idx)
        assert batch.positions is not None
        self.trained[-1] = (tuple(batch.video_ids), float(batch.positions.double().sum()))
        return loss


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_resumed_run_sees_the_windows_of_an_uninterrupted_one(
    store: str, tmp_path: Path, num_workers: int
) -> None:
    def fit(max_steps: int, *callbacks: SaveAt, ckpt_path: Path | None = None) -> list[Any]:
        data = WSVADDataModule(
            store, bags="windows", segments=2, batch_size=3, num_workers=num_workers, seed=4
        )
        module = WindowRecorder()
        trainer = make_trainer(tmp_path, callbacks, max_steps=max_steps, max_epochs=-1)
        trainer.fit(module, data, ckpt_path=ckpt_path)
        return module.trained

    whole = fit(15)
    checkpoint = tmp_path / "run.ckpt"
    assert fit(7, SaveAt(checkpoint, 7, at_epoch_end=False)) == whole[:7]
    assert fit(15, ckpt_path=checkpoint) == whole[7:]


def test_ranks_share_the_windows(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[set[tuple[int, ...]]] = []
    monkeypatch.setattr(WSVADDataModule, "_world_size", 2)
    for rank in (0, 1):
        monkeypatch.setattr(WSVADDataModule, "_rank", rank)
        data = WSVADDataModule(store, bags="windows", segments=2, batch_size=3)
        batches = list(data.train_dataloader())
        seen.append({tuple(row.tolist()) for b in batches if b.positions is not None for row in b.positions})
        assert len(batches) == len(data.train_dataloader())
    assert len(seen[0]) == len(seen[1])
    assert not seen[0] & seen[1]


# ------------------------------------------------------------------------------------- videos without labels


def test_unlabelled_videos_train_by_windows(tmp_path: Path) -> None:
    path = unlabelled_store(tmp_path / "s.h5", train_a=-1, train_b=-1, test_a=0, test_b=1)
    data = WSVADDataModule(path, bags="windows", segments=1, batch_size=4)
    data.setup("fit")
    data.setup("test")
    batches = list(data.train_dataloader())
    assert sum(len(batch.labels) for batch in batches) == 8
    assert isinstance(data.predict_dataloader(), BatchLoader)


@pytest.mark.parametrize(
    ("settings", "stage", "problem"),
    [
        ({}, "fit", "2 videos of the part 'train' have no label: train_a, train_b.*trains without labels"),
        ({}, "test", "1 video of the part 'test' has no label: test_b"),
        ({"bags": "windows"}, "test", "1 video of the part 'test' has no label: test_b"),
        ({"bags": "windows"}, "validate", "1 video of the part 'val' has no label: val_a"),
        ({"bags": "windows"}, "fit", "1 video of the part 'val' has no label: val_a"),
    ],
)
def test_labels_that_are_missing_are_asked_for(
    tmp_path: Path, settings: dict[str, Any], stage: str, problem: str
) -> None:
    path = unlabelled_store(tmp_path / "s.h5", train_a=-1, train_b=-1, test_a=0, test_b=-1, val_a=-1)
    with pytest.raises(WSVADError, match=problem):
        WSVADDataModule(path, **settings).setup(stage)


def test_unlabelled_videos_are_not_held_out(tmp_path: Path) -> None:
    path = unlabelled_store(tmp_path / "s.h5", train_a=-1, train_b=-1, test_a=0)
    with pytest.raises(WSVADError, match="2 videos of the part 'train' have no label"):
        WSVADDataModule(path, bags="windows", val_fraction=0.5).setup("fit")


@pytest.mark.parametrize("settings", [{"crops": "each"}, {"crops": "random"}, {"cache_dir": "cache"}])
def test_what_windows_cannot_be_is_refused(store: str, settings: dict[str, Any]) -> None:
    with pytest.raises(WSVADError, match="data.bags='windows': windows hold all views, uncached"):
        WSVADDataModule(store, bags="windows", **settings)
