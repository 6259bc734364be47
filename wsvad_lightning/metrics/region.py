"""Whether a detector knows where: metrics of regions, pixels and patches, the same on one rank and on many.

A map gives each cell of a grid over the frame a score in [0, 1]; all pixels of a cell have its score. Truth
is the mask of each region. :class:`RegionMetrics` returns, by these names:

============== ===========================================================================================
rbdc           area under the share of detected regions over false positives per frame, from 0 to 1. A region
               is detected where a predicted one has an intersection over union of at least beta with it; a
               predicted region without such a partner is a false positive
tbdc           the same of tracks, detected where at least the share alpha of their regions is
pixel_auc_40   ROC area over frames: an anomalous frame is a hit where at least 40 % of its anomalous pixels
               are called anomalous, a normal frame with any such pixel a false alarm
pixel_auc      ROC area with every pixel of every frame as a sample
pixel_ap       average precision over the same samples
patch_auc      ROC area with every cell of every frame as a sample; a cell is anomalous by the overlap rule
patch_ap       average precision over the same samples
============== ===========================================================================================

B. Ramachandra and M. Jones, Street Scene: a new dataset and evaluation protocol for video anomaly detection,
WACV 2020 (RBDC, TBDC); V. Mahadevan et al., Anomaly detection in crowded scenes, CVPR 2010 (40 %).

**Predicted regions.** At a threshold, they are the cells with at least that score that touch, corners
included. As it falls, regions appear, grow and merge. Each is counted at the thresholds at which it exists;
one pass over the cells of a map finds all of them. Merging may reduce the false positives, and growing the
intersection over union. So the curve takes for every number of false positives the best share that a
threshold with no more of them reaches. Boxes with scores of their own neither grow nor merge.

**Conventions.** The curve begins at (0, 0). ``continuation`` says what follows the last point with at most
one false positive per frame: ``step`` holds its share until 1, ``linear`` draws a line to the next point and
cuts it at 1, ``none`` ends there.

**Memory.** Scores are rounded to 65,536 levels, even steps of 5e-4 in log-odds, and every state is a count by
level: 5 MB however many videos there are, which ranks add. On rounded scores all values are exact.

Anomalous frames without a known region are left out. Without an anomalous or a normal sample a metric is NaN,
with a UserWarning that names it.
"""

import warnings
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.metrics.cells import (
    TOP,
    Candidates,
    Cells,
    Counts,
    Levels,
    boxes_as_regions,
    check_maps,
    grow_regions,
    render,
    to_levels,
)
from wsvad_lightning.metrics.curves import undefined
from wsvad_lightning.metrics.expand import expand_maps
from wsvad_lightning.timeline import SnippetGrid, join
from wsvad_lightning.types import RegionSpan, VideoRegions

HIT = 0.4  # share of the anomalous pixels of a frame

Box = Sequence[float]
Continuation = Literal["step", "linear", "none"]
CONTINUATIONS: tuple[Continuation, ...] = ("step", "linear", "none")


class RegionMetrics(Metric):
    """Collect maps or boxes of videos and compute the metrics of this module over all of them and all ranks.

    Args:
        grid: positions of the snippets.
        alpha: share of its regions by which a track is detected.
        beta: intersection over union by which a region is detected.
        overlap: share of a cell that must be anomalous for the cell to be so, 0 for any pixel; or ``center``,
            for the pixel in its centre.
        continuation: of the curves of RBDC and TBDC, see the module.

    Raises:
        WSVADError: if a share is out of range, or there is no such continuation.
    """

    full_state_update = False

    pixels: Tensor
    patches: Tensor
    frames: Tensor
    detections: Tensor
    totals: Tensor

    def __init__(
        self,
        grid: SnippetGrid,
        alpha: float = 0.1,
        beta: float = 0.1,
        overlap: float | Literal["center"] = 0.5,
        continuation: Continuation = "step",
    ) -> None:
        super().__init__()
        shares = {"alpha": alpha, "beta": beta} | ({} if overlap == "center" else {"overlap": overlap})
        for name, share in shares.items():
            if not (0 <= share <= 1 and (share or name == "overlap")):
                raise WSVADError(name, share, "is not a share above 0, up to 1", "Give a number such as 0.1")
        if continuation not in CONTINUATIONS:
            problem = "is not a way to continue a curve"
            raise WSVADError("continuation", continuation, problem, f"Give one of {', '.join(CONTINUATIONS)}")
        self.grid, self.alpha, self.beta, self.overlap = grid, alpha, beta, overlap
        self.continuation: Continuation = continuation
        for name in ("pixels", "patches", "frames"):  # normal and anomalous samples, by level
            self.add_state(name, torch.zeros(2, TOP + 1, dtype=torch.int64), dist_reduce_fx="sum")
        # false positives, detected regions and detected tracks at each level as threshold
        self.add_state("detections", torch.zeros(3, TOP + 1, dtype=torch.int64), dist_reduce_fx="sum")
        # frames, regions, tracks, left-out videos
        self.add_state("totals", torch.zeros(4, dtype=torch.int64), dist_reduce_fx="sum")

    def update(
        self, video_id: str, predicted: Tensor | Sequence[Sequence[Box]], regions: VideoRegions | None
    ) -> None:
        """Add a video.

        Args:
            video_id: canonical name, for messages.
            predicted: maps in [0, 1], ``[T, h, w]`` of snippets, which are expanded as scores are, or
                ``[F, h, w]`` of frames. Or for each frame a list of boxes ``(left, top, right, bottom,
                score)``, right and bottom the first pixels outside; where these overlap, a pixel has the mean
                of their scores.
            regions: where its anomalies are; None leaves the video out, with a warning in the end.

        Raises:
            WSVADError: if maps or boxes are not such, or of another number of frames, or if there are more
                cells than pixels.
        """
        if regions is None:
            self.totals[3] += 1
            return
        video = _VideoCounts(self)
        if isinstance(predicted, Tensor):
            self._count_maps(video, video_id, predicted.detach().cpu().numpy(), regions)
        else:
            self._count_boxes(video, predicted, regions)
        video.finish()

    def _count_maps(
        self, video: "_VideoCounts", video_id: str, maps: NDArray[Any], regions: VideoRegions
    ) -> None:
        check_maps(maps, video_id)
        height, width = regions.height, regions.width
        if maps.shape[1] > height or maps.shape[2] > width:
            problem = f"maps of {maps.shape[1]} x {maps.shape[2]} cells for frames of {height} x {width}"
            raise WSVADError("maps", video_id, problem, "Give no more cells than pixels")
        cells = Cells(height, width, *maps.shape[1:])
        counted: tuple[RegionSpan | None, Counts] = (None, cells.none)
        runs = expand_maps(maps, regions.num_frames, self.grid, video_id)
        for start, end, scores, span in _together(runs, regions):
            if span is not None and not span.tracks:
                continue
            if span is not counted[0]:
                counted = (span, cells.none if span is None else cells.share(span.masks))
            levels, inside = to_levels(scores), counted[1]
            video.count_samples(levels, cells, inside, end - start, span)
            found = grow_regions(levels, cells.areas, inside)
            video.count_regions(found, () if span is None else span.tracks, end - start)

    def _count_boxes(
        self, video: "_VideoCounts", predicted: Sequence[Sequence[Box]], regions: VideoRegions
    ) -> None:
        if len(predicted) != regions.num_frames:
            problem = f"boxes of {len(predicted)} frames for a video of {regions.num_frames}"
            raise WSVADError("predicted", len(predicted), problem, "Give a list for each frame")
        cells = Cells(regions.height, regions.width, regions.height, regions.width)
        frames = [(frame, frame + 1, np.empty(0)) for frame in range(regions.num_frames)]
        for frame, end, _, span in _together(frames, regions):
            if span is not None and not span.tracks:
                continue
            masks = np.zeros(cells.none.shape, dtype=bool) if span is None else span.masks
            drawn = render(predicted[frame], cells.height, cells.width)
            video.count_samples(to_levels(drawn), cells, masks.astype(np.int64), end - frame, span)
            found = boxes_as_regions(predicted[frame], masks)
            video.count_regions(found, () if span is None else span.tracks, end - frame)

    def compute(self) -> dict[str, float]:
        """Metrics by the names of the module; none if no video with known regions arrived."""
        if not self.totals[0]:
            return {}
        if self.totals[3]:
            warnings.warn(
                f"region metrics leave out {int(self.totals[3])} abnormal videos without known regions",
                UserWarning,
                stacklevel=2,
            )
        pixels, patches = self.pixels.cpu().numpy(), self.patches.cpu().numpy()
        return {
            "rbdc": self.area("region"),
            "tbdc": self.area("track"),
            "pixel_auc_40": roc_auc_of_counts(self.frames.cpu().numpy(), "pixel_auc_40"),
            "pixel_auc": roc_auc_of_counts(pixels, "pixel_auc"),
            "pixel_ap": average_precision_of_counts(pixels, "pixel_ap"),
            "patch_auc": roc_auc_of_counts(patches, "patch_auc"),
            "patch_ap": average_precision_of_counts(patches, "patch_ap"),
        }

    def curve(self, kind: Literal["region", "track"]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """False positives per frame and share of detected regions or tracks, as the threshold falls.

        Returns:
            Both ``[65536]``, from (0, 0) to the lowest score above 0.
        """
        row = 1 if kind == "region" else 2
        counts = self.detections.cpu().numpy().astype(np.float64)
        x, y = counts[0] / float(self.totals[0]), counts[row] / float(self.totals[row])
        return np.append(0, x[:0:-1]), np.append(0, y[:0:-1])

    def area(self, kind: Literal["region", "track"], continuation: Continuation | None = None) -> float:
        """RBDC or TBDC.

        Args:
            kind: what is detected.
            continuation: see the module; the metric's unless given.
        """
        if not self.totals[1]:
            return undefined("rbdc" if kind == "region" else "tbdc", "no anomalous region")
        return area_to_one(*self.curve(kind), continuation or self.continuation)


class _VideoCounts:
    """Counts of one video, which has tracks of its own, on their way into the states of a metric."""

    def __init__(self, metric: RegionMetrics) -> None:
        self.metric = metric
        self.samples = np.zeros((3, 2, TOP + 1), dtype=np.int64)  # pixels, patches, frames
        self.changes = np.zeros((2, TOP + 1), dtype=np.int64)  # of false positives and detected regions
        self.of_tracks: dict[int, list[tuple[int, int, int]]] = {}  # low, high, frames
        self.sizes: dict[int, int] = {}  # regions of each track
        self.num_frames = 0

    def count_samples(
        self, levels: Levels, cells: Cells, inside: Counts, frames: int, span: RegionSpan | None
    ) -> None:
        """Add the pixels, the cells and the frame itself."""
        self.num_frames += frames
        flat, areas = levels.ravel().astype(np.int64), cells.areas
        if span is None:
            self._add(0, 0, flat, areas * frames)
            self._add(1, 0, flat, np.full(areas.shape, frames))
            self.samples[2, 0, flat.max()] += frames
            return
        covered = inside[0] if len(inside) == 1 else cells.share(np.logical_or.reduce(span.masks)[None])[0]
        self._add(0, 0, flat, (areas - covered) * frames)
        self._add(0, 1, flat, covered * frames)
        positive = self._anomalous_cells(cells, covered, span)
        self._add(1, 0, flat, ~positive * frames)
        self._add(1, 1, flat, positive * frames)
        self.samples[2, 1, _level_of_hit(flat, covered.ravel())] += frames

    def count_regions(self, found: Candidates, tracks: Sequence[int], frames: int) -> None:
        """Add false positives and detected regions."""
        partners = found.overlaps >= self.metric.beta
        alone = ~partners.any(axis=1)
        self._change(0, found.low[alone], found.high[alone], frames)
        for region, track in enumerate(tracks):
            self.sizes[track] = self.sizes.get(track, 0) + frames
            own = partners[:, region]
            called = join(zip(found.low[own].tolist(), found.high[own].tolist(), strict=True))
            for low, high in called:
                self.of_tracks.setdefault(track, []).append((low, high, frames))
                self._change(1, np.array([low]), np.array([high]), frames)

    def finish(self) -> None:
        """Add what was counted to the states."""
        metric, device = self.metric, self.metric.device
        metric.pixels += torch.from_numpy(self.samples[0]).to(device)
        metric.patches += torch.from_numpy(self.samples[1]).to(device)
        metric.frames += torch.from_numpy(self.samples[2]).to(device)
        detected = np.zeros(TOP + 1, dtype=np.int64)
        for track, called in self.of_tracks.items():
            changes = np.zeros(TOP + 1, dtype=np.int64)
            for low, high, frames in called:
                changes[high] += frames
                changes[low] -= frames
            detected += _from_above(changes) / self.sizes[track] >= metric.alpha
        counts = np.stack([*map(_from_above, self.changes), detected])
        metric.detections += torch.from_numpy(counts).to(device)
        sizes = (self.num_frames, sum(self.sizes.values()), len(self.sizes))
        metric.totals[:3] += torch.tensor(sizes, device=device)

    def _anomalous_cells(self, cells: Cells, covered: Counts, span: RegionSpan) -> NDArray[np.bool_]:
        overlap = self.metric.overlap
        if overlap == "center":
            return cells.at_centers(np.logical_or.reduce(span.masks))
        return (covered > 0) & (covered >= overlap * cells.areas)

    def _add(self, kind: int, truth: int, levels: Counts, weights: NDArray[Any]) -> None:
        np.add.at(self.samples[kind, truth], levels, weights.ravel())

    def _change(self, kind: int, low: Counts, high: Counts, frames: int) -> None:
        np.add.at(self.changes[kind], high, frames)
        np.add.at(self.changes[kind], low, -frames)


def _level_of_hit(levels: Counts, covered: Counts) -> int:
    """The highest threshold at which enough anomalous pixels of a frame are called anomalous."""
    order = np.argsort(-levels, kind="stable")
    called = np.cumsum(covered[order])
    return int(levels[order[np.argmax(called >= HIT * called[-1])]])


def _together(
    maps: Sequence[tuple[int, int, NDArray[Any]]], regions: VideoRegions
) -> Iterator[tuple[int, int, NDArray[Any], RegionSpan | None]]:
    """Divide a video where its map or its regions change; None between spans."""
    spans = regions.spans()
    span = next(spans, None)
    for first, last, scores in maps:
        start = first
        while start < last:
            while span is not None and span.end <= start:
                span = next(spans, None)
            if span is None or span.start >= last:
                yield start, last, scores, None
                start = last
            elif span.start > start:
                yield start, span.start, scores, None
                start = span.start
            else:
                yield start, min(span.end, last), scores, span
                start = min(span.end, last)


def area_to_one(x: NDArray[np.float64], y: NDArray[np.float64], continuation: Continuation = "step") -> float:
    """Area under a curve up to x = 1, the best y of no larger x at each point.

    Args:
        x: false positives per frame, from 0.
        y: share of what is detected.
        continuation: see the module.
    """
    order = np.lexsort((y, x))
    x, y = x[order], np.maximum.accumulate(y[order])
    within = x <= 1
    area = float(np.sum(np.diff(x[within]) * (y[within][1:] + y[within][:-1]) / 2))
    last_x, last_y = x[within][-1], y[within][-1]
    if continuation == "none" or last_x == 1:
        return area
    if continuation == "step" or within.all():
        return area + float((1 - last_x) * last_y)
    next_x, next_y = x[~within][0], y[~within][0]
    at_one = last_y + (next_y - last_y) * (1 - last_x) / (next_x - last_x)
    return area + float((1 - last_x) * (last_y + at_one) / 2)


def roc_auc_of_counts(counts: Counts, name: str = "roc_auc") -> float:
    """ROC area of normal and anomalous samples counted by score.

    Args:
        counts: ``[2, L]``, normal and anomalous; scores rise.
        name: what a warning calls the metric.
    """
    false_positives, true_positives = _rates(counts, name)
    below = (true_positives[1:] + true_positives[:-1]) / 2
    return float(np.sum(np.diff(false_positives) * below))


def average_precision_of_counts(counts: Counts, name: str = "average_precision") -> float:
    """Average precision of normal and anomalous samples counted by score; see :func:`roc_auc_of_counts`."""
    recall = _rates(counts, name)[1]
    called = np.cumsum(counts.sum(axis=0)[::-1])
    precision = np.cumsum(counts[1, ::-1]) / np.maximum(called, 1)
    return float(np.sum(np.diff(recall) * precision))


def _rates(counts: Counts, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Share of the normal and of the anomalous samples that are called, as the threshold falls, from 0."""
    totals = counts.sum(axis=1)
    for missing, total in zip(("normal", "anomalous"), totals, strict=True):
        if not total:
            undefined(name, f"no {missing} sample")
            return np.full(counts.shape[1] + 1, np.nan), np.full(counts.shape[1] + 1, np.nan)
    rates = np.cumsum(counts[:, ::-1], axis=1) / totals[:, None]
    return np.append(0, rates[0]), np.append(0, rates[1])


def _from_above(changes: Counts) -> Counts:
    """Counts at each level as threshold, from how they change there as it falls."""
    return np.cumsum(changes[::-1])[::-1]
