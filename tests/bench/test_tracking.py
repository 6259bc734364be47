"""A comparison in W&B, read back from the offline files: its runs in one group, and one that sums them up."""

import json
from pathlib import Path

import pytest
import wandb

from tests.reporting.test_wandb import read_run
from wsvad_lightning.bench.command import with_default
from wsvad_lightning.bench.tracking import digest_of
from wsvad_lightning.cli import main
from wsvad_lightning.data.store.synthetic import make_store
from wsvad_lightning.reporting.offline import offline_files
from wsvad_lightning.reporting.wandb import STEP
from wsvad_lightning.runs.tracking import RECORD

FEW = ["--data.segments", "8", "--data.batch_size", "2", "--model.hidden_dim", "8"]
SHORT = ["--trainer.max_steps", "2", "--trainer.log_every_n_steps", "1"]


def test_a_comparison_is_a_group_with_a_summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_store("ped2.h5", train=2, test=2, lengths=(3, 6), seed=6)
    own = ["--methods", "sultani", "--store", "ped2.h5", "--seeds", "0", "--selections", "last"]
    arguments = ["bench", *own, "--output", "cmp", "--config", "with/wandb.yaml", "--", *FEW, *SHORT]
    assert main(arguments) == 0
    (first,) = Path("cmp").glob("sultani/ped2/split0_seed0_last/version_0")
    run_id = json.loads((first / RECORD).read_text())["id"]
    cell = read_run(offline_files(first.parents[1], run_id))
    assert [(run.run_group, run.display_name) for run in cell.runs] == [
        (f"cmp-{digest_of('cmp')}", "sultani-ped2-split0-seed0")
    ] * 2  # of its training and of its test
    result = json.loads(next(Path("cmp").rglob("result.json")).read_text())
    assert [row[STEP] for row in cell.history[0] if "train/lr" in row] == [0, 1]
    assert cell.summary["test/auc"] == pytest.approx(result["metrics"]["auc"])
    wandb.teardown()  # the writer of the files has ended
    summary = read_run(offline_files("cmp", f"bench-{digest_of('cmp')}"))
    (run,) = summary.runs
    assert (run.run_group, run.display_name, run.job_type) == (cell.runs[0].run_group, "cmp", "bench")
    assert {"bench/methods", "bench/runs", "bench/results"} <= {*summary.summary}
    (table,) = Path("cmp/wandb").glob("offline-run-*/files/media/table/bench/runs_*.json")
    read = json.loads(table.read_text())
    (row,) = (dict(zip(read["columns"], values, strict=True)) for values in read["data"])
    assert (row["method"], row["seed"], row["auc"]) == ("sultani", 0, result["metrics"]["auc"])
    assert main(arguments) == 0  # nothing to train, and the summary goes on
    assert len(read_run(offline_files("cmp", f"bench-{digest_of('cmp')}")).runs) == 2
    wandb.teardown()


def test_shipped_overlays_change_the_default_recipe() -> None:
    assert with_default(None) == ["bench/default.yaml"]
    assert with_default(["with/wandb.yaml"]) == ["bench/default.yaml", "with/wandb.yaml"]
    assert with_default(["ped2_urdmu.yaml", "with/wandb.yaml"]) == ["ped2_urdmu.yaml", "with/wandb.yaml"]
