"""What is known of videos, splits and labels, without a trainer."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.data.loading.catalogue import Catalogue
from wsvad_lightning.data.loading.datamodule import WSVADDataModule
from wsvad_lightning.data.store import Provenance, StoreWriter
from wsvad_lightning.data.store.synthetic import make_store
from wsvad_lightning.errors import WSVADError

TRAIN = [f"train_{kind}_{i:03d}" for kind in ("abnormal", "normal") for i in range(4)]
TEST = ["test_abnormal_000", "test_normal_000"]
FEW = "8 training videos are too few to recognise another camera later. That takes 24, see docs/new_camera.md"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("store")
    return str(make_store(folder / "s.h5", train=4, test=1, dim=4, classes=("fight",)))


def test_parts_are_those_of_the_store_or_of_a_chosen_split(store: str, tmp_path: Path) -> None:
    assert Catalogue(store).parts == {"train": TRAIN, "val": [], "test": TEST}
    choices = [{"train": TRAIN, "test": TEST}, {"train": TEST, "test": TRAIN[:2], "val": TRAIN[2:]}]
    path = tmp_path / "splits.json"
    path.write_text(json.dumps({"splits": choices}))
    second = Catalogue(store, str(path), split_index=1)
    assert second.parts == {"train": TEST, "val": TRAIN[2:], "test": TRAIN[:2]}
    assert second.chosen_split == "split 1 of 2"
    assert Catalogue(store).chosen_split is None
    with pytest.raises(WSVADError, match="split_index='2'"):
        _ = Catalogue(store, str(path), split_index=2).parts


def test_a_split_may_name_training_videos_alone(store: str, tmp_path: Path) -> None:
    (tmp_path / "split.json").write_text(json.dumps({"train": TRAIN}))
    catalogue = Catalogue(store, str(tmp_path / "split.json"))
    assert catalogue.parts == {"train": TRAIN, "val": [], "test": []}
    catalogue.require_videos("train")
    with pytest.raises(WSVADError, match=r"split.json': the part 'test' is empty"):
        catalogue.require_videos("test")
    assert sorted(Catalogue(store, str(tmp_path / "split.json"), val_fraction=0.25).parts["val"]) != []


def test_times_of_a_table_are_placed_by_the_frame_rates_of_the_store(store: str, tmp_path: Path) -> None:
    record = Catalogue(store).store["test_abnormal_000"]
    path = tmp_path / "table.csv"
    path.write_text("video;label;start (s);end (s)\ntest_abnormal_000;fight;0;0,5\n")
    catalogue = Catalogue(store, annotations=str(path))
    video = catalogue.annotations["test_abnormal_000"]
    assert (video.intervals, video.seconds) == (((0, round(record.fps / 2)),), None)
    assert catalogue.notes == [
        f"{path}: classes are read from 'fight' (1)",
        f"{path}: times are read from 'start (s)' and 'end (s)'",
    ]
    path.write_text("video;label;start (s);end (s)\ntest_abnormal_000;fight;0;9999\n")
    with pytest.raises(WSVADError, match="from 0 to 9999 seconds passes the end of the video"):
        _ = Catalogue(store, annotations=str(path)).annotations


def test_held_out_videos_are_of_both_labels_and_follow_from_the_seed(store: str) -> None:
    parts = Catalogue(store, val_fraction=0.25, seed=3).parts
    assert sorted(parts["train"] + parts["val"]) == TRAIN
    assert [name.split("_")[1] for name in parts["val"]] == ["abnormal", "normal"]
    assert parts == Catalogue(store, val_fraction=0.25, seed=3).parts
    chosen = {tuple(Catalogue(store, val_fraction=0.25, seed=seed).parts["val"]) for seed in range(8)}
    assert len(chosen) > 1


def test_a_part_is_counted_by_label(store: str, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    rows = ["train_abnormal_000,unknown,train", "train_normal_000,normal,train", "test_normal_000,theft,test"]
    table.write_text("\n".join(["video,label,split", *rows]))
    assert Catalogue(store).summary("train") == "4 normal and 4 abnormal videos"
    catalogue = Catalogue(store, annotations=str(table))
    assert catalogue.summary("train") == "1 normal and 1 unknown videos"
    assert catalogue.summary("test") == "1 abnormal video"
    assert catalogue.summary("val") == "no videos"
    assert catalogue.classes == ("theft",)
    with pytest.raises(WSVADError, match="1 video of the part 'train' has no label: train_abnormal_000"):
        catalogue.require_labels("train")


def test_tables_and_splits_name_videos_by_path(tmp_path: Path) -> None:
    path = tmp_path / "store.h5"
    provenance = Provenance("tiny", "numbers", 16, 16)
    names = ["gate/0001", "yard/0001", "x"]
    with StoreWriter(path, provenance) as writer:
        for name in names:
            features = np.ones((1, 1, 4), np.float32)
            video = VideoAnnotation(name, 0, split="train")
            writer.add(video, {"features": features}, num_frames=16, fps=25.0)
    (tmp_path / "table.csv").write_text(
        "video,label,split\n/mnt/gate/0001.mp4,0,train\n/mnt/yard/0001.mp4,fall,test\nyard/x.avi,1,test\n"
    )
    catalogue = Catalogue(str(path), annotations=str(tmp_path / "table.csv"))
    assert [catalogue.annotations[name].label for name in names] == [0, 1, 1]
    split = tmp_path / "split.json"
    split.write_text(json.dumps({"train": ["gate/0001.mp4"], "test": ["yard/0001", "x.mp4"]}))
    assert Catalogue(str(path), str(split)).parts == {"train": names[:1], "val": [], "test": names[1:]}
    split.write_text(json.dumps({"train": ["0001"], "test": ["x"]}))
    with pytest.raises(WSVADError, match="'0001': may mean gate/0001, yard/0001"):
        _ = Catalogue(str(path), str(split)).parts


@pytest.mark.parametrize("stage", ["fit", "test"])
def test_a_split_file_of_several_says_which_is_used(
    store: str, tmp_path: Path, stage: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "splits.json"
    path.write_text(json.dumps({"splits": 5 * [{"train": TRAIN, "test": TEST}]}))
    with caplog.at_level(logging.INFO, "lightning.pytorch.utilities.rank_zero"):
        WSVADDataModule(store, split=str(path)).setup(stage)
    assert caplog.messages == [f"split 0 of 5 in {path}", *([FEW] if stage == "fit" else [])]


def test_what_is_inferred_from_a_table_is_said_once(
    store: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "table.csv"
    path.write_text("video,label\n" + "".join(f"{name},{'AB'['ab' in name]}\n" for name in TRAIN + TEST))
    path.write_text(path.read_text().replace(",B\n", ",B1-0-0\n"))
    with caplog.at_level(logging.INFO, "lightning.pytorch.utilities.rank_zero"):
        data = WSVADDataModule(store, annotations=str(path))
        data.setup("fit")
        data.setup("test")
    assert data.classes == ("B1",)
    assert caplog.messages == [
        f"note: {path}: abnormal, B1 is read from 'B1-0-0' (5)",
        f"note: {path}: normal is read from 'A' (5)",
        FEW,
    ]


def test_a_catalogue_needs_no_torch(store: str) -> None:
    code = "import sys\nfrom wsvad_lightning.data.loading.catalogue import Catalogue\n"
    code += f"assert Catalogue({store!r}).parts\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
