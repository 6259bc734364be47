"""The page of a comparison: of several runs, or of the results of ``wsvad bench``."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from wsvad_lightning.data.datasets.reading import read_json
from wsvad_lightning.errors import WSVADError, counted
from wsvad_lightning.reporting.html.folder import ReportedRun, number_or_nan
from wsvad_lightning.reporting.html.page import relative_address, write_page
from wsvad_lightning.reporting.html.paired import (
    Difference,
    difference_over_splits,
    difference_over_videos,
)
from wsvad_lightning.reporting.tables import OF_CLASSES, SHOWN

COLUMNS = {**SHOWN, **OF_CLASSES}
NAMES = ("method", "store", "selection", "split", "seed")
BENCH = "results.json"
OVER_SPLITS = (
    "t-interval of the mean difference over the splits, each the mean over its seeds. Splits share videos, "
    "so the intervals are rather too narrow."
)
OVER_VIDEOS = (
    "Percentile bootstrap over the test videos, both runs on the same resamples. The intervals say nothing "
    "of what another training would give."
)


@dataclass
class Entry:
    """A row of the comparison.

    Attributes:
        name: of the method, with what distinguishes it.
        values: figures in [0, 1] by metric, one for each unit; none where one is undefined.
        units: names of the splits, or of the run.
        intervals: of 95 %, by metric, where there is one unit.
        seconds: of training and test, the mean of the runs; NaN if unknown.
        runs: split, seed, figures and address of the report of each run.
    """

    name: str
    values: Mapping[str, Sequence[float]]
    units: Sequence[str]
    intervals: Mapping[str, tuple[float, float] | None] = field(default_factory=dict)
    seconds: float = math.nan
    runs: Sequence[tuple[str, Mapping[str, float], str]] = ()

    def mean(self, metric: str) -> float:
        """Mean over the units."""
        values = self.values.get(metric, ())
        return float(np.mean(values)) if values else math.nan

    def spread(self, metric: str) -> float:
        """Population standard deviation over the units; NaN of one."""
        values = self.values.get(metric, ())
        return float(np.std(values)) if len(values) > 1 else math.nan


Pairs = Mapping[str, Sequence[tuple[str, Difference]]]  # by metric: the others, compared with the best


def compare_runs(runs: Sequence[ReportedRun], path: Path) -> None:
    """Write the comparison of runs of ``wsvad test``.

    Args:
        runs: what their folders hold.
        path: of the HTML file.

    Raises:
        WSVADError: if a run has no metrics, or the file cannot be written.
    """
    for run in runs:
        if not run.numbers("metrics"):
            raise WSVADError("RUN", run.folder, "has no metrics.json", "Compare runs of `wsvad test`")
    names = _distinct(runs)
    entries = [
        Entry(
            name,
            {metric: [value] for metric in COLUMNS if not math.isnan(value := run.metric(metric))},
            [str(run.folder)],
            {metric: run.interval(metric) for metric in COLUMNS},
            runs=[(str(run.folder), {}, _report_of(run.folder, path))],
        )
        for name, run in zip(names, runs, strict=True)
    ]
    same = len({_truth_of(run) for run in runs}) == 1
    why = OVER_VIDEOS if same else "No differences: the runs were not tested on the same frames."
    pairs = _pairs_of_runs(entries, runs) if same else {}
    title = f"{counted(len(runs), 'run')} on {' and '.join(sorted({run.data for run in runs}))}"
    receipts = [run.numbers("receipt") for run in runs]
    _write(path, title, [], entries, pairs, why, receipts)


def _distinct(runs: Sequence[ReportedRun]) -> list[str]:
    """Name runs by their methods, with data and folders as far as they need it."""
    ways = (
        [run.method for run in runs],
        [f"{run.method}, {run.data}" for run in runs],
        [f"{run.method}, {'/'.join(run.folder.absolute().parts[-2:])}" for run in runs],
        [f"{run.method}, {run.folder}" for run in runs],
    )
    return next((names for names in ways if len(set(names)) == len(runs)), ways[-1])


def _truth_of(run: ReportedRun) -> tuple[tuple[str, bytes | None], ...]:
    labels = [(video.row.video, video.curve.labels) for video in run.videos]
    return tuple((name, None if own is None else own.tobytes()) for name, own in labels)


def _pairs_of_runs(entries: Sequence[Entry], runs: Sequence[ReportedRun]) -> Pairs:
    """Compare all runs with the best of each metric."""
    if any(video.curve.labels is None for video in runs[0].videos):
        return {}
    curves = [[video.curve for video in run.videos] for run in runs]
    abnormal = np.array([video.row.label == "abnormal" for video in runs[0].videos])
    ranked = {metric: best_first(entries, metric) for metric in SHOWN}
    todo = {(i, best) for best, *rest in filter(None, ranked.values()) for i in rest}
    found = {(i, best): difference_over_videos(curves[i], curves[best], abnormal) for i, best in todo}
    return {
        metric: [(entries[i].name, found[i, order[0]][metric]) for i in order[1:]]
        for metric, order in ranked.items()
    }


def best_first(entries: Sequence[Entry], metric: str) -> list[int]:
    """The numbers of the entries that have a metric, best first."""
    known = [i for i, entry in enumerate(entries) if entry.values.get(metric)]
    return sorted(known, key=lambda i: -entries[i].mean(metric))


def compare_results(file: Path, path: Path) -> None:
    """Write the report of a comparison by ``wsvad bench``.

    Args:
        file: its ``results.json``.
        path: of the HTML file.

    Raises:
        WSVADError: if it is not one, or the file cannot be written.
    """
    results = read_results(file)
    stores, selections = ({result[name] for result in results} for name in ("store", "selection"))
    groups: dict[str, list[dict[str, Any]]] = {}
    for result in results:
        more = [result["store"]] * (len(stores) > 1) + [result["selection"]] * (len(selections) > 1)
        groups.setdefault(", ".join([result["method"], *more]), []).append(result)
    entries = [entry_of(name, own, file.parent, path) for name, own in groups.items()]
    pairs = {metric: _pairs_of_splits(entries, metric) for metric in SHOWN}
    methods, splits, seeds = ({result[name] for result in results} for name in ("method", "split", "seed"))
    title = f"{counted(len(methods), 'method')} on {', '.join(sorted(stores))}"
    title += f", {len(splits)} split{'s' * (len(splits) > 1)}"
    facts = [
        f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, sorted(seeds)))}",
        f"checkpoint {', '.join(sorted(selections))}",
        counted(len(results), "run"),
    ]
    receipts = [own for result in results if isinstance(own := result.get("receipt"), dict)]
    _write(path, title, facts, entries, pairs, OVER_SPLITS, receipts)


def read_results(file: Path) -> list[dict[str, Any]]:
    """Read the results of ``wsvad bench``.

    Raises:
        WSVADError: if the file holds none.
    """
    results = read_json(file, "RUN")
    if not isinstance(results, list) or not results or not all(map(_is_result, results)):
        raise WSVADError("RUN", file, "holds no results of `wsvad bench`", "Give the folder of a comparison")
    return results


def _is_result(result: object) -> bool:
    if not isinstance(result, dict) or not isinstance(result.get("metrics"), dict):
        return False
    texts, numbers = NAMES[:3], NAMES[3:]
    return all(isinstance(result.get(name), str) for name in texts) and all(
        isinstance(result.get(name), int) for name in numbers
    )


def entry_of(name: str, results: Sequence[dict[str, Any]], folder: Path, path: Path) -> Entry:
    """Average the seeds of each split of a method."""
    splits = sorted({result["split"] for result in results})
    values: dict[str, list[float]] = {}
    for metric in COLUMNS:
        means = [
            float(np.mean([number_or_nan(r["metrics"].get(metric)) for r in results if r["split"] == split]))
            for split in splits
        ]
        if not any(map(math.isnan, means)):
            values[metric] = means
    runs = [
        (
            f"split {result['split']}, seed {result['seed']}",
            {metric: number_or_nan(result["metrics"].get(metric)) for metric in COLUMNS},
            _report_of(_folder_of(result, folder), path),
        )
        for result in sorted(results, key=lambda result: (result["split"], result["seed"]))
    ]
    seconds = float(np.mean([number_or_nan(result.get("seconds")) for result in results]))
    return Entry(name, values, [f"split {split}" for split in splits], {}, seconds, runs)


def _folder_of(result: Mapping[str, Any], folder: Path) -> Path:
    """Where the run of a result is, as ``wsvad bench`` names it; not outside of the folder."""
    name = f"split{result['split']}_seed{result['seed']}_{result['selection']}"
    run = folder / result["method"] / result["store"] / name
    return run if run.resolve().is_relative_to(folder.resolve()) else folder / "elsewhere"


def _report_of(folder: Path, page: Path) -> str:
    """The address of the newest report in the folder of a run; empty if it has none."""
    found = [*folder.glob("report.html"), *folder.glob("version_*/report.html")]
    newest = max(found, key=lambda file: file.stat().st_mtime, default=None)
    return "" if newest is None or newest.resolve() == page.resolve() else relative_address(newest, page)


def _pairs_of_splits(entries: Sequence[Entry], metric: str) -> list[tuple[str, Difference]]:
    """Compare all methods with the best on the splits that both have."""
    ranked = [entries[i] for i in best_first(entries, metric)]
    pairs = []
    for entry in ranked[1:]:
        best, own = (dict(zip(e.units, e.values[metric], strict=True)) for e in (ranked[0], entry))
        shared = [unit for unit in own if unit in best]
        if shared:
            values = ([own[unit] for unit in shared], [best[unit] for unit in shared])
            pairs.append((entry.name, difference_over_splits(*values)))
    return pairs


def joined(receipts: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """What the runs were made from, by the names of receipts: each distinct value once."""
    joined: dict[str, dict[str, None]] = {}
    for receipt in receipts:
        for name, value in receipt.items():
            own = value if isinstance(value, dict) else {"": value}
            words = ", ".join(f"{key} {part}".strip() for key, part in own.items())
            joined.setdefault(name.replace("_", " "), {})[words] = None
    return {name: list(values) for name, values in joined.items() if name not in ("checkpoint", "seed")}


def _write(
    path: Path,
    title: str,
    facts: Sequence[str],
    entries: Sequence[Entry],
    pairs: Pairs,
    why: str,
    receipts: Sequence[Mapping[str, Any]],
) -> None:
    shown = {metric: name for metric, name in COLUMNS.items() if any(metric in e.values for e in entries)}
    order = [entries[i] for i in best_first(entries, "auc")]
    order += [entry for entry in entries if entry not in order]
    best = {metric: entries[ranked[0]].name for metric in shown if (ranked := best_first(entries, metric))}
    costs = [entry for entry in order if not math.isnan(entry.seconds) and entry.values.get("auc")]
    data = {
        "videos": [],
        "figures": {
            "dots": [
                {"title": name, "rows": [_dots(e, metric) for e in order if metric in e.values]}
                for metric, name in shown.items()
            ],
            "cost": {
                "title": "AUC",
                "unit": "seconds of training and test",
                "rows": [{"name": e.name, "cost": e.seconds, "value": 100 * e.mean("auc")} for e in costs],
            },
        },
    }
    write_page(
        path,
        "comparison.html.j2",
        data,
        title=title,
        facts=facts,
        entries=order,
        shown=shown,
        best=best,
        pairs={SHOWN[metric]: (best[metric], own) for metric, own in pairs.items() if own},
        why=why,
        receipt=joined(receipts),
        costs=costs,
        several=any(len(entry.units) > 1 for entry in entries),
    )


def _dots(entry: Entry, metric: str) -> dict[str, Any]:
    """A row of the figure, in percent."""
    values, ends = [100 * value for value in entry.values[metric]], entry.intervals.get(metric)
    return {
        "name": entry.name,
        "values": values,
        "labels": list(entry.units),
        "mean": 100 * entry.mean(metric),
        "ends": None if ends is None else [100 * end for end in ends],
    }
