"""Draw the panels of docs/wandb.md from the offline files of a comparison, without a server.

    python scripts/wandb_panels.py runs/bench docs/wandb.png

The runs are read from all folders ``wandb`` below the one that is given. Each line, bar or dot is what the
dashboard shows of the same runs.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from jsonargparse import auto_cli
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.reporting.figures import BASELINES, INK, MODEL, new_figure, save_figure, style
from wsvad_lightning.reporting.offline import read_records
from wsvad_lightning.reporting.wandb import STEP

COLORS = (MODEL, *BASELINES)  # repeated where there are more methods
CURVES = ("train/loss/total", "train/gradient_norm", "train/lr")
Row = dict[str, Any]


class Run:
    """What the files of a run say: configuration, history and summary."""

    def __init__(self) -> None:
        self.config: Row = {}
        self.history: list[Row] = []
        self.summary: Row = {}

    def read(self, path: Path) -> None:
        """Add a file."""
        for record in read_records(path):
            kind = record.WhichOneof("record_type")
            if kind == "config":
                self.config |= plain(record.config.update)
            elif kind == "history":
                self.history.append(plain(record.history.item))
            elif kind == "summary":
                self.summary |= plain(record.summary.update)

    @property
    def method(self) -> str:
        """Its id."""
        return str(self.config["model"]["class_path"].rpartition(".")[2].lower())

    def curve(self, name: str) -> tuple[list[int], list[float]]:
        """Steps and values of a metric."""
        rows = [row for row in self.history if name in row]
        return [row[STEP] for row in rows], [row[name] for row in rows]


def plain(entries: Any) -> Row:
    """Give the entries that are not nested."""
    keys = [(list(entry.nested_key) or [entry.key], entry.value_json) for entry in entries]
    return {key[0]: json.loads(value) for key, value in keys if len(key) == 1}


def read_runs(folder: Path) -> dict[str, list[Run]]:
    """Read all trainings below a folder, by method."""
    runs: dict[str, Run] = {}
    for path in sorted(folder.rglob("wandb/offline-run-*/run-*.wandb")):
        runs.setdefault(path.stem, Run()).read(path)
    methods: dict[str, list[Run]] = {}
    for run in runs.values():
        if "model" in run.config and "test/auc" in run.summary:  # not one that was stopped
            methods.setdefault(run.method, []).append(run)
    return methods


def draw_curves(axes: Axes, methods: Mapping[str, Sequence[Run]], name: str) -> None:
    """Draw the mean of a metric over the runs of each method, and their range.

    Between two steps at which a run logged, its line is straight. Outside of its first and last step it has
    no value.
    """
    for color, runs in zip(cycle(COLORS), methods.values(), strict=False):  # colours never end
        curves = [curve for run in runs if (curve := run.curve(name))[0]]
        if not curves:  # sharded layers have no gradient norm
            continue
        steps = sorted({step for own, _ in curves for step in own})
        values = np.array([np.interp(steps, *curve, left=np.nan, right=np.nan) for curve in curves])
        low, high = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
        axes.fill_between(steps, low, high, color=color, alpha=0.2, linewidth=0)
        axes.plot(steps, np.nanmean(values, axis=0), color=color)


def draw(methods: Mapping[str, Sequence[Run]], path: Path) -> None:
    """Draw six panels."""
    figure = new_figure(path, height=7.2)
    loss, norm, rate, bars, inside, split = figure.subplots(2, 3).flat
    for axes, name in zip((loss, norm, rate), CURVES, strict=True):
        draw_curves(axes, methods, name)
        axes.set(title=name, xlabel="step", yscale="log")
    colored = zip(cycle(COLORS), methods.items(), strict=False)  # colours never end
    for i, (color, (method, runs)) in enumerate(colored):
        tested = [run.summary["test/auc"] for run in runs]
        bars.bar(method, np.mean(tested), yerr=np.std(tested), color=color, ecolor=INK, label=method)
        inside.plot([run.summary["test/auc_abnormal"] for run in runs], tested, "o", color=color, alpha=0.6)
        places = [run.config["data"]["split_index"] + 0.12 * (i - (len(methods) - 1) / 2) for run in runs]
        split.plot(places, tested, "o", color=color, alpha=0.6)
    bars.set(title="test/auc: mean and standard deviation", ylim=(0.5, 1))
    inside.set(title="test/auc by test/auc_abnormal", xlabel="test/auc_abnormal")
    split.set(title="test/auc by data.split_index", xlabel="data.split_index")
    split.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axes in (loss, norm, rate, bars, inside, split):
        style(axes)
        axes.title.set(fontsize=10, color=INK)
    figure.legend(*bars.get_legend_handles_labels(), loc="outside upper right", ncols=3, frameon=False)
    save_figure(figure, path)


def panels(folder: Path, picture: Path) -> None:
    """Draw the panels of a comparison.

    Args:
        folder: that the comparison was written to.
        picture: the PNG to write.
    """
    methods = read_runs(folder)
    if not methods:
        problem, remedy = (
            "has no tested run of Weights & Biases",
            "Give the --output of a `wsvad bench` with it",
        )
        raise WSVADError("folder", folder, problem, remedy)
    draw(methods, picture)


if __name__ == "__main__":
    try:
        auto_cli(panels)
    except WSVADError as error:
        sys.exit(f"error: {error}")
