"""VadCLIP's mAP of events: ground truth in the manifest, predictions by the recipe in its notes."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from tests.parity.case import Manifest, PlainCase, Tensors
from tests.parity.compare import Outputs
from tests.parity.fill import fill
from wsvad_lightning.metrics.event import IOUS, EventMetrics
from wsvad_lightning.timeline import Event, SnippetGrid
from wsvad_lightning.types import NORMAL

ABNORMAL = {"ucf": 140, 14: 140, "xd": 500, 7: 500}  # test videos, which come first; by name or classes
NORMAL_LABEL = "A"
SNIPPET = 16

Labelled = list[tuple[int, int, str]]  # segments of a video


def measure(manifest: Manifest, weights: Tensors, inputs: Tensors) -> Outputs:
    """Compute every output."""
    dataset, classes = manifest["config"]["dataset"], manifest["config"]["classes"]
    videos = list(read_segments(manifest))
    probabilities = [predict(dataset, i, segments, classes) for i, segments in enumerate(videos)]
    found = {
        "eval/lengths": np.array([len(values) for values in probabilities]),
        "eval/prediction_checksum": np.concatenate(
            [values[:, [0, -1]].sum(axis=0, dtype=np.float64) for values in probabilities[::10]]
        ),
    }
    num_predicted = {"": len(videos)}
    if "eval/map_exclude_normal" in manifest["outputs"]:
        num_predicted["_exclude_normal"] = num_abnormal(dataset, len(classes))
    for suffix, number in num_predicted.items():
        metrics = collect(videos, probabilities, classes, number)
        values = metrics.compute()
        found[f"eval/map{suffix}"] = np.array([100 * values[f"vadclip_mAP@{iou}"] for iou in IOUS])
        found[f"eval/map_average{suffix}"] = np.array(100 * values["vadclip_mAP"])
        found[f"eval/ap_per_class{suffix}"] = metrics.average_precisions()[0]
    return found


def num_abnormal(dataset: str, num_classes: int) -> int:
    """Give how many videos the authors keep where they leave out normal ones."""
    for known in (dataset, num_classes):
        if known in ABNORMAL:
            return ABNORMAL[known]
    raise ValueError(f"{dataset} with {num_classes} classes: how many test videos are abnormal is not known")


def read_segments(manifest: Manifest) -> Iterator[Labelled]:
    """Give the labelled segments of each video."""
    truth = manifest["ground_truth"]
    for segments, labels in zip(truth["segments"], truth["labels"], strict=True):
        yield [(int(start), int(end), label) for (start, end), label in zip(segments, labels, strict=True)]


def predict(dataset: str, i: int, segments: Labelled, classes: list[str]) -> NDArray[np.float32]:
    """Make the probabilities of the snippets of video ``i``: ``[T, C]``."""
    last = max((end for _, end, _ in segments), default=0)  # segments overlap, the last may not end last
    normal = {label for _, _, label in segments} == {NORMAL_LABEL}
    num_snippets = last // SNIPPET if normal else -(-last // SNIPPET) + 8 + i % 11
    name = f"vadclip_detection_map/{dataset}/video_{i}"
    filled = fill(name, (-(-num_snippets // 6), len(classes)), "normal").astype(np.float64)
    logits = np.repeat(filled, 6, axis=0)[:num_snippets]
    middles = SNIPPET * np.arange(num_snippets) + SNIPPET // 2
    for start, end, label in segments if i % 7 != 3 else []:
        shift = (i % 5 - 2) * (end - start) // 8
        inside = (start + shift <= middles) & (middles < end + shift)
        logits[inside, classes.index(label) if label in classes else 0] += 3.0
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    softmax: NDArray[np.float64] = exponentials / exponentials.sum(axis=1, keepdims=True)
    return softmax.astype(np.float32)


def collect(
    videos: list[Labelled], probabilities: list[NDArray[np.float32]], classes: list[str], num_predicted: int
) -> EventMetrics:
    """Give the videos to the metric; those that are not predicted have no detections, as flat ones have."""
    names = dict(zip(classes, [NORMAL, *classes[1:]], strict=True))
    metrics = EventMetrics(SnippetGrid(SNIPPET, SNIPPET), classes[1:])
    for i, (segments, values) in enumerate(zip(videos, probabilities, strict=True)):
        scores = torch.from_numpy(values if i < num_predicted else np.zeros_like(values))
        events = [Event(start, end, names[label]) for start, end, label in segments if label in names]
        metrics.update(f"video {i}", scores, SNIPPET * len(values), events)
    return metrics


CASE = PlainCase(outputs=measure, required=("/map", "/map_average", "/ap_per_class"))
