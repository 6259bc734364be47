"""Normal videos alone become a model that raises alarms."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.videos import VideoMaker
from wsvad_lightning import Detector
from wsvad_lightning.cli import main
from wsvad_lightning.video.writer import write_video


def still(path: Path, num_frames: int, rng: np.random.Generator) -> Path:
    """A video in which nothing moves but noise."""
    with write_video(path, fps=10, crf=10) as video:
        for _ in range(num_frames):
            video.write(rng.integers(90, 110, (48, 64, 3)).astype(np.uint8))
    return path


def test_one_command_makes_a_calibrated_model(make_video: VideoMaker, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for k in range(5):
        still(tmp_path / "normal" / f"{k}.mp4", 16, rng)
    (tmp_path / "normal" / "in_recording.mp4").write_bytes((tmp_path / "normal" / "0.mp4").read_bytes()[:400])
    run = ["normal", str(tmp_path / "normal"), "--output", str(tmp_path / "out"), "--skip-broken"]
    assert main([*run, "--false_alarms_per_hour", "2000"]) == 1
    checkpoint = tmp_path / "out" / "run" / "version_0" / "checkpoints" / "last.ckpt"
    calibration = Detector.from_checkpoint(checkpoint).calibration
    assert calibration is not None
    assert (calibration.videos, calibration.alarms) == (1, 0)
    lines = {}
    for video in (still(tmp_path / "calm.mp4", 16, rng), make_video("moves.mp4", 16)):
        folder = tmp_path / video.stem
        assert main(["watch", str(video), "--ckpt_path", str(checkpoint), "--output", str(folder)]) == 0
        lines[video.stem] = [*map(json.loads, (folder / "watch.jsonl").read_text("utf-8").splitlines())]
    (alarm,) = [line for line in lines["moves"] if line["kind"] == "alarm"]
    assert alarm["score"] > 0.1 + max(line["score"] for line in lines["calm"] if line["kind"] == "score")
    assert len(alarm["region"]) == 4


def test_a_single_video_or_another_recipe_is_refused(
    make_video: VideoMaker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = make_video("gate.mp4", 3)
    assert main(["normal", str(video), "--output", str(tmp_path / "out")]) == 2
    assert "has a single video, and the threshold is found on others" in capsys.readouterr().err
    make_video("gate_2.mp4", 3)
    assert main(["normal", str(tmp_path), "--recipe", "none.yaml", "--output", str(tmp_path / "out")]) == 2
    assert "'none.yaml': is neither a file nor a shipped configuration" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
