"""The block ``region`` of a file of reference values: boxes, with what they detect, computed again."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from wsvad_lightning.metrics import average_precision, roc_auc
from wsvad_lightning.metrics.cells import TOP, render, to_levels
from wsvad_lightning.metrics.region import CONTINUATIONS, RegionMetrics
from wsvad_lightning.timeline import SnippetGrid
from wsvad_lightning.types import RegionSpan

SIZE = re.compile(r"frames of (\d+) x (\d+) pixels")
SETTING = re.compile(r"expected(?:_alpha_([\d.]+)_beta_([\d.]+))?")
THRESHOLD = re.compile(r"at_threshold_([\d.]+)")
SAME_ELSEWHERE = {
    "frame_roc_auc": "frame_roc_auc",
    "pixel_roc_auc": "pixel_level_40_percent_roc_auc_closed_at_1_1",
}
NAMES = {"step": "step", "linear": "linear", "none": "without_continuation"}


@dataclass(frozen=True)
class Clip:
    """The true boxes of a clip, as :class:`wsvad_lightning.types.VideoRegions`."""

    frames: Sequence[Mapping[str, Any]]
    height: int
    width: int

    @property
    def num_frames(self) -> int:
        """F."""
        return len(self.frames)

    def spans(self) -> Iterator[RegionSpan]:
        """Give the frames that hold boxes."""
        for index, frame in enumerate(self.frames):
            if boxes := frame["gt"]:
                masks = np.zeros((len(boxes), self.height, self.width), dtype=bool)
                for mask, (left, top, right, bottom) in zip(masks, boxes, strict=True):
                    mask[top:bottom, left:right] = True
                yield RegionSpan(index, index + 1, (frame["track"],) * len(boxes), masks)


def measured(block: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any], dict[str, Any]]]:
    """Give the table, the case, our values and those of the reference, for every case of the block."""
    about = block["about"] if isinstance(block["about"], str) else str(block)
    size = SIZE.search(about)
    assert size is not None, "the block says how large its frames are"
    width, height = int(size[1]), int(size[2])
    for table, entry in block.items():
        if not isinstance(entry, Mapping) or "clips" not in entry:
            continue
        clips = [Clip(clip["frames"], height, width) for clip in entry["clips"]]
        for case, expected in entry.items():
            if setting := SETTING.fullmatch(case):
                alpha, beta = (float(setting[i] or 0.1) for i in (1, 2))
                yield table, case, measure(clips, alpha, beta, expected), expected
            elif case == "py_ssvad_metrics":
                ours = measure(clips, 0.1, 0.1, {})
                same = {name: expected[name] for name in SAME_ELSEWHERE if name in expected}
                yield table, case, {name: ours[SAME_ELSEWHERE[name]] for name in same}, same
    if drawn := block.get("overlapping_boxes_render"):
        picture = render(drawn["boxes_xyxy_score"], height, width)
        values = [[y, x, picture[y, x]] for y, x, _ in drawn["pixel_yx_value"]]
        expected = {"pixel_yx_value": drawn["pixel_yx_value"]}
        yield "overlapping_boxes_render", "render", {"pixel_yx_value": values}, expected


def measure(clips: Sequence[Clip], alpha: float, beta: float, expected: Mapping[str, Any]) -> dict[str, Any]:
    """Compute every value of a case by the names of the reference."""
    metric = RegionMetrics(SnippetGrid(1, 1), alpha=alpha, beta=beta)
    for number, clip in enumerate(clips):
        metric.update(f"clip {number}", [frame["pred"] for frame in clip.frames], clip)
    frames = [frame for clip in clips for frame in clip.frames]
    scores = [max((box[4] for box in frame["pred"]), default=0.0) for frame in frames]
    labels = [int(bool(frame["gt"])) for frame in frames]
    totals, values = metric.totals.tolist(), metric.compute()
    (x, regions), (_, tracks) = metric.curve("region"), metric.curve("track")
    found = {
        "n_frames": totals[0],
        "n_gt_regions": totals[1],
        "n_tracks": totals[2],
        "n_predicted_regions": sum(len(frame["pred"]) for frame in frames),
        "n_thresholds": len({box[4] for frame in frames for box in frame["pred"]}),
        "curve_end": {
            "false_positive_regions_per_frame": x[-1],
            "region_detection_rate": regions[-1],
            "track_detection_rate": tracks[-1],
        },
        "frame_roc_auc": roc_auc(scores, labels),
        "frame_average_precision": average_precision(scores, labels),
        "pixel_level_40_percent_roc_auc_closed_at_1_1": values["pixel_auc_40"],
        "pixel_level_40_percent_end": end_of_hits(metric),
        "every_pixel_roc_auc": values["pixel_auc"],
        "every_pixel_average_precision": values["pixel_ap"],
        "every_pixel_n": [int(metric.pixels.sum()), int(metric.pixels[1].sum())],
    }
    for continuation in CONTINUATIONS:
        found[f"rbdc_{NAMES[continuation]}"] = metric.area("region", continuation)
        found[f"tbdc_{NAMES[continuation]}"] = metric.area("track", continuation)
    for key in expected:
        if threshold := THRESHOLD.fullmatch(key):
            point = TOP + 1 - int(to_levels(np.array([float(threshold[1])]))[0])
            rates = {"rbdr": regions[point], "tbdr": tracks[point]}
            found[key] = {"false_positive_regions_per_frame": x[point], **rates}
    return found


def end_of_hits(metric: RegionMetrics) -> list[float]:
    """Rates of false alarms and hits of frames at the lowest predicted score."""
    counts = metric.frames.numpy()
    rates = 1 - counts[:, 0] / counts.sum(axis=1)
    return [float(rates[0]), float(rates[1])]
