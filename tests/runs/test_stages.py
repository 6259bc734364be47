"""`wsvad stages`: the chain, where it goes on, and what it starts from."""

import json
import signal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.runs.test_stopping import stopped_in
from wsvad_lightning.cli import main
from wsvad_lightning.data.store.synthetic import make_store
from wsvad_lightning.methods import SSRL
from wsvad_lightning.runs import stages
from wsvad_lightning.runs.run import run_trainer


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    views = {"patches_1x2": 2, "patches_2x3": 6}
    path = tmp_path_factory.mktemp("stages") / "store.h5"
    return make_store(path, train=3, test=2, crops=2, streams=("features", *views), views=views)


@pytest.fixture
def command(store: Path, tmp_path: Path) -> list[str]:
    return command_for(store, tmp_path)


def command_for(store: Path, output: Path) -> list[str]:
    recipe = ["--config", "sht_ssrl.yaml", "--config", "with/smoke.yaml", "--model.grids", "[1x2,2x3]"]
    where = ["--data.store", str(store), "--output", str(output), "--name", "chain"]
    return ["stages", *recipe, *where, "--trainer.max_steps", "2"]


@pytest.fixture(scope="module")
def whole(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a chain has been trained to its end."""
    folder = tmp_path_factory.mktemp("whole")
    assert main(command_for(store, folder)) == 0
    return folder


def record(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "chain" / "stages.json").read_text())["stages"]
    return found


def weights(stage: dict[str, Any]) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(stage["checkpoint"], weights_only=True)["state_dict"]
    return state


def test_every_stage_keeps_what_the_one_before_has_learnt(
    store: Path, whole: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    done = record(whole)
    assert [stage["number"] for stage in done] == [1, 2, 3]
    for before, after in pairwise(done):
        later = weights(after)
        assert all(torch.equal(later[name], value) for name, value in weights(before).items())
    assert all(0 <= stage["metrics"]["auc"] <= 1 for stage in done)
    assert main(command_for(store, whole)) == 0  # nothing is left to train
    assert record(whole) == done
    assert "chain: test videos" in capfd.readouterr().out
    assert main([*command_for(store, whole), "--model.k", "2"]) == 2
    assert "holds stages trained with" in capfd.readouterr().err


def test_a_chain_goes_on_where_it_was_killed(
    command: list[str], whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[list[str]] = []

    def killed_in_the_second_test(args: list[str]) -> Any:
        trained.append(args)
        if len(trained) == 4:
            raise KeyboardInterrupt
        return run_trainer(args)

    with monkeypatch.context() as patched:
        patched.setattr(stages, "run_trainer", killed_in_the_second_test)
        with pytest.raises(KeyboardInterrupt):
            main(command)
    assert len(record(tmp_path)) == 1
    assert main(command) == 0
    resumed = weights(record(tmp_path)[-1])
    assert all(torch.equal(resumed[name], value) for name, value in weights(record(whole)[-1]).items())


def test_a_stage_that_a_signal_stops_is_continued_by_the_same_command(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    trained: list[list[str]] = []

    def stopped_in_the_second_stage(args: list[str]) -> Any:
        trained.append(args)
        if len(trained) == 3:
            stopped_in("training_step", SSRL, monkeypatch, signal.SIGTERM, at=1)
        return run_trainer(args)

    monkeypatch.setattr(stages, "run_trainer", stopped_in_the_second_stage)
    with pytest.raises(SystemExit) as stop:
        main([*command, "--trainer.max_steps", "3"])
    assert stop.value.code == 143
    assert (
        capfd.readouterr().err.splitlines()[-1]
        == "stopped by SIGTERM after step 2; the same command continues"
    )


def test_with_validation_the_best_on_held_out_videos_goes_on(command: list[str], tmp_path: Path) -> None:
    best = [
        "--config",
        "with/best_on_val.yaml",
        "--data.val_fraction",
        "0.3",
        "--trainer.val_check_interval",
        "1",
    ]
    assert main([*command, *best]) == 0
    assert {Path(stage["checkpoint"]).name for stage in record(tmp_path)} == {"best.ckpt"}


def test_a_later_stage_alone_asks_for_the_one_before(
    command: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fit = ["fit", *command[1:], "--model.stage", "2"]
    assert main(fit) == 2
    assert "model.previous" in (reported := capfd.readouterr().err)
    assert "wsvad stages" in reported
    assert main([*fit, "--model.previous", str(tmp_path / "none.ckpt")]) == 2
    assert "none.ckpt" in capfd.readouterr().err


def test_a_store_without_the_patches_is_reported(
    command: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    fit = ["fit", *command[1:], "--model.stage", "2", "--model.previous", "x.ckpt", "--model.grids", "[4x7]"]
    assert main(fit) == 2
    assert "needs the streams ['patches_4x7']" in capfd.readouterr().err


def test_a_method_without_stages_is_reported(command: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    other = ["stages", "--config", "sht_rtfm.yaml", *command[command.index("--data.store") :]]
    assert main(other) == 2
    assert "stage" in capfd.readouterr().err
