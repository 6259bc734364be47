import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from wsvad_lightning.data.datasets.table import write_annotations
from wsvad_lightning.data.loading.datamodule import WSVADDataModule
from wsvad_lightning.data.loading.dataset import BatchLoader
from wsvad_lightning.data.loading.glances import Glances
from wsvad_lightning.data.loading.sampling import mean_bins
from wsvad_lightning.data.loading.transform import Crops
from wsvad_lightning.data.store import FeatureStore
from wsvad_lightning.data.store.synthetic import make_store
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.timeline import SnippetGrid
from wsvad_lightning.types import WSVADBatch

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning"),  # Lightning's use of torch
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
]

Seen = tuple[tuple[str, ...], float]


class Recorder(LightningModule):
    """Notes the batches it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)
        self.trained: list[Seen] = []
        self.scored: list[WSVADBatch] = []

    def training_step(self, batch: WSVADBatch, batch_idx: int) -> Tensor:
        self.trained.append((tuple(batch.video_ids), float(batch.features.double().sum())))
        loss: Tensor = self.layer(batch.features).mean()
        return loss

    def validation_step(self, batch: WSVADBatch, batch_idx: int) -> None:
        self.scored.append(batch)

    test_step = validation_step

    def predict_step(self, batch: WSVADBatch, batch_idx: int) -> int:
        self.scored.append(batch)
        return batch_idx

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)


class SaveAt(Callback):
    """Saves a checkpoint at a step: when its batch ends, or when the epoch does."""

    def __init__(self, path: Path, step: int, *, at_epoch_end: bool) -> None:
        self.path, self.step, self.at_epoch_end = path, step, at_epoch_end

    def on_train_batch_end(self, trainer: Trainer, *_: object) -> None:
        if trainer.global_step == self.step and not self.at_epoch_end:
            trainer.save_checkpoint(self.path)

    def on_train_epoch_end(self, trainer: Trainer, *_: object) -> None:
        if trainer.global_step == self.step and self.at_epoch_end:
            trainer.save_checkpoint(self.path)


def make_trainer(folder: Path, callbacks: Sequence[Callback] = (), **settings: Any) -> Trainer:
    return Trainer(
        accelerator="cpu",
        default_root_dir=folder,
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **settings,
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("store")
    return str(make_store(folder / "s.h5", train=10, test=3, dim=4, crops=2, classes=("fight", "fire")))


def names(loader: BatchLoader[WSVADBatch] | list[BatchLoader[WSVADBatch]]) -> list[str]:
    assert isinstance(loader, BatchLoader)
    return [name for batch in loader for name in batch.video_ids]


# ------------------------------------------------------------------------------------------------- resume


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize(
    ("step", "at_epoch_end"), [(2, False), (5, False), (6, False), (5, True), (10, True)], ids=str
)
def test_a_resumed_run_sees_the_batches_of_an_uninterrupted_one(
    store: str, tmp_path: Path, num_workers: int, step: int, at_epoch_end: bool
) -> None:
    """Five steps an epoch; workers fetch batches ahead that are not trained when the checkpoint is saved."""

    def fit(max_steps: int, callbacks: Sequence[Callback] = (), ckpt_path: Path | None = None) -> list[Seen]:
        data = WSVADDataModule(
            store, batch_size=2, segments=4, crops="random", sampling="window", num_workers=num_workers
        )
        module = Recorder()
        trainer = make_trainer(tmp_path, callbacks, max_steps=max_steps, max_epochs=-1)
        trainer.fit(module, data, ckpt_path=ckpt_path)
        return module.trained

    whole = fit(13)
    assert len(set(whole)) == 13
    checkpoint = tmp_path / "run.ckpt"
    stopped = fit(step, [SaveAt(checkpoint, step, at_epoch_end=at_epoch_end)])
    assert stopped == whole[:step]
    assert fit(13, ckpt_path=checkpoint) == whole[step:]


def test_shortened_epochs_resume_too(store: str, tmp_path: Path) -> None:
    def fit(callbacks: Sequence[Callback] = (), ckpt_path: Path | None = None) -> list[Seen]:
        module = Recorder()
        trainer = make_trainer(tmp_path, callbacks, max_epochs=3, limit_train_batches=3)
        trainer.fit(module, WSVADDataModule(store, batch_size=2, segments=4), ckpt_path=ckpt_path)
        return module.trained

    checkpoint = tmp_path / "run.ckpt"
    whole = fit([SaveAt(checkpoint, 4, at_epoch_end=False)])
    assert len(set(whole)) == 9
    assert fit(ckpt_path=checkpoint) == whole[4:]


# ------------------------------------------------------------------------------------------------- stages


def test_dimension_and_info_are_known_before_setup(store: str) -> None:
    data = WSVADDataModule(store, crops="concat", features="features")
    assert data.feature_dim == data.info.dim == 8
    assert data.info.backbone == "synthetic"
    assert data.info.classes == data.classes == ("fight", "fire")
    assert data.info.grid == SnippetGrid(16, 16)
    assert data.info.streams["features"].views == ("crop0", "crop1")
    assert WSVADDataModule(store, pca_dim=3).feature_dim == 3


def test_a_training_batch_is_paired(store: str) -> None:
    data = WSVADDataModule(store, batch_size=4, segments=8)
    data.setup("fit")
    loader = data.train_dataloader()
    batches = list(loader)
    assert len(loader) == len(batches) == 2
    for batch in batches:
        assert batch.features.shape == (8, 2, 8, 4)
        assert batch.labels.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
        assert all(name.startswith("train_") for name in batch.video_ids)
    assert data.val_dataloader() == []


def test_a_training_batch_marks_the_segments_of_glances(store: str, tmp_path: Path) -> None:
    held = FeatureStore(store)
    known = {name: held[name].annotation for name in held}
    abnormal = {name: replace(video, glances=(0, 70)) for name, video in known.items() if video.label}
    write_annotations(tmp_path / "a.csv", known | abnormal)
    for glances in get_args(Glances):
        data = WSVADDataModule(store, annotations=str(tmp_path / "a.csv"), glances=glances, segments=8)
        data.setup("fit")
        batch = next(iter(data.train_dataloader()))
        marks = torch.zeros(len(batch.labels), 8, dtype=torch.bool)
        for row, name in enumerate(batch.video_ids):
            if name in abnormal and glances == "all":
                marks[row, [0, int(70 / 16 / held[name].num_snippets * 8)]] = True
        assert batch.glances is not None
        assert torch.equal(batch.glances, marks)
        assert data.info.glances


@pytest.mark.parametrize("crops", ["each", "random"])
def test_a_bag_that_holds_one_view_says_which(store: str, crops: Crops) -> None:
    data = WSVADDataModule(store, batch_size=10, segments=4, crops=crops)
    data.setup("fit")
    for batch in data.train_dataloader():
        assert batch.views is not None
        assert set(batch.views) == {0, 1}
        for name, view, bag in zip(batch.video_ids, batch.views, batch.features, strict=True):
            expected = mean_bins(data.read(name)[:, view], 4)
            np.testing.assert_array_equal(bag[0], expected)


@pytest.mark.parametrize("crops", ["all", "mean"])
def test_a_bag_of_all_views_names_none(store: str, crops: Crops) -> None:
    data = WSVADDataModule(store, batch_size=2, segments=4, crops=crops)
    data.setup("fit")
    assert all(batch.views is None for batch in data.train_dataloader())


def test_held_out_videos_validate_without_frame_labels(store: str, tmp_path: Path) -> None:
    data, module = WSVADDataModule(store, val_fraction=0.25, segments=4), Recorder()
    make_trainer(tmp_path, max_epochs=1).fit(module, data)
    held_out = data.parts["val"]
    assert sorted({name[:-4] for name in held_out}) == ["train_abnormal", "train_normal"]
    assert len(held_out) == 4  # of each class round(0.25 * 10)
    assert not set(held_out) & {name for seen, _ in module.trained for name in seen}
    assert {name for batch in module.scored for name in batch.video_ids} == set(held_out)
    assert all(batch.frame_labels == [None] for batch in module.scored)
    same, other = WSVADDataModule(store, val_fraction=0.25), WSVADDataModule(store, val_fraction=0.25, seed=1)
    assert same.parts == data.parts != other.parts


def test_at_least_one_video_of_each_class_is_held_out(store: str) -> None:
    assert len(WSVADDataModule(store, val_fraction=0.001).parts["val"]) == 2


def test_test_videos_come_once_at_full_length(store: str, tmp_path: Path) -> None:
    module = Recorder()
    make_trainer(tmp_path).test(module, WSVADDataModule(store), verbose=False)
    opened = FeatureStore(store)
    assert [batch.video_ids[0] for batch in module.scored] == [name for name in opened if "test" in name]
    for batch in module.scored:
        record = opened[batch.video_ids[0]]
        assert batch.features.shape == (1, 2, record.num_snippets, 4)
        assert batch.num_frames is not None
        assert batch.num_frames.tolist() == [record.num_frames]
        assert batch.frame_labels is not None
        (labels,) = batch.frame_labels
        assert labels is not None
        assert labels.tolist() == record.annotation.frame_labels(record.num_frames).tolist()


def test_prediction_takes_every_video_and_reads_neither_split_nor_annotations(
    store: str, tmp_path: Path
) -> None:
    module = Recorder()
    data = WSVADDataModule(store, split="gone.json", annotations="gone.csv")
    make_trainer(tmp_path).predict(module, data, return_predictions=False)
    assert [batch.video_ids[0] for batch in module.scored] == list(FeatureStore(store)) == data.video_ids
    assert all(batch.frame_labels == [None] for batch in module.scored)
    assert data.info.classes == ("fight", "fire")


def test_the_checkpoint_carries_the_statistics(store: str, tmp_path: Path) -> None:
    def make_data() -> WSVADDataModule:
        return WSVADDataModule(store, normalize="zscore", crops="concat", pca_dim=4, segments=4)

    trained, module = make_data(), Recorder()
    trainer = make_trainer(tmp_path, max_epochs=1)
    trainer.fit(module, trained)
    trainer.save_checkpoint(tmp_path / "run.ckpt")
    torch.load(tmp_path / "run.ckpt", weights_only=True)
    restored, again = make_data(), Recorder()
    make_trainer(tmp_path).test(again, restored, ckpt_path=tmp_path / "run.ckpt", verbose=False)
    make_trainer(tmp_path).test(module, trained, verbose=False)
    for one, other in zip(module.scored, again.scored, strict=True):
        assert torch.equal(one.features, other.features)
    with pytest.raises(WSVADError, match=r"zscore.*Give --ckpt_path"):
        make_trainer(tmp_path).test(Recorder(), make_data(), verbose=False)


def test_statistics_are_of_the_normal_training_videos(store: str) -> None:
    data = WSVADDataModule(store, normalize="zscore")
    data.setup("fit")
    opened = FeatureStore(store)
    own = [torch.from_numpy(opened.read(n).copy()) for n in opened if n.startswith("train_normal")]
    torch.testing.assert_close(data.state_dict()["features/mean"], torch.cat(own).mean(dim=0))


def test_the_cache_trains_on_the_same_batches(store: str, tmp_path: Path) -> None:
    def fit(cache_dir: str | None) -> list[Seen]:
        data, module = WSVADDataModule(store, batch_size=3, segments=4, cache_dir=cache_dir), Recorder()
        make_trainer(tmp_path, max_epochs=2).fit(module, data)
        return module.trained

    direct = fit(None)
    assert fit(str(tmp_path / "cache")) == direct  # writes it
    assert fit(str(tmp_path / "cache")) == direct  # reads it
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_a_transform_can_leave_the_text_space(store: str, tmp_path: Path) -> None:
    aligned = str(make_store(tmp_path / "s.h5", train=1, test=1, text_aligned=True))
    assert not WSVADDataModule(store).info.text_aligned
    moved = WSVADDataModule(aligned, normalize="zscore", crops="concat").info
    assert moved.text_aligned
    assert moved.moved_by == ("data.normalize", "zscore")
    assert WSVADDataModule(aligned, normalize="l2", crops="mean").info.moved_by is None
    assert WSVADDataModule(aligned, pca_dim=2).info.moved_by == ("data.pca_dim", 2)
    assert WSVADDataModule(aligned, crops="concat").info.moved_by == ("data.crops", "concat")


# ------------------------------------------------------------------------------------------------- ranks


class DumpRank(Callback):
    """Writes what its rank saw."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        assert isinstance(pl_module, Recorder)
        seen = {
            "trained": [names for names, _ in pl_module.trained],
            "scored": [batch.video_ids[0] for batch in pl_module.scored],
        }
        (self.folder / f"{trainer.global_rank}.json").write_text(json.dumps(seen))


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_two_processes_share_the_videos(store: str, tmp_path: Path) -> None:
    def trainer(stage: str) -> Trainer:
        return make_trainer(
            tmp_path,
            [DumpRank(tmp_path / stage)],
            devices=2,
            strategy="ddp_fork",
            use_distributed_sampler=False,
            max_epochs=2,
        )

    def seen(stage: str, what: str) -> list[list[Any]]:
        return [json.loads((tmp_path / stage / f"{rank}.json").read_text())[what] for rank in (0, 1)]

    data = WSVADDataModule(store, batch_size=2, segments=4, cache_dir=str(tmp_path / "cache"))
    trainer("fit").fit(Recorder(), data)
    first, second = seen("fit", "trained")
    assert len(first) == len(second) == 4
    assert all(not set(one) & set(other) for one, other in zip(first, second, strict=True))
    for count in (5, 1):  # an odd number, and fewer than processes
        videos = [f"train_normal_{i:03d}" for i in range(count)]
        split = write_split(tmp_path, train=["test_normal_000"], test=videos)
        trainer(f"test{count}").test(Recorder(), WSVADDataModule(store, split=split), verbose=False)
        first, second = seen(f"test{count}", "scored")
        assert (first, second) == (videos[::2], videos[1::2])


def test_lightning_may_not_deal_the_videos_out_again(store: str, tmp_path: Path) -> None:
    data = WSVADDataModule(store)
    data.trainer = make_trainer(tmp_path, devices=2, strategy="ddp_fork")
    with pytest.raises(WSVADError, match="use_distributed_sampler='True'.*Set it to false"):
        data.setup("fit")


# ------------------------------------------------------------------------------- splits and annotations


def write_split(folder: Path, **parts: Sequence[str]) -> str:
    (folder / "split.json").write_text(json.dumps(parts))
    return str(folder / "split.json")


TRAIN = ["train_normal_000", "train_normal_001", "train_abnormal_000", "train_abnormal_001"]


def test_a_split_file_overrides_the_store(store: str, tmp_path: Path) -> None:
    split = write_split(tmp_path, train=TRAIN, test=["train_normal_005"], val=["train_normal_006"])
    data = WSVADDataModule(store, split=split, batch_size=2)
    data.setup("fit")
    assert set(names(data.train_dataloader())) == set(TRAIN)
    assert names(data.val_dataloader()) == ["train_normal_006"]
    assert names(data.test_dataloader()) == ["train_normal_005"]
    with pytest.raises(WSVADError, match="already names 1 video to validate with"):
        WSVADDataModule(store, split=split, val_fraction=0.5).setup("fit")


def test_a_table_overrides_labels_and_classes(store: str, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    rows = ["video,label,intervals,split"]
    rows += [
        "train_abnormal_000,normal,,train",
        "train_normal_000,theft,0-3,train",
        "test_normal_000,theft,,test",
    ]
    table.write_text("\n".join(rows))
    data = WSVADDataModule(store, annotations=str(table), batch_size=1)
    data.setup("fit")
    assert data.classes == ("theft",)
    (batch,) = data.train_dataloader()
    assert batch.video_ids == ["train_abnormal_000", "train_normal_000"]
    assert batch.class_targets is not None
    assert batch.class_targets.tolist() == [[1, 0], [0, 1]]
    (batch,) = data.test_dataloader()
    assert batch.labels.tolist() == [1]
    assert batch.frame_labels == [None]  # abnormal, and nobody says where


def check(store: str, stage: str, problem: str, **settings: Any) -> None:
    with pytest.raises(WSVADError, match=problem):
        WSVADDataModule(store, **settings).setup(stage)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"segments": 0}, "data.segments='0'.*at least 1"),
        ({"batch_size": 0}, "data.batch_size='0'"),
        ({"num_workers": -1}, "data.num_workers='-1'.*at least 0"),
        ({"seed": -1}, "data.seed='-1'"),
        ({"val_fraction": 1.0}, "data.val_fraction='1.0'"),
        ({"clip": 0.0}, "data.clip='0.0'"),
        ({"features": []}, "names no stream"),
        ({"features": ["a", "a"]}, "or one twice"),
        (
            {"cache_dir": "cache", "sampling": "window"},
            "data.sampling='window'.*mean_bins, .*pick, .*pad_or_bins",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_numbers_out_of_range_are_named(store: str, settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(WSVADError, match=problem):
        WSVADDataModule(store, **settings)


def test_a_missing_store_is_named(tmp_path: Path) -> None:
    with pytest.raises(WSVADError, match=r"gone\.h5"):
        WSVADDataModule(str(tmp_path / "gone.h5")).feature_dim  # noqa: B018  # reading it opens the store


def test_a_missing_stream_is_named(store: str) -> None:
    check(
        store,
        "fit",
        r"data.features='flow': .* holds the streams \['features'\]",
        features=["features", "flow"],
        normalize="zscore",
    )


def test_videos_of_the_split_must_be_in_the_store(store: str, tmp_path: Path) -> None:
    split = write_split(tmp_path, train=[*TRAIN, *(f"v{i}" for i in range(5))], test=["train_normal_005"])
    check(store, "fit", r"5 of its videos are not in the store: v0, v1, v2, …", split=split)


def test_videos_of_the_table_must_be_in_the_store(store: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("video,label\nnobody,0\n")
    check(store, "fit", "1 of its videos are not in the store: nobody", annotations=str(tmp_path / "t.csv"))


def test_videos_of_the_split_must_be_annotated(store: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("video,label\ntrain_normal_000,0\n")
    split = write_split(tmp_path, train=TRAIN, test=["train_normal_005"])
    problem = r"4 of its videos are not in data\.annotations: train_normal_001"
    check(store, "fit", problem, annotations=str(tmp_path / "t.csv"), split=split)


def test_annotated_lengths_must_be_those_of_the_store(store: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("video,label,num_frames\ntrain_normal_000,0,99999\n")
    check(store, "fit", "99999 frames", annotations=str(tmp_path / "t.csv"))


@pytest.mark.parametrize(
    ("stage", "part", "remedy"),
    [
        ("fit", "train", "wsvad data split makes"),
        ("test", "test", "wsvad data split makes"),
        ("validate", "val", "Set data.val_fraction"),
    ],
)
def test_an_empty_part_is_named(tmp_path: Path, stage: str, part: str, remedy: str) -> None:
    counts = {"train": 2, "test": 2, part: 0}
    store = make_store(tmp_path / "s.h5", train=counts["train"], test=counts["test"])
    check(str(store), stage, f"the part {part!r} is empty.*{remedy}")


@pytest.mark.parametrize("label", ["normal", "abnormal"])
def test_both_classes_must_train(store: str, tmp_path: Path, label: str) -> None:
    others = [name for name in TRAIN if not name.startswith(f"train_{label}")]
    data = WSVADDataModule(store, split=write_split(tmp_path, train=others, test=["test_normal_000"]))
    data.setup("fit")
    with pytest.raises(WSVADError, match=f"no {label} video"):
        data.train_dataloader()
    if label == "normal":
        check(store, "fit", "no normal video", split=str(tmp_path / "split.json"), normalize="zscore")


def test_holding_out_must_leave_something(store: str, tmp_path: Path) -> None:
    split = write_split(tmp_path, train=TRAIN[1:], test=["test_normal_000"])
    check(store, "fit", "of 1 normal training videos it leaves none", split=split, val_fraction=0.5)
