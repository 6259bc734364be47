"""Compare the project's metrics with reference values: ``python -m tests.parity.metrics FILE.json``.

The file holds what scikit-learn computes for real ground truth (described by a rule, see
:mod:`tests.parity.ground_truth`) and scores that ``fill`` makes from their names, and what it does with
degenerate inputs. All of it is computed again here, from the annotation files on, with
:mod:`wsvad_lightning.metrics`. The block of regions is in :mod:`tests.parity.regions`.
"""

import argparse
import json
import os
import sys
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from tests.parity.fill import fill
from tests.parity.ground_truth import Labels, class_of, frame_labels
from tests.parity.regions import measured
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.metrics import (
    FrameMetrics,
    average_precision,
    equal_error_rate,
    expand_scores,
    false_alarm_rate,
    pr_auc,
    precision_recall_curve,
    roc_auc,
    roc_curve,
)
from wsvad_lightning.timeline import SnippetGrid

SNIPPET = 16
GRID = SnippetGrid(SNIPPET, SNIPPET)
TOLERANCE = 1e-6
EXACT = 1e-9  # counts, rates and areas of regions
NOT_COMPARED = ("torchmetrics_thresholds", "rule")  # binned metrics of others; a sentence
NO_LABELS = "false_alarm_rate_without_labels_argument"

Scores = Mapping[str, NDArray[np.floating[Any]]]
Truth = Mapping[str, Labels]


@dataclass(frozen=True)
class Row:
    """One compared value; ``difference`` is NaN where there is none to take."""

    table: str
    case: str
    key: str
    ours: object
    reference: object
    difference: float
    verdict: str

    @property
    def failed(self) -> bool:
        """Whether the row speaks against the project."""
        return self.verdict in ("DIFFERS", "not computed")


def snippet_scores(tag: str, table: str, truth: Truth) -> dict[str, NDArray[np.float32]]:
    """Make the scores of a table: noise, an offset a video, the share of anomalous frames in a snippet."""
    scores = {}
    for video, labels in truth.items():
        name, starts = f"metrics/{tag}/{table}/{video}", np.arange(0, len(labels), SNIPPET)
        share = np.add.reduceat(labels, starts, dtype=np.int64) / np.diff(starts, append=len(labels))
        noise = fill(f"{name}/z", (len(starts),), "normal").astype(np.float64)
        offset = float(fill(f"{name}/b", (1,), "normal")[0]) if len(truth) > 1 else 0.0
        x = 0.5 * noise + 0.6 * offset + 1.5 * share - 1.8
        scores[video] = (0.5 * (1 + x / (1 + np.abs(x)))).astype(np.float32)
    return scores


def describe(truth: Truth, scores: Scores) -> dict[str, Any]:
    """Describe ground truth and scores, which shows that they are the ones meant."""
    first, flat = next(iter(scores)), np.concatenate(list(scores.values()))
    return {
        **sizes(truth),
        "n_snippets": len(flat),
        "score_check": {
            "first_video": first,
            "first_5_snippets": scores[first][:5].tolist(),
            "sum_float64": float(flat.sum(dtype=np.float64)),
            "crc32_of_float32_bytes": zlib.crc32(flat.astype("<f4").tobytes()),
        },
    }


def sizes(truth: Truth) -> dict[str, int]:
    """Count videos, frames and anomalous frames."""
    frames, positive = sum(map(len, truth.values())), sum(int(labels.sum()) for labels in truth.values())
    return {"n_videos": len(truth), "n_frames": frames, "n_positive": positive}


def measure(truth: Truth, scores: Scores) -> dict[str, Any]:
    """Compute every value of a case by the names of the reference.

    What :class:`FrameMetrics` reports is taken from it, the rest from the functions next to it.
    """
    abnormal = {video: labels for video, labels in truth.items() if labels.any()}
    normal = {video: labels for video, labels in truth.items() if not labels.any()}
    metrics = collect(truth, scores)
    total, values, labels = metrics.compute(), pool(truth, scores), np.concatenate(list(truth.values()))
    found = measure_frames(values, labels, total)
    if abnormal:
        values, labels = pool(abnormal, scores), np.concatenate(list(abnormal.values()))
        found["abnormal_only"] = {
            **sizes(abnormal),
            "roc_auc": total["auc_abnormal"],
            "pr_auc_trapezoid": pr_auc(values, labels),
            "average_precision": total["ap_abnormal"],
            "far_gt_0.5": false_alarm_rate(values, labels),
        }
        found |= measure_classes(abnormal, metrics)
    if normal:
        values = pool(normal, scores)
        found["normal_only"] = {
            **sizes(normal),
            "far_gt_0.5": total["far_normal"],
            "far_ge_0.5": false_alarm_rate(values, np.zeros(len(values)), inclusive=True),
        }
    found["video_level"] = {
        "accuracy": total["video_acc"],
        "n_predicted_abnormal": sum(bool(scores[video].max() > 0.5) for video in truth),
        "roc_auc_of_max": total["video_auc"],
    }
    return found


def pool(videos: Truth, scores: Scores) -> NDArray[np.floating[Any]]:
    """Concatenate the frame scores of some videos."""
    return np.concatenate(
        [expand_scores(scores[video], len(labels), GRID) for video, labels in videos.items()]
    )


def collect(truth: Truth, scores: Scores) -> FrameMetrics:
    """Give the videos to the metric, one by one."""
    classes = sorted({class_of(video) for video, labels in truth.items() if labels.any()})
    metrics = FrameMetrics(GRID, classes)
    for video, labels in truth.items():
        label = int(labels.any())
        metrics.update(
            video_id=video,
            snippet_scores=torch.from_numpy(scores[video]),
            label=label,
            num_frames=len(labels),
            frame_labels=torch.from_numpy(labels),
            classes=[class_of(video)] if label else [],
        )
    return metrics


def measure_frames(values: NDArray[Any], labels: Labels, total: Mapping[str, float]) -> dict[str, Any]:
    """Compute the values that are over all frames."""
    error_rate, called, anomalous = equal_error_rate(values, labels), values > 0.5, labels.astype(bool)
    return {
        "roc_auc": total["auc"],
        "pr_auc_trapezoid": total["pr_auc"],
        "average_precision": total["ap"],
        "eer_interpolated": error_rate.interpolated,
        "eer_nearest": error_rate.nearest,
        "eer_nearest_threshold": error_rate.threshold,
        "n_distinct_scores": len(roc_curve(values, labels).thresholds) - 1,
        "far_all_gt_0.5": total["far"],
        "far_all_ge_0.5": false_alarm_rate(values, labels, inclusive=True),
        "confusion_gt_0.5": {
            "tn": int((~called & ~anomalous).sum()),
            "fp": int((called & ~anomalous).sum()),
            "fn": int((~called & anomalous).sum()),
            "tp": int((called & anomalous).sum()),
        },
    }


def measure_classes(abnormal: Truth, metrics: FrameMetrics) -> dict[str, Any]:
    """Compute the values of each anomaly class and their mean."""
    found = {}
    for name, values in metrics.per_class().items():
        found[name] = {
            **sizes({video: labels for video, labels in abnormal.items() if class_of(video) == name}),
            "roc_auc_class_videos": values["auc"],
            "average_precision_class_videos": values["ap"],
            "roc_auc_class_plus_normal": values["auc_with_normal"],
        }
    macro = float(np.mean([values["roc_auc_class_videos"] for values in found.values()]))
    return {"per_class": found, "per_class_macro_roc_auc_class_videos": macro}


def check_tables(reference: dict[str, Any], root: Path) -> Iterator[Row]:
    """Compare every table."""
    for table, entry in reference["tables"].items():
        truth = frame_labels(entry["gt"], root)
        scores = snippet_scores(reference["tag"], table, truth)
        expected = {key: value for key, value in entry.items() if key not in ("gt", "cases")}
        yield from compare(table, "inputs", describe(truth, scores), expected)
        for case, expected in entry["cases"].items():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # a NaN still has to meet a NaN
                ours = measure(truth, CASES[case](scores))
            yield from compare(table, case, ours, expected)


def quantise(scores: Scores) -> Scores:
    """Round the scores to hundredths, so that many are equal."""
    return {v: np.floor(100 * s.astype(np.float64) + 0.5) / 100 for v, s in scores.items()}


CASES: dict[str, Callable[[Scores], Scores]] = {"continuous": lambda scores: scores, "quantised": quantise}


def check_regions(reference: dict[str, Any]) -> Iterator[Row]:
    """Compare what boxes detect."""
    for table, case, ours, expected in measured(reference["region"]) if "region" in reference else ():
        yield from compare(table, case, ours, expected, EXACT)


def compare(
    table: str, case: str, ours: dict[str, Any], reference: dict[str, Any], tolerance: float = TOLERANCE
) -> Iterator[Row]:
    """Compare two nested tables, key by key of the reference."""
    found = dict(flatten(ours))
    for key, expected in flatten(reference):
        if key.split(".")[-1] in NOT_COMPARED or key.split(".")[0] in NOT_COMPARED:
            continue
        if key not in found:
            yield Row(table, case, key, "-", expected, np.nan, "not computed")
            continue
        error = difference(found[key], expected)
        verdict = "agrees" if error <= tolerance else "DIFFERS"
        yield Row(table, case, key, found[key], expected, error, verdict)


def flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Give the leaves of nested dictionaries under dotted keys."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def difference(ours: Any, reference: Any) -> float:
    """Take the largest difference of numbers and nested lists; NaN equals NaN, texts differ infinitely."""
    if isinstance(reference, list):
        if not isinstance(ours, list) or len(ours) != len(reference):
            return np.inf
        return max(map(difference, ours, reference), default=0.0)
    if isinstance(reference, str) and reference not in ("nan", "inf"):
        return 0.0 if ours == reference else np.inf
    pair = float(ours), float(reference)
    if pair[0] == pair[1] or np.isnan(pair).all():
        return 0.0
    return np.inf if np.isnan(pair).any() else abs(pair[0] - pair[1])


def degenerate_inputs(tag: str) -> dict[str, tuple[NDArray[np.float64], Labels]]:
    """Make the scores and labels of the degenerate cases."""
    scores = np.repeat(fill(f"metrics/{tag}/degenerate/z", (4,), "pixels"), 16).astype(np.float64)
    labels = np.zeros(64, dtype=np.uint8)
    labels[24:48] = 1
    normal, anomalous = np.zeros_like(labels), np.ones_like(labels)
    return {
        "single_video": (scores, labels),
        "all_normal": (scores, normal),
        "all_normal_scores_below_half": (0.4 * scores, normal),
        "all_anomalous": (scores, anomalous),
        "constant_scores_0.5": (np.full(64, 0.5), labels),
        "perfect": (labels.astype(np.float64), labels),
        "one_nan_score": (np.insert(scores[1:], 0, np.nan), labels),
        "one_inf_score": (np.insert(scores[1:], 0, np.inf), labels),
        "one_frame_too_few_scores": (scores[:-1], labels),
        "empty": (scores[:0], labels[:0]),
        "single_frame": (np.array([0.7]), anomalous[:1]),
    }


def precision_recall_points(scores: NDArray[np.float64], labels: Labels) -> list[NDArray[np.float64]]:
    """Order :func:`precision_recall_curve` as scikit-learn does, whose last point has no threshold."""
    recall, precision, thresholds = precision_recall_curve(scores, labels)
    return [precision, recall, thresholds[:-1]]


DEGENERATE: dict[str, Callable[[NDArray[np.float64], Labels], Any]] = {
    "roc_auc_score": roc_auc,
    "roc_curve": roc_curve,
    "auc_of_roc_curve": roc_auc,
    "precision_recall_curve": precision_recall_points,
    "pr_auc_trapezoid": pr_auc,
    "average_precision_score": average_precision,
    "false_alarm_rate_without_labels_argument": false_alarm_rate,
    "false_alarm_rate_with_labels_0_1": false_alarm_rate,
}


def check_degenerate(reference: dict[str, Any]) -> Iterator[Row]:
    """Compare what happens with degenerate inputs.

    Where scikit-learn reports a number (or fails for no good reason) and the project an error, or NaN with a
    warning, the row says that this was decided, and why.
    """
    inputs = degenerate_inputs(reference["tag"])
    for case, metrics in reference.get("degenerate", {}).items():
        if isinstance(metrics, str):  # a sentence about all cases
            continue
        for key, expected in metrics.items():
            shown = expected.get("value", expected.get("raises"))
            if case not in inputs or key not in DEGENERATE:
                yield Row("degenerate", case, key, "-", shown, np.nan, "not computed")
                continue
            ours, reason = outcome(DEGENERATE[key], *inputs[case])
            if key == "roc_curve" and isinstance(ours, list) and "value" in expected:
                ours = at_thresholds(ours, expected["value"][2])
            error, verdict = judge(key, ours, reason, expected)
            yield Row("degenerate", case, key, ours, shown, error, verdict)


def outcome(
    metric: Callable[[NDArray[np.float64], Labels], Any], scores: NDArray[np.float64], labels: Labels
) -> tuple[Any, str]:
    """Give the value, or ``error``, and the message of the warning or the error."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            value = metric(scores, labels)
        except WSVADError as error:
            return "error", str(error)
    plain = value if isinstance(value, float) else [part.tolist() for part in value]
    return plain, "; ".join(str(warning.message) for warning in caught)


def at_thresholds(points: list[list[float]], thresholds: list[Any]) -> list[list[float]]:
    """Keep the points of a curve at some thresholds: scikit-learn leaves out points of straight stretches."""
    kept = np.isin(points[-1], np.array(thresholds, dtype=np.float64))
    return [np.array(part)[kept].tolist() for part in points]


def judge(key: str, ours: Any, reason: str, expected: dict[str, Any]) -> tuple[float, str]:
    """Give the difference and the verdict of a degenerate input."""
    if "value" not in expected:
        if ours == "error":
            return 0.0, "agrees"
        if key == "false_alarm_rate_without_labels_argument":
            return np.nan, "decided: one class alone does not fail, the other rate is the same number"
        return np.inf, "DIFFERS"
    if ours == "error":
        return np.nan, f"decided: {reason}"
    error = difference(ours, expected["value"])
    undefined = bool(np.isnan(np.hstack(ours if isinstance(ours, list) else [ours])).any())
    if undefined and not reason:
        return error, "DIFFERS"  # a silent NaN
    if error <= TOLERANCE:
        return error, "agrees"
    return (np.nan, f"decided: {reason}") if undefined else (error, "DIFFERS")


def report(rows: list[Row], console: Console) -> None:
    """Print every row, then a line a table."""
    table = Table()
    for heading in ("table", "case", "key", "ours", "reference", "difference", "verdict"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        values = (show(row.ours), show(row.reference), f"{row.difference:.1e}")
        table.add_row(row.table, row.case, row.key, *values, row.verdict)
    console.print(table)
    summary = Table("table", "values", "decided otherwise", "largest difference", "verdict")
    for name in dict.fromkeys(row.table for row in rows):
        own = [row for row in rows if row.table == name]
        decided, failed = (
            sum(row.verdict.startswith("decided") for row in own),
            sum(row.failed for row in own),
        )
        largest = np.nanmax([0.0, *(row.difference for row in own)])
        verdict = f"{failed} FAILED" if failed else "agrees"
        summary.add_row(name, str(len(own)), str(decided), f"{largest:.1e}", verdict)
    console.print(summary)


def show(value: object) -> str:
    """Shorten a value for a column."""
    if isinstance(value, float):
        return f"{value:.9g}"
    if isinstance(value, list):
        return "[" + " ".join(map(show, value)) + "]"
    return str(value)


def check(path: Path, root: Path) -> list[Row]:
    """Compare everything that a file of reference values holds.

    Args:
        path: the file.
        root: folder of the annotation files.

    Raises:
        WSVADError: if the ground truth is not there.
    """
    reference = json.loads(path.read_text())
    return [*check_tables(reference, root), *check_degenerate(reference), *check_regions(reference)]


def find_root(file: Path) -> Path:
    """Find the annotation files: where ``WSVAD_DATA`` says, or where the file's ``ground_truth_root`` leads.

    That is a path relative to some folder above the file or above the working folder.

    Raises:
        WSVADError: if they are nowhere.
    """
    named: str = json.loads(file.read_text()).get("ground_truth_root", "data/annotations").split(",")[0]
    above = [*file.resolve().parents, Path.cwd(), *Path.cwd().parents]
    places = [folder / named for folder in above]
    if data := os.environ.get("WSVAD_DATA"):
        places.insert(0, Path(data) / "data" / "annotations")
    for place in places:
        if place.is_dir():
            return place
    raise WSVADError("--root", None, f"there is no {named} above {file}", "Give --root or set WSVAD_DATA")


def main(args: list[str] | None = None) -> int:
    """Print the comparison; 0 if everything agrees, 1 if not, 2 if it cannot be made."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("file", type=Path)
    parser.add_argument(
        "--root", type=Path, help="folder of the annotation files; looked for where not given"
    )
    options = parser.parse_args(args)
    console = Console(width=None if sys.stdout.isatty() else 180, markup=False)
    try:
        rows = check(options.file, options.root or find_root(options.file))
    except WSVADError as error:
        console.print(error)
        return 2
    report(rows, console)
    return int(any(row.failed for row in rows))


if __name__ == "__main__":
    sys.exit(main())
