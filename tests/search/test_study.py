"""When a trial is looked at and given up, how one goes through stages, and what a damaged journal leaves."""

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest

from wsvad_lightning.data.store.synthetic import make_store
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.runs.parsed import parse_fit
from wsvad_lightning.search.space import Space, read_space
from wsvad_lightning.search.study import JOURNAL, Search, Turn, finished, look_often, open_study, run_trial
from wsvad_lightning.search.sweep import write_sweep


@pytest.mark.parametrize("steps", [1, 7, 20, 50, 53, 57, 200])
def test_the_last_step_is_validated(steps: int) -> None:
    *_, interval = look_often(steps)
    assert steps % int(interval) == 0
    assert steps / int(interval) <= 10


def test_a_training_by_epochs_keeps_its_interval() -> None:
    assert look_often(-1) == []


@pytest.mark.parametrize("text", ["nothing\n", '{"op_code": 99}\n', "[1]\n"])
def test_a_damaged_journal_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / JOURNAL).write_text(text)
    with pytest.raises(WSVADError, match="is not the journal of a search"):
        open_study(tmp_path)


def test_a_journal_whose_last_write_was_cut_goes_on(tmp_path: Path) -> None:
    open_study(tmp_path).ask()
    journal = tmp_path / JOURNAL
    journal.write_bytes(journal.read_bytes() + b'{"op_code":4,"worker')
    open_study(tmp_path).ask()
    assert [trial.number for trial in open_study(tmp_path).trials] == [0, 1]
    journal.write_bytes(b"a line\nand a half")  # of no journal, and not cut
    with pytest.raises(WSVADError, match="is not the journal of a search"):
        open_study(tmp_path)
    assert journal.read_bytes() == b"a line\nand a half"


def searched(folder: Path, arguments: list[str], setting: str) -> Search:
    """A search of one setting with one seed, and no trial yet."""
    (folder / "space.yaml").write_text(setting)
    space = read_space(str(folder / "space.yaml"), parse_fit(arguments).as_dict())
    own = ["--data.normalize", "zscore", "--trainer.accelerator", "cpu"]
    return Search([*arguments, *own], space, 10, (0,), 0.5, folder)


def test_a_trial_below_the_median_of_those_before_is_pruned(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wsvad_lightning.bench.measure.write_output_to", lambda path: None)
    small = ["--config", "ped2_sultani.yaml", "--data.store", str(store), "--data.features", "features"]
    steps = ["--data.batch_size", "2", "--trainer.max_steps", "10"]
    bad = "model.optimizer.lr: {low: 1.0e-12, high: 2.0e-12}"  # nothing is learnt: it stays below the others
    search = replace(searched(tmp_path, [*small, *steps], bad), seeds=(4,))  # whose weights rank videos badly
    for _ in range(5):
        open_study(tmp_path).add_trial(ended(search.space, dict.fromkeys(range(1, 11), 1.0)))
    assert "pruned at" in (said := run_trial(Turn(search, 6)))
    *_, pruned = finished(open_study(tmp_path))
    assert pruned.state.name == "PRUNED"
    assert pruned.last_step == 5
    assert said.endswith("after 5 steps")
    with (tmp_path / "trials/5/seed4/version_0/metrics.csv").open() as file:
        assert max(int(row["step"]) for row in csv.DictReader(file)) < 5


def ended(space: Space, reached: dict[int, float]) -> Any:
    """A trial that ended, with what its validations measured."""
    ((name, setting),) = space.settings.items()
    drawn = optuna.distributions.FloatDistribution(setting.low, setting.high)  # type: ignore[union-attr]  # a range
    return optuna.create_trial(
        params={name: setting.low},  # type: ignore[union-attr]
        distributions={name: drawn},
        intermediate_values=reached,
        value=1.0,
    )


def test_a_method_of_stages_is_trained_through_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wsvad_lightning.bench.measure.write_output_to", lambda path: None)
    views = {"patches_1x2": 2}
    store = make_store(tmp_path / "s.h5", train=4, test=2, crops=2, streams=("features", *views), views=views)
    small = ["--config", "sht_ssrl.yaml", "--config", "with/smoke.yaml", "--model.grids", "[1x2]"]
    given = [*small, "--data.store", str(store), "--trainer.max_steps", "2"]
    search = searched(tmp_path, given, "model.optimizer.lr: {low: 1.0e-3, high: 2.0e-3}")
    assert run_trial(Turn(search, 1)).startswith("trial 0, model.optimizer.lr 0.00")
    (trial,) = finished(open_study(tmp_path))
    assert [*trial.intermediate_values] == [1, 2, 3, 4]  # two validations of each of two stages
    assert trial.value == trial.intermediate_values[4]
    assert [*tmp_path.glob("trials/0/seed0/*/checkpoints")] == []
    with pytest.raises(WSVADError, match="the method of the recipe is trained in stages"):
        write_sweep(search, str(tmp_path / "sweep.yaml"))
