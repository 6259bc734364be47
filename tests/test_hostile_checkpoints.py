"""Checkpoints of strangers: nothing in them runs, is imported, or chooses where files go."""

import copy
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from lightning.pytorch import Trainer

from wsvad_lightning import methods
from wsvad_lightning.carried import LINKED, WRITTEN, constructor, read_carried, suite, write_carried
from wsvad_lightning.checkpoint import CHECKSUMS_KEY, CONFIG_KEY, VERSION_KEY, fits, is_plain, read_checkpoint
from wsvad_lightning.cli import main
from wsvad_lightning.data.loading.datamodule import WSVADDataModule
from wsvad_lightning.data.store.synthetic import make_store
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.methods import URDMU
from wsvad_lightning.serving.extractor import trained_recipe

CANARY = "canary"
RUNS = {"class_path": "subprocess.Popen", "init_args": {"args": f"touch {CANARY}", "shell": True}}
IMPORTS = {"class_path": "stranger.Thing", "init_args": {}}  # a module of the test that leaves a file
TOP = (
    "optimizer",
    "lr_scheduler",
    "config",
    "ckpt_path",
    "callbacks",
    "logger",
    "strategy",
    "weights",
    "videos",
)

Config = dict[str, Any]
Checkpoint = dict[str, Any]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A checkpoint as `wsvad fit` writes it, but for its checksums: a stranger would adapt these."""
    folder = tmp_path_factory.mktemp("good")
    store = make_store(folder / "store.h5", dim=16, train=3, test=2)
    run = ["fit", "--config", "ucf_urdmu.yaml", "--config", "with/smoke.yaml", "--data.store", str(store)]
    assert main([*run, "--model.hidden_dim", "8", "--output", str(folder), "--trainer.max_steps", "1"]) == 0
    written = read_checkpoint(folder / "ucf_urdmu" / "version_0" / "checkpoints" / "last.ckpt")
    return {name: value for name, value in written.items() if name != CHECKSUMS_KEY}


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working folder, and a module of a stranger that leaves a file when it is imported."""
    library, work = tmp_path / "library", tmp_path / "work"
    library.mkdir()
    work.mkdir()
    (library / "stranger.py").write_text(
        f"from pathlib import Path\nPath({str(work / CANARY)!r}).touch()\nclass Thing: pass\n"
    )
    monkeypatch.syspath_prepend(str(library))
    monkeypatch.chdir(work)
    yield work
    sys.modules.pop("stranger", None)


def config_of(checkpoint: Checkpoint) -> Config:
    config: Config = yaml.safe_load(checkpoint[CONFIG_KEY])
    return config


def save(good: Checkpoint, config: object, path: Path | str, **entries: Any) -> str:
    text = yaml.safe_dump(copied(config)) if isinstance(config, dict) else config
    torch.save({**good, CONFIG_KEY: text, **entries}, path)
    return str(path)


def copied(value: Any) -> Any:
    """The same values, none of them twice the same object: YAML would write an alias."""
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    return [copied(item) for item in value] if isinstance(value, list) else value


def test(path: str, *more: str) -> int:
    return main(["test", "--ckpt_path", path, "--trainer.enable_progress_bar", "false", *more])


test.__test__ = False  # type: ignore[attr-defined]  # the command, no test


def left_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.suffix != ".ckpt"}


def old(config: Config, **more: Any) -> Config:
    """A configuration as older versions carried it, with changes."""
    model = copy.deepcopy(config["model"])
    model["init_args"] |= {"optimizer": {"class_path": "torch.optim.Adam"}, "lr_scheduler": None}
    return config | {"name": "base", "output": "runs", "model": model} | more


def callback(name: str, **init_args: Any) -> Config:
    path = f"lightning.pytorch.callbacks.{name}"
    return {"callbacks": [{"class_path": path, "init_args": init_args}]}


# ------------------------------------------------------------------------------------ whole commands


def test_what_is_not_ours_is_ignored_and_named(
    good: Checkpoint, desk: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    strategy = {
        "class_path": "lightning.pytorch.strategies.DDPStrategy",
        "init_args": {"ddp_comm_state": RUNS},
    }
    device = {"class_path": "torch.nn.Linear", "init_args": {"device": RUNS}}
    scheduler = {
        "class_path": "torch.optim.lr_scheduler.LambdaLR",
        "init_args": {"lr_lambda": device},
    }
    config = old(
        config_of(good),
        trainer={"strategy": strategy, **callback("RichProgressBar", console_kwargs={"x": RUNS})},
        output="/elsewhere",
        name="../outside",
        optimizer=IMPORTS,
    )
    config["model"]["init_args"]["lr_scheduler"] = scheduler
    config["data"]["cache_dir"] = "../cache"
    assert test(save(good, config, "all.ckpt")) == 0
    notes = [line for line in caplog.messages if line.startswith("note: not taken from the checkpoint")]
    (note,) = notes
    places = ("trainer", "output", "name", "optimizer", "model.init_args.lr_scheduler", "data.cache_dir")
    assert all(place in note for place in places)
    assert "model.init_args.optimizer" in note
    assert left_in(desk) == {"runs"}
    assert left_in(desk.parent) == {"work", "library"}
    assert (desk / "runs" / "all" / "version_0" / "metrics.json").is_file()


@pytest.mark.parametrize(
    "path", ["stranger.Thing", "this.X", "os.system", "stranger", "../x.yaml", "", "URDMU\n"]
)
def test_a_foreign_method_is_refused_and_not_imported(
    path: str, good: Checkpoint, desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = config_of(good)
    config["model"]["class_path"] = path
    assert test(save(good, config, "m.ckpt")) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "which is not one of the suite's. Add --model " in error
    assert not {"stranger", "this"} & sys.modules.keys()
    assert left_in(desk) == set()


def test_a_method_of_the_suite_may_be_carried_by_its_id(good: Checkpoint, desk: Path) -> None:
    config = config_of(good)
    settings = config["model"]["init_args"]
    config["model"] = {"class_path": "urdmu", "init_args": settings}
    assert test(save(good, config, "id.ckpt")) == 0
    text = yaml.safe_dump(copied(config | {"model": "urdmu"}))
    assert read_carried(text, "x", [])["model"] == {"class_path": "URDMU", "init_args": {}}


def test_a_method_of_the_user_is_taken(
    good: Checkpoint, desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (desk.parent / "library" / "mine.py").write_text(
        "from wsvad_lightning.methods import URDMU\n"
        "class Mine(URDMU):\n"
        "    def __init__(self, extra: int = 1, helper: object = None, **kwargs):\n"
        "        super().__init__(**kwargs)\n"
        "        self.extra = extra\n"
    )
    config = config_of(good)
    config["model"]["class_path"] = "mine.Mine"
    config["model"]["init_args"] |= {"extra": 3, "helper": RUNS}
    path = save(good, config, "m.ckpt", method="Mine")
    assert test(path) == 2
    assert "Add --model mine.Mine if you trust it" in capsys.readouterr().err
    assert "mine" not in sys.modules
    assert test(path, "--model", "mine.Mine") == 0
    (desk / "own.yaml").write_text("model: mine.Mine\n")
    assert test(path, "--config", "own.yaml") == 0
    saved = yaml.safe_load((desk / "runs" / "m" / "version_1" / "test.yaml").read_text())
    assert saved["model"]["init_args"]["extra"] == 3
    assert saved["model"]["init_args"]["hidden_dim"] == 8
    assert CANARY not in left_in(desk)
    sys.modules.pop("mine")


REFUSED: list[tuple[str, Callable[[Config], object], str]] = [
    ("wrong type", lambda c: c["model"]["init_args"].update(hidden_dim=[1]), "hidden_dim"),
    ("wrong type of data", lambda c: c["data"].update(batch_size=[1]), "data.batch_size"),
    ("no such word", lambda c: c["data"].update(sampling="os.system"), "data.sampling"),
    ("text for a number", lambda c: c["data"].update(batch_size="3 4"), "data.batch_size"),
    ("a class in data", lambda c: c["data"].update(store=RUNS), "data.store"),
    ("no number", lambda c: c.update(seed_everything="x"), "seed_everything"),
    ("a useless number", lambda c: c["model"]["init_args"].update(hidden_dim=-3), "negative"),
    ("a class in text", lambda c: c["model"]["init_args"].update(loss_weights=str(RUNS)), "loss_weights"),
    (
        "a path to settings",
        lambda c: c["model"]["init_args"].update(loss_weights="other.yaml"),
        "loss_weights",
    ),
]


@pytest.mark.parametrize(
    ("change", "reported"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_values_are_compared_with_their_types(
    change: Callable[[Config], object],
    reported: str,
    good: Checkpoint,
    desk: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (desk / "other.yaml").write_text("kl: 0.5\n")
    config = config_of(good)
    change(config)
    assert test(save(good, config, "v.ckpt")) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert reported in error
    assert left_in(desk) == {"other.yaml"}


def test_results_go_beside_the_run(good: Checkpoint, desk: Path) -> None:
    folder = desk / "kept" / "mine" / "version_4" / "checkpoints"
    folder.mkdir(parents=True)
    (folder.parent / "fit.yaml").touch()
    path = save(good, config_of(good), folder / "best.ckpt")
    assert test(path, "--model.abnormal_slots", "60") == 0
    assert (desk / "kept" / "mine" / "version_5" / "metrics.json").is_file()
    assert test(path, "--name", "other", "--output", "there") == 0
    assert (desk / "there" / "other" / "version_0" / "metrics.json").is_file()
    assert left_in(desk) == {"kept", "there"}


def test_of_two_checkpoints_the_last_counts(good: Checkpoint, desk: Path) -> None:
    save(good, "nonsense", "first.ckpt")
    assert test("first.ckpt", "--ckpt_path", save(good, config_of(good), "second.ckpt")) == 0
    assert (desk / "runs" / "second").is_dir()


def test_code_in_the_file_itself_does_not_run(
    good: Checkpoint, desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.system, (f"touch {CANARY}",)

    torch.save({**good, "payload": Payload()}, "pickled.ckpt")
    assert test("pickled.ckpt") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"(it asks for {os.name}.system, which is neither a tensor nor a plain value)" in error
    with pytest.raises(Exception, match="weights_only|Weights only"):
        URDMU.load_from_checkpoint("pickled.ckpt")
    assert left_in(desk) == set()


ENTRIES: list[tuple[str, object]] = [
    ("state_dict", []),
    ("state_dict", {"net.x": torch.zeros(1)}),
    ("hyper_parameters", [1]),
    ("hyper_parameters", {}),
    ("method", ["URDMU"]),
    ("features", {"backbone": ["x"]}),
    ("transform", "x"),
    ("classes", {"names": 3}),
    ("WSVADDataModule", {"center": "x"}),
    (VERSION_KEY, "0.1"),
    (VERSION_KEY, 3),
]


@pytest.mark.parametrize(("name", "value"), ENTRIES, ids=[f"{name}={value}"[:40] for name, value in ENTRIES])
def test_other_entries_are_reported_in_a_line(
    name: str, value: object, good: Checkpoint, desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert test(save(good, config_of(good), "e.ckpt", **{name: value})) == 2
    assert capsys.readouterr().err.count("error: ") == 1


STATES: list[tuple[str, object]] = [
    ("optimizer_states", 3),
    ("optimizer_states", [{}]),
    ("optimizer_states", [{"state": {0: True}, "param_groups": []}]),
    ("lr_schedulers", 3),
    ("loops", 3),
    ("loops", {}),
    ("callbacks", [1]),
    (VERSION_KEY, "1.9.0"),
]


@pytest.mark.parametrize(("name", "value"), STATES, ids=[f"{name}={value}"[:40] for name, value in STATES])
def test_states_that_are_not_those_of_a_training_are_reported_in_a_line(
    name: str, value: object, good: Checkpoint, desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = config_of(good)["data"]["store"]
    path = save(good, config_of(good), "s.ckpt", **{name: value})
    run = ["fit", "--config", "ucf_urdmu.yaml", "--config", "with/smoke.yaml", "--data.store", store]
    more = ["--model.hidden_dim", "8", "--trainer.max_steps", "2", "--trainer.enable_progress_bar", "false"]
    (desk / "mine.yaml").write_text(f"ckpt_path: {path}\n")  # as if it were named on the command line
    assert main([*run, "--config", "mine.yaml", *more]) == 2
    error = capsys.readouterr().err
    assert error.count("error: --ckpt_path") == 1
    assert "Traceback" not in error


# ------------------------------------------------------------------------ every key, with every value


def places(config: Config) -> Iterator[tuple[str, ...]]:
    """Every place at which the parser of `test` takes something, and the entries of ours."""
    yield from ((key,) for key in (*TOP, *config))
    yield from (("trainer", name) for name in inspect.signature(Trainer.__init__).parameters)
    yield from (("data", name) for name in (*constructor(WSVADDataModule), "new"))
    yield from (("model", name) for name in ("class_path", "init_args", "dict_kwargs"))
    for name in methods.__all__:
        for setting in (*constructor(getattr(methods, name)), "new"):
            yield ("model", "init_args", setting, name)


def put(config: Config, place: tuple[str, ...], value: object) -> Config:
    config = copy.deepcopy(config)
    if len(place) == 4:
        *place_, name = place
        config["model"] = {"class_path": name, "init_args": {}}
        place = tuple(place_)
    inner = config
    for key in place[:-1]:
        inner = inner.setdefault(key, {})
    inner[place[-1]] = value
    return config


@pytest.mark.parametrize("value", [RUNS, IMPORTS, {"x": [RUNS]}])
def test_no_key_brings_a_class(value: object, good: Checkpoint, desk: Path) -> None:
    config, refused = config_of(good), list[str]()
    for place in places(config):
        try:
            defaults = read_carried(yaml.safe_dump(put(config, place, value)), "x.ckpt", ())
        except WSVADError as error:
            refused.append(str(error))
            continue
        assert defaults.keys() <= {
            "seed_everything",
            "model",
            *(f"data.{n}" for n in constructor(WSVADDataModule)),
        }
        assert "class_path" not in str([value for key, value in defaults.items() if key != "model"])
        assert "class_path" not in str(defaults["model"]["init_args"])
        assert defaults["model"]["class_path"] in suite()
    assert all("carries" in error and "\n" not in error for error in refused)
    assert "stranger" not in sys.modules
    assert left_in(desk) == set()


@pytest.mark.parametrize("name", methods.__all__)
def test_every_setting_of_the_suite_is_reported_apart(name: str) -> None:
    hints = constructor(getattr(methods, name))
    foreign = {setting for setting, hint in hints.items() if not is_plain(hint)}
    assert {"optimizer", "lr_scheduler"} <= foreign
    assert all(setting.endswith(("optimizer", "lr_scheduler")) for setting in foreign)
    data = constructor(WSVADDataModule)
    assert all(is_plain(hint) for hint in data.values())
    assert {*WRITTEN, "seed"} <= data.keys()
    assert "feature_dim" in LINKED


TEXTS: list[object] = [
    "",
    "x.yaml",
    "/etc/passwd",
    "- a\n- b\n",
    "model: {class_path: URDMU",
    "a: &a [1]\nb: *a\n",
    "!!python/object/apply:os.system ['touch canary']",
    "model: !!python/name:os.system\n",
    "seed_everything: !!timestamp x\n",
    "seed_everything: !!int ''\n",
    "seed_everything: 2020-01-01\n",
    "data: {store: !!binary aGk=}\n",
    "data: [1]\n",
    'data: {split: "\\0"}\n',
    "model: other.yaml\n",
    "model: {class_path: [URDMU]}\n",
    "model: {class_path: URDMU, init_args: x.yaml}\n",
    "[" * 5000,
    "a: " + "{a: " * 5000,
    "x: " + "1" * 5000,
    "x" * 1_000_001,
    "a: 1\n---\nb: 2\n",
    b"model: {}",
    {"model": {"class_path": "URDMU"}},
    None,
    3,
]


@pytest.mark.parametrize("text", TEXTS, ids=[repr(text)[:30] for text in TEXTS])
def test_odd_texts_are_refused_in_a_line(text: object, desk: Path) -> None:
    with pytest.raises(WSVADError) as reported:
        read_carried(text, "x.ckpt", ())
    assert "carries" in str(reported.value)
    assert "\n" not in str(reported.value)
    assert len(str(reported.value)) < 400
    assert left_in(desk) == set()


def test_a_message_repeats_no_control_characters(desk: Path) -> None:
    config = {"model": {"class_path": "x.\x1b[2J" + "y" * 5000}}
    with pytest.raises(WSVADError) as reported:
        read_carried(yaml.safe_dump(config), "x.ckpt", ())
    assert "\x1b" not in str(reported.value)
    assert len(str(reported.value)) < 400


def test_what_is_written_is_read_back(good: Checkpoint) -> None:
    config = config_of(good)
    assert config.keys() == {"seed_everything", "model", "data"}
    assert not {"optimizer", "lr_scheduler"} & config["model"]["init_args"].keys()
    assert "cache_dir" not in config["data"]
    twice = ["a"]
    text = write_carried({**config, "data": {"store": twice, "features": twice}}, URDMU)
    read = read_carried(text, "x.ckpt", ())
    assert read["data.store"] == read["data.features"] == twice
    assert read["model"] == config["model"]


# ----------------------------------------------------------------------------- the Python interface


HYPER: list[Config] = [
    {"_instantiator": "stranger.Thing"},
    {"_instantiator": "lightning.pytorch.cli.instantiate_module", "optimizer": IMPORTS},
    {"_instantiator": "lightning.pytorch.cli.instantiate_module", "_class_path": "stranger.Thing"},
    {"_class_path": "stranger.Thing"},
    {"optimizer": RUNS, "lr_scheduler": IMPORTS, "new": RUNS},
]


@pytest.mark.parametrize("more", HYPER)
def test_hyper_parameters_make_nothing(more: Config, good: Checkpoint, desk: Path) -> None:
    torch.save({**good, "hyper_parameters": {**good["hyper_parameters"], **more}}, "h.ckpt")
    with suppress(WSVADError):  # a setting that the method does not have is refused
        assert type(URDMU.load_from_checkpoint("h.ckpt")) is URDMU
    assert "stranger" not in sys.modules
    assert left_in(desk) == set()


ORIGIN = {
    "backbone": "x",
    "source": "video files",
    "snippet_length": 8,
    "snippet_stride": 4,
    "preprocessing": '{"dtype": "float32", "streams": {"features": {"name": "features"}}}',
}
ORIGINS: list[tuple[str, object]] = [
    ("preprocessing", "{"),
    ("preprocessing", "[1]"),
    ("preprocessing", "[" * 100_000),
    ("preprocessing", '{"streams": [1]}'),
    ("preprocessing", '{"streams": {}}'),
    ("preprocessing", '{"dtype": "object", "streams": {"features": {"name": "features"}}}'),
    ("preprocessing", '{"dtype": "float32", "streams": {"f": {"name": "f", "backbone": "os.system"}}}'),
    ("preprocessing", '{"dtype": "float32", "streams": {"f": {"name": "../f"}}}'),
    ("preprocessing", '{"dtype": "float32", "fps": "x", "streams": {"f": {"name": "f"}}}'),
    ("preprocessing", 3),
    ("snippet_length", "8"),
    ("snippet_length", 0),
    ("pooling", "os.system"),
    ("tail", ["keep"]),
    ("views", [1]),
    ("source", None),
]


@pytest.mark.parametrize(("name", "value"), ORIGINS, ids=[f"{name}={value}"[:40] for name, value in ORIGINS])
def test_the_recipe_of_the_features_is_data(name: str, value: object, good: Checkpoint, desk: Path) -> None:
    path = save(good, config_of(good), "p.ckpt", provenance=ORIGIN)
    assert trained_recipe(path, None).streams[0].name == "features"
    path = save(good, config_of(good), "p.ckpt", provenance={**ORIGIN, name: value})
    with pytest.raises(WSVADError) as reported:
        trained_recipe(path, None)
    assert "\n" not in str(reported.value)


def test_fits_is_exact() -> None:
    assert fits(3, float)
    assert not fits(True, int)
    assert not fits("3", int)
    assert fits({"a": (1, 2)}, dict[str, tuple[int, ...]])
    assert fits([1, 2], tuple[int, int])
    assert not fits({"a": ["1"]}, dict[str, list[int]])
    assert not fits("ab", Sequence[str])
    assert not fits(None, str)


def test_what_a_setting_must_be_is_in_words(good: Checkpoint) -> None:
    config = put(config_of(good), ("data", "normalize"), "other")
    with pytest.raises(WSVADError, match="normalize=other, which must be one of none, l2, zscore"):
        read_carried(yaml.safe_dump(config), "x.ckpt", ())
