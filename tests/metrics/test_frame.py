"""Metrics of videos against values computed by hand, and on two ranks."""

import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from tests.metrics import ranks
from tests.processes import SERVER
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.metrics import (
    FrameMetrics,
)
from wsvad_lightning.timeline import SnippetGrid


def intervals(num_frames: int, *pairs: tuple[int, int]) -> Tensor:
    labels = torch.zeros(num_frames, dtype=torch.uint8)
    for start, end in pairs:
        labels[start:end] = 1
    return labels


def small_metrics() -> FrameMetrics:
    """Two snippets of two frames a video: two abnormal videos of two classes, two normal ones."""
    metrics = FrameMetrics(SnippetGrid(2, 2), ["fall", "fight", "riot"])
    metrics.update("a", torch.tensor([0.9, 0.2]), 1, 4, intervals(4, (0, 2)), ["fall"])
    metrics.update("b", torch.tensor([0.4, 0.3]), 1, 4, intervals(4, (1, 2)), ["fight"])
    metrics.update("c", torch.tensor([0.1, 0.6]), 0, 4, intervals(4))
    metrics.update("d", torch.tensor([0.0, 0.1]), 0, 4)
    return metrics


def test_frame_metrics_of_a_small_set() -> None:
    # Frames by score: 0.9 aa, 0.6 nn, 0.4 na, 0.3 nn, 0.2 nn, 0.1 nnnn, 0.0 nn.
    assert small_metrics().compute() == pytest.approx(
        {
            "auc": (2 * 13 + 1 * (10 + 0.5)) / (3 * 13),
            "pr_auc": 2 / 3 + (1 / 2 + 3 / 6) / 2 / 3,
            "ap": 2 / 3 + (3 / 6) / 3,
            "auc_abnormal": (2 * 5 + 1 * 4.5) / (3 * 5),
            "ap_abnormal": 2 / 3 + (3 / 4) / 3,
            "eer": (2 + 7 / 16) / 13,  # from 2/13 false and 13/39 missed to 3/13 and none
            "far": 2 / 13,
            "far_abnormal": 0.0,
            "far_normal": 2 / 8,
            "video_auc": 3 / 4,
            "video_acc": 2 / 4,
        },
        abs=1e-12,
    )


def test_per_class_metrics_of_the_classes_that_have_videos() -> None:
    measured = small_metrics().per_class()
    assert list(measured) == ["fall", "fight"]
    assert set(measured["fall"].values()) == {1.0}
    # With the normal frames: 0.6 nn, 0.4 na, 0.3 nn, and below.
    assert measured["fight"] == pytest.approx(
        {"auc": 2.5 / 3, "ap": 1 / 2, "auc_with_normal": 8.5 / 11, "ap_with_normal": 1 / 4}
    )


def test_a_video_of_several_classes_counts_for_each() -> None:
    metrics = small_metrics()
    before = metrics.per_class()
    metrics.update("e", torch.tensor([0.2, 0.8]), 1, 4, intervals(4, (0, 2)), ["riot", "fight"])
    after = metrics.per_class()
    assert list(after) == ["fall", "fight", "riot"]
    assert after["fall"] == before["fall"]
    assert after["riot"]["auc"] == 0.0
    assert after["fight"]["auc"] == pytest.approx((0 + 0 + 2.5 + 0) / (3 * 5))


def test_snippets_are_expanded_to_the_frames_of_the_video() -> None:
    metrics = FrameMetrics(SnippetGrid(4, 2))
    metrics.update("a", torch.tensor([0.0, 1.0]), 1, 7, intervals(7, (3, 7)))
    # Frame scores 0, 0, 1/2, 1/2, 1, 1, 1: one normal frame ties with one anomalous one.
    with pytest.warns(UserWarning, match="far_normal|video_auc"):
        assert metrics.compute()["auc"] == pytest.approx((3 * 3 + 2.5) / (4 * 3))


def test_low_precision_scores_are_measured_as_they_are() -> None:
    exact, rounded = FrameMetrics(SnippetGrid(1, 1)), FrameMetrics(SnippetGrid(1, 1))
    scores = torch.linspace(0.4, 0.6, 50)
    for video, label in (("a", 1), ("b", 0)):
        labels = intervals(50, (25, 50)) if label else None
        exact.update(video, scores.bfloat16().float(), label, 50, labels)
        rounded.update(video, scores.bfloat16(), label, 50, labels)
    assert exact.compute() == rounded.compute()


def test_order_does_not_matter_and_reset_starts_anew() -> None:
    rng = np.random.default_rng(0)
    videos = [(f"v{i}", torch.from_numpy(rng.random(9)), i % 2, intervals(9, (i % 4, 6))) for i in range(8)]
    metrics, values = FrameMetrics(SnippetGrid(1, 1)), []
    for order in (videos, videos[::-1]):
        metrics.reset()
        for video, scores, label, labels in order:
            metrics.update(video, scores, label, 9, labels if label else None)
        values.append(metrics.compute())
    assert values[0] == values[1]


def test_an_abnormal_video_without_a_normal_frame_says_where_none_is() -> None:
    metrics = FrameMetrics(SnippetGrid(2, 2))
    metrics.update("a", torch.tensor([0.9, 0.2]), 1, 4, torch.ones(4))
    metrics.update("b", torch.tensor([0.4, 0.2]), 0, 4)
    reason = "ap_abnormal, far_abnormal are NaN: there is no normal sample inside abnormal videos$"
    with pytest.warns(UserWarning, match=f"^auc_abnormal, {reason}") as caught:
        metrics.compute()
    assert len(caught) == 1


def test_unknown_frame_labels_leave_the_video_level() -> None:
    metrics = FrameMetrics(SnippetGrid(2, 2), ["fall"])
    metrics.update("a", torch.tensor([0.9, 0.2]), 1, 4, None, ["fall"])
    metrics.update("b", torch.tensor([0.4, 0.2]), 0, 4)
    assert metrics.compute() == {"video_auc": 1.0, "video_acc": 1.0}
    assert metrics.per_class() == {}


def test_partly_unknown_frame_labels_are_not_measured_in_part() -> None:
    metrics = small_metrics()
    metrics.update("e", torch.tensor([0.9, 0.2]), 1, 4, None, ["fall"])
    with pytest.warns(UserWarning, match="1 of 3 abnormal videos have no frame labels"):
        assert set(metrics.compute()) == {"video_auc", "video_acc"}


def test_normal_videos_alone_give_false_alarms_and_named_nans() -> None:
    metrics = FrameMetrics(SnippetGrid(2, 2))
    metrics.update("a", torch.tensor([0.9, 0.2]), 0, 4)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        values = metrics.compute()
    assert (values["far"], values["far_normal"], values["video_acc"]) == (0.5, 0.5, 0.0)
    undefined = {name for name, value in values.items() if np.isnan(value)}
    inside = {"auc_abnormal", "ap_abnormal", "far_abnormal"}
    assert undefined == {"auc", "pr_auc", "ap", "eer", "video_auc"} | inside
    named = [str(warning.message).partition(": ") for warning in caught]
    assert [names for names, _, _ in named] == [
        "auc, pr_auc, ap, eer, video_auc are NaN",
        "auc_abnormal, ap_abnormal, far_abnormal are NaN",
    ]
    assert [why for _, _, why in named] == [
        "there is no anomalous sample",
        "there is no video with an anomalous frame",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"snippet_scores": torch.tensor([0.5, torch.nan])}, "'door': it has NaN or infinite scores"),
        ({"snippet_scores": torch.tensor([torch.inf, 0.0])}, "'door': it has NaN or infinite scores"),
        ({"snippet_scores": torch.zeros(3)}, "'door': 3 snippets do not fit 4 frames"),
        ({"snippet_scores": torch.zeros(0)}, "'door': 0 snippets do not fit 4 frames"),
        ({"frame_labels": intervals(5)}, "'door': 5 frame labels for a video of 4 frames"),
        ({"frame_labels": 255 * intervals(4, (0, 1))}, "'door': .* up to 255"),
        ({"label": 0}, "'door': a video labelled 0 has frame labels up to 1"),
    ],
)
def test_a_video_that_does_not_fit_is_named(arguments: dict[str, Any], message: str) -> None:
    metrics = FrameMetrics(SnippetGrid(2, 2))
    good: dict[str, Any] = {
        "snippet_scores": torch.zeros(2),
        "label": 1,
        "frame_labels": intervals(4, (0, 1)),
    }
    with pytest.raises(WSVADError, match=message):
        metrics.update(video_id="door", num_frames=4, **(good | arguments))


def test_a_video_counts_once() -> None:
    metrics = small_metrics()
    metrics.update("a", torch.tensor([0.1, 0.2]), 0, 4)
    with pytest.raises(WSVADError, match="'a': scored more than once"):
        metrics.compute()


def test_no_video_at_all_is_an_error() -> None:
    metrics = FrameMetrics(SnippetGrid(2, 2))
    with (
        pytest.warns(UserWarning, match="before the ``update`` method"),
        pytest.raises(WSVADError, match="no video"),
    ):
        metrics.compute()


def test_metrics_live_in_a_module_without_touching_its_checkpoint() -> None:
    metrics, module = FrameMetrics(SnippetGrid(1, 1)), LightningModule()
    module.metrics = metrics
    module.to(torch.bfloat16)
    for video, label, score in (("a", 1, 0.5001), ("b", 0, 0.5)):  # one and the same number in bf16
        metrics.update(video, torch.tensor([score]), label, 1)
    assert metrics.compute()["video_auc"] == 1.0
    assert module.state_dict() == {}


def test_two_ranks_agree_with_one(tmp_path: Path) -> None:
    expected = ranks.measure(ranks.some_videos())
    with ProcessPoolExecutor(2, mp_context=SERVER) as pool:
        for measured in pool.map(ranks.run_rank, range(2), 2 * [str(tmp_path / "rendezvous")]):
            assert measured == [expected] * 3
