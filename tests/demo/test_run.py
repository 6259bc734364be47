import csv
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from tests.test_draw_docs import load_script
from wsvad_lightning.demo.naming import find_alarms
from wsvad_lightning.demo.render import DemoSpec
from wsvad_lightning.demo.run import KINDS, Evaluation, inside, named_right, open_page, tour
from wsvad_lightning.reporting.figures import VideoCurve
from wsvad_lightning.timeline import Event


def test_the_tour_ends_with_tables_picture_run_and_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    spec = DemoSpec(4, 5, 3, 5, min_frames=48, max_frames=52, width=120, height=80, fps=8, difficulty="plain")
    tour(tmp_path, spec, ["--trainer.max_steps", "5"])
    shown = capsys.readouterr().out
    for word in ("sultani", "untrained", "motion energy", *KINDS):
        assert word in shown
    assert (tmp_path / "demo.png").read_bytes().startswith(b"\x89PNG")
    run = tmp_path / "sultani" / "version_1"
    assert {str(run), str(run / "report.html")} <= set(shown.split())
    assert (run / "metrics.json").is_file()
    assert "Classes and events" in (run / "report.html").read_text("utf-8")
    with (run / "events.csv").open(newline="") as table:
        events = list(csv.DictReader(table))
    assert events
    assert {event["class"] for event in events} <= {*KINDS}
    assert opened == []  # the output is captured: nobody sits at a terminal
    script, picture = load_script(), tmp_path / "strip.png"
    sources = script.Sources(*len(fields(script.Sources)) * [tmp_path])
    script.film_strip("test_*_vehicle", 0.2, 0.8)(sources, picture)
    assert imread(picture).shape[:2] == (104, 2 * 120 + script.GAP)  # frames with their curve below


@pytest.mark.parametrize(("terminal", "display"), [(True, True), (True, False), (False, True)])
def test_a_page_is_opened_on_a_terminal_with_a_display_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, terminal: bool, display: bool
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal, raising=False)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    if display:
        monkeypatch.setenv("DISPLAY", ":0")
    open_page(tmp_path / "a b.html")
    assert opened == ([(tmp_path / "a b.html").as_uri()] if terminal and display else [])


def test_the_area_inside_a_kind_is_over_its_videos_alone() -> None:
    labels = np.array([0, 0, 1, 1])
    found = VideoCurve("a", np.array([0.1, 0.2, 0.8, 0.9]), labels, ("fall",))
    missed = VideoCurve("b", np.array([0.9, 0.8, 0.2, 0.1]), labels, ("running",))
    assert [inside([found, missed], kind) for kind in ("fall", "running")] == [1.0, 0.0]


def test_an_alarm_is_an_event_of_the_class_that_the_video_is_taken_for() -> None:
    labels = np.array([0, 0, 1, 1])
    fall = VideoCurve("a", np.array([0.1, 0.5, 0.75, 1.0]), labels, ("fall",))
    run = VideoCurve("b", np.array([0.1, 0.2, 0.3, 0.4]), labels, ("running",))
    assert find_alarms(fall, "fall") == (Event(2, 4, "fall", 0.875),)
    assert find_alarms(run, "fall") == ()
    evaluation = Evaluation("x", {}, [fall, run], classes={"a": "fall", "b": "fall"})
    assert [named_right(evaluation, kinds) for kinds in (("fall",), ("running",), KINDS)] == [1.0, 0.0, 0.5]
