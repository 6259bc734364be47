"""Region metrics against a brute-force count at every threshold, and against samples pooled one by one."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage

from wsvad_lightning.data.datasets.regions import BoxRegions
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.metrics import (
    RegionMetrics,
    average_precision,
    expand_maps,
    expand_scores,
    roc_auc,
    sketch,
)
from wsvad_lightning.metrics.cells import to_levels
from wsvad_lightning.metrics.intervals import number_of
from wsvad_lightning.metrics.pools import measure
from wsvad_lightning.metrics.region import area_to_one
from wsvad_lightning.timeline import SnippetGrid
from wsvad_lightning.types import RegionSpan, VideoRegions

FRAMES, HEIGHT, WIDTH = 12, 7, 10
TOUCHING = np.ones((3, 3))
EACH = SnippetGrid(1, 1)


@dataclass
class Truth:
    """Two regions, of two tracks, in frames 3 to 8; the regions of frame 9 are unknown."""

    num_frames: int = FRAMES
    height: int = HEIGHT
    width: int = WIDTH

    def spans(self) -> Iterator[RegionSpan]:
        for frame in range(3, 9):
            masks = np.zeros((2, HEIGHT, WIDTH), dtype=bool)
            masks[0, 1:4, frame - 3 : frame] = True
            masks[1, 4:7, 7:9] = True
            yield RegionSpan(frame, frame + 1, (0, 1), masks)
        yield RegionSpan(9, 10, (), np.zeros((0, HEIGHT, WIDTH), dtype=bool))


def some_maps(rows: int = 4, columns: int = 5) -> NDArray[np.float32]:
    """Maps of few values, so that many cells are equal."""
    rng = np.random.default_rng(3)
    return (rng.integers(0, 9, (FRAMES, rows, columns)) / 8).astype(np.float32)


def enlarged(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """The maps pixel by pixel, ``[F, H, W]``: a pixel is of the cell that its centre lies in."""
    rows = ((np.arange(HEIGHT) + 0.5) * maps.shape[1] / HEIGHT).astype(int)
    columns = ((np.arange(WIDTH) + 0.5) * maps.shape[2] / WIDTH).astype(int)
    return maps[:, rows][:, :, columns]


def counted(pictures: NDArray[np.float32], threshold: float, beta: float) -> tuple[int, int, list[int]]:
    """False positives, detected regions, and those of each track, at one threshold."""
    spans = {span.start: span for span in Truth().spans()}
    false_positives, of_tracks = 0, [0, 0]
    for frame, picture in enumerate(pictures):
        span = spans.get(frame)
        if span is not None and not span.tracks:
            continue
        labelled, count = ndimage.label(picture >= threshold, TOUCHING)
        found = [labelled == k + 1 for k in range(count)]
        masks = [] if span is None else list(span.masks)
        overlaps = np.array([[(f & m).sum() / (f | m).sum() for m in masks] for f in found])
        partners = overlaps.reshape(count, len(masks)) >= beta
        false_positives += int((~partners.any(axis=1)).sum())
        for track, hit in enumerate(np.logical_or.reduce(partners)):
            of_tracks[track] += int(hit)
    return false_positives, sum(of_tracks), of_tracks


@pytest.mark.parametrize(("alpha", "beta"), [(0.1, 0.1), (0.6, 0.3)])
def test_every_threshold_counts_the_regions_that_a_map_has_there(alpha: float, beta: float) -> None:
    maps = some_maps()
    metric = RegionMetrics(EACH, alpha=alpha, beta=beta)
    metric.update("a", torch.from_numpy(maps), Truth())
    (x, regions), (_, tracks) = metric.curve("region"), metric.curve("track")
    for value in np.unique(maps)[1:]:
        false_positives, detected, of_tracks = counted(enlarged(maps), value, beta)
        point = 65536 - int(to_levels(np.array([value]))[0])
        assert x[point] * (FRAMES - 1) == pytest.approx(false_positives)
        assert regions[point] * 12 == pytest.approx(detected)
        assert tracks[point] == np.mean([count / 6 >= alpha for count in of_tracks])
    assert len(set(zip(x.tolist(), regions.tolist(), strict=True))) <= len(np.unique(maps))


def test_pixels_and_patches_are_samples() -> None:
    maps = some_maps()
    metric = RegionMetrics(EACH)
    metric.update("a", torch.from_numpy(maps), Truth())
    values = metric.compute()
    masks = np.zeros((FRAMES, HEIGHT, WIDTH), dtype=bool)
    for span in Truth().spans():
        masks[span.start] = span.masks.any(axis=0)
    known = np.arange(FRAMES) != 9
    pixels, labels = enlarged(maps)[known].ravel(), masks[known].ravel()
    assert values["pixel_auc"] == pytest.approx(roc_auc(pixels, labels), abs=1e-12)
    assert values["pixel_ap"] == pytest.approx(average_precision(pixels, labels), abs=1e-12)
    cells = enlarged(np.arange(20, dtype=np.float32).reshape(1, 4, 5))[0]
    covered = [[masks[f][cells == k].mean() >= 0.5 for k in range(20)] for f in np.flatnonzero(known)]
    patches = maps[known].reshape(-1)
    assert values["patch_auc"] == pytest.approx(roc_auc(patches, np.ravel(covered)), abs=1e-12)
    assert values["patch_ap"] == pytest.approx(average_precision(patches, np.ravel(covered)), abs=1e-12)


def test_a_frame_is_a_hit_where_forty_percent_of_its_anomalous_pixels_are_called() -> None:
    pictures = enlarged(some_maps())
    scores, labels = [], []
    spans = {span.start: span for span in Truth().spans()}
    for frame in (f for f in range(FRAMES) if f != 9):
        if frame not in spans:
            scores.append(pictures[frame].max())
        else:
            inside = pictures[frame][spans[frame].masks.any(axis=0)]
            scores.append(max(t for t in np.unique(inside) if (inside >= t).mean() >= 0.4))
        labels.append(int(frame in spans))
    metric = RegionMetrics(EACH)
    metric.update("a", torch.from_numpy(some_maps()), Truth())
    assert metric.compute()["pixel_auc_40"] == pytest.approx(roc_auc(scores, labels), abs=1e-12)


@pytest.mark.parametrize(("overlap", "positive"), [(0.0, 4), (0.5, 3), (1.0, 1), ("center", 2)])
def test_the_overlap_rule_of_patches_is_an_argument(overlap: Any, positive: int) -> None:
    @dataclass
    class Corner:
        num_frames: int = 1
        height: int = 4
        width: int = 4

        def spans(self) -> Iterator[RegionSpan]:
            mask = np.zeros((1, 4, 4), dtype=bool)
            mask[0, :3, :3] = True  # one cell whole, two by half, one by a quarter
            mask[0, 1, 3] = mask[0, 3, 0] = False
            mask[0, :2, 3] = mask[0, 0, 2] = False
            mask[0, 1, 2:] = True
            yield RegionSpan(0, 1, (0,), mask)

    metric = RegionMetrics(EACH, overlap=overlap)
    metric.update("a", torch.zeros(1, 2, 2), Corner())
    assert int(metric.patches[1].sum()) == positive


@pytest.mark.parametrize(("length", "stride", "tail"), [(8, 4, 3), (4, 4, 0), (2, 5, 1), (7, 3, 2)])
def test_maps_are_expanded_as_scores_are(length: int, stride: int, tail: int) -> None:
    grid = SnippetGrid(length, stride)
    maps = np.random.default_rng(1).random((6, 2, 3)).astype(np.float32)
    num_frames = min(grid.covered(6) + tail, 6 * stride + length - 1)
    expanded = np.zeros((num_frames, 2, 3), dtype=np.float32)
    for start, end, own in expand_maps(maps, num_frames, grid):
        expanded[start:end] = own
    for row, column in np.ndindex(2, 3):
        expected = expand_scores(maps[:, row, column], num_frames, grid)
        assert np.allclose(expanded[:, row, column], expected, rtol=0, atol=1e-7)


def test_levels_keep_apart_what_crowds_near_zero_and_one() -> None:
    scores = np.array([0, 1e-6, 1.001e-6, 0.4999, 0.5001, 1 - 1.001e-6, 1 - 1e-6, 1])
    levels = to_levels(scores)
    assert (np.diff(levels.astype(int)) > 0).all()
    assert (levels[0], levels[-1]) == (0, 65535)
    assert to_levels(np.array([1e-30])) == 1  # above 0


def test_three_conventions_of_the_end() -> None:
    x, y = np.array([0, 0.5, 2.0]), np.array([0, 0.4, 0.7])
    assert area_to_one(x, y, "none") == pytest.approx(0.1)
    assert area_to_one(x, y, "step") == pytest.approx(0.3)
    assert area_to_one(x, y, "linear") == pytest.approx(0.1 + 0.5 * (0.4 + 0.5) / 2)
    assert area_to_one(x[:2], y[:2], "linear") == pytest.approx(0.3)  # nothing follows


def test_a_rate_that_falls_back_keeps_the_best_threshold() -> None:
    x, y = np.array([0, 0.8, 0.4, 1.0]), np.array([0, 0.5, 0.6, 0.2])
    assert area_to_one(x, y, "step") == pytest.approx(0.4 * 0.3 + 0.6 * 0.6)


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        (torch.full((FRAMES, 2, 2), 1.5), "from 1.5 to 1.5"),
        (torch.full((FRAMES, 2, 2), torch.nan), "from nan to nan"),
        (torch.zeros(FRAMES, 4), r"shape \(12, 4\)"),
        (torch.zeros(FRAMES, HEIGHT + 1, 2), "8 x 2 cells for frames of 7 x 10"),
        (torch.zeros(5, 2, 2), "5 snippets do not fit 12 frames"),
    ],
)
def test_unfit_maps_are_refused(maps: torch.Tensor, message: str) -> None:
    metric = RegionMetrics(EACH)
    with pytest.raises(WSVADError, match=message):
        metric.update("a", maps, Truth())
    assert not metric.totals.any()


@pytest.mark.parametrize("box", [[2, 2, 2, 4, 0.5], [0, 0, 11, 4, 0.5], [0, 0, 4, 4, 1.5], [0, 0, 4, 4]])
def test_unfit_boxes_are_refused(box: list[float]) -> None:
    with pytest.raises(WSVADError, match="predicted"):
        RegionMetrics(EACH).update("a", [[box]] * FRAMES, Truth())


def test_unfit_settings_are_refused() -> None:
    for settings in ({"beta": 0.0}, {"overlap": 1.5}, {"continuation": "stop"}):
        with pytest.raises(WSVADError, match=f"{next(iter(settings))}='.*'"):
            RegionMetrics(EACH, **settings)


def test_videos_without_known_regions_are_left_out() -> None:
    metric = RegionMetrics(EACH)
    metric.update("a", torch.from_numpy(some_maps()), Truth())
    alone = metric.compute()
    metric.update("b", torch.zeros(3, 2, 2), None)
    with pytest.warns(UserWarning, match="leave out 1 abnormal videos"):
        assert metric.compute() == alone


def test_memory_grows_by_little_more_than_the_levels_of_a_video() -> None:
    metric = RegionMetrics(EACH)
    lists = ("videos", "sketches")
    before = {name: np.shape(state) for name, state in metric.metric_state.items() if name not in lists}
    for _ in range(3):
        metric.update("a", torch.from_numpy(some_maps()), Truth())
    assert {name: np.shape(metric.metric_state[name]) for name in before} == before
    assert [len(rows) for rows in metric.sketches] == [9, 9, 9]  # the maps have nine levels


def test_resamples_are_the_metrics_of_the_videos_that_were_drawn() -> None:
    videos = {name: np.roll(some_maps(), shift, axis=0) for shift, name in enumerate(("a", "b", "c", "d"))}
    truths: dict[str, VideoRegions] = {"a": Truth(), "b": Truth(), "c": BoxRegions((), FRAMES, HEIGHT, WIDTH)}
    metric = RegionMetrics(EACH)
    for name, maps in videos.items():
        metric.update(name, torch.from_numpy(maps), truths.get(name))
    pools, labels = metric.pools()
    order = sorted(truths, key=number_of)
    assert labels.tolist() == [int(name != "c") for name in order]
    weights = np.array([[1, 1, 1], [2, 0, 1], [0, 2, 3], [1, 3, 0]])
    found = measure(pools, weights.astype(float), metric.measures)
    for row, counts in enumerate(weights):
        drawn = RegionMetrics(EACH)
        for name, count in zip(order, counts, strict=True):
            for _ in range(count):
                drawn.update(name, torch.from_numpy(videos[name]), truths[name])
        expected = drawn.compute()
        assert {name: values[row] for name, values in found.items()} == pytest.approx(expected, abs=1e-12)
    assert metric.intervals() == {}  # a single video has no region


def test_few_levels_of_a_video_are_enough_for_its_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sketch, "KEPT", 256)
    metric, rng = RegionMetrics(SnippetGrid(1, 1)), np.random.default_rng(5)
    for i in range(6):
        truth = Truth() if i % 2 else BoxRegions((), FRAMES, HEIGHT, WIDTH)
        maps = rng.beta(0.2, 0.4, (FRAMES, HEIGHT, WIDTH))
        if i % 2:
            for span in Truth().spans():
                maps[span.start][span.masks.any(axis=0)] **= 0.5
        metric.update(f"v{i}", torch.from_numpy(maps), truth)
    pools, _ = metric.pools()
    assert all(len(rows) <= 256 for rows in metric.sketches)  # of 840 levels
    whole, values = measure(pools, np.ones((1, 6)), metric.measures), metric.compute()
    assert {name: value[0] for name, value in whole.items()} == pytest.approx(values, abs=5e-3)
    intervals = metric.intervals()
    assert intervals.keys() == values.keys()
    assert all(low <= values[name] <= high for name, (low, high) in intervals.items())
    assert {name for name, (low, high) in intervals.items() if low == high} == {"pixel_auc_40"}  # 0 in all
