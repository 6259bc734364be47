"""Which run of W&B a command belongs to, and that nothing of a stranger decides where anything is sent."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import wandb
from jsonargparse import Namespace
from lightning.pytorch.loggers import WandbLogger

from wsvad_lightning.cli import main
from wsvad_lightning.data.store.synthetic import make_store
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.reporting.wandb import WandbRun
from wsvad_lightning.runs.checkpoints import BestOnVal
from wsvad_lightning.runs.parsed import parse_fit
from wsvad_lightning.runs.tracking import EXTREMES, RECORD, WANDB, identity, offline_run, tracked

KNOWN = {"id": "abc12", "project": "mine", "name": "n", "group": "g", "job_type": "fit", "tags": ["a"]}


def save_run(folder: Path, known: object = KNOWN, wandb_id: object = "abc12", **more: object) -> str:
    """A checkpoint in the folder of a run that was logged."""
    path = folder / "checkpoints" / "last.ckpt"
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": {}, "global_step": 7, WANDB: wandb_id, **more}, path)
    if known is not None:
        (folder / RECORD).write_text(json.dumps(known))
    return str(path)


def configured(*more: str) -> Namespace:
    config = parse_fit(["--config", "ucf_urdmu.yaml", "--data.store", "stores/ped2.h5", *more])
    config.seed_everything = 3
    return config


def test_names_follow_from_method_data_split_and_seed() -> None:
    split = ["--data.split", "splits/five.json", "--data.split_index", "2"]
    assert identity(configured(*split), "fit") == {
        "name": "urdmu-ped2-split2-seed3",
        "group": "ped2-five",
        "job_type": "fit",
        "tags": ["urdmu", "features", "last"],
    }
    best = identity(configured("--trainer.callbacks", BestOnVal.__name__), "fit")
    assert best["name"] == "urdmu-ped2-split0-seed3-best-on-val"
    assert best["tags"][-1] == "best-on-val"
    streams = identity(configured("--data.features", f"[a, {'b' * 90}]"), "fit")
    assert streams["tags"][1:3] == ["a", "b" * 64]


def test_what_the_user_names_is_kept() -> None:
    logger = WandbRun(name="mine", group="ours", tags=["x"])
    tracked([logger], configured(), "fit")
    assert {logger._wandb_init[key] for key in ("name", "group", "job_type")} == {"mine", "ours", "fit"}
    assert logger._wandb_init["tags"] == ["x"]
    assert logger.save_dir == str(Path.cwd() / "runs")


@pytest.mark.parametrize("kind", [WandbRun, WandbLogger])
def test_a_logger_continues_the_run_of_the_checkpoint(kind: type[WandbLogger], tmp_path: Path) -> None:
    config = configured()
    config.ckpt_path = save_run(tmp_path)
    fresh, given = kind(offline=True), kind(offline=True, id="mine")
    tracked([fresh, given], config, "test")
    assert (fresh.version, given.version) == ("abc12", "mine")
    assert fresh._wandb_init["job_type"] == "fit"
    config.ckpt_path = save_run(tmp_path, wandb_id="../a")
    with pytest.raises(WSVADError, match="its entry 'wandb_id' is not"):
        tracked([kind(offline=True)], config, "test")


def test_a_stage_continues_the_run_of_the_one_before(tmp_path: Path) -> None:
    config = configured()
    config.model.init_args.stage, config.model.init_args.previous = 2, save_run(tmp_path)
    logger = WandbRun()
    tracked([logger], config, "fit")
    assert logger.version == "abc12"
    assert logger._stage == "stage2/"


def test_a_logger_takes_over_the_extremes_of_the_checkpoint(tmp_path: Path) -> None:
    config, logger = configured(), WandbRun()
    config.ckpt_path = save_run(tmp_path, **{EXTREMES: {"val/video_auc": [0.25, 1]}})
    tracked([logger], config, "fit")
    assert logger.extremes == {"val/video_auc": [0.25, 1]}
    kinds: tuple[object, ...] = ([], {"val/video_auc": [1.0]}, {"val/video_auc": ["a", "b"]}, {3: [0.0, 1.0]})
    for odd in kinds:
        config.ckpt_path = save_run(tmp_path, **{EXTREMES: odd})
        with pytest.raises(WSVADError, match="its entry 'wandb_extremes' is not"):
            tracked([WandbRun()], config, "fit")


def test_without_a_logger_it_is_continued_offline_below_the_results(tmp_path: Path) -> None:
    config = configured()
    config.ckpt_path, config.output = save_run(tmp_path), str(tmp_path / "out")
    (logger,) = tracked([], config, "test")
    assert isinstance(logger, WandbRun)
    assert logger._offline
    assert (logger.version, logger.save_dir, logger._step) == ("abc12", str(tmp_path / "out"), 7)
    assert {key: logger._wandb_init[key] for key in KNOWN} == KNOWN
    config.trainer.logger = False
    assert tracked([], config, "test") == []
    config.trainer.logger = None
    (tmp_path / RECORD).unlink()
    assert tracked([], config, "test") == []


def test_a_checkpoint_elsewhere_continues_nothing(tmp_path: Path) -> None:
    config = configured()
    config.ckpt_path = str(Path(save_run(tmp_path)).rename(tmp_path / "last.ckpt"))
    assert offline_run(config, "test") == []


ODD: list[Any] = [
    [],
    "abc",
    {},
    KNOWN | {"entity": "other"},
    KNOWN | {"offline": False},
    KNOWN | {"id": "../a"},
    KNOWN | {"id": 3},
    KNOWN | {"project": None},
    KNOWN | {"name": "x" * 200},
    KNOWN | {"tags": "ab"} | {"group": 1},
    KNOWN | {"tags": [1]},
]


@pytest.mark.parametrize("known", ODD, ids=str)
def test_a_record_of_another_kind_is_refused_in_one_line(known: object, tmp_path: Path) -> None:
    config = configured()
    config.ckpt_path = save_run(tmp_path, known)
    with pytest.raises(WSVADError, match=r"^wandb\.json=.* is not what `wsvad fit` writes"):
        offline_run(config, "test")


def test_a_refused_run_leaves_nothing_and_a_failed_one_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_store("s.h5", train=2, test=1)
    fit = ["fit", "--config", "ucf_urdmu.yaml", "--config", "with/smoke.yaml", "--config", "with/wandb.yaml"]
    assert main([*fit, "--data.store", "s.h5", "--data.bags", "windows", "--data.crops", "all"]) == 2
    assert [path.name for path in Path("runs").glob("*") if path.name != "wandb"] == []
    assert list(Path("runs/wandb").glob("offline-run-*")) == []
    assert wandb.run is None
    wandb.teardown()
