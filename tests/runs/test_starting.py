"""Trainings that start from the weights of others."""

from pathlib import Path

import pytest
import torch

from tests.runs.test_run import SMOKE, newest
from wsvad_lightning.bench.recipes import as_text, compose, find_methods
from wsvad_lightning.cli import main
from wsvad_lightning.data.store.synthetic import make_store

SMALL = ["--model.hidden_dim=16", "--model.abnormal_slots=20", "--model.normal_slots=18"]
STILL = ["--model.optimizer.init_args.lr=0", "--trainer.max_steps=1"]  # what was taken is what is saved


def fit(store: Path, folder: Path, *more: str, config: str = "ucf_urdmu.yaml") -> int:
    where = ["--data.store", str(store), "--output", str(folder), "--name", "run"]
    return main(["fit", "--config", config, *SMOKE, *where, *SMALL, *more])


def last(folder: Path) -> Path:
    return newest(folder / "run") / "checkpoints" / "last.ckpt"


@pytest.fixture(scope="module")
def trained(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    assert fit(store, folder, "--trainer.max_steps=2") == 0
    return last(folder)


def test_a_training_starts_from_weights_and_nothing_else(
    store: Path, trained: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert fit(store, tmp_path, "--init_from", str(trained), *STILL) == 0
    begun, source = (torch.load(path, weights_only=True) for path in (last(tmp_path), trained))
    assert all(torch.equal(value, source["state_dict"][name]) for name, value in begun["state_dict"].items())
    assert (begun["global_step"], source["global_step"]) == (1, 2)
    assert float(begun["optimizer_states"][0]["state"][0]["step"]) == 1  # Adam has begun anew
    assert f"weights start from {trained}" in caplog.text
    caplog.clear()
    go_on = ["--config", str(newest(tmp_path / "run") / "fit.yaml"), "--ckpt_path", str(last(tmp_path))]
    assert main(["fit", *go_on, "--trainer.max_steps", "2"]) == 0
    assert "--init_from is not read, as the training goes on from" in caplog.text


def test_other_features_keep_what_fits(
    trained: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wider = make_store(tmp_path / "wide.h5", dim=20, train=2, test=1)
    assert fit(wider, tmp_path, "--init_from", str(trained), *STILL) == 0
    assert "new, as they have another shape: " in caplog.text


def test_another_method_gives_a_named_part(
    store: Path, trained: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    experts = ["--model.experts_by=clusters", "--model.num_experts=2", "--model.hidden_dim=16"]

    def of_experts(*more: str) -> int:
        where = ["--data.store", str(store), "--output", str(tmp_path), "--name", "run"]
        return main(["fit", "--config", "ucf_gsmoe.yaml", *SMOKE, *where, *experts, *more])

    assert of_experts("--init_from", str(trained)) == 2
    error = capfd.readouterr().err
    assert "is of URDMU, not GSMoE. Give a checkpoint of GSMoE, or name a part of both by --init" in error
    assert error.count("\n") == 1
    assert of_experts("--init_from", str(trained), "--init_part", "net.encoder", *STILL) == 0
    begun, source = (torch.load(path, weights_only=True)["state_dict"] for path in (last(tmp_path), trained))
    encoder = [name for name in begun if name.startswith("net.encoder.")]
    assert encoder
    assert all(torch.equal(begun[name], source[name]) for name in encoder)
    assert of_experts("--init_part", "net.encoder") == 2
    assert "--init_part='net.encoder': is a part of --init_from, which is not given" in capfd.readouterr().err


def test_every_run_of_a_comparison_starts_from_them() -> None:
    recipes = compose(find_methods(["urdmu"]), ["bench/default.yaml"], ["last"], ["--init_from", "a.ckpt"])
    (recipe,) = recipes.values()
    assert "init_from: a.ckpt" in as_text(recipe)
    (plain,) = compose(find_methods(["urdmu"]), ["bench/default.yaml"], ["last"], []).values()
    assert "init_from" not in as_text(plain)
