"""A search on a made-up store, from its trials to the one test."""

import csv
import json
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import portalocker
import pytest
import yaml

from wsvad_lightning.cli import main
from wsvad_lightning.data.store.lock import WriterLock
from wsvad_lightning.runs.parsed import parse_fit
from wsvad_lightning.search.study import finished, open_study

ADAM = {"class_path": "torch.optim.Adam", "init_args": {"lr": 1e-3}}
RECIPE = {
    "model": {"class_path": "Sultani", "init_args": {"hidden_dim": 8, "optimizer": ADAM}},
    "data": {"segments": 4, "batch_size": 2, "crops": "mean"},
    "trainer": {"max_steps": 2, "accelerator": "cpu"},
}
SPACE = {"model.optimizer.lr": {"low": 1e-4, "high": 1e-1, "log": True}, "data.segments": [4, 6]}


@pytest.fixture(scope="module")
def searched(store: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a search of two trials, and what it printed."""
    folder = tmp_path_factory.mktemp("search")
    (folder / "recipe.yaml").write_text(yaml.safe_dump(RECIPE))
    (folder / "space.yaml").write_text(yaml.safe_dump(SPACE))
    with redirect_stdout(StringIO()) as printed:
        assert search(folder, store) == 0
    return folder, printed.getvalue()


def search(folder: Path, store: Path, *more: str, trials: int = 2) -> int:
    files = ["--config", str(folder / "recipe.yaml"), "--space", str(folder / "space.yaml")]
    own = ["--trials", str(trials), "--seeds", "0", "--output", str(folder / "out"), *more]
    return main(["search", *files, *own, "--", "--data.store", str(store)])


def test_trials_recipe_and_gap_are_written(searched: tuple[Path, str]) -> None:
    folder, printed = searched
    with (folder / "out" / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2
    best = max(float(row["video_auc"]) for row in rows if row["state"] == "complete")
    record = json.loads((folder / "out" / "search.json").read_text())
    assert record["reached"] == best
    assert record["gap"] == pytest.approx(best - record["result"]["metrics"]["video_auc"])
    assert record["tests"] == 1
    assert "It was the only test." in printed
    assert "best.yaml, trials.csv, search.json" in printed  # two trials are too few for a picture
    assert [*folder.glob("out/trials/*/*/*/checkpoints")] == []


def test_the_recipe_trains_with_the_values_of_the_trial(searched: tuple[Path, str]) -> None:
    folder, _ = searched
    record = json.loads((folder / "out" / "search.json").read_text())
    best = folder / "out" / "best.yaml"
    recipe = yaml.safe_load(best.read_text())
    assert (
        recipe["model"]["init_args"]["optimizer"]["init_args"]["lr"] == record["values"]["model.optimizer.lr"]
    )
    assert recipe["data"]["segments"] == int(record["values"]["data.segments"])
    assert recipe["data"]["val_fraction"] == 0
    assert parse_fit(["--config", str(best)]).seed_everything == 0


def test_trials_never_see_test_videos(searched: tuple[Path, str]) -> None:
    folder, _ = searched
    for log in folder.glob("out/trials/*/seed0/version_0/metrics.csv"):
        assert "val/video_auc" in log.read_text()
        assert "test/" not in log.read_text()
    trial = yaml.safe_load((folder / "out/trials/0/seed0/version_0/fit.yaml").read_text())
    tested = yaml.safe_load(next(folder.glob("out/tests/*/version_0/fit.yaml")).read_text())
    assert (trial["data"]["val_fraction"], tested["data"]["val_fraction"]) == (0.25, 0)


def test_the_same_command_goes_on_and_another_search_is_refused(
    searched: tuple[Path, str], store: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder, _ = searched
    before = [trial.number for trial in finished(open_study(folder / "out"))]
    assert search(folder, store) == 0
    assert "2 trials, 2 of them finished before" in capfd.readouterr().out
    assert [trial.number for trial in finished(open_study(folder / "out"))] == before
    assert search(folder, store, "--val_fraction", "0.4") == 2
    assert "holds a search of another val_fraction" in capfd.readouterr().err


def test_the_last_of_several_processes_tests_and_failed_trials_are_listed(
    store: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(RECIPE))
    (tmp_path / "space.yaml").write_text("model.optimizer.lr: [1.0e+30, 1.0e-3]")
    other = WriterLock(tmp_path / "out" / "running")
    status = search(tmp_path, store, trials=3)  # the third one draws the rate that is too high
    other.release()
    assert status == 1
    assert not (tmp_path / "out" / "tests").exists()
    printed = capfd.readouterr().out
    assert "another process still searches in this folder" in printed
    assert "failed: trial 2, model.optimizer.lr 1e+30: scores=" in printed
    with (tmp_path / "out" / "trials.csv").open() as file:
        states = {(row["state"], row["model.optimizer.lr"]) for row in csv.DictReader(file)}
    assert states == {("complete", "0.001"), ("fail", "1e+30")}


def test_a_folder_is_claimed_by_one_search_at_a_time(
    searched: tuple[Path, str], store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = searched
    claimed = []

    def probed(study: object, search: object) -> None:
        with (folder / "out" / "claim").open("a") as file, pytest.raises(portalocker.AlreadyLocked):
            portalocker.lock(file, portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING)
        claimed.append(study)

    monkeypatch.setattr("wsvad_lightning.search.run._claim", probed)
    assert search(folder, store) == 0
    assert len(claimed) == 1


def test_what_cannot_be_searched_is_a_line(
    searched: tuple[Path, str], store: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder, _ = searched
    assert search(folder, store, "--objective", "test/auc") == 2
    error = capfd.readouterr().err
    assert "--objective='test/auc': is measured on test videos, by which no setting may be chosen" in error
    assert error.count("\n") == 1
    assert search(folder, store, "--objective", "val/auc") == 2
    assert "whose labels alone are known" in capfd.readouterr().err
    assert search(folder, store, "--val_fraction", "1") == 2
    assert "must be between 0 and 1" in capfd.readouterr().err
    files = ["--config", str(folder / "recipe.yaml"), "--space", str(folder / "space.yaml")]
    given = ["--data.store", str(store)]
    assert main(["search", *files, "--", *given, "--data.val_fraction", "0.5"]) == 2
    assert "--data.val_fraction='0.5': is set by the search. Give --val_fraction" in capfd.readouterr().err


def test_a_sweep_is_written_and_its_command_parses(
    searched: tuple[Path, str], store: Path, tmp_path: Path
) -> None:
    folder, _ = searched
    assert search(folder, store, "--sweep", str(tmp_path / "sweep.yaml")) == 0
    sweep = yaml.safe_load((tmp_path / "sweep.yaml").read_text())
    assert sweep["metric"] == {"name": "val/video_auc", "goal": "maximize"}
    assert sweep["parameters"]["data.segments"] == {"values": ["4", "6"]}
    program, *command, placeholder = sweep["command"]
    assert (program, placeholder) == ("wsvad", "${args}")
    drawn = ["--model.optimizer.lr=0.01", "--data.segments=6"]
    config = parse_fit([*command[1:], *drawn])
    assert (config.data.segments, config.data.val_fraction) == (6, 0.25)
    assert config.trainer.logger.class_path.endswith("WandbRun")
