from pathlib import Path

import pytest

from wsvad_lightning.cli import HELP, main, spell_out
from wsvad_lightning.configs import config_folder
from wsvad_lightning.runs import run as training


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert capsys.readouterr().out == HELP
    others = ("extract", "data info", "data verify", "import-weights", "bench", "demo")
    for command in (*training.COMMANDS, *others):
        assert f"\n  {command} " in HELP


def test_nothing_given_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2


@pytest.mark.parametrize(
    ("given", "spelt"),
    [
        (["--skip-broken"], ["--skip_broken", "true"]),
        (["--skip_broken", "false", "x"], ["--skip_broken", "false", "x"]),
        (["--snippet-length", "8", "a-b--c"], ["--snippet_length", "8", "a-b--c"]),
    ],
)
def test_options_may_be_written_with_dashes(given: list[str], spelt: list[str]) -> None:
    assert spell_out(given) == spelt


def test_shipped_configurations_are_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    args, name = training.resolve_configs(["--config=ucf_urdmu.yaml", "--config", "with/smoke.yaml", "--x=1"])
    ucf, smoke = config_folder() / "ucf_urdmu.yaml", config_folder() / "with" / "smoke.yaml"
    assert args == ["--config", str(ucf), "--config", str(smoke), "--x=1"]
    assert name == "ucf_urdmu"


def test_a_file_at_hand_comes_before_a_shipped_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("ucf_urdmu.yaml").write_text("name: mine\n")
    assert training.resolve_configs(["-c", "ucf_urdmu.yaml"])[0] == ["-c", "ucf_urdmu.yaml"]


def test_other_commands_share_the_look_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    assert main(["extract", str(folder), str(tmp_path / "s.h5"), "--config", "extract/motion.yaml"]) == 2
    assert "holds no videos" in capsys.readouterr().err
    assert not (tmp_path / "s.h5").exists()
