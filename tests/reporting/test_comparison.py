from pathlib import Path

import pytest
from matplotlib.axes import Axes
from matplotlib.image import imread

from wsvad_lightning.reporting.comparison import comparison_figure


def test_methods_are_sorted_by_their_best_mean_of_the_first_metric(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[str] = []
    monkeypatch.setattr(Axes, "set_yticks", lambda axes, places, names: rows.extend(names))
    auc = {
        ("a", "last"): [70.0, 80.0],
        ("b", "last"): [],  # undefined
        ("c", "last"): [90.0, 60.0],
        ("d", "last"): [60.0, 60.0],
        ("d", "best-on-val"): [90.0, 92.0],
    }
    ap = {key: [50.0] for key in auc}
    comparison_figure({"AUC": auc, "AP": ap}, tmp_path / "results.png")
    assert rows == ["d", "a", "c", "b"]
    assert imread(tmp_path / "results.png").ndim == 3
