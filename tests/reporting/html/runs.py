"""Folders of runs, by the writers that ``wsvad test`` uses, of scores that a test chooses."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.files import write_json
from wsvad_lightning.metrics import roc_auc
from wsvad_lightning.reporting.scores import video_curve, write_tables
from wsvad_lightning.reporting.tables import steady_clock, write_events
from wsvad_lightning.reporting.videos import truth_events, video_rows, write_truth, write_videos
from wsvad_lightning.timeline import Event, SnippetGrid
from wsvad_lightning.types import Prediction

HOSTILE = "</script><img src=x onerror=alert(1)>"  # a name that would run as HTML
GRID, FPS = SnippetGrid(8, 4), 10.0
SCORES = {  # of snippets, four frames apart
    "riot": [0.1, 0.2, 0.9, 0.8, 0.3, 0.1, 0.1, 0.1, 0.1],
    HOSTILE: [0.2, 0.4, 0.3, 0.1, 0.05, 0.05, 0.05, 0.05, 0.05],
    "calm": [0.1, 0.1, 0.1, 0.6, 0.1, 0.1, 0.1, 0.1, 0.1],
    "still": [0.0] * 9,
}
FRAMES = 40
KNOWN = {
    "riot": VideoAnnotation("riot", 1, ("riot",), FRAMES, ((8, 20),)),
    HOSTILE: VideoAnnotation(HOSTILE, 1, ("fall",), FRAMES, ((20, 40),)),
    "calm": VideoAnnotation("calm", 0, num_frames=FRAMES),
    "still": VideoAnnotation("still", 0, num_frames=FRAMES),
}
EVENTS = {"riot": [Event(8, 20, "riot", 0.9)], HOSTILE: [Event(0, 12, "<b>fall</b>", 0.4)]}


def make_run(
    folder: Path,
    scores: Mapping[str, list[float]] = SCORES,
    known: Mapping[str, VideoAnnotation] = KNOWN,
    method: str = "URDMU",
) -> Path:
    """Write what a test leaves, of videos of 40 frames, 10 a second."""
    videos = [Prediction(name, torch.tensor(own), FRAMES) for name, own in scores.items()]
    videos[0] = videos[0]._replace(maps=torch.rand(len(videos[0].scores), 2, 3))
    clocks, rates = dict.fromkeys(scores, steady_clock(FPS)), dict.fromkeys(scores, FPS)
    labels = {name: torch.from_numpy(known[name].frame_labels(FRAMES)) for name in scores}
    curves = [video_curve(video, labels[video.video_id], GRID, known[video.video_id]) for video in videos]
    write_tables(folder, videos, GRID, (), clocks, {})
    write_events(folder / "events.csv", {name: EVENTS.get(name, []) for name in scores}, clocks)
    write_videos(folder / "videos.csv", video_rows(curves, known, rates))
    truths = {curve.video_id: truth_events(known[curve.video_id], curve.labels) for curve in curves}
    write_truth(folder / "truth.csv", truths, clocks)
    truth = np.concatenate([labels[name].numpy() for name in scores])
    metrics = {
        "auc": roc_auc(np.concatenate([curve.scores for curve in curves]), truth),
        "auc_abnormal": float("nan"),
    }
    record = {
        "metrics": metrics,
        "intervals": {"auc": [0.5, 0.9]},
        "undefined": {"auc_abnormal": "<i>no reason</i>"},
        "per_class": {"fall": {"auc": 0.25}},
        "receipt": {"seed": 3, "versions": {"torch": "2"}},
    }
    write_json(record, folder / "metrics.json")
    data = "data: {store: a/mine.h5, split: b/s.json, split_index: 2}"
    (folder / "test.yaml").write_text(f"{data}\nmodel: {{class_path: m.{method}}}\n")
    return folder
