"""JSON that any reader takes. That files are whole or absent is tested where they are written."""

import json
import math
from pathlib import Path

import pytest

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.files import write_json


def test_undefined_numbers_are_null_at_any_depth(tmp_path: Path) -> None:
    write_json({"Überfall": [{"ap": math.nan}, (1.5, math.nan)], "auc": 0.1}, tmp_path / "new" / "a.json")
    text = (tmp_path / "new" / "a.json").read_text("utf-8")
    assert json.loads(text) == {"Überfall": [{"ap": None}, [1.5, None]], "auc": 0.1}
    assert "Überfall" in text
    assert text.endswith("}\n")


def test_what_is_no_json_leaves_the_old_file(tmp_path: Path) -> None:
    write_json({"auc": 0.1}, tmp_path / "a.json")
    with pytest.raises(TypeError):
        write_json({"auc": object()}, tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text()) == {"auc": 0.1}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_folder_that_is_a_file_is_reported_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(WSVADError, match="cannot be written"):
        write_json({}, tmp_path / "a" / "b.json")
