"""JSON and tables that any reader takes. That files are whole or absent is tested where they are written."""

import csv
import json
import math
from pathlib import Path

import pytest

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.files import cell_of, making_folder, remove_leftovers, write_json, write_table


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


COMPUTED = [
    "=1+1",
    "@x",
    "+cmd",
    "-2+3",
    "--",
    "-",
    "\t=1",
    "'=1",
    "''+x",
    "\uff1d1",
    "a;=1;b",
    "=a,b",
    '=HYPERLINK("x")',
]
KEPT = ["-1", "+5", "-0.5", "-.5", "-1e-05", "a=1", "a-b", "'tis", "01_0014", "60-100;150-180", "", "it's"]


def test_no_cell_is_a_formula(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    write_table(path, ["video", "=class"], [(name, -1.5) for name in COMPUTED + KEPT])
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["video", "'=class"]
    cells = [name for name, _ in rows]
    assert cells[len(COMPUTED) :] == KEPT
    for cell in cells[: len(COMPUTED)]:
        assert not any(part.startswith(("=", "@", "+", "-", "\t", "\uff1d")) for part in cell.split(";"))
    assert [cell_of(cell) for cell in cells] == COMPUTED + KEPT
    assert {number for _, number in rows} == {"-1.5"}


def test_what_a_killed_process_left_goes_when_the_same_is_written_again(tmp_path: Path) -> None:
    names = ("out", "a[1].json", "other.json")
    folder, file, other = (tmp_path / f".{name}.abcdefgh.tmp" for name in names)
    (folder / "made").mkdir(parents=True)
    for path in (folder / "made" / "x.npy", file, other):
        path.write_text("half")
    write_json({}, tmp_path / "a[1].json")
    with making_folder(tmp_path / "out") as made:
        (made / "x.npy").touch()
        remove_leftovers(tmp_path, "out")
        assert (made / "x.npy").exists()  # of a live process
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["x.npy"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [other.name, "a[1].json", "out"]
