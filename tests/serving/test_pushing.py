"""Uploads to a server on this machine that speaks huggingface_hub's protocol, and what goes wrong."""

from pathlib import Path

import pytest
from huggingface_hub import constants

from tests.serving.hub import TOKEN, Hub
from wsvad_lightning.cli import main


@pytest.fixture
def share(store: Path, tmp_path: Path) -> list[str]:
    return ["data", "share", str(store), "-o", str(tmp_path / "out"), "--license", "mit", "--push", "me/gate"]


def refusal(args: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(args) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_a_store_is_uploaded_as_it_is(
    share: list[str], hub: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert main(share) == 0
    written = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert Hub.repositories["datasets/me/gate"] == written
    assert written.keys() == {"README.md", "synthetic.h5"}


def test_a_wrong_token_is_a_line_and_the_folder_stays(
    share: list[str],
    hub: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    line = refusal(share, capsys)
    assert "cannot be uploaded (" in line
    assert "401" in line
    assert (
        f"Log in by `hf auth login`; `hf upload me/gate {tmp_path}/out --repo-type dataset` uploads" in line
    )
    assert (tmp_path / "out" / "README.md").is_file()


def test_a_server_that_is_down_is_a_line(
    share: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # where nothing listens
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    line = refusal(share, capsys)
    assert "--push='me/gate': cannot be uploaded (" in line
    assert "Log in" not in line


def test_without_token_or_name_nothing_is_written(
    share: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    line = refusal(share, capsys)
    assert "--push='me/gate': takes a token, and none is stored. Log in by `hf auth login`" in line
    for name in ("gate", "a/b/c", "me/.."):
        assert "is not owner/name" in refusal([*share[:-1], name], capsys)
    assert not (tmp_path / "out").exists()
