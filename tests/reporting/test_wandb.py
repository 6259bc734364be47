"""W&B as one story: fit, test, a resumed fit, predict and a comparison, read back from the offline files."""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import wandb

from tests.videos import save_grey
from wsvad_lightning.cli import main
from wsvad_lightning.data.store import FeatureStore
from wsvad_lightning.data.store.synthetic import make_store
from wsvad_lightning.methods import GSMoE
from wsvad_lightning.reporting.board import read_rows
from wsvad_lightning.reporting.offline import offline_files, read_records
from wsvad_lightning.reporting.wandb import STEP, WandbRun, finish
from wsvad_lightning.video.reader import VideoReader

VALIDATED = ["--data.val_fraction", "0.3", "--trainer.val_check_interval", "2"]
SMALL = ["--config", "ucf_gsmoe.yaml", "--config", "with/smoke.yaml", "--config", "with/wandb.yaml"]
FAST = ["--model.hidden_dim", "8", "--model.num_experts", "2", "--seed_everything", "1"]  # which finds events


class Written(NamedTuple):
    """What is in the files of a run, one after the other."""

    runs: list[Any]  # how each file describes the run
    configs: list[dict[str, Any]]  # of each file
    history: list[list[dict[str, Any]]]  # rows of each file
    summary: dict[str, Any]
    artifacts: dict[str, list[str]]  # names of the files in each kind


def put(entries: Any, found: dict[str, Any]) -> dict[str, Any]:
    """Nest entries as their keys say."""
    for entry in entries:
        *path, last = list(entry.nested_key) or [entry.key]
        inside = found
        for key in path:
            inside = inside.setdefault(key, {})
        inside[last] = json.loads(entry.value_json)
    return found


def read_run(files: list[Path]) -> Written:
    written = Written([], [], [], {}, {})
    for path in files:
        written.configs.append({})
        written.history.append([])
        for record in read_records(path):
            kind = record.WhichOneof("record_type")
            if kind == "run":
                written.runs.append(record.run)
            elif kind == "config":
                put(record.config.update, written.configs[-1])
            elif kind == "history":
                written.history[-1].append(put(record.history.item, {}))
            elif kind == "summary":
                put(record.summary.update, written.summary)
            elif kind == "artifact":
                names = [entry.path for entry in record.artifact.manifest.contents]
                written.artifacts.setdefault(record.artifact.type, []).extend(names)
    return written


def nulls_in(value: Any) -> bool:
    if isinstance(value, dict | list):
        return any(map(nulls_in, value.values() if isinstance(value, dict) else value))
    return value is None


class Desk(NamedTuple):
    """Where the commands ran, and what they left."""

    folder: Path
    run: Written  # of fit, test, predict and a resumed fit
    tables: dict[str, dict[str, Any]]  # by name
    videos: Path  # that are drawn

    def version(self, number: int) -> Path:
        return self.folder / "runs" / "ucf_gsmoe" / f"version_{number}"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Fit, test with videos and artifacts, predict, and a fit that goes on from the first."""
    folder = tmp_path_factory.mktemp("desk")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        store = make_store(Path("ped2.h5"), test=2, lengths=(3, 6), classes=("fall", "fight"), seed=6)
        for name in (name for name in FeatureStore(store) if name.startswith("test_")):
            frames = FeatureStore(store)[name].num_frames
            save_grey(Path("videos", f"{name}.mp4"), [2 * t for t in range(frames)])
        fit = ["fit", *SMALL, *FAST, "--data.store", "ped2.h5", *VALIDATED]
        last, more = "runs/ucf_gsmoe/version_0/checkpoints/last.ckpt", ["--trainer.logger.artifacts", "true"]
        assert main([*fit, *more]) == 0
        more += ["--trainer.logger.videos", "videos"]
        assert main(["test", "--ckpt_path", last, "--config", "with/wandb.yaml", *more]) == 0
        assert main(["predict", "--ckpt_path", last]) == 0
        assert main([*fit, "--trainer.max_steps", "6", "--ckpt_path", last]) == 0
    wandb.teardown()  # its process would outlive the tests
    run_id = json.loads((folder / "runs/ucf_gsmoe/version_0/wandb.json").read_text())["id"]
    files = offline_files(folder / "runs", run_id)
    found = [(path, media) for path in files if (media := path.parent / "files" / "media").is_dir()]
    tables = {
        re.sub(r"_\d+_\w+\.table\.json", "", str(path.relative_to(media / "table"))): json.loads(
            path.read_text()
        )
        for _, media in found
        for path in media.rglob("*.table.json")
    }
    return Desk(folder, read_run(files), tables, files[1].parent / "files" / "media" / "videos")


def test_every_command_continues_one_run(desk: Desk) -> None:
    assert len(desk.run.runs) == 4
    for run in desk.run.runs:
        assert run.display_name == "gsmoe-ped2-split0-seed1"
        assert (run.project, run.run_group, run.job_type) == ("wsvad", "ped2", "fit")
        assert list(run.tags) == ["gsmoe", "features", "last"]
        assert run.resume
    steps = [row["_step"] for rows in desk.run.history for row in rows]
    assert steps == list(range(len(steps)))
    of_test = [row[STEP] for rows in desk.run.history[1:3] for row in rows if STEP in row]
    assert {*of_test} == {4}  # where the checkpoint is


def test_the_configuration_says_each_thing_once(desk: Desk) -> None:
    fitted, tested, predicted, resumed = desk.run.configs
    assert not nulls_in(desk.run.configs)
    assert set(fitted) == {"seed", "model", "data", "trainer", "origin"}
    assert fitted["data"]["store"] == str(desk.folder / "ped2.h5") == tested["test"]["store"]
    assert fitted["model"]["init_args"]["loss_weights"] == dict(GSMoE.default_loss_weights)
    assert "logger" not in fitted["trainer"]
    assert fitted["origin"]["videos"]["train"] == {"normal": 4, "abnormal": 4}
    assert fitted["origin"]["store_checksum"] == FeatureStore(desk.folder / "ped2.h5").checksum()
    assert {"wsvad_lightning", "torch", "lightning", "python"} <= set(fitted["origin"]["versions"])
    assert set(tested) - {"_wandb"} == {"test"}
    assert tested["test"]["checkpoint"] == str(desk.version(0) / "checkpoints" / "last.ckpt")
    assert set(predicted) == {"predict"}
    assert resumed["trainer"]["max_steps"] == 6
    assert resumed["origin"]["checkpoint"] == tested["test"]["checkpoint"]


def test_the_history_has_everything_on_the_axis_of_steps(desk: Desk) -> None:
    rows = [row for rows in desk.run.history for row in rows]
    for name in ("train/loss/total", "train/lr", "train/gradient_norm", "time/step", "time/data"):
        assert [row[STEP] for row in rows if name in row] == [*range(6)], name
    for name in ("scores/normal", "scores/abnormal"):
        recorded = [row for row in rows if name in row]
        assert [row[STEP] for row in recorded] == [*range(6)], name
        assert all(sum(row[name]["values"]) > 0 for row in recorded)
    assert [row[STEP] for row in rows if "val/video_auc" in row] == [1, 3, 5]


def test_the_summary_has_the_extremes_of_the_whole_training(desk: Desk) -> None:
    shown = [row["val/video_auc"] for rows in desk.run.history for row in rows if "val/video_auc" in row]
    assert len(shown) == 3
    whole = {"min": min(shown), "max": max(shown), "last": shown[-1]}
    assert desk.run.summary["val/video_auc"] == whole


def test_a_resumed_training_goes_on_from_the_extremes_of_its_checkpoint(tmp_path: Path) -> None:
    logger = WandbRun(offline=True)
    logger.belong(str(tmp_path), stage=1, step=None, extremes={"val/video_auc": [0.25, 1.0]})
    logger.log_metrics({"val/video_auc": 0.5}, 7)
    finish(logger.experiment)
    summary = read_run(offline_files(tmp_path, str(logger.version))).summary
    assert summary["val/video_auc"] == {"min": 0.25, "max": 1.0, "last": 0.5}


def test_the_summary_has_what_a_test_measured_with_intervals(desk: Desk) -> None:
    record = json.loads((desk.version(1) / "metrics.json").read_text())
    for name, value in record["metrics"].items():
        assert desk.run.summary[f"test/{name}"] == pytest.approx(value), name
    for name, (low, high) in record["intervals"].items():
        found = [desk.run.summary[f"test/{name}_{end}"] for end in ("low", "high")]
        assert found == pytest.approx([low, high]), name


def test_tables_have_a_row_a_video_and_a_class(desk: Desk) -> None:
    columns, rows = read_rows(desk.version(1) / "videos.csv")
    table = desk.tables["test/videos"]
    assert table["columns"] == [*columns, "curve", "strongest frame"]
    assert [row[:-2] for row in table["data"]] == [list(row.values()) for row in rows]
    assert [row[0] for row in desk.tables["test/classes"]["data"]] == ["fall", "fight"]
    assert len(desk.tables["predict/videos"]["data"]) == 16


def test_tables_have_a_row_an_event(desk: Desk) -> None:
    for part, version in (("test", 1), ("predict", 2)):
        columns, rows = read_rows(desk.version(version) / "events.csv")
        assert rows
        assert {row["class"] for row in rows} <= {"fall", "fight"}
        table = desk.tables[f"{part}/events"]
        assert (table["columns"], table["data"]) == (columns, [list(row.values()) for row in rows])


def test_plots_are_native(desk: Desk) -> None:
    plots = desk.run.configs[1]["_wandb"]["visualize"]
    for name in ("test/roc", "test/precision_recall"):
        assert plots[name]["panel_config"]["panelDefId"] == "wandb/area-under-curve/v0"
        assert {point[0] for point in desk.tables[f"{name}_table"]["data"]} >= {0.0, 1.0}


def test_the_best_and_worst_videos_are_drawn(desk: Desk) -> None:
    (row,) = (row for row in desk.run.history[1] if "test/best" in row)
    by_auc = {name: auc for name, *_, auc, _, _, _, _, _, _ in desk.tables["test/videos"]["data"]}
    assert len(by_auc) == 4
    shown = [row[f"test/{name}"]["captions"] for name in ("best", "worst")]
    assert sorted([*shown[0], *shown[1]]) == sorted(by_auc)
    for name, videos in zip(("best", "worst"), shown, strict=True):
        drawn = sorted((desk.videos / "test").glob(f"{name}_*.mp4"))
        lengths = [sum(1 for _ in VideoReader(path)) for path in drawn]
        frames = [FeatureStore(desk.folder / "ped2.h5")[video].num_frames for video in videos]
        assert sorted(lengths) == sorted(frames)


def test_artifacts_are_kept_where_they_are_asked_for(desk: Desk) -> None:
    assert desk.run.artifacts["checkpoint"] == ["last.ckpt"]  # of the first fit, not of the second
    assert {*desk.run.artifacts["results"]} >= {"metrics.json", "scores.csv", "videos.csv", "truth.csv"}


def test_files_are_below_the_folder_that_a_command_ran_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("first", "second"):  # the service of the first writes the files of the second
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        run = WandbRun(id=name)
        run.belong("runs", stage=1, step=None, extremes={})
        run.log_metrics({"train/loss": 1.0}, 0)
        finish(run.experiment)
        (file,) = offline_files("runs", name)
        assert [row["train/loss"] for row in read_run([file]).history[0]] == [1.0]
    wandb.teardown()
