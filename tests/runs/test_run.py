"""Every shipped configuration, run as a user runs it."""

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from lightning.pytorch import LightningModule

from tests.methods.small import smaller
from tests.processes import run_command, run_ranks, save_script
from tests.recipes import class_of, composed, includes_another, recipes_of
from wsvad_lightning import methods
from wsvad_lightning.cli import main
from wsvad_lightning.configs import config_folder
from wsvad_lightning.data.store.synthetic import make_store
from wsvad_lightning.methods import URDMU
from wsvad_lightning.reporting.offline import offline_files
from wsvad_lightning.runs.parsed import ParsedRun

RECIPES = [name for name in recipes_of(methods.__all__) if not includes_another(name)]
# Those of Ped2 are compared with the recipes of `wsvad bench`, whose tests train all of them.
DERIVED = [
    name for name in recipes_of(methods.__all__) if name not in RECIPES and not name.startswith("ped2_")
]
PIXEL_RECIPES = recipes_of(methods.PIXELS)
OF_METHODS = [next(name for name in RECIPES if class_of(name) == method) for method in methods.__all__]
OVERLAYS = sorted(path.name for path in (config_folder() / "with").glob("*.yaml"))
SMOKE = ["--config", "with/smoke.yaml"]


def fit(config: str, store: Path, output: Path, *more: str, name: str = "run") -> Path:
    """Train for a few steps and give the run's folder."""
    where = ["--data.store", str(store), "--output", str(output), "--name", name]
    small = smaller(class_of(config), output, feature_dim=16)
    assert main(["fit", "--config", config, *SMOKE, *where, *small, *more]) == 0
    return newest(output / name)


def newest(folder: Path) -> Path:
    return max(folder.glob("version_*"), key=lambda path: int(path.name.split("_")[1]))


def rows_of(table: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(table.read_text().splitlines()))


def repeatable(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Leave out how long steps took."""
    return [{name: cell for name, cell in row.items() if not name.startswith("time/")} for row in rows]


def run(*args: str | Path) -> int:
    return main([str(arg) for arg in args])


@pytest.fixture(scope="module")
def store_for(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Stores with the streams and classes that recipes read; recipes that read the same share one."""
    folder = tmp_path_factory.mktemp("recipes")
    return lambda config: make_store_for(config, folder)


def make_store_for(config: str, folder: Path) -> Path:
    recipe = composed(config)
    features = recipe.data.features
    streams = [features] if isinstance(features, str) else features
    prompts = recipe.model.init_args.get("prompts") or ("fall", "fight")
    # What is prepared for a method depends on its settings: a store of its own.
    prepared = getattr(methods, class_of(config)).requires.prepared
    key = config if prepared else "-".join([*streams, *prompts])
    path = folder / f"{key.replace(' ', '_')}.h5"
    if not path.exists():
        classes, views = list(prompts), {"audio": 1}
        make_store(path, crops=2, streams=streams, views=views, train=8, classes=classes, text_aligned=True)
    return path


@pytest.mark.parametrize("config", RECIPES)
def test_every_recipe_trains_and_predicts_and_one_of_each_method_is_measured(
    config: str, store_for: Callable[[str], Path], tmp_path: Path
) -> None:
    """To ``test`` and ``validate``, recipes of one method are alike: they measure what ``predict`` writes."""
    trained = fit(config, store_for(config), tmp_path, "--data.val_fraction", "0.2")
    checkpoint = trained / "checkpoints" / "last.ckpt"
    assert run("predict", "--ckpt_path", checkpoint) == 0
    rows = rows_of(newest(tmp_path / "run") / "scores.csv")
    assert len({row["video"] for row in rows}) == 22
    if config not in OF_METHODS:
        return
    assert run("test", "--ckpt_path", checkpoint) == 0
    metrics = json.loads((newest(tmp_path / "run") / "metrics.json").read_text())["metrics"]
    assert all(math.isfinite(value) for value in metrics.values())
    assert run("validate", "--ckpt_path", checkpoint) == 0


@pytest.mark.parametrize("config", DERIVED)
def test_every_recipe_that_includes_another_can_be_made(
    config: str, store_for: Callable[[str], Path], tmp_path: Path
) -> None:
    small = smaller(class_of(config), tmp_path, feature_dim=16)
    run = ParsedRun(["fit", "--config", config, "--data.store", str(store_for(config)), *small])
    method, _ = run.make()
    assert type(method).__name__ == class_of(config)


@pytest.mark.parametrize("overlay", sorted({*OVERLAYS} - {"ddp.yaml", "fsdp.yaml"}))
def test_every_overlay_runs(
    overlay: str, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    trained = fit(
        "ucf_urdmu.yaml", store, tmp_path, "--config", f"with/{overlay}", "--trainer.max_steps", "2"
    )
    assert (trained / "checkpoints" / "last.ckpt").is_file()


def test_folder_and_checkpoint_tell_the_whole_run(store: Path, tmp_path: Path) -> None:
    trained = fit("ucf_urdmu.yaml", store, tmp_path, "--model.hidden_dim", "24")
    assert {path.name for path in trained.iterdir()} >= {"fit.yaml", "metrics.csv", "checkpoints"}
    losses = [row["train/loss/total"] for row in rows_of(trained / "metrics.csv")]
    assert len(losses) == 4
    checkpoint = torch.load(trained / "checkpoints" / "last.ckpt", weights_only=True)
    config = yaml.safe_load(checkpoint["wsvad_config"])
    assert config["model"]["class_path"].endswith("URDMU")
    assert config["model"]["init_args"]["hidden_dim"] == 24
    assert config["data"]["store"] == str(store)
    module = URDMU.load_from_checkpoint(trained / "checkpoints" / "last.ckpt")
    assert isinstance(module, LightningModule)
    assert module.feature_dim == 16


def test_a_saved_configuration_reruns_unedited(store: Path, tmp_path: Path) -> None:
    first = fit("ucf_urdmu.yaml", store, tmp_path)
    assert run("fit", "--config", first / "fit.yaml") == 0
    second = newest(tmp_path / "run")
    assert second != first
    weights = [torch.load(run / "checkpoints" / "last.ckpt", weights_only=True) for run in (first, second)]
    for name, value in weights[0]["state_dict"].items():
        assert torch.equal(value, weights[1]["state_dict"][name]), name


def test_a_resumed_run_equals_an_uninterrupted_one(
    store: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = fit("ucf_urdmu.yaml", store, tmp_path, "--trainer.max_steps", "7")
    half = fit("ucf_urdmu.yaml", store, tmp_path, "--trainer.max_steps", "3")
    longer = ("--trainer.max_steps", "7", "--ckpt_path", half / "checkpoints" / "last.ckpt")
    assert run("fit", "--config", half / "fit.yaml", *longer) == 0
    resumed = rows_of(newest(tmp_path / "run") / "metrics.csv")
    assert [int(row["step"]) for row in resumed] == [3, 4, 5, 6]
    rows = repeatable(rows_of(whole / "metrics.csv"))
    assert repeatable(rows_of(half / "metrics.csv")) == rows[:3]
    assert repeatable(resumed) == rows[3:]
    assert "nothing was left to train" not in caplog.text
    last = newest(tmp_path / "run") / "checkpoints" / "last.ckpt"
    assert run("fit", "--config", half / "fit.yaml", "--ckpt_path", last) == 0
    assert "nothing was left to train: the checkpoint is of step 7" in caplog.text


def test_a_checkpoint_works_from_any_folder(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(store.parent)
    trained = fit("ucf_urdmu.yaml", Path(store.name), tmp_path)
    monkeypatch.chdir(tmp_path)
    checkpoint = trained / "checkpoints" / "last.ckpt"
    smooth = ("--model.smoothing=blocks", "--model.smooth_over=3")
    assert run("test", f"--ckpt_path={checkpoint.relative_to(tmp_path)}", *smooth) == 0
    receipt = json.loads((newest(trained.parent) / "metrics.json").read_text())["receipt"]
    assert (receipt["checkpoint"], receipt["store"]) == (str(checkpoint), str(store))
    assert receipt["smoothing"] == "blocks over 3"


def test_a_fast_run_leaves_nothing(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    fast = ["fit", "--config", "ucf_urdmu.yaml", *SMOKE, "--trainer.fast_dev_run", "1"]
    assert run(*fast, "--data.store", store, "--model.hidden_dim", "8", "--output", tmp_path / "runs") == 0
    assert not list(tmp_path.rglob("*.ckpt"))


def test_arguments_override_what_the_checkpoint_carries(store: Path, tmp_path: Path) -> None:
    trained = fit("ucf_urdmu.yaml", store, tmp_path)
    other = make_store(tmp_path / "other.h5", crops=1, train=1, test=2, seed=5)
    checkpoint = trained / "checkpoints" / "last.ckpt"
    assert run("predict", "--ckpt_path", checkpoint, "--data.store", other, "--name", "elsewhere") == 0
    rows = rows_of(newest(tmp_path / "elsewhere") / "scores.csv")
    assert len({row["video"] for row in rows}) == 6


def test_features_made_otherwise_than_in_training_are_reported(
    store: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint = fit("ucf_urdmu.yaml", store, tmp_path) / "checkpoints" / "last.ckpt"
    assert run("test", "--ckpt_path", checkpoint, "--name", "same") == 0
    assert "in training" not in caplog.text
    assert run("test", "--ckpt_path", checkpoint, "--name", "other", "--data.clip", "3") == 0
    assert "note: clip of the features: None in training, 3.0 now" in caplog.text


def test_classes_that_nothing_trains_are_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    named = make_store(tmp_path / "named.h5", train=2, test=3, classes=("fall", "fight", "smoke"))
    experts = ["--model.experts_by", "classes", "--model.num_experts", "3"]
    assert fit("ucf_gsmoe.yaml", named, tmp_path, *experts).is_dir()
    assert "note: no training video is of smoke: the method cannot learn it" in caplog.text


def test_training_videos_alone_are_enough_to_train(
    store: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"train_{kind}_{i:03d}" for kind in ("normal", "abnormal") for i in range(2)]
    (tmp_path / "split.json").write_text(json.dumps({"train": names}))
    more = ["--config", "with/best_on_val.yaml", "--data.val_fraction", "0"]
    folder = fit("ucf_urdmu.yaml", store, tmp_path, "--data.split", str(tmp_path / "split.json"), *more)
    assert "no videos to validate with, none to test with" in caplog.text
    assert "note: no best.ckpt is chosen, as no videos are held out" in caplog.text
    checkpoint = folder / "checkpoints" / "last.ckpt"
    assert f"Next: wsvad predict --videos FOLDER --ckpt_path {checkpoint}" in caplog.text
    for command in ("test", "validate"):
        assert run(command, "--ckpt_path", checkpoint) == 2
        assert "split.json': the part" in capsys.readouterr().err


def test_metrics_are_the_same_by_two_processes(store: Path, tmp_path: Path) -> None:
    """Two gloo processes train on disjoint data in equal steps, and measure as one process does.

    The first starts the second for the training; for the test both are started at once, as by ``torchrun``.
    """
    where = ["--data.store", str(store), "--output", str(tmp_path), "--name", "ddp"]
    logged = ["--config", "with/wandb.yaml", "--config", "with/ddp.yaml"]
    overlays = ["--config", "ucf_urdmu.yaml", *SMOKE, *logged, "--data.batch_size", "1"]
    done = run_command("fit", *overlays, *where, cwd=save_script(tmp_path))
    assert done.returncode == 0, done.stderr[-2000:]
    checkpoint = str(tmp_path / "ddp" / "version_0" / "checkpoints" / "last.ckpt")
    assert torch.load(checkpoint, weights_only=True)["global_step"] == 4
    for rank in run_ranks(2, "test", "--ckpt_path", checkpoint, "--config", "with/ddp.yaml"):
        assert rank.returncode == 0, rank.stderr[-2000:]
    known = json.loads((tmp_path / "ddp" / "version_0" / "wandb.json").read_text())
    files = offline_files(tmp_path, known["id"])
    assert files == sorted(tmp_path.glob("wandb/offline-run-*/run-*.wandb"))  # no process writes another run
    assert len(files) == 2  # of the training and of the test
    assert run("test", "--ckpt_path", checkpoint, "--trainer.logger", "false") == 0
    two, one = (tmp_path / "ddp" / f"version_{version}" for version in (1, 2))
    by_two, by_one = (json.loads((folder / "metrics.json").read_text()) for folder in (two, one))
    assert by_two["receipt"]["processes"] == 2
    assert by_two["metrics"] == by_one["metrics"]
    assert by_two["per_class"] == by_one["per_class"]
    assert by_two["intervals"] == by_one["intervals"]
    assert by_one["intervals"].keys() == by_one["metrics"].keys()
    assert (two / "scores.csv").read_text() == (one / "scores.csv").read_text()


def test_bf16_scores_stay_close_to_float32(store: Path, tmp_path: Path) -> None:
    trained = fit("ucf_urdmu.yaml", store, tmp_path, "--config", "with/bf16.yaml", "--trainer.max_steps", "6")
    checkpoint = trained / "checkpoints" / "last.ckpt"

    def scores(*overlay: str) -> torch.Tensor:
        assert run("predict", "--ckpt_path", checkpoint, *overlay) == 0
        rows = rows_of(newest(tmp_path / "run") / "scores.csv")
        return torch.tensor([float(row["score"]) for row in rows])

    torch.testing.assert_close(scores("--config", "with/bf16.yaml"), scores(), rtol=0, atol=0.01)


def test_every_method_has_a_recipe() -> None:
    assert {class_of(name) for name in RECIPES} == set(methods.__all__)
    assert {class_of(name) for name in PIXEL_RECIPES} == set(methods.PIXELS)
