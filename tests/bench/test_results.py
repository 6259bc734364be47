import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from tests.reporting.test_figures import shows
from wsvad_lightning.bench import results
from wsvad_lightning.bench.results import (
    Result,
    by_method,
    by_split,
    differences,
    explain,
    summarise,
    write_results,
)
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.reporting import figures
from wsvad_lightning.reporting.html.paired import difference_over_splits


def result(
    method: str, selection: str, split: int, seed: int, auc: float | None, store: str = "ped2"
) -> Result:
    made_from = {"store_checksum": f"{store}456789abcdef0123", "version": "1.2.3"}
    return Result(method, store, selection, split, seed, {"auc": auc, "ap": 0.5}, made_from, {}, 1.0)


RESULTS = [
    result("a", "last", 0, 0, 0.80),
    result("a", "last", 0, 1, 0.90),
    result("a", "last", 1, 0, 0.60),
    result("a", "last", 1, 1, 0.70),
    result("b", "last", 0, 0, None),
    result("a", "best-on-val", 0, 0, 0.50),
]


def test_mean_and_deviation_by_hand() -> None:
    """Splits reach 85 and 65: mean 75, and both are 10 away from it."""
    assert by_split(RESULTS[:4], "auc") == pytest.approx([85.0, 65.0])
    assert summarise(RESULTS[:4], "auc") == "75.0 ± 10.0"
    assert summarise(RESULTS[:3], "auc") == "72.5 ± 12.5"  # a seed is missing: its split counts as much
    assert summarise(RESULTS[:1], "auc") == "80.0"


def test_a_single_run_has_its_interval() -> None:
    one = replace(RESULTS[0], intervals={"auc": [0.7, 0.95]})
    assert summarise([one], "auc") == "80.0 (70.0 to 95.0)"
    assert summarise([one, *RESULTS[1:4]], "auc") == "75.0 ± 10.0"


def test_differences_from_the_best_on_the_splits_that_both_have() -> None:
    more = [result("c", "last", split, 0, auc) for split, auc in ((0, 0.95), (1, 0.73), (2, 0.1))]
    rows = differences(by_method([*RESULTS[:5], *more]))
    ends = difference_over_splits([95.0, 73.0], [85.0, 65.0])
    expected = f"+9.0 ({ends.low:+.1f} to {ends.high:+.1f})"  # of 10 and 8; split 2 is of c alone
    assert [row[:4] for row in rows] == [
        ["a", "ped2", "last", "best"],
        ["b", "ped2", "last", "n/a"],
        ["c", "ped2", "last", expected],
    ]
    assert differences(by_method(RESULTS)) == []  # no two share several splits


def test_an_undefined_figure_is_not_made_up() -> None:
    assert summarise(RESULTS[4:5], "auc") == "n/a"
    assert summarise([RESULTS[0], RESULTS[4]], "auc") == "n/a"
    assert summarise(RESULTS, "auc_abnormal") == "n/a"


def test_table_json_and_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_results(RESULTS, tmp_path, {})
    lines = (tmp_path / "results.md").read_text().splitlines()
    assert lines[:5] == [
        "| method | store | checkpoint | AUC | AUC inside abnormal | AP | runs |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| a | ped2 | last | 75.0 ± 10.0 | n/a | 50.0 ± 0.0 | 4 |",
        "| b | ped2 | last | n/a | n/a | 50.0 | 1 |",
        "| a | ped2 | best-on-val | 50.0 | n/a | 50.0 | 1 |",
    ]
    assert lines[6] == explain(RESULTS)
    assert "seeds (0, 1)" in lines[6]
    assert "ped2 `ped2456789abcdef…`, wsvad 1.2.3" in lines[6]
    assert [Result(**entry) for entry in json.loads((tmp_path / "results.json").read_text())] == RESULTS
    assert all(shows(tmp_path / "results.png", color) for color in (figures.MODEL, figures.BASELINES[0]))
    assert "75.0 ± 10.0" in capsys.readouterr().out


def test_events_have_a_column_where_a_method_gives_them(tmp_path: Path) -> None:
    frames = [result("a", "last", 0, 0, 0.8), result("b", "last", 0, 0, 0.8)]
    undefined = [frames[0], replace(frames[1], metrics={"auc": 0.8, "mAP": None})]
    events = [frames[0], replace(frames[1], metrics={"auc": 0.8, "mAP": 0.125, "mAP@0.1": 0.3})]
    for runs, cells in ((undefined, [[], [], []]), (events, [["event mAP"], ["n/a"], ["12.5"]])):
        write_results(runs, tmp_path, {})
        header, _, *rows = (tmp_path / "results.md").read_text().splitlines()[:4]
        assert [line.strip("| ").split(" | ")[6:-1] for line in (header, *rows)] == cells


def test_names_stay_readable(tmp_path: Path) -> None:
    write_results([result("Überfall", "last", 0, 0, 0.8)], tmp_path, {})
    for name in ("results.json", "results.md"):
        assert "Überfall" in (tmp_path / name).read_text(encoding="utf-8")


def test_stores_have_rows_of_their_own_and_what_does_not_fit_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: dict[str, dict[tuple[str, str], list[float]]] = {}
    monkeypatch.setattr(results, "comparison_figure", lambda values, path: drawn.update(values))
    runs = [result("a", "last", 0, 0, auc, store) for store, auc in (("clip", 0.8), ("i3d", 0.7))]
    misfit = WSVADError("data.store", "i3d.h5", "b needs CLIP", "Choose another")
    write_results(runs, tmp_path, {("b", "i3d"): misfit})
    lines = (tmp_path / "results.md").read_text().splitlines()
    assert lines[2:4] == [
        "| a | clip | last | 80.0 | n/a | 50.0 | 1 |",
        "| a | i3d | last | 70.0 | n/a | 50.0 | 1 |",
    ]
    assert lines[5] == "* b does not fit i3d: data.store='i3d.h5': b needs CLIP. Choose another"
    assert "Store clip `clip456789abcdef…`, i3d `i3d456789abcdef0…`, wsvad" in lines[7]
    assert drawn["AUC"] == {("a, clip", "last"): [80.0], ("a, i3d", "last"): [70.0]}


def test_the_table_breaks_no_word_on_80_columns() -> None:
    header = ["method", "store", "checkpoint", "AUC", "AUC inside abnormal", "AP", "runs"]
    row = ["frduvad", "ucf_i3d", "best-on-val", "84.3 ± 1.2", "62.3 ± 2.1", "31.2 ± 1.9", "5"]
    console = Console(width=80, file=io.StringIO())
    console.print(results.laid_out("Test videos, percent", header, [row]))
    assert isinstance(console.file, io.StringIO)
    words = console.file.getvalue().split()
    assert {*" ".join([*header, *row]).split()} <= {*words}
