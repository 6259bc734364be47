"""The tables, curves and pictures of the board, each by itself."""

from pathlib import Path

import numpy as np
import pytest

from tests.videos import save_grey
from wsvad_lightning.data.store import FeatureStore
from wsvad_lightning.data.store.synthetic import make_store
from wsvad_lightning.reporting.board import (
    POINTS,
    Pictures,
    class_table,
    extremes,
    frame_curves,
    limits,
    plot,
    read_rows,
    rgb,
    small_curve,
)
from wsvad_lightning.reporting.figures import ANOMALY, MODEL, VideoCurve


def test_cells_are_read_as_what_they_are(tmp_path: Path) -> None:
    table = tmp_path / "events.csv"
    table.write_text(
        "video,start_frame,start_seconds,class,score,x\n007,4,0.160,'=1,5e-05,\n'-a,0,0.000,b,1,3\n"
    )
    columns, rows = read_rows(table)
    assert columns == ["video", "start_frame", "start_seconds", "class", "score", "x"]
    assert [list(row.values()) for row in rows] == [
        ["007", 4, 0.16, "=1", 5e-05, None],
        ["-a", 0, 0.0, "b", 1, 3],
    ]


def row(
    video: str, auc: float | None, highest_normal: float | None, anomalous: int | None
) -> dict[str, object]:
    return {"video": video, "auc": auc, "highest_normal": highest_normal, "anomalous_frames": anomalous}


def test_the_best_and_the_worst_are_chosen_by_their_faults() -> None:
    rows = [row(f"hit{i}", 1 - i / 100, 0.2, 5) for i in range(6)]
    rows += [row("calm", None, 0.01, 0), row("alarm", None, 0.9, 0), row("missed", 0.2, 0.9, 5)]
    rows += [row("unknown", None, None, None), row("all anomalous", None, None, 8)]
    assert extremes(rows) == {
        "best": ["hit0", "calm", "hit1", "hit2", "hit3"],
        "worst": ["alarm", "missed", "hit5", "hit4"],
    }
    assert extremes(rows[:1]) == {"best": ["hit0"], "worst": []}


def test_a_small_curve_shows_peaks_and_shades_anomalies() -> None:
    scores = np.zeros(4800)
    scores[2401] = 1.0  # one of the 20 frames of column 120
    labels = (np.arange(4800) >= 3600).astype(int)
    picture = small_curve(VideoCurve("v", scores, labels))
    assert (picture[0, 120] == rgb(MODEL)).all()
    assert (picture[0, 119] == 255).all()
    assert (picture[0, 180:] == rgb(ANOMALY)).all()
    assert (picture[-1] == rgb(MODEL)).all()  # zero is visible
    assert small_curve(VideoCurve("short", np.array([0.5, -1.0]), None)).shape == (60, 240, 3)


def test_a_plot_has_few_points_and_both_ends() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 9000)
    curves = frame_curves([VideoCurve("v", rng.random(9000), labels)])
    table = plot("roc", curves["roc"]).table
    assert len(table.data) == POINTS
    assert (table.data[0][:2], table.data[-1][:2]) == ([0.0, 0.0], [1.0, 1.0])
    assert frame_curves([VideoCurve("v", rng.random(5), np.zeros(5, int))]) == {}


def test_metrics_of_classes_that_some_lack_are_empty_cells() -> None:
    table = class_table({"fall": {"auc": 0.5}, "fight": {"auc": None, "ap": 0.25}})
    assert (table.columns, table.data) == (
        ["class", "auc", "ap"],
        [["fall", 0.5, None], ["fight", None, 0.25]],
    )


def test_intervals_have_two_ends() -> None:
    assert limits({"auc": [0.5, 0.75]}) == {"test/auc_low": 0.5, "test/auc_high": 0.75}


def test_a_frame_is_the_one_that_was_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = FeatureStore(make_store(tmp_path / "s.h5", train=1, test=1, lengths=(3, 4)))
    name = "test_normal_000"
    save_grey(tmp_path / "videos" / f"{name}.mp4", [4 * t for t in range(store[name].num_frames)])
    pictures = Pictures(str(tmp_path / "videos"), store)
    for number in (0, 1, 17):
        picture = pictures.frame(name, number)
        assert picture is not None
        assert picture.image is not None
        assert abs(np.asarray(picture.image).mean() - 4 * number) < 3
    assert pictures.frame("test_abnormal_000", 0) is None
    assert "note: without the frame of test_abnormal_000: trainer.logger.videos" in capsys.readouterr().err
