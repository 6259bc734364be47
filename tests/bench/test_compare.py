"""`wsvad bench` on a made-up store: what is run, what is not run again, and what a failing run leaves."""

import json
import os
import re
import shutil
import signal
from contextlib import redirect_stdout
from dataclasses import replace
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tests.methods.small import smaller
from tests.methods.towers import save_tower
from tests.recipes import composed as as_shipped
from wsvad_lightning.bench import recipes
from wsvad_lightning.bench.compare import (
    Plan,
    check_fit,
    find_stores,
    make_cells,
)
from wsvad_lightning.bench.measure import measure
from wsvad_lightning.bench.recipes import as_text, compose, find_methods
from wsvad_lightning.bench.results import Result, summarise
from wsvad_lightning.carried import IDS as METHODS
from wsvad_lightning.cli import main
from wsvad_lightning.configs import config_folder, find_config, included_by
from wsvad_lightning.data.store import FeatureStore, StoreWriter
from wsvad_lightning.data.store.synthetic import make_store
from wsvad_lightning.signals import Stopped

SHIPPED = {path.stem for path in (config_folder() / "model").glob("*.yaml")}
IDS = sorted(SHIPPED - {"svmaepretraining"})  # trained on pixels
FEW = ("--data.segments", "8", "--data.batch_size", "2")
TINY = {"model": {"class_path": "URDMU", "init_args": {"hidden_dim": 16}}, "trainer": {"max_steps": 2}}
REFUSED = {"class_path": "torch.optim.Adam", "init_args": {"lr": -1.0}}  # once the training begins
BROKEN = {"model": {"class_path": "URDMU", "init_args": {"optimizer": REFUSED}}}
VADCLIP = {
    "model": {"class_path": "VadCLIP", "init_args": {"layers": 1, "window": 64}},
    "data": {"normalize": "none", "clip": None},
}


def name_videos(part: str, numbers: range) -> list[str]:
    return [f"{part}_{kind}_{i:03d}" for kind in ("normal", "abnormal") for i in numbers]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two stores, three methods, and two splits, the second of which names videos to validate with."""
    desk = tmp_path_factory.mktemp("desk")
    make_store(
        desk / "store.h5",
        dim=30,
        classes=("fall", "fight"),
        streams=("features", "patches_2x3"),
        views={"patches_2x3": 6},
        text_aligned=True,
    )
    make_store(desk / "plain.h5", dim=16, classes=("fall", "fight"))
    test = name_videos("test", range(3))
    splits = [
        {"train": name_videos("train", range(6)), "test": test},
        {"train": name_videos("train", range(4)), "val": name_videos("train", range(4, 6)), "test": test},
    ]
    (desk / "splits.json").write_text(json.dumps({"splits": splits}))
    (desk / "train.json").write_text(json.dumps({"train": name_videos("train", range(6))}))
    (desk / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    (desk / "broken.yaml").write_text(yaml.safe_dump(BROKEN))
    (desk / "vadclip.yaml").write_text(yaml.safe_dump(VADCLIP))
    return desk


def plan(desk: Path, output: Path) -> Plan:
    return Plan(
        [str(desk / "tiny.yaml")],
        [str(desk / "store.h5")],
        str(desk / "splits.json"),
        seeds=[0],
        output=str(output),
        arguments=FEW,
    )


def bench(
    desk: Path,
    output: Path,
    *more: str,
    methods: tuple[str, ...] = ("tiny.yaml",),
    fit: tuple[str, ...] = (),
) -> int:
    named = [str(desk / name) if name.endswith(".yaml") else name for name in methods]
    where = ["--store", str(desk / "store.h5"), "--splits", str(desk / "splits.json")]
    own = ["--methods", *named, *where, "--seeds", "0", "--output", str(output), *more]
    return main(["bench", *own, "--", *FEW, *fit])


@pytest.fixture(scope="module")
def first(desk: Path) -> tuple[int, str]:
    """Exit status and output of a comparison by two processes, in which a method fails."""
    with redirect_stdout(StringIO()) as printed:
        status = bench(desk, desk / "runs", "--jobs", "2", methods=("tiny.yaml", "broken.yaml"))
    return status, printed.getvalue()


@pytest.fixture
def runs(first: tuple[int, str], desk: Path, tmp_path: Path) -> Path:
    """A copy of what the first comparison left."""
    return Path(shutil.copytree(desk / "runs", tmp_path / "runs"))


def results_of(runs: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in runs.glob("*/*/*/result.json")}


def test_a_failing_method_stops_no_other(first: tuple[int, str], runs: Path) -> None:
    status, printed = first
    assert status == 1
    assert set(results_of(runs)) == {
        f"split{split}_seed0_{selection}" for split in (0, 1) for selection in ("last", "best-on-val")
    }
    assert printed.count("4 failed: --model.optimizer does not work: Invalid learning rate: -1.0") == 1
    assert printed.count("log.txt") == 4
    assert "Traceback" in (runs / "broken" / "store" / "split0_seed0_last" / "log.txt").read_text()


def test_table_and_picture_are_of_the_results(first: tuple[int, str], runs: Path) -> None:
    results = [Result(**entry) for entry in json.loads((runs / "results.json").read_text())]
    assert len(results) == 4
    table = (runs / "results.md").read_text()
    for selection in ("last", "best-on-val"):
        own = [result for result in results if result.selection == selection]
        assert f"| tiny | store | {selection} | {summarise(own, 'auc')} | " in table
    assert (runs / "results.png").is_file()
    assert "version_1/report.html" in (runs / "report.html").read_text("utf-8")  # that of a run


def test_a_result_tells_what_it_was_made_from(runs: Path) -> None:
    held_out = json.loads(results_of(runs)["split0_seed0_best-on-val"])
    assert set(held_out["made_from"]) == {
        *("recipe", "streams", "val_fraction", "version", "train", "val", "test", "store_checksum", "labels")
    }
    assert held_out["made_from"]["val_fraction"] == 0.25
    assert held_out["receipt"]["seed"] == 0
    checkpoint = Path(held_out["receipt"]["checkpoint"])
    assert checkpoint.name == "best.ckpt"
    assert "optimizer_states" not in torch.load(checkpoint, weights_only=True)
    (scores,) = (runs / "tiny" / "store" / "split0_seed0_last").glob("*/scores.csv")
    assert not scores.with_suffix(".png").exists()
    for name in ("split0_seed0_last", "split1_seed0_best-on-val"):  # holds nothing out; the split names some
        assert json.loads(results_of(runs)[name])["made_from"]["val_fraction"] == 0


def test_what_is_finished_is_not_run_again(
    desk: Path, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = results_of(runs)
    (runs / "results.md").unlink()
    assert bench(desk, runs) == 0
    assert results_of(runs) == before
    assert "4 runs, 4 of them finished before" in capsys.readouterr().out
    assert (runs / "results.md").is_file()


def test_one_that_is_stopped_says_that_it_continues(
    desk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it does to the processes of its runs is tested with these, in ``test_workers.py``."""
    kill = partial(os.kill, os.getpid(), signal.SIGTERM)
    monkeypatch.setattr("wsvad_lightning.bench.compare.work_off", lambda *_: kill())
    with pytest.raises(Stopped, match="143"):
        bench(desk, tmp_path)
    assert capsys.readouterr().err.splitlines()[-1] == "stopped by SIGTERM; the same command continues"


def test_what_does_not_fit_or_is_torn_is_run_again(
    desk: Path, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = results_of(runs)
    torn = runs / "tiny" / "store" / "split0_seed0_last" / "result.json"
    torn.write_bytes(torn.read_bytes()[:-20])
    older = runs / "tiny" / "store" / "split1_seed0_last" / "result.json"
    older.write_text(older.read_text().replace('"version": "', '"version": "0.0.'))
    assert bench(desk, runs) == 0
    assert "4 runs, 2 of them finished before" in capsys.readouterr().out
    again = results_of(runs)
    assert {name for name in before if again[name] != before[name]} == {
        "split0_seed0_last",
        "split1_seed0_last",
    }
    for name in before:  # the same seed gives the same numbers
        assert json.loads(again[name])["metrics"] == json.loads(before[name])["metrics"]


def test_a_result_counts_for_the_same_run_alone(desk: Path, runs: Path, tmp_path: Path) -> None:
    same = plan(desk, runs)

    def finished(other: Plan) -> list[str]:
        return [cell.folder.name for cell in make_cells(other) if cell.read_result()]

    assert len(finished(same)) == 4
    assert finished(replace(same, arguments=["--data.segments", "9"])) == []
    assert finished(replace(same, configs=["ped2_urdmu.yaml"])) == []
    assert len(finished(replace(same, val_fraction=0.4))) == 3
    assert len(finished(replace(same, seeds=[0, 1]))) == 4
    other = tmp_path / "tiny.yaml"
    other.write_text(yaml.safe_dump({**TINY, "trainer": {"max_steps": 3}}))
    assert finished(replace(same, methods=[str(other)])) == []
    moved = tmp_path / "store.h5"
    make_store(moved, dim=30, seed=1)
    assert finished(replace(same, stores=[str(moved)])) == []
    shutil.copy(desk / "store.h5", moved)
    assert len(finished(replace(same, stores=[str(moved)]))) == 4
    with StoreWriter(moved, FeatureStore(moved).provenance) as writer:
        first = FeatureStore(moved)[name_videos("train", range(1))[0]].annotation
        writer.annotate(replace(first, label=1 - first.label, classes=(), intervals=None))
    assert finished(replace(same, stores=[str(moved)])) == []


def test_every_method_runs_on_every_store_that_it_fits(
    desk: Path, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A store more costs its own runs alone; a method that does not fit it is reported, with the reason."""
    stores = ["--stores", str(desk / "store.h5"), str(desk / "plain.h5"), "--selections", "last"]
    assert bench(desk, runs, *stores, methods=("tiny.yaml", "vadclip.yaml", "ssrl", "sst")) == 0
    printed = capsys.readouterr().out
    assert "4 runs, 2 of them finished before" in printed
    reason = "VadCLIP needs text-aligned (CLIP) features, the store holds 16-d synthetic"
    table = (runs / "results.md").read_text()
    for text in (printed, table):
        assert f"vadclip does not fit plain: data.store='{desk}/plain.h5': {reason}" in text
        assert "vadclip does not fit store: model.text_tower is required to encode the names" in text
        assert "sst does not fit store: model.videos is required: the spatial network" in text
        assert "SSRL needs the streams ['patches_3x5', 'patches_4x7']" in text  # in its last stage
    entries = [Result(**entry) for entry in json.loads((runs / "results.json").read_text())]
    assert {(entry.method, entry.store) for entry in entries} == {("tiny", "store"), ("tiny", "plain")}
    rows = [line.split(" | ")[:2] for line in table.splitlines() if line.startswith("| tiny")]
    assert rows == 2 * [["| tiny", "store"], ["| tiny", "plain"]]  # of scores, and of differences


@pytest.mark.parametrize(
    ("setting", "reported"),
    [
        ("--model.text_tower=nowhere", "model.text_tower='nowhere': no such folder"),
        ("--model.text_tower=tower16", "its features have 16 channels, those of the store 30"),
        ('--model.prompts={"smoke": "smoke"}', "model.prompts='smoke': no such class"),
        ("--data.normalize=zscore", "data.normalize='zscore': VadCLIP compares features with texts"),
    ],
)
def test_what_texts_lack_is_found_before_the_training(
    setting: str, reported: str, one_step: Plan, desk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for dim in (16, 30):
        save_tower(tmp_path / f"tower{dim}", dim)
    own = replace(one_step, methods=[str(desk / "vadclip.yaml")])
    overrides = [*one_step.arguments, "--model.text_tower=tower30"]
    (fitting,) = make_cells(replace(own, arguments=overrides))
    check_fit(fitting)
    (cell,) = make_cells(replace(own, arguments=[*overrides, setting]))
    with pytest.raises(ValueError, match=re.escape(reported)):
        check_fit(cell)


def test_a_setting_goes_to_the_methods_that_have_it() -> None:
    """A value of its own with it."""
    given = ["--model.dropout=0.2", "--model.hidden_dim", "8", "--model.init_args.k", "2"]
    recipes = compose(find_methods(["urdmu", "rtfm"]), ["bench/default.yaml"], ["last"], [*given, *FEW])
    ours, other = (recipes["last", method].model.init_args.as_dict() for method in ("urdmu", "rtfm"))
    assert (ours["dropout"], ours["hidden_dim"], "k" in ours) == (0.2, 8, False)
    assert (other["dropout"], other["k"], "hidden_dim" in other) == (0.2, 2, False)
    assert all(recipe.data.segments == 8 for recipe in recipes.values())


def test_several_files_are_one_store(tmp_path: Path) -> None:
    for i in range(3):
        make_store(tmp_path / f"part{i}.h5", train=1, test=1)
    pattern = str(tmp_path / "part*.h5")
    assert find_stores([pattern, pattern]) == {"part0+2": pattern}
    assert list(find_stores([str(tmp_path / "part1.h5"), str(tmp_path / "part0.h5")])) == ["part1", "part0"]


def composed(method: str, configs: list[str], selection: str = "last", *arguments: str) -> dict[str, Any]:
    recipes = compose(find_methods([method]), configs, [selection], arguments)
    recipe: dict[str, Any] = yaml.safe_load(as_text(next(iter(recipes.values()))))
    return recipe


def test_nothing_of_the_recipes_own_model_is_left(tmp_path: Path) -> None:
    """Not even what bears a name that the other method knows: here the schedule."""
    own = composed("ucf_deepmil.yaml", ["bench/default.yaml"])["model"]["init_args"]
    assert own["lr_scheduler"] is not None
    assert own["loss_weights"] is not None
    after = composed("mgfn", ["ucf_deepmil.yaml", "with/bf16.yaml"])
    assert after["model"] == composed("mgfn", ["bench/default.yaml"])["model"]
    assert after["model"]["init_args"]["lr_scheduler"] is None
    assert (after["data"]["batch_size"], after["trainer"]["max_steps"]) == (32, 50)
    assert after["trainer"]["precision"] == "bf16-mixed"


OF_PED2 = [
    path.name
    for path in sorted(config_folder().glob("ped2_*.yaml"))
    if config_folder() / "bench" / "ped2.yaml" in included_by(path)
]
OTHER_STREAMS = {"ssrl": ("--data.features", "features", "--data.crops", "all")}


@pytest.mark.parametrize("name", OF_PED2)
def test_recipes_of_ped2_are_those_of_the_comparison(name: str) -> None:
    method = name.removeprefix("ped2_").removesuffix(".yaml")
    recipe = yaml.safe_load(as_text(as_shipped(name)))
    assert recipe == composed(method, ["ped2_urdmu.yaml"], "last", *OTHER_STREAMS.get(method, ()))


def test_a_method_may_lack_what_differs_on_small_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(config_folder(), tmp_path / "configs"))
    (folder / "bench" / "rtfm.yaml").unlink()
    monkeypatch.setattr(recipes, "config_folder", lambda: folder)
    recipe = composed("rtfm", ["ped2_urdmu.yaml"])
    assert recipe["model"]["class_path"] == "wsvad_lightning.methods.RTFM"
    assert recipe["trainer"]["max_steps"] == 50


def test_configurations_overlay_each_other_as_in_fit(tmp_path: Path) -> None:
    (tmp_path / "more.yaml").write_text(yaml.safe_dump({"data": {"segments": 9, "crops": "max"}}))
    recipe = composed(
        "rtfm", ["bench/default.yaml", str(tmp_path / "more.yaml")], "last", "--data.segments=7"
    )
    assert (recipe["data"]["segments"], recipe["data"]["crops"], recipe["data"]["clip"]) == (7, "max", 5.0)


def test_the_best_is_chosen_among_ten() -> None:
    best = composed("rtfm", ["bench/default.yaml"], "best-on-val")
    assert best["trainer"]["val_check_interval"] == 10
    assert [one["class_path"].rpartition(".")[2] for one in best["trainer"]["callbacks"]] == ["BestOnVal"]


@pytest.mark.parametrize(
    ("given", "interval"),
    [
        (["--trainer.max_steps", "5"], 1),
        (["--trainer.max_steps", "300", "--trainer.val_check_interval", "7"], 7),
    ],
)
def test_the_ten_are_of_as_many_steps_as_the_arguments_leave(given: list[str], interval: int) -> None:
    best = composed("rtfm", ["bench/default.yaml"], "best-on-val", *given)
    assert best["trainer"]["val_check_interval"] == interval


def test_streams_are_those_of_the_store_where_it_lacks_the_recipes(
    desk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As after the README's own extraction; one with the streams of the recipe is read as ever."""
    grids = {"motion_1x1": 1, "motion_2x3": 6}
    motion = make_store(tmp_path / "motion.h5", dim=4, streams=tuple(grids), views=grids)
    plain = replace(plan(desk, tmp_path), splits=None, selections=["last"])
    both = replace(plain, stores=[str(motion), str(desk / "plain.h5")])
    moving, still = make_cells(both)
    (note,) = capsys.readouterr().out.splitlines()
    assert note.startswith(
        "motion has no stream features: methods read [motion_1x1, motion_2x3], the maximum"
    )
    assert (moving.made_from["streams"], still.made_from["streams"]) == (
        ["--data.features", "[motion_1x1, motion_2x3]", "--data.crops", "max"],
        [],
    )
    check_fit(moving)
    assert measure(moving).metrics["auc"] is not None
    chosen = replace(both, stores=[str(motion)], arguments=[*FEW, "--data.features", "motion_2x3"])
    assert make_cells(chosen)[0].made_from["streams"] == []


@pytest.fixture
def one_step(desk: Path, tmp_path: Path) -> Plan:
    overrides = [*FEW, "--trainer.max_steps", "1", "--trainer.val_check_interval", "2"]
    return replace(plan(desk, tmp_path), splits=None, selections=["last"], arguments=overrides)


@pytest.mark.parametrize("name", IDS)
def test_every_shipped_method_runs_on_features_of_any_size(name: str, one_step: Plan) -> None:
    """By the default recipe, on the split of the store; what a method needs prepared is."""
    model = METHODS[yaml.safe_load(find_config(f"model/{name}.yaml").read_text())["class_path"]]
    small = smaller(model, Path(one_step.output), feature_dim=30)
    if model == "SSRL":
        small.append("--model.grids=[2x3]")
    (cell,) = make_cells(replace(one_step, methods=[name], arguments=[*one_step.arguments, *small]))
    check_fit(cell)
    result = measure(cell)
    assert result.metrics["auc"] is not None
    assert (result.method, result.split, result.selection) == (name, 0, "last")
    assert result.made_from["train"] == sorted(name_videos("train", range(6)))


def test_all_are_the_shipped_ones() -> None:
    assert list(find_methods(["all"])) == IDS
    assert [*find_methods(["rtfm", "all"])][:1] == ["rtfm"]


@pytest.mark.parametrize(
    ("more", "reported"),
    [
        (["--methods", "rtfmm"], "--methods='rtfmm': no such method. Did you mean rtfm? Give some of all, "),
        (["--splits", "nowhere.json"], "--splits='nowhere.json': cannot be read"),
        (["--methods", "svmaepretraining"], "--methods='svmaepretraining': is trained on clips of pixels"),
        (["--methods", "demo_svmae.yaml"], "--methods='demo_svmae': is trained on clips of pixels"),
        (["--methods", "rtfm", "rtfm.yaml"], "--methods='rtfm.yaml': another method has this name"),
        (["--", "--data.segmens", "3"], "segmens"),
        (["--", "--model.text_tower", "x"], "--model.text_tower='x': none of the methods has this setting"),
        (["--", "--model.dropot=0.1"], "--model.dropot='0.1': none of the methods has this setting"),
        (["--", "--data.segments", "many"], "segments"),
        (["--data.segments", "3"], "segments"),
        (["--", "--data.val_fraction", "0.1"], "Give --val_fraction, before --"),
        (["--", "--seed_everything=3"], "Give --seeds"),
        (["--selections", "best"], "selections"),
        (["--jobs", "0"], "jobs"),
        (["--splits", "no.json"], "no.json"),
        (["--splits", "train.json"], "train.json': the part 'test' is empty"),
        (["--store", "no.h5"], "no.h5"),
        (
            ["--stores", "store.h5", "other/store.h5"],
            "--stores='other/store.h5': another store has this name",
        ),
        (["--stores", "plain.h5", "--methods", "vadclip.yaml"], "VadCLIP needs text-aligned (CLIP) features"),
        (["--", "--data.features", "nothing"], "data.features='nothing'"),
        (["--config", "splits.json"], "splits"),
    ],
)
def test_a_mistake_is_reported_before_anything_runs(
    more: list[str],
    reported: str,
    desk: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(desk)
    shutil.copy(desk / "tiny.yaml", desk / "rtfm.yaml")
    (desk / "other").mkdir(exist_ok=True)
    shutil.copy(desk / "store.h5", desk / "other" / "store.h5")
    at = more.index("--") if "--" in more else len(more)
    assert bench(desk, tmp_path / "runs", *more[:at], fit=tuple(more[at + 1 :])) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert reported in line
    assert not list(tmp_path.rglob("log.txt"))


def test_too_few_steps_to_choose_from_are_reported(desk: Path, tmp_path: Path) -> None:
    short = replace(plan(desk, tmp_path), selections=["best-on-val"], arguments=FEW)
    (tmp_path / "long.yaml").write_text(yaml.safe_dump({**TINY, "trainer": {"max_steps": 20}}))
    overrides = [*FEW, "--trainer.max_steps", "1", "--trainer.val_check_interval", "2"]
    cell = make_cells(replace(short, methods=[str(tmp_path / "long.yaml")], arguments=overrides))[0]
    with pytest.raises(ValueError, match="trainer.val_check_interval='2': the training ends before"):
        measure(cell)


def test_recipes_are_shown_without_running(
    desk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench(desk, tmp_path / "runs", "--print_config", methods=("rtfm",)) == 0
    printed = capsys.readouterr().out
    assert "# rtfm, last\n" in printed
    assert "class_path: wsvad_lightning.methods.RTFM" in printed
    assert not (tmp_path / "runs").exists()
