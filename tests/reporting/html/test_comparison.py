"""Comparisons of runs and of the results of bench."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.reporting.html.runs import SCORES, make_run
from wsvad_lightning.cli import main
from wsvad_lightning.files import write_json


def result(method: str, split: int, auc: float | None, seed: int = 0, **more: Any) -> dict[str, Any]:
    metrics = {"auc": auc, "auc_abnormal": 0.5, "ap": None}
    names = {"method": method, "store": "ped2", "selection": "last", "split": split, "seed": seed}
    return {
        **names,
        "metrics": metrics,
        "seconds": 10.0 * (1 + split),
        "receipt": {"store_checksum": "12ab"},
        **more,
    }


def rows_of(page: Path) -> list[list[str]]:
    """The words of the cells of all tables."""
    rows = re.findall(r"<tr>(.*?)</tr>", page.read_text("utf-8"), re.DOTALL)
    cells = [re.findall(r"<t[hd].*?>(.*?)</t[hd]>", row, re.DOTALL) for row in rows]
    words = [[" ".join(re.sub("<.*?>", "", cell).split()) for cell in own] for own in cells]
    return [[cell.replace("\N{MINUS SIGN}", "-") for cell in own] for own in words]


def test_the_results_of_bench_are_compared_split_by_split(tmp_path: Path) -> None:
    results = [result("<b>rtfm</b>", split, auc) for split, auc in enumerate((0.90, 0.80, 0.95))]
    results += [result("urdmu", split, auc) for split, auc in enumerate((0.80, 0.71, 0.84))]
    results += [result("urdmu", split, auc, seed=1) for split, auc in enumerate((0.82, 0.69, 0.86))]
    write_json(results, tmp_path / "results.json")
    report = tmp_path / "urdmu" / "ped2" / "split0_seed1_last" / "version_1" / "report.html"
    report.parent.mkdir(parents=True)
    report.write_text("a report")
    page = tmp_path / "report.html"
    assert main(["report", str(tmp_path)]) == 0
    rows = rows_of(page)
    assert "2 methods on ped2, 3 splits" in page.read_text("utf-8")
    assert ["&lt;b&gt;rtfm&lt;/b&gt;", "88.3 ± 6.2", "50.0 ± 0.0", "3", "20"] in rows
    assert ["urdmu", "78.7 ± 6.3", "50.0 ± 0.0", "6", "20"] in rows
    assert ["urdmu", "-9.7", "-11.1 to -8.2", "lower"] in rows
    assert ["store checksum", "12ab"] in rows
    assert "<b>rtfm</b>" not in page.read_text("utf-8")
    assert 'href="urdmu/ped2/split0_seed1_last/version_1/report.html"' in page.read_text("utf-8")


def test_runs_on_the_same_videos_are_compared_on_the_same_resamples(tmp_path: Path) -> None:
    first = make_run(tmp_path / "first")
    flipped = {name: [1 - value for value in own] for name, own in SCORES.items()}
    second = make_run(tmp_path / "second", flipped, method="RTFM")
    page = tmp_path / "both.html"
    assert main(["report", str(first), str(second), "-o", str(page)]) == 0
    best, other = sorted(((run, auc_of(run)) for run in (first, second)), key=lambda pair: -pair[1])
    names = {first: "URDMU", second: "RTFM"}
    (row,) = [row for row in rows_of(page) if row[0] == names[other[0]] and len(row) == 4 and "to" in row[2]]
    assert row[1] == f"-{100 * (best[1] - other[1]):.1f}"
    assert "2 runs on mine, split 2 of s.json" in page.read_text("utf-8")


def test_runs_on_other_videos_have_no_differences(tmp_path: Path) -> None:
    first = make_run(tmp_path / "first")
    second = make_run(tmp_path / "second", {name: SCORES[name] for name in ("riot", "calm")})
    assert main(["report", str(first), str(second)]) == 0
    assert "not tested on the same frames" in (first / "report.html").read_text("utf-8")


def auc_of(run: Path) -> float:
    return float(json.loads((run / "metrics.json").read_text())["metrics"]["auc"])


@pytest.mark.parametrize("content", ["[]", "{}", '[{"method": 3}]', "no JSON"])
def test_what_is_no_comparison_is_refused(
    tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "results.json").write_text(content)
    assert main(["report", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "report.html").exists()
