"""Tests on videos that a model was trained on say so."""

import json
import shutil
from pathlib import Path

import pytest

from tests.runs.test_run import newest
from wsvad_lightning.cli import main
from wsvad_lightning.data.store.synthetic import make_store


@pytest.fixture(scope="module")
def trained(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    small = ["--config", "with/smoke.yaml", "--model.hidden_dim", "8", "--trainer.max_steps", "1"]
    where = ["--data.store", str(store), "--output", str(folder), "--name", "mine"]
    assert main(["fit", "--config", "ucf_urdmu.yaml", *small, *where]) == 0
    return newest(folder / "mine") / "checkpoints" / "last.ckpt"


def test_test_videos_that_were_trained_on_are_counted_and_named(
    trained: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    split = tmp_path / "other.json"
    split.write_text(
        json.dumps({"train": [], "test": ["test_normal_000", "test_abnormal_000", "train_normal_001"]})
    )
    assert main(["test", "--ckpt_path", str(trained), "--data.split", str(split)]) == 0
    assert "trained on 1 of 3 test videos (train_normal_001)" in caplog.text
    caplog.clear()
    assert main(["test", "--ckpt_path", str(trained)]) == 0
    assert "trained on" not in caplog.text


def test_whatever_they_are_called_and_wherever_they_are(
    trained: Path, store: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    copied = shutil.copy(store, tmp_path / "copied.h5")
    other = make_store(tmp_path / "other.h5", crops=2, classes=("fall", "fight"), seed=8)
    split = tmp_path / "other.json"
    split.write_text(json.dumps({"train": [], "test": ["test_abnormal_000", "train_normal_001"]}))
    assert (
        main(["test", "--ckpt_path", str(trained), "--data.store", str(copied), "--data.split", str(split)])
        == 0
    )
    assert "trained on 1 of 2 test videos (train_normal_001)" in caplog.text
    caplog.clear()
    assert main(["test", "--ckpt_path", str(trained), "--data.store", str(other)]) == 0
    assert "trained on" not in caplog.text
