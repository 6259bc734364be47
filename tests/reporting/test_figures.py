"""Pictures are read back: what must be seen has its colour, what must not has none."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.image import imread

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.reporting import figures
from wsvad_lightning.reporting.figures import (
    VideoCurve,
    _clock,
    arrange_names,
    choose,
    has_roc,
    optional,
    report_figure,
)
from wsvad_lightning.timeline import Event


def curve(name: str, start: int = 0, end: int = 0) -> VideoCurve:
    labels = np.zeros(64, dtype=np.uint8)
    labels[start:end] = 1
    scores = np.random.default_rng(len(name)).random(64).astype(np.float32)
    return VideoCurve(name, scores, labels)


def unknown(name: str) -> VideoCurve:
    return VideoCurve(name, curve(name).scores, None)


def shows(path: Path, color: str) -> bool:
    """Whether a patch of the colour, no mere blend at an edge, is in the picture."""
    wanted = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    pixels = (imread(path)[..., :3] * 255).round().astype(int)
    return int((np.abs(pixels - wanted).max(axis=-1) <= 1).sum()) > 50


def test_anomalous_frames_are_shaded_and_the_roc_is_drawn(tmp_path: Path) -> None:
    path = tmp_path / "new" / "scores.png"
    videos = [curve("fall", 10, 30), curve("walk"), curve("$10 for a walk_")]
    report_figure(videos, path, title="three $ videos", baselines={"motion": [curve("motion", 10, 30)]})
    assert all(shows(path, color) for color in (figures.MODEL, figures.ANOMALY, figures.BASELINES[0]))
    assert [file.name for file in path.parent.iterdir()] == ["scores.png"]


def test_time_and_alarm_are_shown_where_they_are_known(tmp_path: Path) -> None:
    clock = VideoCurve("gate", np.linspace(0, 1, 64), None, times=np.arange(65) / 4)
    hour = replace(clock, times=np.arange(65) * 60.0)
    assert [_clock(video.times, 20) for video in (clock, hour) if video.times is not None] == [
        "5.0 s",
        "20:00",
    ]
    report_figure([clock], tmp_path / "plain.png")
    report_figure([clock], tmp_path / "alarm.png", alarm=0.5)
    red = figures.KINDS["abnormal"]
    assert [shows(tmp_path / name, red) for name in ("plain.png", "alarm.png")] == [False, True]


@pytest.mark.parametrize("videos", [[curve("walk")], [unknown("door"), unknown("gate"), curve("fall", 3, 9)]])
def test_without_both_classes_known_there_are_score_curves_alone(
    tmp_path: Path, videos: list[VideoCurve]
) -> None:
    path = tmp_path / "scores.png"
    assert not has_roc(videos)
    report_figure(videos, path)
    assert shows(path, figures.MODEL)
    assert not shows(path, figures.CHANCE)
    assert shows(path, figures.ANOMALY) == (len(videos) == 3)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The words that are written on panels, as they come."""
    words: list[str] = []

    def watch(name: str, place: int) -> None:
        method = getattr(Axes, name)

        def note(axes: Axes, *given: object, **options: object) -> object:
            words.append(str(given[place]))
            return method(axes, *given, **options)

        monkeypatch.setattr(Axes, name, note)

    watch("set_title", 0)
    watch("text", 2)
    return words


def test_classes_of_videos_and_of_their_intervals_are_named(tmp_path: Path, written: list[str]) -> None:
    first, second = curve("a", 10, 30), curve("b", 10, 50)
    titled = replace(first, classes=("Überfall, bewaffnet",))
    both = replace(second, classes=("fall", "riot"), truths=(Event(10, 20, "fall"), Event(30, 50, "riot")))
    report_figure([titled, both, curve("c")], tmp_path / "scores.png")
    of_panels = [word for word in written if not word.startswith(("ROC", "Precision"))]
    assert of_panels == ["Überfall, bewaffnet", "a", "fall", "riot", "fall, riot", "b", "normal", "c"]
    report_figure([replace(unknown("d"), classes=("fall",))], tmp_path / "scores.png")
    assert written[-2:] == ["no ground truth", "d"]  # what is not shaded may be a fall


def test_long_titles_do_not_meet(tmp_path: Path, written: list[str]) -> None:
    long = replace(curve("a" * 60, 10, 30), classes=("a class of a very long name", "another"))
    report_figure([long], tmp_path / "scores.png")
    assert written[:2] == ["a class of a very l…", f"{'a' * 15}…{'a' * 15}"]


def test_detected_events_are_shaded_and_named(tmp_path: Path, written: list[str]) -> None:
    path = tmp_path / "scores.png"
    report_figure([replace(unknown("gate"), events=())], path)
    assert not shows(path, figures.FOUND)
    assert written == ["no ground truth", "gate"]
    report_figure([replace(unknown("gate"), events=(Event(3, 9, "riot"),))], path)
    assert shows(path, figures.FOUND)
    assert not shows(path, figures.ANOMALY)
    assert written[2:] == ["riot", "no ground truth", "gate"]


def test_detected_events_do_not_hide_the_truth(tmp_path: Path, written: list[str]) -> None:
    path = tmp_path / "scores.png"
    report_figure([replace(curve("gate", 10, 30), events=(Event(8, 32, "riot"),))], path)
    assert shows(path, figures.ANOMALY)
    assert not shows(path, figures.FOUND)
    assert "riot" in written


def test_names_of_spans_do_not_cover_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "legible", lambda words: (words, None))  # as if there were all letters
    spans = [Event(50, 60, "fall"), Event(52, 58, "riot"), Event(0, 2, "fall"), Event(98, 100, "打架")]
    assert arrange_names(spans, num_frames=100, letter=2.0) == [
        (spans[2], 4.0, 0),  # moved into the panel
        (spans[0], 55.0, 0),
        (spans[1], 55.0, 1),
        (spans[3], 96.0, 0),  # its letters are wide
    ]


def test_spans_without_room_stay_without_names() -> None:
    spans = [Event(10 * i, 10 * i + 5, "a long name") for i in range(10)]
    shown = arrange_names(spans, num_frames=100, letter=4.0)
    assert [span for span, _, _ in shown] == [*spans[:4], *spans[7:]]


def test_scores_beyond_one_are_drawn_whole(tmp_path: Path) -> None:
    inside, beyond = tmp_path / "inside.png", tmp_path / "beyond.png"
    ramp = np.linspace(0, 1, 64)
    report_figure([VideoCurve("a", ramp, None)], inside)
    report_figure([VideoCurve("a", 40 * ramp - 20, None)], beyond)
    heights = []
    for path in (inside, beyond):
        blue = np.abs(imread(path)[..., :3] * 255 - (0x1F, 0x5F, 0xA8)).max(axis=-1) < 2
        heights.append(np.ptp(np.flatnonzero(blue.any(axis=1))))
    assert heights[1] == pytest.approx(heights[0], rel=0.05)


def test_shown_videos_are_spread_evenly_over_each_kind() -> None:
    videos = [curve(f"abnormal{i}", 3, 9) if i % 3 else curve(f"normal{i}") for i in range(30)]
    names = [video.video_id for video in choose(videos)]
    assert names == ["abnormal1", "abnormal10", "abnormal20", "abnormal29", "normal0", "normal27"]
    assert choose(videos[:2]) == [videos[1], videos[0]]


def test_without_matplotlib_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(WSVADError, match=r"wsvad-lightning\[report\]"):
        report_figure([curve("walk")], tmp_path / "scores.png")


@pytest.mark.parametrize(
    "error", [WSVADError("a", 1, "fails", "Do"), OSError(28, "no space"), ValueError("x")]
)
def test_a_picture_that_fails_is_a_note(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    with optional(Path("scores.png")):
        raise error
    assert capsys.readouterr().err == f"note: without scores.png: {error}\n"


def test_a_picture_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "scores.png").mkdir()
    with pytest.raises(WSVADError, match="scores.png"):
        report_figure([curve("walk")], tmp_path / "scores.png")
    assert [path.name for path in tmp_path.iterdir()] == ["scores.png"]
