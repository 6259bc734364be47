"""Videos that a model does not know are named where it scores them."""

import csv
import logging
from pathlib import Path

import pytest

from wsvad_lightning import Detector
from wsvad_lightning.cli import main
from wsvad_lightning.data.loading.familiarity import LIMIT
from wsvad_lightning.data.store.synthetic import make_store
from wsvad_lightning.reporting.scores import NAMED, name_unfamiliar


def test_predictions_of_another_camera_are_named_and_those_of_the_same_are_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    known = make_store(tmp_path / "known.h5", train=12, test=2, dim=24, lengths=(20, 40))
    where = ["--output", str(tmp_path), "--name"]
    small = ["--config", "with/smoke.yaml", "--model.hidden_dim", "8", "--trainer.max_steps", "1"]
    fit = ["fit", "--config", "ucf_urdmu.yaml", "--data.store", str(known)]
    assert main([*fit, *small, *where, "model"]) == 0
    other = make_store(tmp_path / "other.h5", train=1, test=1, dim=24, lengths=(20, 40), offset=2.0)
    checkpoint = tmp_path / "model" / "version_0" / "checkpoints" / "last.ckpt"
    novelties = {}
    for name, store in (("known", known), ("other", other)):
        caplog.clear()
        score = ["predict", "--ckpt_path", str(checkpoint), "--data.store", str(store)]
        with caplog.at_level(logging.INFO):
            assert main([*score, *where, f"scored_{name}"]) == 0
        rows = csv.DictReader(
            (tmp_path / f"scored_{name}" / "version_0" / "videos.csv").read_text().splitlines()
        )
        novelties[name] = [float(row["novelty"]) for row in rows]
        assert ("docs/new_camera.md" in caplog.text) == (name == "other"), novelties
        caplog.clear()
        with caplog.at_level(logging.INFO):
            found = Detector.from_checkpoint(checkpoint).score_store(store)
        assert [one.novelty for one in found.values()] == pytest.approx(novelties[name], abs=1e-3)
        assert ("docs/new_camera.md" in caplog.text) == (name == "other"), novelties
    assert max(novelties["known"]) < LIMIT < min(novelties["other"])
    assert "4 of 4 videos" in caplog.text


def test_many_are_counted_and_the_strangest_come_first(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        name_unfamiliar({})
        name_unfamiliar({"calm": LIMIT - 0.1, "unknown": None})
        assert caplog.text == ""
        name_unfamiliar({"unknown": None})
        assert "is not known: the checkpoint has no statistics" in caplog.text
        caplog.clear()
        name_unfamiliar({f"v{i}": float(i) for i in range(20)})
    lines = caplog.text.splitlines()
    assert "v19 is unlike the training videos, novelty 19.0" in lines[0]
    assert len(lines) == NAMED + 1
    assert "16 of 20 videos" in lines[-1]
