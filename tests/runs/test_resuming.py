"""A resumed run is the same run, bit for bit: its noise, its order, its validations and what it keeps."""

import csv
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor

from tests.methods.small import smaller
from tests.recipes import class_of
from tests.runs.test_run import OF_METHODS, make_store_for
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.runs.checkpoints import BestOnVal
from wsvad_lightning.runs.parsed import ParsedRun
from wsvad_lightning.runs.resuming import Resuming, move_kept, requeued_from

STEPS = 6
VALIDATED: dict[str, Any] = {"val_check_interval": 2, "check_val_every_n_epoch": None}
HELD_OUT = ("--data.val_fraction", "0.3")


class KeepAll(Callback):
    """Saves wherever Lightning can be asked to, and draws from all generators in every step."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.drawn: dict[int, tuple[float, ...]] = {}

    def save(self, trainer: Trainer, moment: str) -> None:
        trainer.save_checkpoint(self.folder / f"{moment}{trainer.global_step}.ckpt", weights_only=False)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        values = (random.random(), np.random.rand(), torch.rand(()).item())  # noqa: NPY002
        self.drawn[trainer.global_step] = values

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not trainer.fit_loop._should_accumulate():
            self.save(trainer, "batch")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.save(trainer, "epoch")

    def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        self.save(trainer, "middle")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.save(trainer, "validation")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.save(trainer, "end")


class Training:
    """A method in a size for tests on a small store, trained as often as asked."""

    def __init__(self, config: str, folder: Path, *more: str) -> None:
        self.folder = folder
        stores = folder.parent / "stores_to_resume"  # which all tests share
        stores.mkdir(exist_ok=True)
        small = smaller(class_of(config), folder, feature_dim=16)
        where = ("--data.store", str(make_store_for(config, stores)), "--data.segments", "16")
        self.parsed = ParsedRun(["fit", "--config", config, "--data.batch_size", "2", *where, *small, *more])

    def fit(
        self, name: str, resume: Path | None = None, *more: Callback, steps: int = STEPS, **settings: Any
    ) -> KeepAll:
        """Train, and give what was drawn; checkpoints and ``metrics.csv`` are in the folder of that name."""
        seed_everything(3, workers=True, verbose=False)
        method, data = self.parsed.make()
        if resume is not None:
            seed_everything(4, workers=True, verbose=False)  # a resumed process begins anywhere
        kept = KeepAll(self.folder / name)
        trainer = Trainer(
            accelerator="cpu",
            max_steps=steps,
            logger=CSVLogger(self.folder, name="", version=name, flush_logs_every_n_steps=1),
            callbacks=[Resuming(), kept, *more],
            enable_checkpointing=True,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
            use_distributed_sampler=False,
            **settings,
        )
        trainer.fit(method, data, ckpt_path=resume, weights_only=True)
        return kept

    def rows(self, name: str) -> list[dict[str, str]]:
        """Give what was logged, without the epoch, which Lightning counts otherwise at the end of one."""
        table = csv.DictReader((self.folder / name / "metrics.csv").read_text().splitlines())
        return [{key: value for key, value in row.items() if key != "epoch"} for row in table]


def weights(path: Path) -> dict[str, Tensor]:
    state: dict[str, Tensor] = torch.load(path, weights_only=True)["state_dict"]
    return state


def epochs(path: Path) -> tuple[int, dict[str, Any]]:
    """What Lightning has counted of epochs."""
    checkpoint = torch.load(path, weights_only=True)
    return checkpoint["epoch"], checkpoint["loops"]["fit_loop"]["epoch_progress"]


def assert_same(first: Path, second: Path) -> None:
    one, other = weights(first), weights(second)
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []
    assert epochs(first) == epochs(second)


@pytest.mark.parametrize("config", OF_METHODS)
def test_every_method_resumes_as_if_nothing_had_happened(config: str, tmp_path: Path) -> None:
    training = Training(config, tmp_path)
    whole = training.fit("whole", steps=4)
    resumed = training.fit("resumed", tmp_path / "whole" / "batch2.ckpt", steps=4)
    assert_same(tmp_path / "whole" / "end4.ckpt", tmp_path / "resumed" / "end4.ckpt")
    assert resumed.drawn == {step: values for step, values in whole.drawn.items() if step >= 2}


CASES: dict[str, tuple[str, tuple[str, ...], dict[str, Any]]] = {  # steps that are resumed from, and settings
    "validated": ("234", HELD_OUT, VALIDATED),
    "validated by epochs": ("3", HELD_OUT, {}),
    "accumulated": ("4", (), {"accumulate_grad_batches": 2}),
    "loaded by a worker": ("4", ("--data.num_workers", "1"), {}),
}


@pytest.mark.parametrize("case", CASES)
def test_from_wherever_it_was_saved(case: str, tmp_path: Path) -> None:
    steps, arguments, settings = CASES[case]
    training = Training("ucf_sultani.yaml", tmp_path, *arguments)
    training.fit("whole", **settings)
    training.fit("short", steps=int(steps[-1]), **settings)
    shutil.copy(tmp_path / "short" / f"end{steps[-1]}.ckpt", tmp_path / "whole")
    rows = training.rows("whole")
    saved = [path for path in (tmp_path / "whole").glob("*.ckpt") if path.stem[-1] in steps]
    assert {path.stem.rstrip("0123456789") for path in saved} >= {"batch", "epoch", "end"}
    assert_same(tmp_path / "whole" / f"batch{STEPS}.ckpt", tmp_path / "whole" / f"end{STEPS}.ckpt")
    for path in saved:
        training.fit(path.stem, path, **settings)
        assert_same(tmp_path / "whole" / f"end{STEPS}.ckpt", tmp_path / path.stem / f"end{STEPS}.ckpt")
        logged = training.rows(path.stem)
        assert logged == rows[-len(logged) :], path.stem
        validated = path.stem.startswith(("validation", "end", "epoch"))
        first = int(path.stem[-1]) - (not validated)  # of the steps whose validation is still to be done
        expected = [row for row in rows if row.get("val/auc") and int(row["step"]) >= first]
        assert [row for row in logged if row.get("val/auc")] == expected, path.stem


def test_the_best_checkpoint_moves_to_the_folder_of_the_resumed_run(tmp_path: Path) -> None:
    training = Training("ucf_sultani.yaml", tmp_path, *HELD_OUT)
    first, second = BestOnVal(), BestOnVal()
    training.fit("whole", None, first, steps=2, **VALIDATED)
    folder = tmp_path / "whole"
    shutil.copy(folder / "checkpoints" / "best.ckpt", folder)
    first.best_model_score = torch.tensor(2.0)  # no later one is higher
    state = torch.load(folder / "end2.ckpt", weights_only=True)
    (key,) = (name for name in state["callbacks"] if "video_auc" in name)
    state["callbacks"][key] |= {"best_model_score": torch.tensor(2.0)}
    state["callbacks"][key]["best_k_models"] = {str(folder / "checkpoints/best.ckpt"): torch.tensor(2.0)}
    torch.save(state, folder / "end2.ckpt")
    training.fit("resumed", folder / "end2.ckpt", second, **VALIDATED)
    assert second.best_model_score == 2
    assert second.best_model_path == str(tmp_path / "resumed" / "checkpoints" / "best.ckpt")
    assert_same(folder / "best.ckpt", Path(second.best_model_path))


def test_a_best_checkpoint_of_a_later_step_is_not_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    torch.save({"state_dict": {}, "global_step": 8}, tmp_path / "best.ckpt")
    old = {"best_k_models": {"/etc/best.ckpt": 0.5}, "best_model_path": "/etc/best.ckpt"}
    state = {**old, "kth_best_model_path": "/etc/best.ckpt", "dirpath": "/etc"}
    assert move_kept(dict(state), tmp_path, tmp_path / "new", 9) == {
        tmp_path / "best.ckpt": tmp_path / "new" / "best.ckpt"
    }
    assert move_kept(state, tmp_path, tmp_path / "new", 7) == {}
    assert state == {}
    assert "has no best.ckpt of step 7 or before" in caplog.text


class SeedByRank(Callback):
    """Gives the ranks different random states."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        torch.manual_seed(trainer.global_rank)


def test_two_processes_resume_too(tmp_path: Path) -> None:
    """The processes are forked, which takes a second; those of the command take ten."""
    training = Training("ucf_urdmu.yaml", tmp_path, "--data.batch_size", "1", *HELD_OUT)
    two = {**VALIDATED, "strategy": "ddp_fork", "devices": 2}
    training.fit("whole", None, SeedByRank(), steps=4, **two)
    training.fit("resumed", tmp_path / "whole" / "batch2.ckpt", steps=4, **two)
    assert_same(tmp_path / "whole" / "end4.ckpt", tmp_path / "resumed" / "end4.ckpt")


def test_states_that_are_none_are_refused_in_one_line(tmp_path: Path) -> None:
    training = Training("ucf_sultani.yaml", tmp_path)
    training.fit("whole", steps=1)
    state = torch.load(tmp_path / "whole" / "end1.ckpt", weights_only=True)
    state["callbacks"]["Resuming"]["random_states"][0]["torch"] = torch.zeros(3)
    torch.save(state, tmp_path / "odd.ckpt")
    with pytest.raises(WSVADError, match="^--ckpt_path=.*its random states are not what"):
        training.fit("odd", tmp_path / "odd.ckpt")


def test_without_states_it_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    training = Training("ucf_sultani.yaml", tmp_path)
    training.fit("whole", steps=1)
    state = torch.load(tmp_path / "whole" / "end1.ckpt", weights_only=True)
    del state["callbacks"]["Resuming"]
    torch.save(state, tmp_path / "old.ckpt")
    training.fit("resumed", tmp_path / "old.ckpt", steps=2)
    assert "noise and dropout are not those of an uninterrupted run" in caplog.text


def save_entries(path: Path, **entries: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": {}, **entries}, path)
    return path


def test_a_requeued_job_continues_from_its_own_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = save_entries(tmp_path / "version_0" / "checkpoints" / "last.ckpt", slurm_job="7")
    save_entries(tmp_path / "version_1" / "checkpoints" / "last.ckpt", slurm_job="8")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert requeued_from(tmp_path) is None
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert requeued_from(tmp_path) == own
    monkeypatch.setenv("SLURM_JOB_ID", "9")
    assert requeued_from(tmp_path) is None
