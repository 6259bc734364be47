"""Folders of runs, read back."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.reporting.html.runs import FRAMES, GRID, HOSTILE, SCORES, make_run
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.metrics import expand_scores
from wsvad_lightning.reporting.html.folder import read_run
from wsvad_lightning.reporting.html.page import is_unlike, write_run
from wsvad_lightning.timeline import Event


def test_scores_truth_and_events_are_those_that_were_written(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path))
    assert (run.method, run.data) == ("URDMU", "mine, split 2 of s.json")
    videos = {video.row.video: video for video in run.videos}
    assert videos.keys() == SCORES.keys()
    for name, video in videos.items():
        frames = expand_scores(np.array(SCORES[name], np.float32), FRAMES, GRID)
        assert np.allclose(video.curve.scores, frames, atol=1e-6)
    riot, calm = videos["riot"], videos["calm"]
    assert riot.curve.truths == (Event(8, 20, "riot"),)
    assert riot.curve.events == (Event(8, 20, "riot", 0.9),)
    assert riot.curve.labels is not None
    assert riot.curve.labels.sum() == 12
    assert calm.curve.labels is not None
    assert not calm.curve.labels.any()
    assert [own.shape for own in riot.maps.values()] == [(2, 3)]  # its event holds the highest score
    assert not calm.maps
    assert riot.times is not None
    assert riot.times.tolist() == [[0, 40], [0, 4]]
    assert run.interval("auc") == (0.5, 0.9)
    assert run.interval("auc_abnormal") is None


def test_the_highest_score_is_that_of_a_snippet_in_the_table_and_in_the_report(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path))
    tabled = {row["video"]: row for row in csv.DictReader((tmp_path / "videos.csv").read_text().splitlines())}
    calm = next(video.row for video in run.videos if video.row.video == "calm")
    assert calm.highest_score == pytest.approx(0.6)  # no frame has it: snippets overlap by half
    assert calm.highest_normal == pytest.approx(0.35)
    assert (tabled["calm"]["highest_score"], tabled["calm"]["highest_frame"]) == ("0.6", "12")
    assert calm.highest_frame == 12


def test_times_of_a_video_of_variable_rate_are_its_time_stamps(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    table = folder / "scores.csv"
    table.write_text(table.read_text().replace("calm,12,20,1.200,2.000", "calm,12,20,1.500,2.000"))
    calm = next(video for video in read_run(folder).videos if video.row.video == "calm")
    assert calm.times is not None
    assert calm.times[1, calm.times[0] == 12].tolist() == [1.5]


def test_a_run_without_truth_is_a_prediction(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    (folder / "metrics.json").unlink()
    (folder / "truth.csv").unlink()
    table = folder / "videos.csv"
    header, *rows = (line.split(",") for line in table.read_text().splitlines())
    kept = header.index("anomalous_frames")
    rows = [[*row[:kept], *[""] * (len(header) - kept)] for row in rows]
    table.write_text("\n".join(map(",".join, [header, *rows])))
    settings = "videos: /a/cameras\nalarm: 0.5\ndata: {store: x/features-12.h5}\nmodel: {class_path: RTFM}\n"
    (folder / "test.yaml").rename(folder / "predict.yaml").write_text(settings)
    run = read_run(folder)
    assert {video.curve.labels is None for video in run.videos} == {True}
    assert (run.method, run.data, run.alarm) == ("RTFM", "cameras", 0.5)


@pytest.mark.parametrize(
    ("file", "old", "new", "problem"),
    [
        ("videos.csv", None, None, "was made before runs had videos.csv"),
        ("scores.csv", None, None, "has no scores.csv"),
        ("scores.csv", "calm,12,", "calm,13,", "do not follow each other evenly"),
        ("scores.csv", "calm,0,8,0.000,0.800,0.1", "calm,0,8,0.000,0.800,nan", "not a number"),
        ("scores.csv", "calm,", "other,", "is not in both"),
        ("scores.csv", ",8,16,", ",9,16,", "do not follow each other evenly"),
        ("truth.csv", "riot,8,20", "riot,8,41", "are not an interval"),
        ("videos.csv", ",40,10,", ",1e99,10,", "not a number of frames"),
        ("metrics.json", "{", "[", "is not JSON"),
    ],
)
def test_damaged_folders_are_refused_in_a_line(
    tmp_path: Path, file: str, old: str | None, new: str | None, problem: str
) -> None:
    path = make_run(tmp_path) / file
    if old is None or new is None:
        path.unlink()
    else:
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))
    with pytest.raises(WSVADError, match=problem):
        read_run(tmp_path)


def test_videos_unlike_the_training_are_marked(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    table = folder / "videos.csv"
    header, *rows = table.read_text().splitlines()
    assert header.endswith(",novelty,coding")
    ends = {"calm": "9.5,", "still": "1,mjpeg"}
    marked = [f"{row.removesuffix(',,')},{ends.get(row.split(',')[0], '1,')}" for row in rows]
    table.write_text("\n".join([header, *marked]))
    run = read_run(folder)
    assert [video.row.video for video in run.videos if is_unlike(video.row)] == ["calm", "still"]
    write_run(run, tmp_path / "a.html", {})
    text = (tmp_path / "a.html").read_text("utf-8")
    assert "2 unlike the training" in text
    assert text.count("novelty 9.5") == text.count("encoded otherwise: mjpeg") == 1


def test_a_drawn_video_outside_of_the_folder_is_left_out(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    outside = tmp_path / "elsewhere"
    outside.mkdir()
    (outside / "scored.mp4").write_bytes(b"x")
    (folder / "calm").symlink_to(outside)
    shutil.copytree(outside, folder / "riot")
    drawn = {video.row.video: video.drawn for video in read_run(folder).videos if video.drawn}
    assert drawn == {"riot": folder / "riot" / "scored.mp4"}
    assert HOSTILE not in drawn
