"""What a run leaves of its configuration, and that a refused one leaves nothing."""

import errno
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from tensorboard.summary.writer.record_writer import RecordWriter

from wsvad_lightning import quiet
from wsvad_lightning.checkpoint import CHECKSUMS_KEY
from wsvad_lightning.cli import main
from wsvad_lightning.data.store import FeatureStore
from wsvad_lightning.data.store.synthetic import make_store
from wsvad_lightning.runs.record import logged_apart, remove_logs

SMALL = ["--config", "with/smoke.yaml", "--model.hidden_dim", "8", "--trainer.max_steps", "1"]


def fit(store: Path, output: Path, *more: str) -> list[str]:
    where = ["--data.store", str(store), "--output", str(output), "--name", "group/mine"]
    return ["fit", "--config", "ucf_urdmu.yaml", *SMALL, *more, *where]


def without_file(store: Path, folder: Path) -> list[str]:
    return ["--data.split", str(folder / "absent.json")]


def of_other_bags(store: Path, folder: Path) -> list[str]:
    return ["--data.bags", "windows", "--data.crops", "all"]  # set by the model, which is set up last


def without_anomalies(store: Path, folder: Path) -> list[str]:
    held = FeatureStore(store)
    normal = [name for name in held if held[name].annotation.label == 0]
    (folder / "split.json").write_text(json.dumps({"train": normal[:-1], "test": normal[-1:]}))
    return ["--data.split", str(folder / "split.json")]


@pytest.mark.parametrize("mistake", [without_file, of_other_bags, without_anomalies])
def test_a_run_that_is_refused_leaves_no_folder(
    mistake: Callable[[Path, Path], list[str]], store: Path, tmp_path: Path
) -> None:
    output = tmp_path / "runs"
    refused = fit(store, output, *mistake(store, tmp_path))
    assert main(refused) == 2
    assert not output.exists()
    assert main(fit(store, output)) == 0
    assert main(refused) == 2
    assert [path.name for path in (output / "group" / "mine").iterdir()] == ["version_0"]


@pytest.mark.parametrize(
    "mistake",
    [
        ["--data.store", "absent.h5"],
        ["--model.hidden_dim", "-1"],
        ["--save_every_steps", "0"],
        ["--trainer.accumulate_grad_batches", "0"],
        ["--trainer.strategy", "ddp_spawn", "--trainer.devices", "2", "--trainer.accelerator", "cpu"],
        ["--trainer.accelerator", "gpu", "--trainer.devices", "99"],
        ["--ckpt_path", "absent.ckpt"],
    ],
)
def test_nor_those_above_it_that_were_not_there(mistake: list[str], store: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    assert main([*fit(store, tmp_path / "there" / "all" / "runs"), *mistake]) == 2
    assert list((tmp_path / "there").iterdir()) == []


def test_runs_that_begin_at_the_same_time_have_folders_of_their_own(tmp_path: Path) -> None:
    begun = threading.Barrier(8)

    def begin(_: int) -> str:
        with logged_apart(str(tmp_path), "group/mine") as logger:
            begun.wait()
            return logger.log_dir

    with ThreadPoolExecutor(begun.parties) as pool:
        folders = {Path(folder).name for folder in pool.map(begin, range(begun.parties))}
    assert folders == {f"version_{number}" for number in range(begun.parties)}
    assert list(tmp_path.iterdir()) == []  # nothing was written into them


def test_loggers_finish_before_the_folder_is_removed(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def finalize(logger: CSVLogger, status: str) -> None:
        Path(logger.log_dir, "hparams.yaml").write_text(status)

    monkeypatch.setattr(CSVLogger, "finalize", finalize)
    assert main(fit(store, tmp_path, *of_other_bags(store, tmp_path))) == 2
    assert "error: --data.bags='windows'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_so_does_a_test_of_a_checkpoint_that_does_not_fit(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(fit(store, tmp_path)) == 0
    run = tmp_path / "group" / "mine" / "version_0"
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    del checkpoint["state_dict"][next(iter(checkpoint["state_dict"]))], checkpoint[CHECKSUMS_KEY]
    torch.save(checkpoint, tmp_path / "other.ckpt")
    other = make_store(tmp_path / "other.h5", dim=16, train=3, test=2)
    where = ["--output", str(tmp_path / "tests"), "--name", "t"]
    for command in ("test", "predict"):
        arguments = [command, "--ckpt_path", str(run / "checkpoints" / "last.ckpt"), *where]
        assert main([*arguments, "--data.store", str(other), "--data.pca_dim", "3"]) == 2
        capsys.readouterr()
        assert main([command, "--ckpt_path", str(tmp_path / "other.ckpt"), *where]) == 2
        assert "Missing key" in capsys.readouterr().err
    assert not (tmp_path / "tests").exists()


def test_each_command_saves_its_configuration(store: Path, tmp_path: Path) -> None:
    assert main(fit(store, tmp_path, "--data.val_fraction", "0.2")) == 0
    checkpoint = tmp_path / "group" / "mine" / "version_0" / "checkpoints" / "last.ckpt"
    for command in ("validate", "test", "predict"):
        where = ["--output", str(tmp_path), "--name", command]
        assert main([command, "--ckpt_path", str(checkpoint), *where]) == 0
        assert (tmp_path / command / "version_0" / f"{command}.yaml").is_file()
    assert main(fit(store, tmp_path, "--data.val_fraction", "0.2", "--ckpt_path", str(checkpoint))) == 0
    again = tmp_path / "group" / "mine" / "version_1"
    assert (again / "fit.yaml").is_file()  # though no step was left


def test_what_is_no_log_stays_where_it_is(tmp_path: Path) -> None:
    logs = ("events.out.tfevents.1.host.2.0", "hparams.yaml")
    for name in (*(f"mine/version_0/{log}" for log in logs), "mine/features-1.h5"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    remove_logs(tmp_path / "mine" / "version_0", tmp_path)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["features-1.h5"]


def test_a_full_disk_that_the_log_meets_is_one_line(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(RecordWriter, "write", fail)
    monkeypatch.setattr(threading, "excepthook", threading.__excepthook__)
    monkeypatch.setattr(quiet, "show_of_thread", threading.__excepthook__)
    assert main(fit(store, tmp_path)) == 2
    error = capfd.readouterr().err
    assert "Traceback" not in error
    assert f"error: --output='{tmp_path}': cannot be written (No space left on device). Free" in error
