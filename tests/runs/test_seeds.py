"""The seed of a run, as it is given, saved and refused."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.runs.test_resuming import assert_same
from wsvad_lightning.cli import main

SEEDS: dict[str, Callable[[int | bool | None], bool]] = {
    "true": lambda seed: isinstance(seed, int) and seed > 1,
    "5": lambda seed: seed == 5,
    "false": lambda seed: seed is None,
}


@pytest.mark.parametrize("given", SEEDS)
def test_the_seed_that_ran_is_saved_and_in_receipts(given: str, store: Path, tmp_path: Path) -> None:
    small = ["--config", "with/smoke.yaml", "--model.hidden_dim", "8", "--trainer.max_steps", "2"]
    where = ["--data.store", str(store), "--output", str(tmp_path), "--name", "s"]
    (tmp_path / "seed.yaml").write_text(f"seed_everything: {given}\n")
    seed = ["--config", str(tmp_path / "seed.yaml")]
    assert main(["fit", "--config", "ucf_sultani.yaml", *small, *where, *seed]) == 0
    first, second = (tmp_path / "s" / f"version_{number}" for number in (0, 1))
    assert main(["fit", "--config", str(first / "fit.yaml")]) == 0
    one, other = (folder / "checkpoints" / "last.ckpt" for folder in (first, second))
    if given != "false":
        assert_same(one, other)
    assert main(["test", "--ckpt_path", str(one), "--output", str(tmp_path), "--name", "t"]) == 0
    receipt = json.loads((tmp_path / "t" / "version_0" / "metrics.json").read_text())["receipt"]
    assert SEEDS[given](receipt["seed"])
    assert yaml.safe_load((first / "fit.yaml").read_text())["seed_everything"] == (receipt["seed"] or False)


def test_a_resumed_run_keeps_the_seed_that_was_drawn(
    store: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    small = ["--config", "with/smoke.yaml", "--model.hidden_dim", "8", "--output", str(tmp_path)]
    fit = ["fit", "--config", "ucf_sultani.yaml", *small, "--data.store", str(store), "--name", "s"]
    first = tmp_path / "s" / "version_0"
    last = ["--ckpt_path", str(first / "checkpoints" / "last.ckpt"), "--trainer.max_steps", "2"]
    assert main([*fit, "--seed_everything", "true", "--trainer.max_steps", "1"]) == 0
    assert main([*fit, "--seed_everything", "true", *last]) == 0
    assert "was trained with seed_everything" not in caplog.text
    seeds = [
        yaml.safe_load((first.with_name(name) / "fit.yaml").read_text())["seed_everything"]
        for name in ("version_0", "version_1")
    ]
    assert seeds[0] == seeds[1]
    assert main([*fit, "--seed_everything", "7", *last]) == 0
    assert f"was trained with seed_everything={seeds[0]}, and goes on with 7" in caplog.text


@pytest.mark.parametrize("seed", ["-1", "4294967296", "1.5", "null", "many"])
def test_a_seed_that_is_none_is_one_line(seed: str, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "--config", "ucf_sultani.yaml", f"--seed_everything={seed}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: --seed_everything")
