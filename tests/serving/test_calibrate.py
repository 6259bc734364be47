"""`wsvad calibrate`: into the checkpoint, and what `test`, `predict` and `Detector` make of it."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.methods.small import smaller
from wsvad_lightning import Detector
from wsvad_lightning.calibration import (
    KEY,
    ScoredVideo,
    as_entry,
    read_calibration,
    read_streamed_calibration,
)
from wsvad_lightning.checkpoint import content_checksum, read_checkpoint
from wsvad_lightning.cli import main
from wsvad_lightning.data.store import FeatureStore
from wsvad_lightning.data.store.synthetic import make_store


def fit(folder: Path, store: Path, *more: str) -> Path:
    run = ["fit", "--config", "ucf_sultani.yaml", "--config", "with/smoke.yaml", "--data.store", str(store)]
    assert main([*run, "--output", str(folder), "--name", "run", "--trainer.max_steps", "5", *more]) == 0
    return folder / "run" / "version_0" / "checkpoints" / "last.ckpt"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("store") / "s.h5", train=8, dim=6, seed=3)


@pytest.fixture(scope="module")
def trained(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint whose training held out two normal videos."""
    return fit(tmp_path_factory.mktemp("run"), store, "--data.val_fraction", "0.25")


@pytest.fixture(scope="module")
def calibrated(trained: Path) -> Path:
    path = trained.with_name("calibrated.ckpt")
    assert main(["calibrate", "--ckpt_path", str(trained), "--pause", "0", "-o", str(path)]) == 0
    return path


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text("utf-8").splitlines()))


def test_the_held_out_normal_videos_calibrate(calibrated: Path, trained: Path, store: Path) -> None:
    found = Detector.from_checkpoint(calibrated).calibration
    assert found is not None
    assert found.videos == 2
    content = read_checkpoint(calibrated)
    assert read_calibration(content) == found
    before = read_checkpoint(trained)
    assert KEY not in before
    same = {name for name in before if content_checksum(before[name]) == content_checksum(content[name])}
    assert before.keys() - same == {"wsvad_checksums"}
    streamed = read_streamed_calibration(content)
    assert streamed is not None
    assert as_entry(streamed) == {**as_entry(found), "window": 1, "look_ahead": 0}  # of exact scores
    held_out = [name for name in FeatureStore(store) if "train_normal" in name]
    scores = Detector.from_checkpoint(trained).score_store(store, videos=held_out)
    highest = {float(one.scores.max()) for one in scores.values()}
    assert found.levels[-1] in highest  # that of the higher one of two


def test_normal_videos_alone_train_a_method_without_labels_and_calibrate_it(
    store: Path, tmp_path: Path
) -> None:
    normal = [name for name in FeatureStore(store) if "train_normal" in name]
    (tmp_path / "split.json").write_text(json.dumps({"train": normal, "test": []}))
    held_out = ["--data.split", str(tmp_path / "split.json"), "--data.val_fraction", "0.25"]
    small = ["--config", "with/smoke.yaml", "--data.features", "features", *smaller("FRDUVAD", tmp_path, 6)]
    where = ["--data.store", str(store), "--output", str(tmp_path), "--name", "run"]
    assert main(["fit", "--config", "ped2_frduvad.yaml", *small, *held_out, *where]) == 0
    checkpoint = tmp_path / "run" / "version_0" / "checkpoints" / "last.ckpt"
    assert main(["calibrate", "--ckpt_path", str(checkpoint)]) == 0
    calibration = Detector.from_checkpoint(checkpoint).calibration
    assert calibration is not None
    assert calibration.videos == round(0.25 * len(normal))


def test_the_checkpoint_itself_is_replaced_whole(
    trained: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "mine.ckpt"
    path.write_bytes(trained.read_bytes())
    (link := tmp_path / "link.ckpt").symlink_to(path)
    assert main(["calibrate", "--ckpt_path", str(link)]) == 0
    assert link.is_symlink()
    assert KEY in read_checkpoint(path)
    assert "too few to promise 1 an hour: 3 h without a false alarm are required" in caplog.text
    assert sorted(one.name for one in tmp_path.iterdir()) == ["link.ckpt", "mine.ckpt"]


def test_training_goes_on_from_a_calibrated_checkpoint(
    calibrated: Path, trained: Path, store: Path, tmp_path: Path
) -> None:
    more = ["--data.val_fraction", "0.25", "--trainer.max_steps", "8", "--ckpt_path"]
    ends = [fit(tmp_path / path.stem, store, *more, str(path)) for path in (trained, calibrated)]
    plain, resumed = (read_checkpoint(end) for end in ends)
    assert resumed["global_step"] == 8
    assert KEY not in resumed  # its weights are others
    assert content_checksum(resumed["state_dict"]) == content_checksum(plain["state_dict"])


def test_other_normal_videos_calibrate(
    trained: Path, store: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = make_store(tmp_path / "other.h5", train=2, test=1, dim=6, seed=9)
    run = ["calibrate", "--ckpt_path", str(trained), "-o", str(tmp_path / "a.ckpt"), "--data.store"]
    assert main([*run, str(other)]) == 0
    assert "left out: 3 abnormal" in caplog.text
    found = read_calibration(read_checkpoint(tmp_path / "a.ckpt"))
    assert found is not None
    assert found.videos == 3
    assert main([*run, str(store)]) == 0  # of which two are held out
    assert "left out: 11 abnormal, 9 of the training or test" in caplog.text
    found = read_calibration(read_checkpoint(tmp_path / "a.ckpt"))
    assert found is not None
    assert found.videos == 2


def test_videos_that_were_trained_on_are_refused(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = fit(tmp_path, store)
    before = checkpoint.read_bytes()
    assert main(["calibrate", "--ckpt_path", str(checkpoint)]) == 2
    assert "held out no normal video" in capsys.readouterr().err
    assert main(["calibrate", "--ckpt_path", str(checkpoint), "--data.store", str(store)]) == 2
    assert "no normal video that the model was neither trained nor is tested on" in capsys.readouterr().err
    assert checkpoint.read_bytes() == before


def test_test_measures_alarms(
    calibrated: Path, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["test", "--ckpt_path", str(calibrated), "--output", str(tmp_path), "--name", "t"]) == 0
    assert "false alarms an hour" in capsys.readouterr().out
    folder = tmp_path / "t" / "version_0"
    figures = json.loads((folder / "metrics.json").read_text())["alarms"]
    alarms = rows_of(folder / "alarms.csv")
    false = [row for row in alarms if "normal" in row["video"] and "abnormal" not in row["video"]]
    assert figures["false_alarms"] == len(false)
    hours = sum(
        FeatureStore(store)[name].num_frames / FeatureStore(store)[name].fps / 3600
        for name in FeatureStore(store)
        if name.startswith("test_normal")
    )
    assert figures["normal_hours"] == pytest.approx(hours)
    truth = rows_of(folder / "truth.csv")
    assert figures["events"] == len(truth)
    found = [
        any(
            row["video"] == event["video"]
            and float(row["start_seconds"]) < float(event["end_seconds"])
            and float(row["end_seconds"]) > float(event["start_seconds"])
            for row in alarms
        )
        for event in truth
    ]
    assert figures["events_found"] == pytest.approx(sum(found) / len(found))


def test_predict_says_what_scores_mean_and_gives_alarms(
    calibrated: Path, store: Path, tmp_path: Path
) -> None:
    run = ["predict", "--ckpt_path", str(calibrated), "--data.store", str(store)]
    assert main([*run, "--output", str(tmp_path), "--name", "p"]) == 0
    folder, detector = tmp_path / "p" / "version_0", Detector.from_checkpoint(calibrated)
    calibration, opened = detector.calibration, FeatureStore(store)
    assert calibration is not None
    assert f"alarm: {calibration.threshold}" in (folder / "predict.yaml").read_text()
    scores: dict[str, list[tuple[float, float]]] = {}
    for row in rows_of(folder / "scores.csv"):
        scores.setdefault(row["video"], []).append((float(row["score"]), float(row["calibrated"])))
    expected: list[list[Any]] = []
    for name, one in detector.score_store(store).items():
        values = torch.stack([one.scores.double(), torch.from_numpy(calibration.calibrated(one.scores))], 1)
        np.testing.assert_allclose(scores[name], values, atol=1e-5)
        stride, fps = opened.provenance.grid.stride, opened[name].fps
        video = ScoredVideo(
            np.arange(len(one.scores)) * stride / fps, one.scores.numpy(), one.num_frames / fps
        )
        expected += [[name, *alarm] for alarm in calibration.rule.alarms(*video)]
    rows = rows_of(folder / "alarms.csv")
    names = ("video", "start_seconds", "end_seconds", "peak_seconds", "score")
    assert [row["video"] for row in rows] == [row[0] for row in expected]
    assert expected
    np.testing.assert_allclose(
        [[float(row[name]) for name in names[1:]] for row in rows],
        [row[1:] for row in expected],
        atol=1e-3,
    )


def test_a_calibration_that_is_not_ours_is_refused(
    calibrated: Path, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = torch.load(calibrated, weights_only=True)
    content[KEY]["threshold"] = "import os"
    path = tmp_path / "odd.ckpt"
    torch.save(content, path)
    run = [
        "predict",
        "--data.store",
        str(store),
        "--output",
        str(tmp_path / "runs"),
        "--ckpt_path",
        str(path),
    ]
    assert main(run) == 2
    assert "its entry 'calibration' is not what was written" in capsys.readouterr().err
    del content["wsvad_checksums"]
    torch.save(content, path)
    assert main(run) == 2
    assert "threshold is not of type" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
