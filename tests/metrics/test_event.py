"""Event metrics against values computed by hand, and against the protocol written out frame by frame."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.metrics import EventMetrics, find_events
from wsvad_lightning.metrics.event import IOUS, detect, event_average_precision, match
from wsvad_lightning.timeline import Event, SnippetGrid
from wsvad_lightning.types import NORMAL

FloatArray = NDArray[np.float64]


def spans(*pairs: tuple[int, int]) -> NDArray[np.int64]:
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def test_detections_of_a_video_by_hand() -> None:
    # Above 1.0 - 0.6 x 1.0 = 0.4: frames 1, 3-4, 8-10; the first is too short. 16 // 16 = 1 frame gives the
    # score of the video.
    probabilities = np.zeros(16)
    probabilities[[1, 3, 4, 8, 9, 10, 12]] = [0.9, 0.5, 0.6, 0.5, 1.0, 0.5, 0.4]
    found, scores = detect(probabilities)
    assert found.tolist() == [[8, 11], [3, 5]]
    assert scores == pytest.approx([1.0 + 0.7, 0.6 + 0.7])


def test_detections_reach_the_end_and_flat_videos_have_none() -> None:
    assert detect(np.array([0.1, 0.2, 0.8, 0.9]))[0].tolist() == [[2, 4]]
    assert detect(np.full(40, 0.3))[0].shape == (0, 2)


def test_the_score_of_a_video_is_the_mean_of_its_largest_sixteenth() -> None:
    probabilities = np.zeros(32)
    probabilities[:3] = [0.6, 1.0, 0.8]
    assert detect(probabilities)[1] == pytest.approx([1.0 + 0.7 * 0.9])


def test_the_best_detection_takes_the_event_that_it_overlaps_most() -> None:
    events = spans((0, 10), (10, 30))
    # IoU with the events: 2/20 and 10/22 of the first, 0 and 18/20 of the second.
    hits = match(spans((8, 20), (10, 28)), events)
    assert hits[:, 0].tolist() == [True, False]  # the first reaches both, and takes the better
    assert hits[:, 3].tolist() == [True, False]
    assert hits[:, 4].tolist() == [False, True]  # 10/22 is no longer enough


def test_an_event_is_hit_once_and_a_threshold_is_reached_by_equality() -> None:
    hits = match(spans((0, 10), (0, 9), (100, 110)), spans((0, 20)))
    assert hits.tolist() == [[True] * 5, [False] * 5, [False] * 5]
    assert match(spans((0, 5)), spans()).tolist() == [[False] * 5]


def test_average_precision_by_hand_and_with_equal_scores() -> None:
    scores, hits = np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, False, True, False])
    for hits_first in (True, False):
        assert event_average_precision(scores, hits, 4, hits_first=hits_first) == (1 + 2 / 3) / 4
    equal = np.full(4, 0.5)
    assert event_average_precision(equal, hits, 2, hits_first=True) == 1.0
    assert event_average_precision(equal, hits, 2, hits_first=False) == 0.5
    assert event_average_precision(scores[:0], hits[:0], 2, hits_first=True) == 0.0


def probabilities(num_frames: int, **classes: tuple[float, int, int]) -> Tensor:
    """``[F, 3]`` for normal, fall and riot: a class is as probable as given in some frames, else 0.1."""
    values = torch.full((num_frames, 3), 0.1)
    for name, (value, start, end) in classes.items():
        values[start:end, (NORMAL, "fall", "riot").index(name)] = value
    return values


def metrics_of(*videos: tuple[Tensor, Sequence[Event]]) -> EventMetrics:
    metrics = EventMetrics(SnippetGrid(1, 1), ["fall", "riot"])
    for i, (values, events) in enumerate(videos):
        metrics.update(f"video {i}", values, len(values), events)
    return metrics


NORMAL_VIDEO = probabilities(20, normal=(0.9, 0, 19)), [Event(0, 20, NORMAL)]
FALL = probabilities(20, fall=(0.8, 4, 8), riot=(0.2, 0, 2)), [Event(4, 8, "fall")]
RIOT = probabilities(20, riot=(0.7, 5, 15)), [Event(0, 10, "riot")]  # IoU 5/15


def test_protocols_differ_in_the_classes_they_count() -> None:
    values = metrics_of(NORMAL_VIDEO, FALL, RIOT).compute()
    assert values["mAP@0.3"] == pytest.approx(1.0)
    assert values["mAP@0.4"] == pytest.approx(1 / 2)
    assert values["mAP"] == pytest.approx((3 * 1.0 + 2 * 0.5) / 5)
    assert values["vadclip_mAP@0.4"] == pytest.approx((1 + 1 + 0) / 3)
    assert values["vadclip_ucf_mAP@0.4"] == pytest.approx((0 + 1 + 0) / 3)


def test_a_class_that_is_never_detected_spoils_one_protocol_alone() -> None:
    missed = probabilities(20, fall=(0.3, 0, 2)), [Event(0, 10, "riot")]
    elsewhere = metrics_of(NORMAL_VIDEO, FALL, missed).compute()
    assert elsewhere["vadclip_mAP@0.1"] == pytest.approx((1 + 1 + 0) / 3)
    fall = probabilities(20, fall=(0.8, 4, 8)), FALL[1]
    never = metrics_of(NORMAL_VIDEO, fall, missed)
    values = never.compute()
    assert values["vadclip_mAP@0.1"] == values["vadclip_ucf_mAP@0.1"] == 0.0
    assert values["mAP@0.1"] == elsewhere["mAP@0.1"] == 0.5
    assert never.per_class()["riot"]["AP@0.1"] == 0.0


def test_a_class_without_events_is_left_out_of_the_repaired_mean() -> None:
    metrics = metrics_of(NORMAL_VIDEO, FALL)
    assert metrics.compute()["mAP"] == 1.0
    assert metrics.per_class() == {"fall": {f"AP@{iou}": 1.0 for iou in IOUS}}


def test_repeated_events_count_once_in_the_repaired_mean() -> None:
    twice = metrics_of(NORMAL_VIDEO, (FALL[0], [*FALL[1], *FALL[1]]), RIOT).compute()
    once = metrics_of(NORMAL_VIDEO, FALL, RIOT).compute()
    assert twice["mAP"] == once["mAP"]
    assert twice["vadclip_mAP@0.1"] == pytest.approx((1 + 1 / 2 + 1) / 3)


def test_alarms_in_normal_videos_cost_precision() -> None:
    alarm = probabilities(20, fall=(0.9, 0, 5)), [Event(0, 20, NORMAL)]
    assert metrics_of(alarm, FALL, RIOT).per_class()["fall"]["AP@0.1"] == 0.5


def test_without_any_event_there_is_no_number() -> None:
    with pytest.warns(UserWarning, match="mAP is NaN: there is no event"):
        values = metrics_of(NORMAL_VIDEO).compute()
    assert np.isnan(values["mAP"])
    assert np.isnan(values["mAP@0.1"])


def test_unknown_events_are_not_measured_in_part() -> None:
    metrics = metrics_of(NORMAL_VIDEO, FALL)
    metrics.update("street", RIOT[0], 20, None)
    assert metrics.compute() == {}
    assert metrics.per_class() == {}


@pytest.mark.parametrize(
    ("values", "events", "message"),
    [
        (RIOT[0], [Event(0, 4, "flood")], "'street': is annotated as flood, and the model knows fall, riot"),
        (RIOT[0] * torch.nan, [], "'street': it has NaN or infinite probabilities"),
        (RIOT[0][:5], [], "'street': 5 snippets do not fit 20 frames"),
    ],
)
def test_a_video_that_does_not_fit_is_named(values: Tensor, events: list[Event], message: str) -> None:
    with pytest.raises(WSVADError, match=message):
        metrics_of().update("street", values, 20, events)


def test_snippets_are_spread_over_frames() -> None:
    metrics = EventMetrics(SnippetGrid(4, 4), ["fall"])
    metrics.update("a", torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.9, 0.1]]), 11, [Event(4, 8, "fall")])
    assert metrics.compute()["mAP@0.5"] == 1.0


def test_events_are_named_by_what_is_most_probable_in_them() -> None:
    values = np.array(
        [
            [0.9, 0.1, 0.0],
            [0.4, 0.5, 0.1],
            [0.2, 0.1, 0.7],
            [0.1, 0.2, 0.7],
            [0.5, 0.3, 0.2],  # as likely normal as not
            [0.4, 0.6, 0.0],  # too short
            [0.6, 0.4, 0.0],
            [0.3, 0.4, 0.3],
            [0.3, 0.5, 0.2],
        ]
    )
    first, second = find_events(values, ["fall", "riot"])
    assert (*first[:3], *second[:3]) == (1, 4, "riot", 7, 9, "fall")
    assert (first.score, second.score) == pytest.approx(((0.1 + 0.7 + 0.7) / 3, 0.45))


@pytest.mark.parametrize("seed", range(4))
def test_the_protocol_written_out_gives_the_same(seed: int) -> None:
    """Noise of which no two values are equal, with overlapping and repeated events of several classes."""
    rng = np.random.default_rng(seed)
    names = (NORMAL, "fall", "riot")
    videos = []
    for _ in range(12):
        values = rng.random((int(rng.integers(2, 12)), 3), dtype=np.float32)
        cuts = rng.integers(0, 16 * len(values), (4, 2))
        events = [Event(min(pair), max(pair) + 1, names[c % 3]) for c, pair in enumerate(cuts.tolist())]
        videos.append((values, [*events, events[1]]))
    metrics = EventMetrics(SnippetGrid(16, 16), names[1:])
    for values, events in videos:
        metrics.update("v", torch.from_numpy(values), 16 * len(values), events)
    measured = metrics.compute()
    for iou in IOUS:
        written_out = [slow_average_precision(videos, column, name, iou) for column, name in enumerate(names)]
        assert measured[f"vadclip_mAP@{iou}"] == pytest.approx(np.mean(written_out), abs=1e-12)
        assert measured[f"vadclip_ucf_mAP@{iou}"] == pytest.approx(sum(written_out[1:]) / 3, abs=1e-12)
    assert measured["vadclip_mAP@0.1"] > measured["vadclip_mAP@0.5"] > 0


def slow_average_precision(
    videos: list[tuple[NDArray[np.float32], list[Event]]], column: int, name: str, threshold: float
) -> float:
    detections = []
    free = []
    for number, (values, events) in enumerate(videos):
        frames = np.repeat(values[:, column].astype(np.float64), 16)
        free += [(number, set(range(event.start, event.end))) for event in events if event.name == name]
        limit = frames.max() - 0.6 * (frames.max() - frames.min())
        whole = 0.7 * np.sort(frames)[::-1][: len(frames) // 16].mean()
        run: list[int] = []
        for t in range(len(frames) + 1):
            if t < len(frames) and frames[t] > limit:
                run.append(t)
            elif len(run) >= 2:
                detections.append((frames[run].max() + whole, number, set(run)))
                run = []
    num_events, hits, total = len(free), 0, 0.0
    for rank, (_, number, own) in enumerate(sorted(detections, key=lambda found: -found[0]), start=1):
        overlaps = [len(own & event) / len(own | event) if video == number else 0 for video, event in free]
        if overlaps and max(overlaps) >= threshold:
            del free[overlaps.index(max(overlaps))]
            hits += 1
            total += hits / rank
    return total / num_events
