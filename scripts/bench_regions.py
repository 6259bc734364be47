"""Compare maps with simple ones on UCSD Ped2: ``python scripts/bench_regions.py --help``.

Runs are tests, a folder ``split0…``, ``split1…`` each, as ``wsvad bench`` leaves them; of several seeds of a
split, the mean counts. Besides the maps of a method, its frame score on every pixel is measured, and a map of
motion that is not trained: the z-score of a statistic of each patch, relative to the normal training clips,
up to five deviations.
"""

import csv
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from jsonargparse import auto_cli
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from wsvad_lightning.data.datasets.regions import regions_of
from wsvad_lightning.data.loading.datamodule import WSVADDataModule
from wsvad_lightning.data.loading.transform import Normalize
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.extraction.backbones.flow import STATISTICS
from wsvad_lightning.metrics import RegionMetrics, expand_scores, roc_auc

LIMIT = 5.0  # standard deviations
COLUMNS = ("auc", "auc_abnormal", "pixel_auc_40", "rbdc", "tbdc", "pixel_auc", "pixel_ap")

Maps = Mapping[str, NDArray[np.float32]]


def compare_maps(
    store: str,
    annotations: str,
    splits: str,
    runs: dict[str, str],
    num_splits: int = 5,
    stream: str = "motion_4x6",
    statistic: str = "q95",
    normalize: Normalize = "zscore",
) -> None:
    """Print a table of percent, mean ± population standard deviation over the splits.

    Args:
        store: with a stream of motion.
        annotations: table with regions.
        splits: file of the splits.
        runs: by the name of the method, the folder that has ``split0`` and so on.
        num_splits: how many of the splits.
        stream: that the map of motion is made of.
        statistic: of the speed in a patch, or its ``energy``.
        normalize: ``zscore`` for each patch by itself, or ``zscore_shared``.
    """
    rows: dict[str, list[dict[str, float]]] = {}
    for index in range(num_splits):
        data = WSVADDataModule(
            store,
            split=splits,
            split_index=index,
            annotations=annotations,
            features=[stream],
            normalize=normalize,
            clip=LIMIT,
        )
        data.setup("fit")
        maps = motion_maps(data, STATISTICS.index(statistic))
        rows.setdefault(f"motion, {statistic} of {stream}, {normalize}", []).append(measure(data, maps))
        for name, folder in runs.items():
            seeds = latest_runs(Path(folder), index)
            of_maps = [json.loads((run / "metrics.json").read_text())["metrics"] for run in seeds]
            of_frames = [measure(data, frame_maps(run)) for run in seeds]
            rows.setdefault(f"{name}, maps", []).append(mean_of(of_maps))
            rows.setdefault(f"{name}, frame score on every pixel", []).append(mean_of(of_frames))
    table = Table("map", *COLUMNS)
    for name, values in rows.items():
        cells = [[100 * value[column] for value in values] for column in COLUMNS]
        table.add_row(name, *(f"{np.mean(cell):.1f} ± {np.std(cell):.1f}" for cell in cells))
    Console(width=160).print(table)


def latest_runs(folder: Path, split: int) -> list[Path]:
    """The last test, of at most ten, in each folder of a split, one a seed.

    Raises:
        WSVADError: if there is none.
    """
    tests = sorted(folder.glob(f"split{split}*/version_?/metrics.json"))
    if not tests:
        raise WSVADError("runs", folder, f"holds no test of split {split}", "Run `wsvad bench`")
    return [*{path.parent.parent: path.parent for path in tests}.values()]


def mean_of(values: list[dict[str, float]]) -> dict[str, float]:
    """The mean of each column over seeds."""
    return {column: float(np.mean([value[column] for value in values])) for column in COLUMNS}


def motion_maps(data: WSVADDataModule, statistic: int) -> dict[str, NDArray[np.float32]]:
    """Scale the z-score of a statistic of each patch to [0, 1]."""
    rows, columns = data.patch_grid or (0, 0)
    speeds = {name: data.read(name)[..., statistic] for name in data.parts["test"]}
    return {
        name: (values.clip(0, LIMIT) / LIMIT).reshape(-1, rows, columns).astype(np.float32)
        for name, values in speeds.items()
    }


def frame_maps(run: Path) -> dict[str, NDArray[np.float32]]:
    """Read the scores of a test as maps of one cell."""
    scores: dict[str, list[float]] = {}
    with (run / "scores.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            scores.setdefault(row["video"], []).append(float(row["score"]))
    return {name: np.array(values, np.float32).reshape(-1, 1, 1) for name, values in scores.items()}


def measure(data: WSVADDataModule, maps: Maps) -> dict[str, float]:
    """Measure regions, and frames by the highest score of their map."""
    grid = data.info.grid
    metrics, frames, inside = RegionMetrics(grid), [], []
    for name, values in maps.items():
        video, num_frames = data.annotations[name], data.store[name].num_frames
        metrics.update(name, torch.from_numpy(values), regions_of(video, num_frames))
        frame = expand_scores(values.max(axis=(1, 2)), num_frames, grid), video.frame_labels(num_frames)
        frames.append(frame)
        inside += [frame] if video.label else []
    return metrics.compute() | {"auc": area(frames), "auc_abnormal": area(inside)}


def area(frames: list[tuple[NDArray[np.float32], NDArray[np.uint8]]]) -> float:
    """ROC area over the frames of several videos."""
    scores, labels = (np.concatenate(part) for part in zip(*frames, strict=True))
    return roc_auc(scores, labels)


if __name__ == "__main__":
    try:
        auto_cli(compare_maps)
    except WSVADError as error:
        sys.exit(f"error: {error}")
