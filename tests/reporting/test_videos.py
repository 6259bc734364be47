"""Rows of videos and of their annotated anomalies."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest

from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.reporting.figures import VideoCurve
from wsvad_lightning.reporting.tables import steady_clock
from wsvad_lightning.reporting.videos import truth_events, video_rows, write_truth, write_videos
from wsvad_lightning.timeline import Event

SCORES = np.array([0.1, 0.9, 0.2, 0.2, 0.6, 0.3, 0.4, 0.4], np.float32)
RIOT = VideoAnnotation(
    "riot", 1, ("riot", "fall"), intervals=((2, 4), (4, 7)), interval_classes=("fall", None)
)


def curve(annotation: VideoAnnotation) -> VideoCurve:
    return VideoCurve(annotation.video_id, SCORES, annotation.frame_labels(8), annotation.classes)


def test_a_row_says_how_a_video_was_scored_and_where_it_fails() -> None:
    calm, bare = VideoAnnotation("calm", 0), VideoCurve("bare", SCORES, None)
    known = {"riot": RIOT, "calm": calm}
    rows = video_rows([curve(RIOT), curve(calm), bare], known, {"riot": 25.0, "calm": math.nan, "bare": 25.0})
    riot, quiet, unknown = rows
    assert riot[:5] == ("riot", "abnormal", "riot;fall", 8, 25.0)
    assert riot[5:8] == pytest.approx((SCORES.mean(), 0.9, 1))
    assert riot.anomalous_frames == 5
    assert riot.auc == pytest.approx((5 + 0 + 1.5) / 15)  # pairs won against the normal 0.1, 0.9, 0.4
    assert (riot.highest_normal, riot.lowest_event) == pytest.approx((0.9, 0.2))
    assert (riot.highest_normal_frame, riot.lowest_event_frame) == (1, 2)
    assert (quiet.label, quiet.fps, quiet.anomalous_frames, quiet.auc) == ("normal", None, 0, None)
    assert (quiet.highest_normal_frame, quiet.lowest_event) == (1, None)
    assert unknown.label == "unknown"
    assert set(unknown[8:]) == {None, ""}


def test_anomalies_are_the_annotated_ones_unless_a_rule_labels_other_frames() -> None:
    labels = RIOT.frame_labels(8)
    assert truth_events(RIOT, labels) == [Event(2, 4, "fall"), Event(4, 7, "riot;fall")]
    assert truth_events(RIOT, None) == []
    labels[7] = 1
    assert truth_events(RIOT, labels) == [Event(2, 8, "riot;fall")]


def test_the_tables_are_read_back_by_their_columns(tmp_path: Path) -> None:
    rows = video_rows([curve(RIOT)], {"riot": RIOT}, {"riot": 4.0})
    write_videos(tmp_path / "videos.csv", rows)
    (row,) = csv.DictReader((tmp_path / "videos.csv").read_text().splitlines())
    assert (row["mean_score"], row["auc"], row["lowest_event_frame"]) == ("0.3875", "0.433333", "2")
    truths = {"riot": truth_events(RIOT, RIOT.frame_labels(8)), "calm": []}
    write_truth(tmp_path / "truth.csv", truths, {"riot": steady_clock(4.0)})
    assert (tmp_path / "truth.csv").read_text().splitlines() == [
        "video,start_frame,end_frame,start_seconds,end_seconds,class",
        "riot,2,4,0.500,1.000,fall",
        "riot,4,7,1.000,1.750,riot;fall",
    ]
