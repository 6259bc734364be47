"""The page of a run: what its template and its script are given."""

import base64
import gzip
import math
import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np

import wsvad_lightning
from wsvad_lightning.data.loading.familiarity import LIMIT
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.files import replacing, without_nan
from wsvad_lightning.reporting.html.analysis import (
    Failure,
    find_failures,
    histograms,
    reliability,
    thinned_curves,
)
from wsvad_lightning.reporting.html.folder import Ends, ReportedRun, ReportedVideo, ends_in, number_or_nan
from wsvad_lightning.reporting.videos import VideoRow

if TYPE_CHECKING:
    from jinja2 import Environment

HERE = Path(__file__).parent
MOST_POINTS = 6000  # of the curve of a video
MOST_FAILURES = 10  # of each kind in the lists
HEADLINES = {
    "auc": "AUC, all frames",
    "auc_abnormal": "AUC inside abnormal videos",
    "ap": "AP",
    "video_auc": "video AUC",
    "mAP": "event mAP",
}
Links = Mapping[str, str]  # relative addresses of videos, by name


@lru_cache(maxsize=1)
def environment() -> "Environment":
    """Make the environment of the templates: everything that they insert is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"percent": percent, "points": points, "score": score}
    return made


def percent(value: float | None, digits: int = 1) -> str:
    """A share in percent; ``n/a`` for None or NaN."""
    return "n/a" if value is None or math.isnan(value) else f"{100 * value:.{digits}f}"


def points(value: float) -> str:
    """A difference of shares in percentage points, with its sign."""
    return f"{100 * value:+.1f}".replace("-", "\N{MINUS SIGN}")


def score(value: float | None) -> str:
    """A score with three digits after the point, or in powers of ten where these are zeros."""
    if value is None or math.isnan(value):
        return "n/a"
    return f"{value:.3f}" if value == 0 or 0.0005 <= abs(value) < 1e4 else f"{value:.0e}"


@lru_cache(maxsize=1)
def packed_plotly() -> str:
    """Read the script of plotly that its Python package brings, gzipped, in base64.

    Raises:
        WSVADError: if the package is not installed.
    """
    found = find_spec("plotly")
    if found is None or not found.submodule_search_locations:
        raise _without("plotly")
    script = Path(found.submodule_search_locations[0], "package_data", "plotly.min.js")
    return base64.b64encode(gzip.compress(script.read_bytes(), 1)).decode()


def render_page(
    template: str, data: Mapping[str, Any], scripts: Sequence[str] = ("report.js",), **values: Any
) -> str:
    """Make a page that loads nothing from anywhere.

    Args:
        template: its name.
        data: for the scripts of the page.
        scripts: names of those, in their order.
        values: for the template.

    Raises:
        WSVADError: if Jinja2 or plotly is not installed.
    """
    if find_spec("jinja2") is None:
        raise _without("jinja2")
    return (
        environment()
        .get_template(template)
        .render(
            data=without_nan(data),
            style=(HERE / "report.css").read_text("utf-8"),
            script="\n".join((HERE / name).read_text("utf-8") for name in scripts),
            plotly=packed_plotly(),
            version=wsvad_lightning.__version__,
            **values,
        )
    )


def write_page(path: Path, template: str, data: Mapping[str, Any], **values: Any) -> None:
    """Write a page, whole or not at all.

    Args:
        path: of the HTML file.
        template: see :func:`render_page`.
        data: see :func:`render_page`.
        values: see :func:`render_page`.

    Raises:
        WSVADError: if Jinja2 or plotly is not installed, or the file cannot be written.
    """
    text = render_page(template, data, **values)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _without(package: str) -> WSVADError:
    remedy = 'Run pip install "wsvad-lightning[report]"'
    return WSVADError("report", package, "is required for reports and not installed", remedy)


def write_run(run: ReportedRun, path: Path, links: Links) -> None:
    """Write the report of a run.

    Args:
        run: what its folder holds.
        path: of the HTML file.
        links: of the videos that are at hand, relative to the file.

    Raises:
        WSVADError: if Jinja2 or plotly is not installed, or the file cannot be written.
    """
    alarms, misses = find_failures(run.videos)
    worst = _worst(run.videos, alarms, misses)
    tested = bool(run.numbers("metrics"))
    curves = thinned_curves(run.videos)
    calibration = reliability(run.videos) if curves else None
    data = {
        "videos": [encode_video(video, links.get(video.row.video)) for video in run.videos],
        "figures": _figures(run, curves, calibration),
        "alarm": run.alarm,
    }
    write_page(
        path,
        "run.html.j2",
        data,
        title=f"{run.method} on {run.data}",
        run=run,
        tested=tested,
        summary=_summary(run),
        headlines=headlines(run) if tested else [],
        metrics=all_metrics(run),
        alarms=[(failure, run.videos[failure.video]) for failure in alarms[:MOST_FAILURES]],
        misses=[(failure, run.videos[failure.video]) for failure in misses[:MOST_FAILURES]],
        numbers=(len(alarms), len(misses)),
        calibration=calibration,
        curves=curves,
        classes=_classes(run),
        events=_events(run),
        order=sorted(range(len(run.videos)), key=lambda i: worst[i], reverse=True),
        worst=worst,
        links=links,
        is_unlike=is_unlike,
    )


def encode_video(video: ReportedVideo, link: str | None) -> dict[str, Any]:
    """Describe a video to the script.

    Its scores are those of every ``step`` frames, between which they do not change, or the highest of so many
    in a video of more than ``MOST_POINTS`` changes; 16 bits each, from ``low`` to ``high``, in base64.

    Args:
        video: of a run.
        link: its address, if it is at hand.
    """
    scores, row = video.curve.scores.astype(np.float64), video.row
    step = int(np.gcd.reduce(np.flatnonzero(np.diff(scores)) + 1)) or len(scores)
    values = scores[::step]
    if len(values) > MOST_POINTS:
        joined = -(-len(values) // MOST_POINTS)
        values, step = np.maximum.reduceat(values, np.arange(0, len(values), joined)), step * joined
    low, high = float(values.min()), float(values.max())
    levels = np.round((values - low) / ((high - low) or 1) * 65535).astype("<u2")
    frames, times = ([0, row.num_frames],) * 2 if video.times is None else video.times.round(3).tolist()
    return {
        "name": row.video,
        "frames": row.num_frames,
        "unit": "frame" if video.times is None else "s",
        "clock": [frames, times],
        "step": step,
        "low": low,
        "high": high,
        "scores": base64.b64encode(levels.tobytes()).decode(),
        "peak": row.highest_frame,
        "truth": [[event.start, event.end, event.name] for event in video.curve.truths],
        "events": [
            [event.start, event.end, event.name, event.score, event.region]
            for event in video.curve.events or ()
        ],
        "video": link is not None,
        "maps": [np.round(own, 3).tolist() for own in video.maps.values()],
    }


def _worst(videos: Sequence[ReportedVideo], *found: Sequence[Failure]) -> list[float]:
    """How bad the worst failure of each video is; without ground truth, how high its highest score is."""
    worst = [0.0 if video.curve.labels is not None else video.row.highest_score for video in videos]
    for failure in (failure for failures in found for failure in failures):
        worst[failure.video] = max(worst[failure.video], failure.share)
    return worst


def _summary(run: ReportedRun) -> list[str]:
    """What was scored, in a few words each."""
    rows = [video.row for video in run.videos]
    kinds = {kind: sum(row.label == kind for row in rows) for kind in ("abnormal", "normal")}
    counted = ", ".join(f"{count} {kind}" for kind, count in kinds.items() if count)
    parts = [f"{_count(len(rows), 'video')}{f' ({counted})' if counted else ''}"]
    parts.append(f"{sum(row.num_frames for row in rows):,} frames")
    if any(row.anomalous_frames is not None for row in rows):
        share = sum(row.anomalous_frames or 0 for row in rows) / sum(row.num_frames for row in rows)
        parts.append(f"{percent(share, 0)} % of them anomalous")
    if unlike := sum(is_unlike(row) for row in rows):
        parts.append(f"{unlike} unlike the training")
    seed = run.numbers("receipt").get("seed")
    return parts if seed is None else [*parts, f"seed {seed}"]


def is_unlike(row: VideoRow) -> bool:
    """Whether a video is unlike those of the training, by its features or by its coding."""
    return bool(row.coding) or (row.novelty is not None and row.novelty > LIMIT)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def headlines(run: ReportedRun) -> list[dict[str, Any]]:
    """Title, value and interval of the metrics that a reader wants first."""
    given = run.numbers("metrics")
    return [
        {"title": title, "value": run.metric(name), "interval": run.interval(name), "why": why(run, name)}
        for name, title in HEADLINES.items()
        if name in given
    ]


def all_metrics(run: ReportedRun) -> list[dict[str, Any]]:
    """Every metric with its interval, or with the reason why it is undefined."""
    return [
        {"name": name, "value": run.metric(name), "interval": run.interval(name), "why": why(run, name)}
        for name in run.numbers("metrics")
    ]


def why(run: ReportedRun, name: str) -> str:
    """Why a metric is undefined; empty if it is not, or nobody says."""
    return str(run.numbers("undefined").get(name, ""))


def _classes(run: ReportedRun) -> tuple[list[str], list[tuple[str, list[tuple[float, Ends]]]]]:
    """The columns and rows of the table of classes: values with their intervals."""
    given = {name: values for name, values in run.numbers("per_class").items() if isinstance(values, dict)}
    columns = list(dict.fromkeys(column for values in given.values() for column in values))
    ends = run.numbers("per_class_intervals")
    return columns, [
        (name, [(number_or_nan(values.get(column)), ends_in(ends.get(name), column)) for column in columns])
        for name, values in given.items()
    ]


def _events(run: ReportedRun) -> list[tuple[str, int, int]]:
    """Of each class: its name, annotated and detected events."""
    if all(video.curve.events is None for video in run.videos):
        return []
    truths = [event.name for video in run.videos for event in video.curve.truths]
    found = [event.name for video in run.videos for event in video.curve.events or ()]
    annotated = [name for names in truths for name in names.split(";") if name]
    return [(name, annotated.count(name), found.count(name)) for name in sorted({*annotated, *found})]


def _figures(run: ReportedRun, curves: Mapping[str, Any], calibration: Any) -> dict[str, Any]:
    """What the figures over all videos show."""
    if not curves:
        return {}
    edges, normal, anomalous = histograms(run.videos)
    figures: dict[str, Any] = {
        "roc": {"x": curves["roc"][0], "y": curves["roc"][1]},
        "pr": {"x": curves["pr"][0], "y": curves["pr"][1]},
        "scores": {
            "edges": edges.round(4).tolist(),
            "normal": normal.round(5).tolist(),
            "anomalous": anomalous.round(5).tolist(),
        },
    }
    if calibration is not None:
        figures["calibration"] = {
            name: getattr(calibration, name).round(4).tolist()
            for name in ("score", "truth", "low", "high", "frames")
        }
    return figures


def relative_address(file: Path, page: Path) -> str:
    """The address of a file in a page: relative, or absolute where they are on different drives."""
    try:
        return quote(Path(os.path.relpath(file, page.parent)).as_posix())
    except ValueError:
        return file.absolute().as_uri()
