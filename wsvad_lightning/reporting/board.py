"""The board of a test or prediction in Weights & Biases: tables, curves and pictures of what was found."""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from io import BytesIO
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from numpy.typing import NDArray
from rich.progress import track

from wsvad_lightning.data.store import FeatureStore
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.extraction.command import find_videos
from wsvad_lightning.extraction.recipe import ExtractionRecipe
from wsvad_lightning.files import cell_of
from wsvad_lightning.metrics import precision_recall_curve, roc_curve
from wsvad_lightning.metrics.curves import Curve
from wsvad_lightning.reporting.figures import ANOMALY, MODEL, VideoCurve, has_roc, optional
from wsvad_lightning.reporting.scored_video import read_times, write_drawn
from wsvad_lightning.reporting.scores import ScoreWriter
from wsvad_lightning.reporting.videos import VideoRow
from wsvad_lightning.reporting.wandb import OF_TEST, WandbRun, runs_of
from wsvad_lightning.video.frames import Footage
from wsvad_lightning.video.reader import VideoReader

if TYPE_CHECKING:
    from wandb import Image, Table, Video

POINTS = 1000  # of a curve at most: a browser draws them for every run
DRAWN = 5  # videos with the best and as many with the worst scores
WIDTH, HEIGHT = 240, 60  # pixels of the curve of a video
THUMBNAIL = (160, 120)  # pixels of a frame at most
ALARM = 0.5  # score from which on drawn frames are marked
TITLES = {"roc": "ROC over all frames", "precision_recall": "Precision and recall over all frames"}
AXES = {
    "roc": ("false-positive rate", "true-positive rate"),
    "precision_recall": ("recall", "precision"),
}


class Board(Callback):
    """Send the results of a test or prediction to Weights & Biases, after they are written.

    Tables hold the rows of ``videos.csv``, each with its curve, and of ``events.csv``; of a test also the
    metrics of the classes, ROC and precision-recall. Where the run knows the videos, a row has the frame
    with the highest score, and those with the best and worst scores are added with these drawn on them.

    Args:
        writer: of the scores, which writes them before.
    """

    def __init__(self, writer: ScoreWriter) -> None:
        self.writer = writer

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Send tables, curves, intervals and pictures of a test."""
        folder = Path(trainer.log_dir or ".")  # collective
        for run in runs_of(trainer):
            record = json.loads((folder / "metrics.json").read_text("utf-8"))
            run.experiment.summary.update(limits(record.get("intervals", {})))
            curves = self.writer.curves
            plots = {f"test/{name}": plot(name, curve) for name, curve in frame_curves(curves).items()}
            tables = self._tables(trainer, run, folder, "test")
            if record["per_class"]:
                tables["test/classes"] = class_table(record["per_class"])
            run.log_metrics({**plots, **tables})
            run.log_files("results", [folder / name for name in OF_TEST])

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Send tables and pictures of a prediction."""
        folder = Path(trainer.log_dir or ".")  # collective
        for run in runs_of(trainer):
            run.log_metrics(self._tables(trainer, run, folder, "predict"))
            run.log_files("results", [folder / name for name in OF_TEST])

    def _tables(self, trainer: Trainer, run: WandbRun, folder: Path, part: str) -> dict[str, Any]:
        """Make the tables of videos and of events, and draw the videos that the run knows."""
        from wandb import Table

        _, rows = read_rows(folder / "videos.csv")
        curves = {one.video_id: one for one in self.writer.curves}
        pictures = Pictures(run.videos, trainer.datamodule.store) if run.videos else None  # type: ignore[attr-defined]
        found = {f"{part}/videos": video_table(rows, curves, pictures)}
        if (folder / "events.csv").is_file():
            columns, events = read_rows(folder / "events.csv")
            found[f"{part}/events"] = Table(columns, [list(row.values()) for row in events])
        if pictures and part == "test":
            found |= {f"test/{name}": pictures.clips(curves, own) for name, own in extremes(rows).items()}
        return {name: value for name, value in found.items() if value != []}


class Pictures:
    """The videos of a store, to draw frames of.

    Args:
        videos: a folder, or a table of paths.
        store: the features, which know the names of the videos and how they were played.

    Raises:
        WSVADError: if there are no videos.
    """

    def __init__(self, videos: str, store: FeatureStore) -> None:
        self._paths = {one.annotation.video_id: one.path for one in find_videos(videos, store=store)}
        try:
            self._resample = ExtractionRecipe.recorded(store.provenance).fps
        except WSVADError:  # features of others, of every frame
            self._resample = None

    def _path(self, video_id: str) -> Footage:
        if video_id not in self._paths:
            raise WSVADError("trainer.logger.videos", video_id, "is not among the videos", "Add it")
        return self._paths[video_id]

    def _reader(self, video_id: str, step: int = 1) -> VideoReader:
        return VideoReader(self._path(video_id), step, self._resample)

    def frame(self, video_id: str, number: int) -> "Image | None":
        """Give a frame as a small picture; None, with a note, if it cannot be read."""
        import wandb

        with optional(Path(f"the frame of {video_id}")):
            frames = iter(self._reader(video_id, step=max(1, number)))
            shown = next(islice(frames, min(1, number), None))  # without the extra of videos it says so
            from PIL import Image

            picture = Image.fromarray(shown)
            picture.thumbnail(THUMBNAIL)
            return wandb.Image(picture)
        return None

    def clips(self, curves: Mapping[str, VideoCurve], chosen: Sequence[str]) -> list["Video"]:
        """Draw their scores on videos; one that cannot be read is left out, with a note.

        Args:
            curves: of all videos, by name.
            chosen: the names of those to draw.
        """
        import wandb

        drawn = []
        with TemporaryDirectory() as folder:
            for i, name in enumerate(track(chosen, "draw videos", transient=True)):
                path = Path(folder, f"{i}.mp4")
                with optional(path):
                    times = np.asarray(read_times(self._path(name), curves[name], self._resample))
                    write_drawn(self._reader(name), replace(curves[name], times=times), ALARM, path)
                    drawn.append(wandb.Video(BytesIO(path.read_bytes()), caption=name, format="mp4"))
        return drawn


def video_table(
    rows: Sequence[Mapping[str, Any]], curves: Mapping[str, VideoCurve], pictures: Pictures | None
) -> "Table":
    """Lay out the rows of ``videos.csv`` with the curve of each, and its strongest frame if there is one."""
    import wandb

    columns = [*VideoRow._fields, "curve", *(["strongest frame"] if pictures else [])]
    table = wandb.Table(columns)
    for row in track(rows, "draw curves", transient=True, disable=pictures is None):
        video = row["video"]
        frames = [pictures.frame(video, row["highest_frame"])] if pictures else []
        table.add_data(*row.values(), wandb.Image(small_curve(curves[video])), *frames)
    return table


def class_table(per_class: Mapping[str, Mapping[str, float | None]]) -> "Table":
    """Lay out the metrics of the classes, a row each."""
    from wandb import Table

    metrics = list(dict.fromkeys(name for own in per_class.values() for name in own))
    rows = [[name, *(own.get(metric) for metric in metrics)] for name, own in per_class.items()]
    return Table(["class", *metrics], rows)


def read_rows(path: Path) -> tuple[list[str], list[dict[str, Any]]]:
    """Read the columns and rows of a table of a run: numbers as such, empty cells as None."""
    with path.open(encoding="utf-8", newline="") as file:
        table = csv.DictReader(file)
        rows = [{name: value_of(name, cell) for name, cell in row.items()} for row in table]
        return list(table.fieldnames or ()), rows


def value_of(column: str, cell: str) -> str | int | float | None:
    """Read a cell; names of videos and classes stay text."""
    if column in ("video", "label", "class", "classes"):
        return cell_of(cell)
    if not cell:
        return None
    return float(cell) if "." in cell or "e" in cell else int(cell)


def limits(intervals: Mapping[str, Sequence[float | None]]) -> dict[str, float | None]:
    """Name the ends of intervals by metric."""
    ends = ("low", "high")
    return {
        f"test/{name}_{end}": value
        for name, own in intervals.items()
        for end, value in zip(ends, own, strict=True)
    }


def extremes(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Choose the videos with the best and with the worst scores; of few videos, none is both.

    The fault of a video is how much its AUC is short of 1, or, where it has no anomalous frame, its highest
    score. Videos of which neither is known are left out.
    """
    faults = {
        row["video"]: row["highest_normal"] if row["auc"] is None else 1 - row["auc"]
        for row in rows
        if row["auc"] is not None or row["anomalous_frames"] == 0
    }
    ranked = sorted(faults, key=lambda name: (faults[name], name))
    best = ranked[: min(DRAWN, (len(ranked) + 1) // 2)]
    return {"best": best, "worst": ranked[len(best) :][-DRAWN:][::-1]}


def frame_curves(videos: Sequence[VideoCurve]) -> dict[str, Curve]:
    """Give ROC and precision-recall over the frames of all videos; none without both kinds of frames."""
    if not has_roc(videos):
        return {}
    scores = np.concatenate([video.scores for video in videos])
    labels = np.concatenate([video.labels for video in videos if video.labels is not None])
    return {"roc": roc_curve(scores, labels), "precision_recall": precision_recall_curve(scores, labels)}


def plot(name: str, curve: Curve) -> Any:
    """Make a native plot of a curve: at most ``POINTS`` of its points, evenly spread, both ends included."""
    import wandb

    kept = np.unique(np.linspace(0, len(curve.x) - 1, min(POINTS, len(curve.x))).round().astype(int))
    x, y = AXES[name]
    points = zip(curve.x[kept].tolist(), curve.y[kept].tolist(), strict=True)
    return wandb.plot_table(
        "wandb/area-under-curve/v0",
        wandb.Table([x, y, "class"], [[*point, "anomalous"] for point in points]),
        {"x": x, "y": y, "class": "class"},
        {"title": TITLES[name], "x-axis-title": x, "y-axis-title": y},
    )


def small_curve(video: VideoCurve) -> NDArray[np.uint8]:
    """Draw the scores of a video as columns, anomalous frames shaded, ``[60, 240, 3]``.

    A column shows the highest score of its frames, from 0 or below at the bottom to 1 or above at the top.
    """
    starts = np.arange(WIDTH) * len(video.scores) // WIDTH
    low, high = min(0.0, float(video.scores.min())), max(1.0, float(video.scores.max()))
    levels = (np.maximum.reduceat(video.scores, starts) - low) / (high - low)
    picture = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    if video.labels is not None:
        picture[:, np.maximum.reduceat(video.labels, starts) > 0] = rgb(ANOMALY)
    picture[np.linspace(1, 0, HEIGHT)[:, None] <= levels] = rgb(MODEL)
    return picture


def rgb(color: str) -> list[int]:
    """Read a colour such as ``#1f5fa8``."""
    return list(bytes.fromhex(color.removeprefix("#")))
