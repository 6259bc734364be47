"""Which weights are kept, when, and that neither a kill nor a full disk costs those that were."""

import os
import resource
import signal
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer

from tests.processes import SERVER
from tests.runs.test_stopping import fit
from wsvad_lightning import files
from wsvad_lightning.checkpoint import CHECKSUMS_KEY
from wsvad_lightning.cli import main
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.files import remove_leftovers, replacing
from wsvad_lightning.runs.checkpoints import BestOnVal, LastCheckpoint, WholeCheckpoints
from wsvad_lightning.signals import StopSignals

OLD, NEW = {"weights": torch.zeros(1000)}, {"weights": torch.ones(1000)}


def test_a_later_equal_is_kept_a_worse_one_is_not(tmp_path: Path) -> None:
    trainer = Trainer(accelerator="cpu", logger=False, default_root_dir=tmp_path)
    callback = BestOnVal()
    assert callback.check_monitor_top_k(trainer, torch.tensor(0.5))
    callback.best_k_models = {"best.ckpt": torch.tensor(0.75)}
    callback.kth_best_model_path, callback.best_model_score = "best.ckpt", torch.tensor(0.75)
    kept = [callback.check_monitor_top_k(trainer, torch.tensor(auc)) for auc in (0.5, 0.75, 1.0)]
    assert kept == [False, True, True]
    assert not callback.check_monitor_top_k(trainer, None)


@pytest.fixture
def last(tmp_path: Path) -> Path:
    """A checkpoint that was saved before."""
    path = tmp_path / "checkpoints" / "last.ckpt"
    WholeCheckpoints().save_checkpoint(OLD, path)
    return path


def loaded(path: Path) -> float:
    return float(torch.load(path, weights_only=True)["weights"].mean())


class KilledError(BaseException):
    """What a process that is killed does no longer: no handler of ours catches it."""


@pytest.mark.parametrize("step", ["mkstemp", "fsync", "chmod", "replace", "_write_through", "save"])
def test_a_kill_in_any_step_of_a_save_leaves_a_whole_checkpoint(
    step: str, last: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owners = {"fsync": os, "chmod": Path, "replace": Path, "mkstemp": tempfile, "save": torch}

    def killed(*_: Any, **__: Any) -> None:
        raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr(owners.get(step, files), step, killed)
        patched.setattr(Path, "unlink", lambda *_, **__: None)  # nothing is cleaned up
        with pytest.raises(KilledError):
            WholeCheckpoints().save_checkpoint(NEW, last)
    assert loaded(last) == (1 if step == "_write_through" else 0)
    remove_leftovers(last.parent, "*.ckpt")
    WholeCheckpoints().save_checkpoint(NEW, last)
    assert [path.name for path in last.parent.iterdir()] == ["last.ckpt"]
    assert loaded(last) == 1


def write_for_ever(path: Path) -> None:
    big = {"weights": torch.ones(3_000_000)}
    while True:
        WholeCheckpoints().save_checkpoint(big, path)


def test_a_real_kill_while_it_is_written(last: Path) -> None:
    """Checkpoints are written one after the other until the kill."""
    process = SERVER.Process(target=write_for_ever, args=(last,))
    process.start()
    while loaded(last) == 0 and process.is_alive():
        time.sleep(0.01)
    while not list(last.parent.glob(".last.ckpt.*.tmp")) and process.is_alive():
        pass
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert loaded(last) == 1
    remove_leftovers(last.parent, "*.ckpt")
    assert [path.name for path in last.parent.iterdir()] == ["last.ckpt"]


def fill_disk(path: Path) -> str:
    """Save more than a file may hold; give what is reported."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    with pytest.raises(WSVADError) as raised:
        WholeCheckpoints().save_checkpoint({"weights": torch.ones(1_000_000)}, path)
    return str(raised.value)


def test_a_full_disk_is_one_line_and_leaves_the_old_one(last: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ProcessPoolExecutor(1, mp_context=SERVER) as pool:
        reported = pool.submit(fill_disk, last).result(timeout=240)
    assert "last.ckpt': cannot be written (File too large)" in reported
    assert loaded(last) == 0
    assert [path.name for path in last.parent.iterdir()] == ["last.ckpt"]


def test_what_a_live_process_writes_is_no_leftover(tmp_path: Path) -> None:
    dead = tmp_path / ".last.ckpt.abcdefgh.tmp"
    dead.write_text("half")
    (tmp_path / ".hidden").touch()
    with replacing(tmp_path / "last.ckpt") as temporary:
        temporary.write_text("whole")
        remove_leftovers(tmp_path, "*.ckpt")
        assert temporary.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".hidden", "last.ckpt"]


def test_a_run_clears_the_folders_of_its_experiment(store: Path, tmp_path: Path) -> None:
    half = tmp_path / "s" / "version_0" / "checkpoints" / ".last.ckpt.abcdefgh.tmp"
    half.parent.mkdir(parents=True)
    half.touch()
    assert main(fit(store, tmp_path, "--trainer.max_steps", "1")) == 0
    assert not half.exists()


class Saved:
    """The steps at which ``last.ckpt`` was written."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steps: list[int] = []
        monkeypatch.setattr(WholeCheckpoints, "save_checkpoint", self.note)

    def note(self, checkpoint: dict[str, Any], path: str, storage_options: None = None) -> None:
        self.steps.append(checkpoint["global_step"])


@pytest.mark.parametrize(
    ("intervals", "steps"),
    [
        ((), [5]),
        (("--save_every_steps", "2"), [2, 4, 5]),
        (("--save_every_minutes", "1e-9"), [1, 2, 3, 4, 5, 5]),
        (("--save_every_steps", "null", "--save_every_minutes", "null"), [5]),
    ],
)
def test_it_is_saved_at_intervals_of_steps_and_of_minutes(
    intervals: tuple[str, ...], steps: list[int], store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = Saved(monkeypatch)
    assert main(fit(store, tmp_path, *intervals)) == 0
    assert saved.steps == steps


def test_the_intervals_are_by_default_a_hundred_steps_and_five_minutes() -> None:
    callback = LastCheckpoint(StopSignals())
    assert (callback.every_steps, callback.every_minutes) == (100, 5)


@pytest.mark.parametrize(
    "interval", [{"every_steps": 0}, {"every_minutes": -1.0}, {"every_minutes": float("nan")}]
)
def test_an_interval_that_is_none_is_refused(interval: dict[str, Any]) -> None:
    with pytest.raises(WSVADError, match="--save_every_(steps|minutes)=.*must be more than 0"):
        LastCheckpoint(StopSignals(), **interval)


def test_what_fails_in_a_resumed_run_is_not_put_down_to_its_checkpoint_alone(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(fit(store, tmp_path, "--trainer.max_steps", "1")) == 0
    last = tmp_path / "s" / "version_0" / "checkpoints" / "last.ckpt"
    start = f"error: --ckpt_path='{last}': the run cannot go on with its weights and states"
    odd = "--trainer.callbacks=LearningRateFinder"
    assert main(fit(store, tmp_path, "--ckpt_path", str(last), odd)) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith(f"{start}, or not with these settings of the trainer (")
    content = torch.load(last, weights_only=True)
    content["loops"]["fit_loop"]["epoch_progress"] = {}
    torch.save({name: value for name, value in content.items() if name != CHECKSUMS_KEY}, last)
    assert main(fit(store, tmp_path, "--ckpt_path", str(last))) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"{start} (KeyError")
