"""Leaderboards: what is measured on the same videos is one table, and what papers report another."""

import csv
import re
from pathlib import Path
from typing import Any

import pytest

from tests.browser import Opener
from tests.reporting.html.test_comparison import result, rows_of
from wsvad_lightning.cli import main
from wsvad_lightning.files import write_json
from wsvad_lightning.reporting.html.leaderboard import PUBLISHED

METHODS = Path(__file__).parents[3] / "docs" / "methods"
RECIPE = "data:\n  features: [motion_1x1, motion_2x3]\n"


def made(
    method: str, split: int, auc: float | None, *, test: str = "c", checksum: str = "ab" * 32
) -> dict[str, Any]:
    parts = {"train": ["a", "b", "c"][: 2 + split], "val": [], "test": [test, f"d{split}"]}
    made_from = {"recipe": RECIPE, "streams": [], "store_checksum": "ab" * 32, **parts}
    return result(method, split, auc, made_from=made_from)


def write(folder: Path, name: str, results: list[dict[str, Any]]) -> str:
    write_json(results, folder / name / "results.json")
    return str(folder / name / "results.json")


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """Two files on the same splits, and one on others."""
    files = [
        write(tmp_path, "one", [made("<b>rtfm</b>", split, auc) for split, auc in enumerate((0.9, 0.8))]),
        write(tmp_path, "two", [made("urdmu", split, auc) for split, auc in enumerate((0.95, 0.85))]),
        write(tmp_path, "three", [made("urdmu", split, 0.99, test="e") for split in range(2)]),
    ]
    assert main(["leaderboard", *files, "-o", str(tmp_path / "board.html")]) == 0
    return tmp_path / "board.html"


def test_the_same_videos_are_one_board(page: Path) -> None:
    text = page.read_text("utf-8")
    titles = re.findall(r'<h2 id="board\d-title">(.*?) <span', text)
    assert titles == [f"{number}. ped2: motion_1x1, motion_2x3" for number in (1, 2)]
    rows = rows_of(page)
    assert ["urdmu, last", "90.0 ± 5.0", "50.0 ± 0.0", "2"] in rows
    assert ["&lt;b&gt;rtfm&lt;/b&gt;, last", "85.0 ± 5.0", "50.0 ± 0.0", "2"] in rows
    assert ["urdmu, last", "99.0 ± 0.0", "50.0 ± 0.0", "2"] in rows
    assert rows.count(["seeds", "0"]) == 3
    assert "2 splits, videos 2-3 to train, 0 to val, 2 to test" in text


def test_published_figures_are_marked_and_are_those_of_the_pages_of_methods(page: Path) -> None:
    text = page.read_text("utf-8")
    mine, _, papers = text.partition('id="published"')
    assert "not measured by wsvad" in papers
    assert papers.count('<span class="badge">published</span>') == 3
    with PUBLISHED.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        assert f">{row['percent']}</td>" in papers
        assert f">{row['percent']}</td>" not in mine
        assert row["percent"] in (METHODS / f"{row['method']}.md").read_text("utf-8"), row


def test_it_opens_in_light_and_dark(page: Path, open_address: Opener) -> None:
    colours = set()
    for scheme in ("light", "dark"):
        tab = open_address(page.as_uri(), color_scheme=scheme)
        colours.add(tab.evaluate("getComputedStyle(document.body).backgroundColor"))
        assert tab.locator("table").count() == 2 + 6 + 3
        tab.set_viewport_size({"width": 390, "height": 900})
        lines = "[...document.querySelectorAll('.badge')].map((one) => one.getClientRects().length)"
        assert set(tab.evaluate(lines)) == {1}
    assert len(colours) == 2


@pytest.mark.parametrize("content", ["[]", '[{"method": 3}]', "no JSON"])
def test_what_is_no_comparison_is_refused(
    content: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "results.json").write_text(content)
    given = ["leaderboard", str(tmp_path / "results.json"), "-o", str(tmp_path / "a.html")]
    assert main(given) == 2
    assert capfd.readouterr().err.count("\n") == 1
    assert not (tmp_path / "a.html").exists()
    write_json([result("urdmu", 0, 0.9)], tmp_path / "results.json")
    assert main(given) == 2
    assert "a result has no made_from" in capfd.readouterr().err
    assert main([*given[:-1], str(tmp_path / "a.txt")]) == 2
    assert "is not an HTML file" in capfd.readouterr().err
