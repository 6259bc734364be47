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

**Memory.** Scores are rounded to 65,536 levels, even steps of 5e-4 in log-odds, and counted by level: 5 MB
however many videos there are, which ranks add. On rounded scores all values are exact. For the intervals,
each video is also kept at up to 1,024 levels (:mod:`wsvad_lightning.metrics.sketch`), in at most 82 kB.

Anomalous frames without a known region are left out. Without an anomalous or a normal sample a metric is NaN,
with a UserWarning that names it.
"""

import warnings
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

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
from wsvad_lightning.metrics.curves import Counts as Called
from wsvad_lightning.metrics.curves import FloatArray, precision_sum, roc_area, share_of, undefined
from wsvad_lightning.metrics.expand import expand_maps
from wsvad_lightning.metrics.intervals import Interval, bootstrap_intervals, number_of
from wsvad_lightning.metrics.pools import Measure
from wsvad_lightning.metrics.sketch import SketchPool, on_thresholds, sketch
from wsvad_lightning.timeline import SnippetGrid, join
from wsvad_lightning.types import RegionSpan, VideoRegions

HIT = 0.4  # share of the anomalous pixels of a frame
SAMPLES = 6  # counts of a video that are of samples: normal and anomalous pixels, patches, frames
OF_SAMPLES = {
    "pixel_auc_40": Measure("frames", roc_area),
    "pixel_auc": Measure("pixels", roc_area),
    "pixel_ap": Measure("pixels", precision_sum),
    "patch_auc": Measure("patches", roc_area),
    "patch_ap": Measure("patches", precision_sum),
}

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
    videos: list[Tensor]  # rows: digest of the name, kept levels, frames, regions, tracks
    sketches: list[Tensor]  # rows of each video: level, samples, false positives, found regions and tracks

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
        for name in ("videos", "sketches"):
            self.add_state(name, [], dist_reduce_fx="cat")

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
        video = _VideoCounts(self, video_id)
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

    def intervals(self) -> dict[str, Interval]:
        """Intervals of 95 % of the metrics, see :mod:`wsvad_lightning.metrics.intervals`.

        Videos with a region are drawn apart from others. To be called on all ranks, which give the same.
        """
        with self.sync_context():
            if not len(self.videos) or not len(dim_zero_cat(self.videos)):
                return {}
            pools, labels = self.pools()
        return bootstrap_intervals(pools, labels, measures=self.measures)

    @property
    def measures(self) -> dict[str, Measure]:
        """The metrics as functions of counts, over the pools by the names of :meth:`pools`."""
        area = partial(_detected_area, continuation=self.continuation)
        return OF_SAMPLES | {"rbdc": Measure("regions", area), "tbdc": Measure("tracks", area)}

    def pools(self) -> tuple[dict[str, SketchPool], NDArray[np.int64]]:
        """What resamples weigh, by name, and whether each of the V videos has a region ``[V]``.

        The videos are in the same order whichever ranks had them. Of regions and tracks the last counts are
        all frames, and all regions or tracks.
        """
        about, rows = (dim_zero_cat(state).cpu().numpy() for state in (self.videos, self.sketches))
        order, parts = np.argsort(about[:, 0]), np.split(rows, np.cumsum(about[:, 1])[:-1])
        counts, levels = on_thresholds([parts[i] for i in order])
        pixels, patches, frames = (
            SketchPool(counts[:, i], counts[:, i + 1], levels) for i in range(0, SAMPLES, 2)
        )
        false, regions, tracks = (
            np.column_stack([own, total])
            for own, total in zip(counts[:, SAMPLES:].swapaxes(0, 1), about[order, 2:].T, strict=True)
        )
        ends = np.append(levels, 0)
        pools = {
            "pixels": pixels,
            "patches": patches,
            "frames": frames,
            "regions": SketchPool(false, regions, ends),
            "tracks": SketchPool(false, tracks, ends),
        }
        return pools, (regions[:, -1] > 0).astype(np.int64)

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """Gather the states of all ranks; one without videos sends no rows, as in ``FrameMetrics``."""
        for name, width in (("videos", 5), ("sketches", 1 + SAMPLES + 3)):
            if not len(getattr(self, name)):
                setattr(self, name, [torch.zeros(0, width, dtype=torch.int64, device=self.device)])
        super().sync(*args, **kwargs)

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
            return undefined(["rbdc" if kind == "region" else "tbdc"], "no anomalous region")
        return float(area_to_one(*self.curve(kind), continuation or self.continuation))


class _VideoCounts:
    """Counts of one video, which has tracks of its own, on their way into the states of a metric."""

    def __init__(self, metric: RegionMetrics, video_id: str) -> None:
        self.metric, self.video_id = metric, video_id
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
        samples = np.cumsum(self.samples.reshape(SAMPLES, -1)[:, ::-1], axis=1)[:, ::-1]
        kept = sketch(np.concatenate([samples, counts]))
        metric.videos.append(torch.tensor([[number_of(self.video_id), len(kept), *sizes]], device=device))
        metric.sketches.append(torch.from_numpy(kept).to(device))

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


def area_to_one(x: FloatArray, y: FloatArray, continuation: Continuation = "step") -> FloatArray:
    """Areas ``[...]`` under curves up to x = 1, the best y of no larger x at each point.

    Args:
        x: ``[..., K]`` false positives per frame, from 0.
        y: ``[..., K]`` share of what is detected.
        continuation: see the module.
    """
    order = np.lexsort((y, x))
    x, y = np.take_along_axis(x, order, axis=-1), np.take_along_axis(y, order, axis=-1)
    x = np.concatenate([x, x[..., -1:] + 2], axis=-1)  # behind 1
    y = np.maximum.accumulate(np.concatenate([y, y[..., -1:]], axis=-1), axis=-1)
    steps, passing = np.diff(np.minimum(x, 1)), (x[..., :-1] <= 1) & (x[..., 1:] > 1)
    rises = np.where(passing, 0, np.diff(y))
    if continuation == "linear":
        np.divide(np.diff(y) * steps, np.diff(x), out=rises, where=passing)
    counted = ~passing if continuation == "none" else True
    return np.asarray(np.sum(steps * (y[..., :-1] + rises / 2), axis=-1, where=counted))


def _detected_area(counts: Called, continuation: Continuation) -> FloatArray:
    """Areas of RBDC or TBDC; the last counts are the frames, and the regions or tracks."""
    x, y = (share_of(own)[..., :-1] for own in (counts.false_positives, counts.true_positives))
    return area_to_one(x, y, continuation)


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
            undefined([name], f"no {missing} sample")
            return np.full(counts.shape[1] + 1, np.nan), np.full(counts.shape[1] + 1, np.nan)
    rates = np.cumsum(counts[:, ::-1], axis=1) / totals[:, None]
    return np.append(0, rates[0]), np.append(0, rates[1])


def _from_above(changes: Counts) -> Counts:
    """Counts at each level as threshold, from how they change there as it falls."""
    return np.cumsum(changes[::-1])[::-1]
