"""Several processes give what one gives, and end together with one line."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from torch.multiprocessing.spawn import ProcessExitedException

from tests.processes import run_command, save_script
from tests.runs.test_stopping import fit
from wsvad_lightning.cli import main
from wsvad_lightning.data.store.synthetic import make_store
from wsvad_lightning.ranks import Watch, explained, forks_explained, killed_among

THREE = ["--trainer.strategy", "ddp_fork", "--trainer.devices", "3", "--trainer.accelerator", "cpu"]

PLUGIN = """
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.methods import Sultani


class Fails(Sultani):
    def training_step(self, batch, batch_idx):
        if self.trainer.global_rank == 1 and batch_idx == 1:
            raise WSVADError("video", batch.video_ids[0], "is damaged", "Replace it")
        return super().training_step(batch, batch_idx)
"""


@pytest.mark.parametrize("command", ["test", "validate", "predict"])
def test_more_processes_than_videos_give_what_one_gives(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The processes are forked, which is quick; the last one has no video."""
    made = make_store(tmp_path / "store.h5", crops=2, train=3, test=1, classes=("fall",))
    names = {
        part: [f"train_{label}_00{i}" for label in ("normal", "abnormal")]
        for i, part in ((0, "train"), (1, "val"))
    }
    names["test"] = ["test_normal_000", "test_abnormal_000"]
    (tmp_path / "split.json").write_text(json.dumps(names))
    assert (
        main(fit(made, tmp_path, "--data.split", str(tmp_path / "split.json"), "--trainer.max_steps", "1"))
        == 0
    )
    checkpoint = tmp_path / "s" / "version_0" / "checkpoints" / "last.ckpt"
    few = make_store(tmp_path / "few.h5", crops=2, train=0, test=1)
    store = ["--data.store", str(few), "--data.split", "null"] if command == "predict" else []
    found = {}
    for name, several in {"one": [], "three": THREE}.items():
        where = ["--output", str(tmp_path), "--name", name]
        assert main([command, "--ckpt_path", str(checkpoint), *where, *store, *several]) == 0
        folder = tmp_path / name / "version_0"
        tables = [path.read_text() for path in sorted(folder.glob("*s.csv"))]
        metrics = folder / "metrics.json"
        found[name] = tables, json.loads(metrics.read_text())["metrics"] if command == "test" else None
    assert found["three"] == found["one"]
    assert found["one"][0]


def test_a_mistake_on_one_ends_all_with_one_line(store: Path, tmp_path: Path) -> None:
    (tmp_path / "fails.py").write_text(PLUGIN)
    two = ["--model", "fails.Fails", "--config", "with/ddp.yaml", "--data.batch_size", "1"]
    done = run_command(*fit(store, tmp_path, *two), cwd=save_script(tmp_path))
    assert done.returncode == 2, done.stderr[-3000:]
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "error" in line.lower()]
    assert line.startswith("error: video='train_normal_")


def test_a_mistake_of_a_forked_process_is_one_line(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "forked.py").write_text(PLUGIN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    args = ["--model", "forked.Fails", "--data.batch_size", "1", *THREE[:3], "2", *THREE[4:]]
    assert main(fit(store, tmp_path, *args)) == 2
    said = capsys.readouterr().err
    (line,) = [line for line in said.splitlines() if "error" in line.lower()]
    assert line.startswith("error: video='train_normal_")
    assert "Traceback" not in said


def test_a_forked_process_that_was_killed_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, forks_explained():
        raise ProcessExitedException("", 0, 1, -signal.SIGKILL, "SIGKILL")
    assert ended.value.code == 128 + signal.SIGKILL
    assert "killed by SIGKILL" in capsys.readouterr().err


def sleep_of(seconds: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(["sleep", seconds])


def test_a_process_that_was_killed_is_seen_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    watch = Watch([sleep_of("0"), sleep_of("60")])
    watch._processes[0].wait()
    assert watch.code() == 0
    watch._processes[1].kill()
    assert killed_among([watch]) == -signal.SIGKILL
    assert explained(watch.code()) == 128 + signal.SIGKILL
    assert "killed by SIGKILL" in capsys.readouterr().err


def test_one_that_ended_by_itself_has_said_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert explained(143) == 143
    assert capsys.readouterr().err == ""


def test_started_processes_that_wait_for_others_are_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wsvad_lightning.ranks.PATIENCE", 0.1)
    process = sleep_of("60")
    Watch([process]).end()
    assert process.wait(10) == -signal.SIGKILL


def test_a_process_that_waits_for_a_failed_one_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wsvad_lightning.ranks.PATIENCE", 0.1)
    ended: list[int] = []
    monkeypatch.setattr(os, "_exit", ended.append)
    watch = Watch([subprocess.Popen(["sh", "-c", "exit 2"]), waiting := sleep_of("60")])
    watch.start()
    deadline = time.monotonic() + 10
    while not ended and time.monotonic() < deadline:
        time.sleep(0.05)
    watch.leave()
    assert ended[0] == 2
    assert waiting.wait(10) == -signal.SIGKILL
