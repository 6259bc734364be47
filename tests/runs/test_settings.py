"""Settings of the trainer: those that do not work end in one line, odd ones that do are run."""

import platform
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer

from tests.runs.test_run import SMOKE, fit, run
from wsvad_lightning.methods import URDMU
from wsvad_lightning.runs.summary import note_precision

NO_BETAS = "model:\n  init_args: {optimizer: {class_path: torch.optim.Adam, init_args: {betas: null}}}\n"
ODD = {
    "--trainer.barebones=true": "--trainer.barebones='True': leaves out the logs and checkpoints",
    "--trainer.precision=8": "--trainer.precision='8': must be one of 64, 32, 16, transformer-engine, ",
    "--trainer.accelerator=odd": "--trainer does not work: You selected an invalid accelerator name",
    "--trainer.devices=-1": "--trainer does not work: `devices` selected with `CPUAccelerator`",
    "--trainer.strategy=ddp_spawn": "--trainer.strategy='ddp_spawn': starts processes by 'spawn'",
    "--trainer.accumulate_grad_batches=0": "--trainer.accumulate_grad_batches='0': must be more than 0. Give",
    "--trainer.check_val_every_n_epoch=0": "--trainer.check_val_every_n_epoch='0': must be more than 0. Give",
    "--trainer.val_check_interval=0": "--trainer.val_check_interval='0': must be more than 0. Give 1 or more",
    "--trainer.callbacks=LearningRateFinder": "--trainer does not work: When using the learning rate finder",
    "--model.optimizer.lr=-1": "--model.optimizer does not work: Invalid learning rate: -1.0. See `wsvad fit",
    "--config no_betas.yaml": "--model.optimizer does not work: 'NoneType' object is not subscriptable",
    "--data.segments=1000000000000": "memory does not suffice for these settings (Unable to allocate",
    "--trainer.num_nodes=0": "--trainer does not work: `num_nodes` must be a positive integer",
    "--trainer.val_check_interval=100": "--trainer does not work: `val_check_interval` (100) must be less",
    "--model adplg --trainer.gradient_clip_val=1": "--trainer does not work: Automatic gradient clip",
    "--model adplg --trainer.accumulate_grad_batches=2": "--trainer does not work: Automatic gradient acc",
    "--trainer.callbacks=EarlyStopping --trainer.callbacks.monitor=nothing": "--trainer does not work: Early",
}


@pytest.mark.parametrize("setting", ODD)
def test_a_setting_of_the_trainer_that_does_not_work_is_one_line(
    setting: str,
    store: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    where = ["--data.store", str(store), "--output", str(tmp_path), "--model.hidden_dim", "8"]
    held_out = ["--data.val_fraction", "0.2", "--trainer.accelerator", "cpu"]
    (tmp_path / "no_betas.yaml").write_text(NO_BETAS)
    monkeypatch.chdir(tmp_path)
    assert run("fit", "--config", "ucf_urdmu.yaml", *SMOKE, *where, *held_out, *setting.split()) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert line.startswith(f"error: {ODD[setting]}")


def test_a_method_that_mixes_types_names_the_precision(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    single = torch.ones(16, 1, dtype=torch.float32)
    monkeypatch.setattr(URDMU, "compute_losses", lambda self, batch: {"mil": batch.features @ single})
    where = ["--data.store", str(store), "--output", str(tmp_path), "--model.hidden_dim", "8"]
    assert run("fit", "--config", "ucf_urdmu.yaml", *SMOKE, *where, "--trainer.precision=bf16-true") == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("error: --trainer.precision='bf16-true': URDMU cannot be computed with it")


@pytest.mark.parametrize(
    "settings",
    [
        "--trainer.precision=64-true",
        "--trainer.precision=bf16-true",
        "--trainer.val_check_interval=00:00:00:01 --data.val_fraction=0.2",
        "--trainer.max_time=00:00:00:10 --trainer.min_steps=2 --trainer.log_every_n_steps=0",
        "--trainer.overfit_batches=1 --trainer.reload_dataloaders_every_n_epochs=1",
    ],
)
def test_a_setting_of_the_trainer_that_works_runs(settings: str, store: Path, tmp_path: Path) -> None:
    trained = fit("ucf_sultani.yaml", store, tmp_path, *settings.split())
    precision = [setting for setting in settings.split() if "precision" in setting]
    assert run("test", "--ckpt_path", trained / "checkpoints" / "last.ckpt", *precision) == 0


def test_a_cpu_without_products_in_bfloat16_is_noted(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    mixed = Trainer(accelerator="cpu", precision="bf16-mixed", logger=False, enable_checkpointing=False)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    assert note_precision(mixed) is None
    for name in ("amx_tile", "avx512_bf16"):
        monkeypatch.setattr(torch.cpu, f"_is_{name}_supported", lambda: False)
    assert note_precision(Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)) is None
    settings = [
        "--trainer.accelerator",
        "cpu",
        "--trainer.precision",
        "bf16-mixed",
        "--trainer.max_steps",
        "1",
    ]
    fit("ucf_sultani.yaml", store, tmp_path, *settings)
    (line,) = [line for line in caplog.messages if "no instructions for bfloat16" in line]
    assert "--trainer.precision bf16-mixed is slower than 32-true" in line
