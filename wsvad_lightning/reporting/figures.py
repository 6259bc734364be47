"""The picture of a test: score curves against ground truth, and the curves over the frames of all videos."""

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from unicodedata import east_asian_width

import numpy as np
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger
from numpy.typing import NDArray
from rich.console import Console

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.files import replacing
from wsvad_lightning.metrics import Curve, average_precision, precision_recall_curve, roc_auc, roc_curve
from wsvad_lightning.reporting.fonts import legible
from wsvad_lightning.timeline import Event, SnippetGrid, runs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

MODEL, BASELINES = "#1f5fa8", ("#d9822b", "#7d8590", "#5b9a57", "#9a5f8c")
ANOMALY, FOUND, CHANCE, INK, FAINT = "#f8cfc1", "#d6e4f4", "#b9bfc7", "#2b2f36", "#e4e7eb"
KINDS = {"abnormal": "#c4492a", "normal": "#4d7f4a", "no ground truth": "#7d8590"}
SHOWN = {"abnormal": 4, "normal": 2, "no ground truth": 6}
COLUMNS = 2
LONGEST_NAME, LONGEST_CLASSES, LONGEST_TITLE = 36, 20, 51  # letters
LETTER = 7  # pixels that a letter below a span is wide
ROWS = 4  # of spans with their names in a panel


Values = NDArray[Any]


@dataclass(frozen=True)
class VideoCurve:
    """Scores of a video with its ground truth.

    Attributes:
        video_id: canonical name.
        scores: ``[F]`` score of each frame.
        labels: ``[F]``, 0 normal and 1 anomalous; None if unknown.
        classes: anomaly classes that are annotated; empty if there are none.
        truths: annotated intervals, where they have classes of their own.
        events: those that were found without ground truth; None if the scorer knows no classes.
        maps: ``(start, end, map [h, w])`` of successive frames; empty if the scorer locates nothing.
        times: seconds ``[F + 1]``, when each frame is shown and when the last one ends; None if unknown.
        peak: the highest score of a snippet and a frame of it, as :func:`highest_snippet` gives them; None
            where frames were scored one by one.
    """

    video_id: str
    scores: NDArray[np.floating[Any]]
    labels: NDArray[np.integer[Any]] | None
    classes: tuple[str, ...] = ()
    truths: tuple[Event, ...] = ()
    events: tuple[Event, ...] | None = None
    maps: tuple[tuple[int, int, NDArray[np.floating[Any]]], ...] = ()
    times: NDArray[np.floating[Any]] | None = None
    peak: tuple[float, int] | None = None

    @property
    def kind(self) -> str:
        """One of the keys of ``SHOWN``."""
        if self.labels is None:
            return "no ground truth"
        return "abnormal" if self.labels.any() else "normal"


def highest_snippet(
    scores: NDArray[np.floating[Any]], frames: NDArray[np.floating[Any]], grid: SnippetGrid
) -> tuple[float, int]:
    """Give the highest score of a snippet, the first of equals, and the frame of it that scores highest.

    It is the model's own number. Where snippets overlap, a frame has the mean of those that cover it, which
    may be lower.

    Args:
        scores: ``[T]`` score of each snippet.
        frames: ``[F]`` score of each frame.
        grid: positions of the snippets.
    """
    place = int(scores.argmax())
    start, end = grid.span(place, len(frames))
    return float(scores[place]), start + int(frames[start:end].argmax())


def report_figure(
    videos: Sequence[VideoCurve],
    path: str | Path,
    title: str = "",
    name: str = "model",
    baselines: Mapping[str, Sequence[VideoCurve]] | None = None,
    alarm: float | None = None,
) -> None:
    """Draw the scores of some videos and, if all ground truth is known, ROC and precision-recall curve.

    Shown are at most four abnormal and two normal videos, spread evenly over those given: none is picked for
    its looks. The two curves are over the frames of all videos, and need anomalous and normal ones.

    Args:
        videos: the test videos, at least one.
        path: the PNG to write, whole or not at all.
        title: heading of the picture.
        name: what scored the videos, for the legend.
        baselines: what other scorers made of the same videos, by name, for the two curves.
        alarm: score at which a dashed line is drawn.

    Raises:
        WSVADError: if matplotlib is not installed, or the picture cannot be written.
    """
    shown = choose(videos)
    lowest = 6.7 if has_roc(videos) else 4.6
    figure = new_figure(path, height=max(lowest, 1.3 + 1.9 * -(-len(shown) // COLUMNS)))
    figure.suptitle(title, color=INK, fontsize=14, parse_math=False)
    widths = (2.1, 1) if has_roc(videos) else (1,)
    panels = figure.subfigures(1, len(widths), squeeze=False, width_ratios=widths)[0]
    _draw_videos(panels[0], shown, len(videos), alarm)
    if has_roc(videos):
        scorers = {name: videos, **(baselines or {})}
        upper, lower = panels[1].subplots(2, 1)
        _draw_roc(upper, scorers)
        _draw_precision_recall(lower, scorers)
    save_figure(figure, path)


def new_figure(path: str | Path, height: float) -> "Figure":
    """Make an empty picture, 13 inches wide, to be written by :func:`save_figure`.

    Args:
        path: where it is to be written.
        height: in inches.

    Raises:
        WSVADError: if matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise WSVADError(
            "report", path, "a picture needs matplotlib", 'Run pip install "wsvad-lightning[report]"'
        ) from None
    return Figure(figsize=(13, height), dpi=120, layout="constrained")


def save_figure(figure: "Figure", path: str | Path) -> None:
    """Write a picture as PNG, whole or not at all.

    It is drawn once; ``Figure.savefig`` would draw it twice.

    Raises:
        WSVADError: if it cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with replacing(path) as temporary:
        FigureCanvasAgg(figure).print_png(temporary)  # type: ignore[no-untyped-call]  # it has no types


@contextmanager
def optional(path: Path) -> Iterator[None]:
    """Let a picture or drawn video that cannot be made be a note: the tables are written by then.

    Args:
        path: of the file that is made.
    """
    try:
        yield
    except Exception as error:  # whatever it is, it costs the picture alone
        problem = " ".join(f"{error or type(error).__name__}".split())
        Console(stderr=True).print(
            f"note: without {path}: {problem}", markup=False, highlight=False, soft_wrap=True
        )


def log_picture(trainer: Trainer, name: str, path: Path) -> None:
    """Send a PNG to Weights & Biases and TensorBoard, where they are in use, as it is."""
    for logger in trainer.loggers:
        if isinstance(logger, WandbLogger):
            logger.log_image(name, [str(path)])
        elif isinstance(logger, TensorBoardLogger):
            from tensorboard.compat.proto.summary_pb2 import Summary

            png = path.read_bytes()
            width, height = struct.unpack_from(">II", png, 16)
            image = Summary.Image(width=width, height=height, colorspace=4, encoded_image_string=png)
            summary = Summary(value=[Summary.Value(tag=name, image=image)])
            logger.experiment._get_file_writer().add_summary(summary, trainer.global_step)


def choose(videos: Sequence[VideoCurve]) -> list[VideoCurve]:
    """Give the videos to show, evenly spread over those of each kind, in their order."""
    chosen: list[VideoCurve] = []
    for kind, most in SHOWN.items():
        own = [video for video in videos if video.kind == kind]
        places = np.linspace(0, len(own) - 1, min(most, len(own))).round().astype(int)
        chosen += [own[place] for place in places]
    return chosen


def has_roc(videos: Sequence[VideoCurve]) -> bool:
    """Decide whether all ground truth is known and holds both classes."""
    labels = [video.labels for video in videos if video.labels is not None]
    return len(labels) == len(videos) and len(np.unique(np.concatenate(labels))) == 2


def _draw_videos(figure: "SubFigure", videos: Sequence[VideoCurve], of: int, alarm: float | None) -> None:
    rows = -(-len(videos) // COLUMNS)
    grid = figure.subplots(rows, min(COLUMNS, len(videos)), squeeze=False)
    low = min(0.0, *(video.scores.min() for video in videos))
    high = max(1.0, *(video.scores.max() for video in videos))
    margin = 0.03 * (high - low)
    for axes, video in zip(grid.flat, videos, strict=False):  # the last row may have cells to spare
        _draw_video(axes, video)
        axes.set_ylim(low - margin, high + margin)
        if alarm is not None:
            axes.axhline(alarm, color=KINDS["abnormal"], linewidth=1.2, linestyle="--")
    for axes in grid.flat[len(videos) :]:
        axes.set_visible(False)
    for axes in grid[:, 0]:
        axes.set_ylabel("score", color=INK)
    for axes in grid[:, 1:].flat:
        axes.yaxis.set_label_coords(0, 0.5)  # of no label: finding its place takes a third of the time
    caption = [f"{len(videos)} of {of} videos"]
    if any(video.kind == "abnormal" for video in videos):
        caption.append("anomalous frames are shaded")
    if any(video.events for video in videos):
        caption.append("detected events are underlined")
    if alarm is not None:
        caption.append(f"dashed: alarm at {alarm:g}")
    unit = "frame and time" if any(video.times is not None for video in videos) else "frame"
    figure.supxlabel(f"{unit}  ({', '.join(caption)})", color=INK, fontsize=10)


def _draw_video(axes: "Axes", video: VideoCurve) -> None:
    from matplotlib.ticker import MaxNLocator

    style(axes)
    axes.xaxis.set_label_coords(0.5, 0)  # as above
    edges = np.arange(len(video.scores) + 1)
    if video.labels is not None:
        for start, end in runs(video.labels):
            axes.axvspan(start, end, color=ANOMALY, linewidth=0)
    else:  # nothing that their shades could hide
        for event in video.events or ():
            axes.axvspan(event.start, event.end, color=FOUND, linewidth=0)
    axes.stairs(video.scores, edges, baseline=None, color=MODEL, linewidth=1.4)
    axes.set_xlim(0, len(video.scores))
    if (times := video.times) is not None:
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.xaxis.set_major_formatter(lambda frame, _: f"{frame:.0f}\n{_clock(times, frame)}")
    _name_spans(axes, video.truths, len(video.scores), KINDS["abnormal"])
    _name_spans(axes, video.events or (), len(video.scores), INK)
    words = video.kind
    if video.kind == "abnormal" and video.classes:
        words = legible(", ".join(video.classes))[0]
    if len(words) > LONGEST_CLASSES:
        words = f"{words[: LONGEST_CLASSES - 1]}…"
    _write_title(axes, words, KINDS[video.kind], "right")
    longest = min(LONGEST_NAME, LONGEST_TITLE - len(words))
    _write_title(axes, _shorten(video.video_id, longest), INK, "left")


def _clock(times: Values, frame: float) -> str:
    """Write when a frame is shown, in seconds, or in minutes and seconds where there are several minutes."""
    seconds = times[min(max(0, round(frame)), len(times) - 1)]
    minutes, rest = divmod(round(seconds), 60)
    return f"{seconds:.1f} s" if times[-1] < 120 else f"{minutes}:{rest:02d}"


def _write_title(axes: "Axes", words: str, color: str, loc: Literal["left", "right"]) -> None:
    from matplotlib.font_manager import FontProperties

    drawn, font = legible(words)
    font_of_words = FontProperties(fname=font, size=9.5)
    axes.set_title(drawn, color=color, font=font_of_words, loc=loc, y=1.0, parse_math=False)


def _name_spans(axes: "Axes", spans: Sequence[Event], num_frames: int, color: str) -> None:
    """Underline spans and name their classes, at the bottom, where the scores of anomalies are not."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.patheffects import withStroke

    halo, place = [withStroke(linewidth=2, foreground="white")], axes.get_xaxis_transform()
    for span, middle, row in arrange_names(spans, num_frames, num_frames * LETTER / axes.bbox.width):
        drawn, font = legible(span.name)
        height = 0.02 + 0.14 * row
        axes.plot((span.start, span.end), (height, height), color=color, linewidth=2, transform=place)
        axes.text(
            middle,
            height + 0.02,
            drawn,
            color=color,
            font=FontProperties(fname=font, size=8),
            horizontalalignment="center",
            path_effects=halo,
            transform=place,
            parse_math=False,
        )


def arrange_names(spans: Sequence[Event], num_frames: int, letter: float) -> list[tuple[Event, float, int]]:
    """Choose where spans are named: at their middle, in the lowest row that has room.

    Args:
        spans: in any order.
        num_frames: F, the width of the panel.
        letter: frames that a letter is wide.

    Returns:
        Each span that has room in a row, with the middle of its name in frames and the row from 0.
    """
    arranged, ends = [], [0.0] * ROWS
    for span in sorted(spans):
        width = letter * sum(2 if east_asian_width(one) in "FW" else 1 for one in legible(span.name)[0])
        left = max(0.0, min((span.start + span.end - width) / 2, num_frames - width))
        row = next((row for row in range(ROWS) if ends[row] <= min(left, span.start)), None)
        if row is not None:
            arranged.append((span, left + width / 2, row))
            ends[row] = max(left + width + letter, span.end)
    return arranged


def _draw_roc(axes: "Axes", scorers: Mapping[str, Sequence[VideoCurve]]) -> None:
    axes.plot([0, 1], [0, 1], color=CHANCE, linewidth=1.2, linestyle="--")
    _draw_curves(axes, scorers, roc_curve, roc_auc, "AUC")
    axes.set_xlabel("false-positive rate", color=INK)
    axes.set_ylabel("true-positive rate", color=INK)
    axes.set_title("ROC over the frames of all videos", color=INK, fontsize=10, loc="left")
    axes.legend(loc="lower right", frameon=False, fontsize=9, labelcolor=INK)


def _draw_precision_recall(axes: "Axes", scorers: Mapping[str, Sequence[VideoCurve]]) -> None:
    _, labels = _frames(next(iter(scorers.values())))
    axes.axhline(labels.mean(), color=CHANCE, linewidth=1.2, linestyle="--")
    _draw_curves(axes, scorers, precision_recall_curve, average_precision, "AP")
    axes.set_xlabel("recall", color=INK)
    axes.set_ylabel("precision", color=INK)
    axes.set_title("Precision and recall of the same frames", color=INK, fontsize=10, loc="left")
    axes.legend(loc="best", frameon=False, fontsize=9, labelcolor=INK)


def _draw_curves(
    axes: "Axes",
    scorers: Mapping[str, Sequence[VideoCurve]],
    curve_of: Callable[[Values, Values], Curve],
    area_of: Callable[[Values, Values], float],
    area_name: str,
) -> None:
    """Draw the curve of each scorer, with its area in the legend."""
    style(axes)
    for i, (name, videos) in enumerate(scorers.items()):
        scores, labels = _frames(videos)
        curve, color = curve_of(scores, labels), (MODEL, *BASELINES)[i % (1 + len(BASELINES))]
        label = f"{name}, {area_name} {area_of(scores, labels):.3f}"
        width = 2.4 if i == 0 else 1.5
        axes.plot(curve.x, curve.y, color=color, linewidth=width, label=label, zorder=9 - i)
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))


def _frames(videos: Sequence[VideoCurve]) -> tuple[Values, Values]:
    """Join scores and labels of the frames of all videos, ``[F]`` each."""
    labels = [video.labels for video in videos if video.labels is not None]
    return np.concatenate([video.scores for video in videos]), np.concatenate(labels)


def style(axes: "Axes") -> None:
    """Give a panel the look of all."""
    axes.grid(color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(color=FAINT, labelcolor=INK, labelsize=9)
    for spine in axes.spines.values():
        spine.set_color(FAINT)
    axes.spines[["top", "right"]].set_visible(False)


def _shorten(words: str, longest: int) -> str:
    if len(words) <= longest:
        return words
    half = longest // 2
    return f"{words[:half]}…{words[-half:]}"
