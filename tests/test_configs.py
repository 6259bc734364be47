"""Configurations that include others: everything that is included holds, unless it is overridden."""

from pathlib import Path

import pytest

from tests.recipes import composed
from wsvad_lightning.configs import included_by, read_config
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.runs.parsed import parse_fit


def write(folder: Path, **texts: str) -> Path:
    """Write files by name, and give the last one."""
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder / f"{name}.yaml"


def test_included_ones_come_in_the_order_in_which_they_hold(tmp_path: Path) -> None:
    last = write(tmp_path, a="{}", b="config: a.yaml", c="{}", d="config: [b.yaml, c.yaml]")
    assert [path.stem for path in included_by(last)] == ["a", "b", "c"]
    assert [path.stem for path in included_by(write(tmp_path, e="config: e.yaml"))] == []
    assert [path.stem for path in included_by(write(tmp_path, f="config: g.yaml", g="config: f.yaml"))] == [
        "f"
    ]
    assert read_config(tmp_path / "none.yaml") == {}


def test_a_missing_one_is_named(tmp_path: Path) -> None:
    with pytest.raises(WSVADError, match="--config=.*a.yaml': includes b.yaml, which is not a file"):
        list(included_by(write(tmp_path, a="config: [b.yaml]")))


@pytest.mark.parametrize("listed", ["base.yaml", "[base.yaml]"])
def test_a_part_of_a_section_leaves_the_rest_of_it(listed: str, tmp_path: Path) -> None:
    """Whatever is written: a section of its own, or single values by their names."""
    write(
        tmp_path,
        base="model: {class_path: urdmu, init_args: {hidden_dim: 8, optimizer: {class_path: torch.optim.SGD, "
        "init_args: {lr: 0.5}}}}\ndata: {store: a.h5, segments: 7, batch_size: 3}\ntrainer: {max_steps: 9}\n",
    )
    own = f"config: {listed}\nmodel.init_args.dropout: 0.25\ndata: {{store: b.h5, batch_size: 4}}\n"
    config = parse_fit(["--config", str(write(tmp_path, own=own))])
    assert (config.data.store, config.data.segments, config.data.batch_size) == ("b.h5", 7, 4)
    method = config.model.init_args
    assert (method.hidden_dim, method.dropout, method.optimizer.init_args.lr) == (8, 0.25, 0.5)
    assert config.trainer.max_steps == 9


@pytest.mark.parametrize("name", ["model/sultani.yaml", "method/sultani.yaml"])  # as it was called before
def test_the_file_of_a_method_changes_the_method_of_a_recipe(name: str) -> None:
    recipe = ["--config", "ped2_urdmu.yaml", "--config", name]
    config = parse_fit([*recipe, "--model.dropout", "0.25"])
    assert config.model.class_path.endswith(".Sultani")
    assert config.model.init_args.optimizer.class_path == "torch.optim.Adagrad"
    assert (config.model.init_args.dropout, config.data.crops) == (0.25, "max")


def test_shipped_recipes_keep_what_they_include() -> None:
    assert (composed("sht_adplg.yaml").data.segments, composed("sht_adplg.yaml").data.crops) == (64, "each")
    assert (composed("xd_vadclip.yaml").data.segments, composed("xd_vadclip.yaml").data.batch_size) == (
        256,
        48,
    )
    assert composed("sht_frduvad.yaml").data.bags == "windows"


def test_brackets_without_end_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "deep.yaml").write_text("a: " + "[" * 5000)
    with pytest.raises(WSVADError, match="is nested too deeply"):
        read_config(tmp_path / "deep.yaml")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"name: caf\xe9", "is not UTF-8 text"),
        (b"a: [1", "is not YAML: .* in line 1, column 6"),
        (b"name: 0b_", "is not YAML: a value is not of its type"),
        (b"name: ._", "is not YAML: a value is not of its type"),
        (b"name: !!bool maybe", "is not YAML: a value is not of its type"),
        (b"name: !!timestamp x", "is not YAML: a value is not of its type"),
        (b"name: " + b"1" * 5000, "is not YAML: a value is not of its type"),
        (b'name: "\\U99999999"', "is not YAML"),
        (b"# nothing", "holds no mapping"),
        (b"[1]", "holds no mapping"),
    ],
)
def test_a_file_that_is_no_configuration_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "a.yaml").write_bytes(content)
    with pytest.raises(WSVADError, match=f"--config=.*a.yaml': {said}"):
        read_config(tmp_path / "a.yaml")


def test_dates_are_texts(tmp_path: Path) -> None:
    assert read_config(write(tmp_path, a="name: 2024-13-45")) == {"name": "2024-13-45"}
