"""What a window costs: the accuracy of streamed scores by window and look-ahead, on UCSD Ped2.

    wsvad bench --methods urdmu rtfm --store s.h5 --splits splits.json --config ped2_urdmu.yaml
    python scripts/bench_window.py runs/bench s.h5 splits.json runs/window.json

Each last checkpoint of a comparison scores the test videos of its split as ``wsvad watch`` does, a snippet
after the other. Printed is frame-level ROC-AUC over all frames and inside abnormal videos, in percent, the
mean over the splits, next to that of scores of whole videos.
"""

import json
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from jsonargparse import auto_cli
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from wsvad_lightning.data.datasets.splits import read_split
from wsvad_lightning.data.store import FeatureStore
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.metrics import expand_scores, roc_auc
from wsvad_lightning.serving.detector import Detector

WINDOWS, AHEAD = (8, 16, 32), (0, 4)
WHOLE = "whole video"


def bench_window(folder: str, store: str, splits: str, output: str) -> None:
    """Measure, print a table and write a file.

    Args:
        folder: of the comparison, `--output` of `wsvad bench`.
        store: of its features.
        splits: file of its splits.
        output: JSON file to write.
    """
    found: dict[str, dict[str, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    pattern = "*/*/split?_seed0_last/version_0/checkpoints/last.ckpt"
    checkpoints = sorted(Path(folder).glob(pattern))
    if not checkpoints:
        raise WSVADError("folder", folder, f"has no {pattern}", "Run `wsvad bench`")
    opened = FeatureStore(store)
    for path in track(checkpoints, "checkpoints"):
        run = path.parents[2].name
        videos = list(read_split(Path(splits), int(run[len("split")])).test)
        for name, areas in measure(Detector.from_checkpoint(path), opened, videos).items():
            found[path.parents[4].name][name].append(areas)
        Path(output).write_text(json.dumps(found, indent=1), "utf-8")
    names = [WHOLE, *(described(window, ahead) for ahead in AHEAD for window in WINDOWS if window > ahead)]
    table = Table("method", "splits", *names)
    for method, ways in found.items():
        means = {name: 100 * np.mean(values, axis=0) for name, values in ways.items()}
        cells = (f"{means[name][0]:.1f} / {means[name][1]:.1f}" for name in names)
        table.add_row(method, str(len(ways[WHOLE])), *cells)
    Console(width=40 + 16 * len(names)).print(table)


def described(window: int, ahead: int) -> str:
    """Name a window and a look-ahead."""
    return f"W {window}, L {ahead}"


def measure(detector: Detector, store: FeatureStore, videos: list[str]) -> dict[str, tuple[float, float]]:
    """Give the two areas of whole videos, and of each window and look-ahead."""
    features = {
        video: {name: store.read(video, name) for name in detector.preparation().streams} for video in videos
    }
    whole = {video: detector.predict(features[video], None, video).scores.numpy() for video in videos}
    found = {WHOLE: areas(detector, store, whole)}
    for ahead in AHEAD:
        for window in WINDOWS:
            if window > ahead:
                scores = {}
                for video in videos:
                    stream = detector.stream(window, ahead)
                    given = [*stream.update(features[video]), *stream.close()]
                    scores[video] = np.array([one.score for one in given], np.float32)
                found[described(window, ahead)] = areas(detector, store, scores)
    return found


def areas(
    detector: Detector, store: FeatureStore, scores: dict[str, NDArray[np.float32]]
) -> tuple[float, float]:
    """ROC area over the frames of all videos, and over those of abnormal ones."""
    frames, inside = [], []
    assert detector.grid is not None, "a comparison records where snippets lie"
    for video, values in scores.items():
        record = store[video]
        own = (
            expand_scores(values, record.num_frames, detector.grid),
            record.annotation.frame_labels(record.num_frames),
        )
        frames.append(own)
        inside += [own] if record.annotation.label else []

    def area(some: list[tuple[NDArray[np.float32], NDArray[np.uint8]]]) -> float:
        values, labels = (np.concatenate(part) for part in zip(*some, strict=True))
        return roc_auc(values, labels)

    return area(frames), area(inside)


if __name__ == "__main__":
    try:
        auto_cli(bench_window, as_positional=True)
    except WSVADError as error:
        sys.exit(f"error: {error}")
