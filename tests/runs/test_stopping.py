"""A signal ends a run after the step in hand, with a checkpoint of it and the status of the signal."""

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.processes import Command, wait_for
from tests.runs.test_resuming import assert_same
from wsvad_lightning.cli import main
from wsvad_lightning.data.loading.datamodule import WSVADDataModule
from wsvad_lightning.methods import Sultani
from wsvad_lightning.signals import Stopped

SIGNALS = pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])


def fit(store: Path, output: Path, *more: str) -> list[str]:
    small = ["--config", "with/smoke.yaml", "--model.hidden_dim", "8", "--trainer.max_steps", "5"]
    where = ["--data.store", str(store), "--output", str(output), "--name", "s"]
    return ["fit", "--config", "ucf_sultani.yaml", *small, *where, *more]


def send(*signals: int) -> Callable[..., None]:
    def hook(*_: Any) -> None:
        for signum in signals:
            os.kill(os.getpid(), signum)

    return hook


def stopped_in(hook: str, owner: type, monkeypatch: pytest.MonkeyPatch, *signals: int, at: int = 0) -> None:
    """Send signals to this process before a method is called, when the trainer has made ``at`` steps."""
    original = getattr(owner, hook)

    def wrapped(self: Any, *args: Any, **settings: Any) -> Any:
        if self.trainer.global_step == at:
            send(*signals)()
        return original(self, *args, **settings)

    monkeypatch.setattr(owner, hook, wrapped)


@SIGNALS
def test_a_training_ends_after_its_step_and_continues_as_if_nothing_had_happened(
    signum: int,
    store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(fit(store, tmp_path)) == 0
    again = (signum, signal.SIGTERM)  # more of them do not disturb it
    with monkeypatch.context() as patched:
        stopped_in("training_step", Sultani, patched, *again, at=2)
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main(fit(store, tmp_path))
    assert stop.value.code == 128 + signum
    last = tmp_path / "s" / "version_1" / "checkpoints" / "last.ckpt"
    name = signal.Signals(signum).name
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == f"stopped by {name} after step 3; --ckpt_path {last} continues"
    assert torch.load(last, weights_only=True)["global_step"] == 3
    assert main(fit(store, tmp_path, "--ckpt_path", str(last))) == 0
    whole, resumed = (tmp_path / "s" / f"version_{n}" / "checkpoints" / "last.ckpt" for n in (0, 2))
    assert_same(whole, resumed)


def test_a_validation_is_not_waited_for_and_done_again(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    validated = ["--config", "with/best_on_val.yaml", "--data.val_fraction", "0.4"]
    validated += ["--trainer.val_check_interval", "2"]
    assert main(fit(store, tmp_path, *validated)) == 0
    with monkeypatch.context() as patched:
        stopped_in("validation_step", Sultani, patched, signal.SIGTERM, at=2)
        with pytest.raises(Stopped, match="143"):
            main(fit(store, tmp_path, *validated))
    folders = [tmp_path / "s" / f"version_{n}" for n in range(3)]
    last = folders[1] / "checkpoints" / "last.ckpt"
    assert main(fit(store, tmp_path, *validated, "--ckpt_path", str(last))) == 0
    for name in ("last.ckpt", "best.ckpt"):
        assert_same(folders[0] / "checkpoints" / name, folders[2] / "checkpoints" / name)


def test_before_the_first_step_nothing_is_left(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(WSVADDataModule, "train_dataloader", send(signal.SIGTERM))
    with pytest.raises(Stopped, match="143"):
        main(fit(store, tmp_path))
    assert capsys.readouterr().err.splitlines()[-1] == "stopped by SIGTERM"
    assert list(tmp_path.iterdir()) == []


def test_a_second_ctrl_c_does_not_wait_for_the_step(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped_in("training_step", Sultani, monkeypatch, signal.SIGINT, signal.SIGINT, at=2)
    with pytest.raises(Stopped, match="130"):
        main(fit(store, tmp_path, "--save_every_steps", "2"))
    last = tmp_path / "s" / "version_0" / "checkpoints" / "last.ckpt"
    assert torch.load(last, weights_only=True)["global_step"] == 2


@pytest.mark.parametrize("without", ["--trainer.enable_checkpointing=false", "--trainer.fast_dev_run=4"])
def test_without_checkpoints_it_stops_too(
    without: str,
    store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stopped_in("training_step", Sultani, monkeypatch, signal.SIGTERM, at=1)
    with pytest.raises(Stopped, match="143"):
        main(fit(store, tmp_path, without))
    assert capsys.readouterr().err.splitlines()[-1] == "stopped by SIGTERM after step 2"


def test_it_ends_where_gradients_are_not_lost(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped_in("training_step", Sultani, monkeypatch, signal.SIGTERM, at=1)
    accumulated = ["--trainer.accumulate_grad_batches", "2", "--data.batch_size", "1"]
    with pytest.raises(Stopped, match="143"):
        main(fit(store, tmp_path, *accumulated))
    last = torch.load(tmp_path / "s/version_0/checkpoints/last.ckpt", weights_only=True)
    assert last["loops"]["fit_loop"]["epoch_loop.batch_progress"]["total"]["processed"] == 4


@pytest.mark.parametrize("signum", [signal.SIGUSR1, signal.SIGTERM])
def test_a_job_of_slurm_is_queued_again_and_continues(
    signum: int, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []
    environment = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "1", "SLURM_JOB_NAME": "fit", "SLURM_PROCID": "0"}
    for name, value in {**environment, "SLURM_LOCALID": "0", "SLURM_NODEID": "0"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    Path("hpc_ckpt_1.ckpt").write_text("of another program that uses Lightning")
    with monkeypatch.context() as patched:
        patched.setattr(subprocess, "run", lambda command, **_: asked.append(command))
        stopped_in("training_step", Sultani, patched, signum, at=2)
        with pytest.raises(Stopped, match=str(128 + signum)):
            main(fit(store, tmp_path))
    assert asked == ([["scontrol", "requeue", "7"]] if signum == signal.SIGUSR1 else [])
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert main(fit(store, tmp_path)) == 0
    first, second = (tmp_path / "s" / f"version_{n}" / "metrics.csv" for n in (0, 1))
    assert len(first.read_text().splitlines()) == 4
    assert len(second.read_text().splitlines()) == 3


def test_a_real_process_ends_with_the_status_of_the_signal(store: Path, tmp_path: Path) -> None:
    endless = fit(store, tmp_path, "--trainer.max_steps", "1000000", "--save_every_steps", "5")
    process = Command(*endless, "--trainer.enable_progress_bar", "false")
    last = tmp_path / "s" / "version_0" / "checkpoints" / "last.ckpt"
    wait_for(last, process)
    process.send_signal(signal.SIGTERM)
    done = process.finish()
    assert done.returncode == 143
    assert done.stderr.splitlines()[-1].startswith("stopped by SIGTERM after step ")
    step = int(done.stderr.split("after step ")[1].split(";")[0])
    assert torch.load(last, weights_only=True)["global_step"] == step
