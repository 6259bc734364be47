"""The notebooks run from their first cell to their last, with less to do than a reader gives them."""

from pathlib import Path
from typing import Any

import jupytext
import pytest
from matplotlib import pyplot

from wsvad_lightning.demo.render import DemoSpec

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
LESS: dict[str, dict[str, Any]] = {
    "store_to_scores": {"steps": 4},
    "videos_to_scores": {
        "clips": DemoSpec(1, 1, 1, 1, min_frames=60, max_frames=60, width=64, height=48),
        "steps": 1,
    },
}
DRAWN = {"store_to_scores": 8, "videos_to_scores": 2}  # test videos


@pytest.mark.parametrize("notebook", sorted(path.stem for path in NOTEBOOKS.glob("*.py")))
@pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers")
@pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec.. is deprecated")
def test_a_notebook_runs(
    notebook: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    first, *others = (
        cell.source for cell in jupytext.read(NOTEBOOKS / f"{notebook}.py").cells if cell.cell_type == "code"
    )
    names: dict[str, Any] = {"__name__": notebook}
    exec(first, names)
    assert names.keys() >= LESS[notebook].keys()
    names.update(LESS[notebook])
    with pyplot.rc_context({"backend": "agg"}):
        for code in others:
            exec(code, names)
    pyplot.close("all")
    assert Path("scores.png").read_bytes().startswith(b"\x89PNG")
    drawn = {axis.get_title(): axis.lines[0].get_ydata() for axis in names["figure"].axes}
    assert len(drawn) == DRAWN[notebook]
    assert all(name.startswith("test_") for name in drawn)
    assert all(len(scores) > 3 and 0 <= scores.min() < scores.max() <= 1 for scores in drawn.values())
