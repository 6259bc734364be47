"""Pictures are read back: what must be seen has its colour, what must not has none."""

import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.reporting import figures
from wsvad_lightning.reporting.figures import VideoCurve, choose, has_roc, report_figure


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


def test_a_picture_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "scores.png").mkdir()
    with pytest.raises(WSVADError, match="scores.png"):
        report_figure([curve("walk")], tmp_path / "scores.png")
    assert [path.name for path in tmp_path.iterdir()] == ["scores.png"]
