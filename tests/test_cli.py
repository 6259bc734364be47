"""The table of commands, its parsers, and how fast help is there."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.processes import run_command
from wsvad_lightning import __version__
from wsvad_lightning.cli import COMMANDS, as_typed, help_of, main, parser_of
from wsvad_lightning.configs import config_folder, find_config
from wsvad_lightning.data.store.synthetic import make_store
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.parsing import parse_function
from wsvad_lightning.runs.parsed import parse_fit

HEAVY = ("torch", "lightning", "jsonargparse", "numpy", "h5py", "rich", "wandb")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([*name.split(), "--help"])
    assert stop.value.code == 0
    usage = capsys.readouterr().out
    shown = "fit" if name == "stages" else name  # with the arguments of `fit`
    assert usage.startswith(f"usage: wsvad {shown} ")


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert capsys.readouterr().out == help_of(COMMANDS)
    assert all(f"\n  {name} " in help_of(COMMANDS) for name in COMMANDS)
    assert main([]) == 2
    assert main(["data", "-h"]) == 0
    assert main(["data"]) == 2
    assert "data merge" in capsys.readouterr().out


def test_help_whose_reader_left_ends_without_a_word() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "wsvad_lightning", "-h"]
    with os.fdopen(writer, "w") as output:
        done = subprocess.run(command, stdout=output, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize(
    ("args", "status"),
    [(["-h"], 0), (["--version"], 0), (["data", "-h"], 0), (["comple"], 2), (["data", "inof"], 2)],
)
def test_what_needs_no_library_imports_none(args: list[str], status: int) -> None:
    code = f"import sys; from wsvad_lightning.cli import main; assert main({args}) == {status}"
    code += f"; loaded = [name for name in {HEAVY} if name in sys.modules]; assert not loaded, loaded"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_stores_are_inspected_without_pytorch(store: Path) -> None:
    args = ["data", "info", str(store)]
    code = f"import sys; from wsvad_lightning.cli import main; assert main({args}) == 0"
    code += "; loaded = {'torch', 'lightning', 'scipy'} & sys.modules.keys(); assert not loaded, loaded"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_a_run_starts_without_what_only_torchmetrics_wants() -> None:
    code = "import sys; from wsvad_lightning.cli import load; load('fit')"
    code += (
        "; loaded = {'scipy', 'matplotlib', 'transformers'} & sys.modules.keys(); assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (["--snippet-stride", "0"], "--snippet-stride='0': must"),
        (["--snippet_stride=0"], "--snippet_stride='0': must"),
        (["--config", "snippet_stride.yaml"], "snippet_stride='0': must"),
    ],
)
def test_a_value_is_named_as_it_was_typed(args: list[str], named: str) -> None:
    assert as_typed(WSVADError("snippet_stride", 0, "must be", "Give"), ["data", "x", *args]).startswith(
        named
    )


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"wsvad {__version__}\n"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["fti"], "fit"),
        (["predcit"], "predict"),
        (["dta"], "data"),
        (["data", "mrege"], "merge"),
        (["Bench"], "bench"),
    ],
)
def test_mistyped_commands(typed: list[str], meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(typed) == 2
    assert f"{typed[-1]!r}: unknown command. Did you mean {meant}" in capsys.readouterr().err


# ------------------------------------------------------------------------------ parsers from signatures


def command(
    sources: list[str],
    *,
    output: str,
    from_: str = "auto",
    skip_broken: bool = False,
    snippet_length: int = 16,
    seeds: list[int] | None = None,
) -> None:
    """Do something: wsvad do a -o c -- --other 3.

    Args:
        sources: files.
        output: file to write.
        from_: layout.
        skip_broken: go on.
        snippet_length: frames.
        seeds: numbers.
    """


def parse(*args: str) -> dict[str, Any]:
    return parse_function("do", command, args)


def test_lists_take_values_by_position() -> None:
    assert parse("a", "b", "-o", "c")["sources"] == ["a", "b"]
    assert parse("-o", "c", "a")["sources"] == ["a"]


@pytest.mark.parametrize(
    ("args", "name", "value"),
    [
        (["-o", "c"], "output", "c"),
        (["--output=c"], "output", "c"),
        (["-o", "c", "--from", "rtfm"], "from_", "rtfm"),
        (["-o", "c", "--skip-broken"], "skip_broken", True),
        (["-o", "c", "--skip_broken"], "skip_broken", True),
        (["-o", "c", "--skip_broken", "false"], "skip_broken", False),
        (["-o", "c"], "skip_broken", False),
        (["-o", "c", "--snippet-length", "8"], "snippet_length", 8),
        (["-o", "c", "--snippet_length", "8"], "snippet_length", 8),
    ],
)
def test_spellings(args: list[str], name: str, value: object) -> None:
    assert parse("a", *args)[name] == value


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["a"], "--output is required. See `wsvad do --help`"),
        (["-o", "c"], "sources is required. See"),
        ([], "sources and --output are required. See"),
        (["a", "-o"], "--output needs a value. See"),
        (["a", "-o", "c", "--skip-borken"], "--skip-borken is not an option. Did you mean --skip-broken"),
        (["a", "-o", "c", "--other"], "--other is an option of `wsvad fit`. Give it after --. See"),
        (["a", "-o", "c", "--snippet-length", "x"], "--snippet_length='x': must be a whole number. See"),
    ],
)
def test_mistakes(args: list[str], message: str) -> None:
    with pytest.raises(WSVADError, match=re.escape(message)):
        parse(*args)


def test_arguments_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "given.yaml").write_text("sources: [a, b]\noutput: c\nsnippet_length: 4\n")
    given = parse("--config", str(tmp_path / "given.yaml"), "--snippet_length", "8")
    assert (given["sources"], given["output"], given["snippet_length"]) == (["a", "b"], "c", 8)


# --------------------------------------------------------------------------------------- configurations


def test_shipped_configurations_are_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = parse_fit(["--config=ucf_urdmu.yaml", "-c", "with/smoke.yaml"])
    smoke = yaml.safe_load(find_config("with/smoke.yaml").read_text())
    assert config.data.segments == smoke.get("data", {}).get("segments", 200)
    assert config.trainer.max_steps == smoke["trainer"]["max_steps"]
    assert config.name == "ucf_urdmu"


def test_a_file_at_hand_comes_before_a_shipped_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(config_folder() / "model", "model")
    shutil.copy(config_folder() / "ucf_rtfm.yaml", "ucf_urdmu.yaml")
    assert parse_fit(["-c", "ucf_urdmu.yaml", "--name", "mine"]).model.class_path.endswith("RTFM")


def test_a_method_in_a_file_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recipe includes it relative to itself, and the command line overrides what it says."""
    recipes = tmp_path / "recipes"
    (recipes / "model").mkdir(parents=True)
    (recipes / "model" / "own.yaml").write_text(
        "class_path: urdmu\ninit_args: {hidden_dim: 24, dropout: 0.1}\n"
    )
    (recipes / "own.yaml").write_text("model: model/own.yaml\ndata: {store: s.h5}\n")
    monkeypatch.chdir(tmp_path)
    model = parse_fit(["--config", "recipes/own.yaml", "--model.init_args.hidden_dim", "8"]).model
    assert (model.init_args.hidden_dim, model.init_args.dropout) == (8, 0.1)


@pytest.mark.parametrize("name", ["urdmu", "URDMU", "wsvad_lightning.methods.URDMU"])
def test_a_method_is_named_by_its_id_or_class(name: str) -> None:
    assert parse_fit(["--model", name, "--data.store", "s.h5"]).model.class_path.endswith(".URDMU")


@pytest.mark.parametrize("model", ["urdmu", "{class_path: urdmu}", "own.yaml"])
def test_a_recipe_names_a_method_by_its_id(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.yaml").write_text("class_path: urdmu\n")
    Path("recipe.yaml").write_text(f"model: {model}\ndata: {{store: s.h5}}\n")
    assert parse_fit(["--config", "recipe.yaml"]).model.class_path == "wsvad_lightning.methods.URDMU"
    for path in ("own.yaml", "recipe.yaml"):
        Path(path).write_text(Path(path).read_text().replace("urdmu", "urdum"))
    with pytest.raises(WSVADError, match=r"--model='urdum'.*Did you mean urdmu\? Known are adplg, "):
        parse_fit(["--config", "recipe.yaml"])


@pytest.mark.parametrize(
    ("init_args", "message"),
    [
        ("{hiden_dim: 8}", "--model.hiden_dim is not an option of URDMU"),
        ("{hidden_dim: x}", "--model.hidden_dim='x': must be a whole number"),
        (
            "{optimizer: {class_path: torch.optim.Adam, init_args: {lrr: 1}}}",
            "--model.optimizer.lrr is not an option of Adam",
        ),
    ],
)
def test_a_mistake_in_the_file_of_a_method_is_named(init_args: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(f"class_path: urdmu\ninit_args: {init_args}\n")
    with pytest.raises(WSVADError, match=re.escape(message)):
        parse_fit(["--model", str(path), "--data.store", "s.h5"])


@pytest.mark.parametrize(
    ("model", "value"),
    [
        ("[urdmu]", "=\"['urdmu']\""),
        ("3", "='3'"),
        ("{class_path: [urdmu]}", "=\"['urdmu']\""),
        ("{class_path: urdmu, init_args: [1]}", ""),
    ],
)
def test_a_recipe_whose_model_has_the_wrong_shape_is_one_line(model: str, value: str, tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(f"model: {model}\ndata: {{store: s.h5}}\n")
    said = rf"--model{re.escape(value)}:? must name a class .* Write \{{class_path: NAME, "
    with pytest.raises(WSVADError, match=said):
        parse_fit(["--config", str(path)])


def test_a_mapping_that_a_recipe_gives_in_parts_is_written_out(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("model: urdmu\ndata: {store: s.h5}\n")
    path = tmp_path / "own.yaml"
    path.write_text("config: base.yaml\nmodel.init_args.loss_weights.kl: 0.5\n")
    said = "--model.loss_weights='{kl: 0.5}': is a mapping, which a recipe gives as a whole. Write "
    with pytest.raises(WSVADError, match=re.escape(said)):
        parse_fit(["--config", str(path)])
    path.write_text("config: base.yaml\nmodel.init_args.loss_weights: {kl: 0.5}\n")
    assert parse_fit(["--config", str(path)]).model.init_args.loss_weights == {"kl": 0.5}


def test_a_setting_of_no_method_asks_for_the_method() -> None:
    with pytest.raises(WSVADError, match=r"--model must name a class: dropout is a setting of one"):
        parse_fit(["--model.dropout", "0.5", "--data.store", "s.h5"])


def test_nearest_names_come_first() -> None:
    with pytest.raises(WSVADError, match=r"'ucf_urdum.yaml'.*Did you mean ucf_urdmu.yaml or "):
        find_config("ucf_urdum.yaml")
    with pytest.raises(WSVADError, match=r"--model='urdum'.*Did you mean urdmu\? Known are adplg, "):
        parse_fit(["--model", "urdum", "--data.store", "s.h5"])


def test_other_commands_share_the_look_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    assert main(["extract", str(folder), str(tmp_path / "s.h5"), "--config", "extract/motion.yaml"]) == 2
    assert "holds no videos" in capsys.readouterr().err
    assert not (tmp_path / "s.h5").exists()


# ------------------------------------------------------------------------------------- shells and editors


def test_what_predict_alone_takes_comes_first() -> None:
    options = re.findall(r"^ +(--\w+)", parser_of("predict").format_help(), re.MULTILINE)
    assert options.index("--videos") < options.index("--ckpt_path") < 12


def test_completion(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("fit", "test", "validate", "stages", "bench", "predict"):  # thousands of options
        monkeypatch.delitem(COMMANDS, name)
    for shell in ("bash", "zsh", "fish"):
        assert main(["completion", shell]) == 0
        script = capsys.readouterr().out
        assert "import-weights" in script
        assert "skip-broken" in script
    assert main(["completion", "csh"]) == 2
    assert "must be one of bash, zsh, fish, tcsh. Did you mean tcsh" in capsys.readouterr().err


def test_schema_knows_what_recipes_say(tmp_path: Path) -> None:
    # A process of its own: methods that other tests define are not in it.
    assert run_command("schema", "-o", str(tmp_path / "schema.json")).returncode == 0
    schema = json.loads((tmp_path / "schema.json").read_text())
    for path in config_folder().glob("*.yaml"):
        recipe = yaml.safe_load(path.read_text())
        named = {key for key in recipe if not any(re.search(p, key) for p in schema["patternProperties"])}
        assert named <= schema["properties"].keys(), path
        for part in ("data", "trainer"):
            assert recipe.get(part, {}).keys() <= schema["properties"][part]["properties"].keys(), path
    text = json.dumps(schema["properties"]["model"]) + json.dumps(schema.get("$defs", {}))
    assert '{"enum": ["urdmu", "wsvad_lightning.methods.URDMU"]}' in text
    assert "abnormal_slots" in text


# ------------------------------------------------------------------------------------- what fit reports


def test_fit_reports_what_it_trains_on_and_the_next_command(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = make_store(tmp_path / "store.h5", dim=16, crops=2, train=3, test=2)
    videos = {"train": ["train_normal_000", "train_abnormal_000"], "test": ["test_normal_000"]}
    (tmp_path / "splits.json").write_text(json.dumps({"splits": [videos] * 5}))
    fit = ["fit", "--config", "ucf_urdmu.yaml", "--config", "with/smoke.yaml", "--data.store", str(store)]
    where = ["--output", str(tmp_path), "--model.hidden_dim", "8", "--trainer.max_steps", "1"]
    assert main([*fit, *where, "--data.split", str(tmp_path / "splits.json")]) == 0
    assert "training URDMU" in caplog.text
    assert "1 normal and 1 abnormal videos, 2 crops each" in caplog.text
    assert "split 0 of 5" in caplog.text
    assert f"Next: wsvad test --ckpt_path {tmp_path}/ucf_urdmu/version_0/checkpoints/last.ckpt" in caplog.text
    assert "note:" not in caplog.text


def test_few_validations_are_noted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = make_store(tmp_path / "store.h5", dim=16, train=4, test=2)
    fit = [
        "fit",
        "--config",
        "ucf_urdmu.yaml",
        "--config",
        "with/best_on_val.yaml",
        "--data.store",
        str(store),
    ]
    small = ["--output", str(tmp_path), "--model.hidden_dim", "8", "--data.val_fraction", "0.3"]
    steps = ["--trainer.max_steps", "20", "--trainer.val_check_interval", "20", "--data.batch_size", "2"]
    assert main([*fit, *small, *steps, "--data.segments", "4"]) == 0
    assert "chosen among 1 validation(s); --trainer.val_check_interval 2 makes 10" in caplog.text
