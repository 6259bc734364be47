"""Clips of pixels: pairs, seeds, ranks, resuming, whole videos, and what is refused."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from torch import Tensor

from tests.data.loading.test_datamodule import SaveAt, make_trainer, write_split
from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.data.loading.datamodule import WSVADDataModule
from wsvad_lightning.data.loading.dataset import BatchLoader
from wsvad_lightning.data.loading.frames import ClipDataModule, require_clips
from wsvad_lightning.data.store import Provenance, StoreWriter
from wsvad_lightning.data.store.synthetic import make_store
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.types import ClipBatch
from wsvad_lightning.video.reader import VideoReader
from wsvad_lightning.video.writer import write_video

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning"),  # Lightning's use of torch
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
]

LENGTHS = {f"{label}{i}": 20 + 7 * i for label in ("normal", "fight") for i in range(4)}
Seen = tuple[tuple[str, ...], tuple[int, ...], float]


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight videos, frame t of video v in grey 5 t + v, and a table of them."""
    folder = tmp_path_factory.mktemp("footage")
    rows = ["video,label,split"]
    for number, (name, count) in enumerate(LENGTHS.items()):
        with write_video(folder / "videos" / f"{name}.mp4", fps=10, crf=0) as video:
            for t in range(count):
                video.write(np.full((32, 48, 3), 5 * t + number, np.uint8))
        rows.append(f"{name},{name[:-1]},{'test' if name.endswith('3') else 'train'}")
    (folder / "table.csv").write_text("\n".join(rows))
    return folder


def make(footage: Path, **settings: Any) -> ClipDataModule:
    given = {"length": 4, "stride": 2, "size": 16, "batch_size": 2, "crop": "random"}
    table = {"annotations": str(footage / "table.csv")}
    return ClipDataModule(str(footage / "videos"), **{**given, **table, **settings})


def train(data: ClipDataModule) -> BatchLoader[ClipBatch]:
    data.setup("fit")
    return data.train_dataloader()


def seen(batch: ClipBatch) -> Seen:
    return tuple(batch.video_ids), tuple(batch.starts.tolist()), float(batch.clips.double().sum())


def grey(batch: ClipBatch) -> list[list[int]]:
    """The frames that each clip shows, by their grey."""
    numbers = [list(LENGTHS).index(name) for name in batch.video_ids]
    levels = (batch.clips * 255).mean(dim=(1, 3, 4)).tolist()
    return [
        [round((level - number) / 5) for level in row] for row, number in zip(levels, numbers, strict=True)
    ]


class Recorder(LightningModule):
    """Notes the batches it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(16, 1)
        self.trained: list[Seen] = []
        self.scored: list[ClipBatch] = []

    def training_step(self, batch: ClipBatch, batch_idx: int) -> Tensor:
        self.trained.append(seen(batch))
        loss: Tensor = self.layer(batch.clips).mean()
        return loss

    def validation_step(self, batch: ClipBatch, batch_idx: int) -> None:
        self.scored.append(batch)

    test_step = validation_step

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)


# ------------------------------------------------------------------------------------------------ training


def test_labelled_batches_are_paired(footage: Path) -> None:
    loader = train(make(footage, labelled=True))
    assert len(loader) == 1
    for batch in loader:
        assert batch.clips.shape == (4, 3, 4, 16, 16)
        assert batch.labels.tolist() == [0, 0, 1, 1]
        assert [name[:-1] for name in batch.video_ids] == ["normal", "normal", "fight", "fight"]
        assert grey(batch) == batch.frames.tolist()
        assert (batch.frames[:, 0] == batch.starts).all()
        assert (batch.frames.diff() == 2).all()
        assert batch.num_frames.tolist() == [LENGTHS[name] for name in batch.video_ids]
        assert batch.fps.tolist() == [10] * 4
        assert 0 <= batch.clips.min() <= batch.clips.max() <= 1


def test_a_pass_without_labels_sees_all_footage(footage: Path) -> None:
    data = make(footage, batch_size=1)
    loader = train(data)
    batches = list(loader)
    expected = {name: LENGTHS[name] // 8 for name in data.parts["train"]}
    names = [batch.video_ids[0] for batch in batches]
    assert {name: names.count(name) for name in expected} == expected
    assert len(loader) == sum(expected.values())
    assert all(batch.labels.isnan().all() for batch in batches)
    for name, count in expected.items():  # each clip begins in its own part of the video
        starts = sorted(int(batch.starts) for batch in batches if batch.video_ids == [name])
        choices = LENGTHS[name] - 6
        assert [start * count // choices for start in starts] == [*range(count)]


def test_without_split_and_table_all_videos_train(footage: Path) -> None:
    data = make(footage, annotations=None)
    data.setup("fit")
    assert data.parts["train"] == sorted(LENGTHS)


def test_a_part_of_all_videos_is_held_out_whatever_their_labels(footage: Path) -> None:
    parts = make(footage, annotations=None, val_fraction=0.25, seed=2).parts
    assert len(parts["val"]) == 2
    assert sorted(parts["train"] + parts["val"]) == sorted(LENGTHS)
    assert make(footage, annotations=None, val_fraction=0.25, seed=2).parts == parts
    in_pairs = make(footage, val_fraction=0.25, labelled=True).parts["val"]
    assert [name[:-1] for name in in_pairs] == ["fight", "normal"]
    check(
        "of 8 training videos it leaves none",
        lambda: make(footage, annotations=None, val_fraction=0.99).parts,
    )


def test_videos_without_a_known_length_are_indexed_with_progress(
    footage: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "table.csv"
    table.write_text("video,label,num_frames,split\nnormal0,normal,20,train\n")
    monkeypatch.setattr("rich._console", Console(force_terminal=True))
    for annotations, shown in ((footage / "table.csv", True), (table, False)):
        train(make(footage, annotations=str(annotations)))
        assert ("indexing videos" in capsys.readouterr().out) == shown


def test_the_seed_decides_and_workers_do_not(footage: Path) -> None:
    first = [seen(batch) for batch in train(make(footage))]
    assert [seen(batch) for batch in train(make(footage, num_workers=2))] == first
    assert [seen(batch) for batch in train(make(footage, seed=1))] != first


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_resumed_run_sees_the_batches_of_an_uninterrupted_one(
    footage: Path, tmp_path: Path, num_workers: int
) -> None:
    def fit(max_steps: int, callbacks: Sequence[Callback] = (), ckpt_path: Path | None = None) -> list[Seen]:
        module = Recorder()
        trainer = make_trainer(tmp_path, callbacks, max_steps=max_steps, max_epochs=-1)
        trainer.fit(module, make(footage, num_workers=num_workers), ckpt_path=ckpt_path)
        return module.trained

    checkpoint = tmp_path / "run.ckpt"
    whole = fit(14, [SaveAt(checkpoint, 5, at_epoch_end=False)])  # an epoch has nine steps
    assert len(set(whole)) == 14
    assert fit(14, ckpt_path=checkpoint) == whole[5:]


class DumpRank(Callback):
    """Writes what its rank saw."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        assert isinstance(pl_module, Recorder)
        scored = [batch.video_ids[0] for batch in pl_module.scored]
        (self.folder / f"{trainer.global_rank}.json").write_text(
            json.dumps(
                [[*zip(names, starts, strict=True)] for names, starts, _ in pl_module.trained] or scored
            )
        )


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_two_processes_share_the_clips(footage: Path, tmp_path: Path) -> None:
    def run(stage: str) -> list[list[Any]]:
        trainer = make_trainer(
            tmp_path, [DumpRank(tmp_path)], devices=2, strategy="ddp_fork", use_distributed_sampler=False
        )
        trainer.fit_loop.max_epochs = 1
        getattr(trainer, stage)(Recorder(), make(footage))
        return [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1)]

    first, second = run("fit")
    assert len(first) == len(second) == 4
    clips = [tuple(clip) for batch in first + second for clip in batch]
    assert len(set(clips)) == len(clips) == 16
    first, second = run("test")
    assert (set(first), set(second)) == ({"fight3"}, {"normal3"})


def test_memory_is_bounded_by_few_open_videos(footage: Path) -> None:
    def open_files() -> int:
        links = [link.resolve() for link in Path("/proc/self/fd").iterdir() if link.exists()]
        return len([link for link in links if link.is_relative_to(footage)])

    data, before = make(footage), open_files()  # other tests may have left some
    data.readers.most_open = 2
    assert [open_files() - before for _ in train(data)][1:] == [2] * 8


# ------------------------------------------------------------------------------------------- whole videos


def test_whole_videos_come_in_order(footage: Path) -> None:
    data = make(footage, length=4, stride=3, size=(16, 24), crop="full")
    data.setup("test")
    batches = list(data.test_dataloader())
    for name in data.parts["test"]:
        own = [batch for batch in batches if batch.video_ids[0] == name]
        assert torch.cat([batch.starts for batch in own]).tolist() == [0, 12, 24, 36]
        assert own[-1].frames[-1].tolist() == [36, 39, 40, 40]
        assert [row for batch in own for row in grey(batch)] == torch.cat([b.frames for b in own]).tolist()
    assert [batch.video_ids[0] for batch in batches] == ["fight3"] * 2 + ["normal3"] * 2


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_ranks_validate_equally_many_batches_without_labels(
    footage: Path, world_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = {"train": ["normal0"], "val": ["normal1", "fight2", "fight3"]}
    seen: list[tuple[str, int]] = []
    for rank in range(world_size):
        data = make(footage, labelled=False)
        data.catalogue.parts = {"test": [], **split}
        monkeypatch.setattr(ClipDataModule, "_rank", rank)
        monkeypatch.setattr(ClipDataModule, "_world_size", world_size)
        loader = data.val_dataloader()
        assert isinstance(loader, BatchLoader)
        assert len(loader) == 8 // world_size  # batches of two clips of eight frames: 2 + 3 + 3
        seen += [(batch.video_ids[0], int(batch.starts[0])) for batch in loader]
    assert len(set(seen)) == len(seen) == 8 // world_size * world_size


def test_videos_are_played_at_a_rate(footage: Path) -> None:
    data = make(footage, fps=5, crop="full", stride=1)
    data.setup("test")
    batch = next(iter(data.test_dataloader()))
    path = data.footage[batch.video_ids[0]]
    frames = np.stack(list(VideoReader(path, resample=5)))
    assert batch.num_frames[0] == len(frames) == 21
    number = list(LENGTHS).index(batch.video_ids[0])
    assert grey(batch)[0] == ((frames[:4].mean(axis=(1, 2, 3)) - number) / 5).round().tolist()


# ------------------------------------------------------------------------------------------------ depth


def depth_store(path: Path, names: Sequence[str], *, channels: int = 1, frames: int = 0) -> str:
    views = {"depth": tuple(f"r{r}c{c}" for r in range(2) for c in range(3))}
    with StoreWriter(path, Provenance("depth", "noise", 4, 4, views=views)) as writer:
        for name in names:
            count = LENGTHS[name] + frames
            snippets = -(-count // 4)
            values = np.arange(snippets, dtype=np.float32)[:, None, None] + np.arange(6)[:, None] / 10
            values = np.repeat(values, channels, axis=2).astype(np.float32)
            writer.add(VideoAnnotation(name, 0), {"depth": values}, num_frames=count, fps=10)
    return str(path)


def test_batches_carry_depth(footage: Path, tmp_path: Path) -> None:
    store = depth_store(tmp_path / "d.h5", list(LENGTHS))
    batch = next(iter(train(make(footage, depth_store=store, crop="full"))))
    assert batch.depth is not None
    grid = torch.arange(6).reshape(2, 3) / 10
    torch.testing.assert_close(batch.depth, (batch.frames // 4)[..., None, None] + grid)
    cropped = next(iter(train(make(footage, depth_store=store, crop="center"))))
    assert cropped.depth is not None
    # 7/8 of the largest square: 28 of 32 rows and 28 of 48 columns, around the centre.
    rows, columns = 0.5 + torch.tensor([-0.25, 0.25]) * 28 / 32, torch.tensor([-1 / 3, 0, 1 / 3]) * 28 / 48
    expected = 0.3 * (rows * 2 - 0.5)[:, None] + 0.1 * (1 + 3 * columns)
    expected = expected + cropped.frames[0, 0] // 4
    torch.testing.assert_close(cropped.depth[0, 0], expected, atol=0.02, rtol=0)  # to whole pixels


# -------------------------------------------------------------------------------------------- what is refused


def check(problem: str, action: Callable[[], object]) -> None:
    with pytest.raises(WSVADError, match=problem) as error:
        action()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"length": 0}, "data.length='0': must be at least 1"),
        ({"stride": 0}, "data.stride='0'"),
        ({"size": (0, 16)}, "data.size='0'"),
        ({"batch_size": 0}, "data.batch_size='0'"),
        ({"fps": 0.0}, "data.fps='0.0': must be more than 0"),
        ({"fps": float("inf")}, "data.fps='inf'"),
    ],
)
def test_numbers_out_of_range_are_named(footage: Path, settings: dict[str, Any], problem: str) -> None:
    check(problem, lambda: make(footage, **settings))


def test_a_store_is_refused_where_frames_are_needed(tmp_path: Path) -> None:
    store = str(make_store(tmp_path / "s.h5", train=1, test=1))
    check(r"data.videos='.*s\.h5': is a feature store, and frames are needed", lambda: ClipDataModule(store))
    check(
        r"data.store='.*s\.h5': holds features, and SVMAE needs frames. Give data.videos",
        lambda: require_clips("SVMAE", WSVADDataModule(store)),
    )


def test_clips_longer_than_a_video_are_refused(footage: Path) -> None:
    problem = "data.length='12': a clip spans 23 frames, and of 2 training videos each has fewer: .*0 has 20"
    check(problem, lambda: train(make(footage, length=12)))


def test_missing_videos_are_named(footage: Path, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("video,label,split\nnormal0,normal,train\ngone,fight,train\n")
    check(
        "data.videos='.*': lacks gone of the annotations",
        lambda: train(make(footage, annotations=str(table))),
    )
    split = write_split(tmp_path, train=["normal0", "gone"])
    check("1 of its videos are not in data.videos: gone", lambda: train(make(footage, split=split)))


def test_annotated_lengths_must_be_those_of_the_videos(footage: Path, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("video,label,num_frames,split\nnormal0,normal,30,train\nnormal1,normal,27,train\n")
    loader = train(make(footage, annotations=str(table)))
    check("normal0.*30 frames are annotated and the video has 20", lambda: list(loader))


def test_pairs_need_labels(footage: Path) -> None:
    check("have no label", lambda: train(make(footage, annotations=None, labelled=True)))


def test_sizes_must_be_multiples_of_the_patch(footage: Path) -> None:
    data = make(footage, length=6, size=(32, 40))
    data.check_patches("SVMAE", tubelet=2, patch=8)
    check(
        "data.size='40': must be a multiple of 16, which SVMAE cuts it into. Give 32, for example",
        lambda: data.check_patches("SVMAE", 2, 16),
    )
    check("data.length='6': must be a multiple of 4", lambda: data.check_patches("SVMAE", 4, 8))


def test_depth_must_fit_the_videos(footage: Path, tmp_path: Path) -> None:
    names = list(LENGTHS)
    lacks = depth_store(tmp_path / "a.h5", names[:-4])
    check("data.depth_store='.*no.h5': no such", lambda: make(footage, depth_store=str(tmp_path / "no.h5")))
    check("lacks 3 of the videos, such as fight0", lambda: train(make(footage, depth_store=lacks)))
    wide = depth_store(tmp_path / "b.h5", names, channels=2)
    check("depth has 2 channels and 6 views, not a depth map", lambda: make(footage, depth_store=wide))
    check(
        r"data.depth_stream='other': .* holds the streams \['depth'\]",
        lambda: make(footage, depth_store=wide, depth_stream="other"),
    )
    longer = depth_store(tmp_path / "c.h5", names, frames=4)
    check("frames of it, the video", lambda: list(train(make(footage, depth_store=longer))))


def test_a_broken_video_is_named_where_it_is_met(tmp_path: Path) -> None:
    (tmp_path / "normal0.mp4").write_bytes(b"no video")
    table = tmp_path / "table.csv"
    table.write_text("video,label,num_frames,split\nnormal0.mp4,normal,20,train\n")
    data = ClipDataModule(str(table), length=2, size=16, batch_size=1)
    check(r"normal0\.mp4.*cannot be decoded", lambda: list(train(data)))


# ------------------------------------------------------------------------------------- broken videos


@pytest.fixture
def damaged(footage: Path, tmp_path: Path) -> Path:
    """The videos, one of each part no video, and one another number of frames than annotated."""
    shutil.copytree(footage / "videos", tmp_path / "videos")
    for name in ("fight1", "normal3"):
        (tmp_path / "videos" / f"{name}.mp4").write_bytes(b"no video")
    rows = (footage / "table.csv").read_text().replace("video,label", "video,num_frames,label")
    rows = rows.replace(",normal,", ",,normal,").replace(",fight,", ",,fight,")
    (tmp_path / "table.csv").write_text(rows.replace("normal1,,", "normal1,99,"))
    return tmp_path


def test_broken_videos_are_named_and_left_out_where_that_is_asked(
    damaged: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(WSVADError, match=r"fight1\.mp4': cannot be decoded.*by --data\.skip_broken"):
        train(make(damaged, labelled=True))
    data = make(damaged, labelled=True, skip_broken=True)
    seen = {name for batch, _ in zip(train(data), range(9), strict=False) for name in batch.video_ids}
    assert seen == {"normal0", "normal2", "fight0", "fight2"} == {*data.parts["train"]}
    skipped = [line for line in caplog.messages if line.startswith("skipped: ")]
    assert ["fight1.mp4" in line or "99 frames are annotated" in line for line in skipped] == [True, True]
    data.setup("test")
    assert {name for batch in data.test_dataloader() for name in batch.video_ids} == {"fight3"}


def test_nothing_is_left_where_all_videos_are_broken(damaged: Path) -> None:
    for path in (damaged / "videos").iterdir():
        path.write_bytes(b"no video")
    with pytest.raises(WSVADError, match="none of its videos can be read, as listed above"):
        train(make(damaged, skip_broken=True))


@pytest.mark.parametrize("labelled", [True, False])
def test_a_video_that_breaks_later_is_replaced_by_another_one(
    labelled: bool, footage: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its packets may be whole, and what they hold not; here the file changes after it was opened."""
    shutil.copytree(footage / "videos", tmp_path / "videos")
    shutil.copy(footage / "table.csv", tmp_path)
    runs = []
    for _ in range(2):
        shutil.copy(footage / "videos" / "fight1.mp4", tmp_path / "videos")
        loader = train(make(tmp_path, labelled=labelled, batch_size=3, skip_broken=True))
        (tmp_path / "videos" / "fight1.mp4").write_bytes(b"no video")
        runs.append([(batch.video_ids, batch.starts.tolist()) for batch in loader])
    assert runs[0] == runs[1]
    assert "fight1" not in {name for video_ids, _ in runs[0] for name in video_ids}
    if labelled:
        ((names, _),) = runs[0]
        assert [name[:-1] for name in names] == 3 * ["normal"] + 3 * ["fight"]
    named = [line for line in caplog.messages if "clips of fight1 are left out: cannot be decoded" in line]
    assert len(named) == 2  # once a run
