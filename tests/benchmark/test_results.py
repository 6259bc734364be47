import json
from pathlib import Path

import pytest

from tests.reporting.test_figures import shows
from wsvad_lightning.benchmark.results import Result, by_split, explain, summarise, write_results
from wsvad_lightning.reporting import figures


def result(method: str, selection: str, split: int, seed: int, auc: float | None) -> Result:
    made_from = {"store_checksum": "0123456789abcdef0123", "version": "1.2.3"}
    return Result(method, selection, split, seed, {"auc": auc, "ap": 0.5}, made_from, {}, 1.0)


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


def test_an_undefined_figure_is_not_made_up() -> None:
    assert summarise(RESULTS[4:5], "auc") == "n/a"
    assert summarise([RESULTS[0], RESULTS[4]], "auc") == "n/a"
    assert summarise(RESULTS, "auc_abnormal") == "n/a"


def test_table_json_and_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_results(RESULTS, tmp_path)
    lines = (tmp_path / "results.md").read_text().splitlines()
    assert lines[:5] == [
        "| method | checkpoint | AUC | AUC inside abnormal | AP | runs |",
        "| --- | --- | --- | --- | --- | --- |",
        "| a | last | 75.0 ± 10.0 | n/a | 50.0 ± 0.0 | 4 |",
        "| b | last | n/a | n/a | 50.0 | 1 |",
        "| a | best-on-val | 50.0 | n/a | 50.0 | 1 |",
    ]
    assert lines[6] == explain(RESULTS)
    assert "seeds (0, 1)" in lines[6]
    assert "`0123456789abcdef…`, wsvad 1.2.3" in lines[6]
    assert [Result(**entry) for entry in json.loads((tmp_path / "results.json").read_text())] == RESULTS
    assert all(shows(tmp_path / "results.png", color) for color in (figures.MODEL, figures.BASELINES[0]))
    assert "75.0 ± 10.0" in capsys.readouterr().out
