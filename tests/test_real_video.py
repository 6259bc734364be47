"""Real surveillance video from the file to a tested model, by the commands that a user types."""

import json
from pathlib import Path

import pytest

from wsvad_lightning.cli import main

SPLIT = {
    "train": ["Test003", "Test005", "Test007", "Test012", "Train001", "Train003", "Train005", "Train006"],
    "test": ["Test001", "Test002", "Train002", "Train007"],
}


def test_ped2_from_video_to_localised_anomalies(
    real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = real_data / "ucsd_ped2"
    wanted = {name for names in SPLIT.values() for name in names}
    header, *rows = (source / "annotations.csv").read_text().splitlines()
    table = tmp_path / "videos.csv"
    table.write_text("\n".join([header, *(row for row in rows if row.split(",")[0] in wanted)]) + "\n")
    split = tmp_path / "split.json"
    split.write_text(json.dumps(SPLIT))
    store, where = str(tmp_path / "ped2.h5"), ["--output", str(tmp_path), "--name", "ped2"]

    recipe = ["--annotations", str(table), "--config", "extract/motion.yaml"]
    assert main(["extract", str(source / "videos"), store, *recipe]) == 0
    assert main(["data", "verify", store, "--annotations", str(table), "--split", str(split)]) == 0
    fit = ["fit", "--config", "ped2_urdmu.yaml", "--model.hidden_dim", "64"]
    assert main([*fit, "--data.store", store, "--data.split", str(split), *where]) == 0
    checkpoint = tmp_path / "ped2" / "version_0" / "checkpoints" / "last.ckpt"
    assert main(["test", "--ckpt_path", str(checkpoint)]) == 0
    metrics = json.loads((tmp_path / "ped2" / "version_1" / "metrics.json").read_text())["metrics"]
    assert metrics["auc"] > 0.85
    assert metrics["auc_abnormal"] > 0.6
