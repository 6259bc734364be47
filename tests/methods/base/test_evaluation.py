import warnings
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from tests.parity.batches import evaluation_batch
from wsvad_lightning.methods.base.evaluation import Evaluation, annotated_events
from wsvad_lightning.timeline import Event, SnippetGrid
from wsvad_lightning.types import NORMAL, Prediction, RegionSpan, StoreInfo, WSVADBatch

INFO = StoreInfo("s.h5", "clip", 4, classes=("fall", "fight"), grid=SnippetGrid(2, 2))
CLASSES = ("fight", "fall")  # of the method, in another order


def video(name: str, truth: list[int], events: tuple[Event, ...]) -> WSVADBatch:
    """A video whose class, if it is abnormal, is fight."""
    label, frames = float(any(truth)), torch.tensor(truth, dtype=torch.uint8)
    return evaluation_batch(torch.zeros(len(truth) // 2, 4))._replace(
        video_ids=[name],
        labels=torch.tensor([label]),
        num_frames=torch.tensor([len(truth)]),
        frame_labels=[frames],
        events=[events],
        class_targets=torch.tensor([[1 - label, 0.0, label]]),
    )


def prediction(name: str, scores: list[float]) -> Prediction:
    """Scores that are all of the class fight."""
    values = torch.tensor(scores)
    return Prediction(name, values, 2 * len(scores), torch.stack([1 - values, values, 0 * values], dim=-1))


def fill(evaluation: Evaluation) -> Evaluation:
    evaluation.update(
        video("a", [0, 0, 1, 1, 1, 1, 0, 0], (Event(2, 6, "fight"),)), [prediction("a", [0.1, 0.9, 0.9, 0.1])]
    )
    evaluation.update(video("n", [0] * 8, ()), [prediction("n", [0.1, 0.2, 0.1, 0.1])])
    return evaluation


def test_frames_are_always_measured_and_events_where_classes_are_predicted() -> None:
    with_classes, without = fill(Evaluation(INFO, CLASSES)), fill(Evaluation(INFO))
    assert with_classes.results()["auc"] == 1
    assert with_classes.results()["mAP@0.5"] == 1
    frames = without.results()
    assert not any("mAP" in name for name in frames)
    assert frames == {name: with_classes.results()[name] for name in frames}


def test_what_is_undefined_has_its_reason_whenever_results_are_asked_for() -> None:
    evaluation = Evaluation(INFO, CLASSES)
    evaluation.update(video("n", [0] * 8, ()), [prediction("n", [0.1, 0.2, 0.1, 0.1])])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = evaluation.results()
    evaluation.results()
    assert evaluation.undefined.keys() == {name for name, value in results.items() if np.isnan(value)}
    assert evaluation.undefined["auc_abnormal"] == "there is no video with an anomalous frame"
    assert evaluation.undefined["mAP@0.5"] == "there is no event of an anomaly class"
    assert evaluation.intervals() == ({}, {})
    filled = fill(Evaluation(INFO, CLASSES))
    filled.results()
    assert filled.undefined == {}


def test_classes_of_the_store_are_measured_each() -> None:
    per_class = fill(Evaluation(INFO, CLASSES)).per_class()
    assert list(per_class) == ["fight"]
    assert per_class["fight"]["auc"] == 1
    assert any(name.startswith("ap@") or "AP" in name for name in per_class["fight"]), per_class
    assert list(fill(Evaluation(INFO)).per_class()) == ["fight"]


def test_events_are_as_annotated_and_a_normal_video_is_one() -> None:
    events = (Event(2, 6, "fight"),)
    abnormal = video("a", [0, 0, 1, 1, 1, 1, 0, 0], events)
    assert annotated_events(abnormal, 0) == list(events)
    assert annotated_events(abnormal._replace(events=[None]), 0) is None
    assert annotated_events(video("n", [0] * 8, ()), 0) == [Event(0, 8, NORMAL)]


def test_a_class_without_probabilities_is_a_mistake_of_the_method() -> None:
    batch = video("a", [0, 1], (Event(1, 2, "fight"),))
    with pytest.raises(AssertionError, match="probabilities"):
        Evaluation(INFO, CLASSES).update(batch, [prediction("a", [0.5])._replace(class_scores=None)])


def test_regions_are_measured_where_both_maps_and_regions_are_known() -> None:
    evaluation = Evaluation(INFO, locates=True)
    assert "rbdc" not in fill(evaluation).results()
    mask = np.zeros((8, 4, 4), dtype=bool)
    mask[2:6, :2, :2] = True
    maps = torch.zeros(4, 2, 2)
    maps[1:3, 0, 0] = 0.9

    class Regions:
        num_frames, height, width = 8, 4, 4

        def spans(self) -> Iterator[RegionSpan]:
            yield RegionSpan(2, 6, (0,), mask[2:3])

    located = Evaluation(INFO, locates=True)
    batch = video("a", [0, 0, 1, 1, 1, 1, 0, 0], ())._replace(regions=[Regions()])
    located.update(batch, [prediction("a", [0.1, 0.9, 0.9, 0.1])._replace(maps=maps)])
    located.update(video("n", [0] * 8, ()), [prediction("n", [0.1, 0.2, 0.1, 0.1])])
    results = located.results()
    assert (results["rbdc"], results["tbdc"], results["pixel_ap"]) == (1, 1, 1)
