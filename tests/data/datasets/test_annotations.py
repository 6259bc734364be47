from typing import Any

import numpy as np
import pytest

from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.errors import WSVADError


def test_events_of_unknown_frames_or_classes_are_unknown() -> None:
    assert VideoAnnotation("x", 1, ("fall",)).events is None
    assert VideoAnnotation("x", 1, intervals=((1, 3),)).events is None
    assert VideoAnnotation("x", 0).events == ()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"label": 2}, "the label is 2"),
        ({"label": 0, "intervals": ((0, 1),)}, "a normal video has anomalous intervals"),
        ({"label": -1, "intervals": ()}, "intervals or classes are given, and no label"),
        ({"label": -1, "classes": ("fight",)}, "intervals or classes are given, and no label"),
        ({"label": 1, "intervals": ((-3, 1),)}, "-3-1 is empty or reversed"),
        ({"label": 1, "num_frames": 8, "intervals": ((0, 9),)}, "0-9 passes the end"),
        (
            {"label": 1, "classes": ("a",), "intervals": ((0, 9),), "interval_classes": ("b",)},
            "interval is 'b', the",
        ),
        ({"label": 1, "classes": ("a", "b"), "interval_classes": ("b",)}, "1 classes of 0 intervals"),
    ],
)
def test_a_contradiction_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(WSVADError, match=f"video='x': .*{message}"):
        VideoAnnotation("x", **fields)


def test_frame_labels() -> None:
    annotation = VideoAnnotation("x", 1, num_frames=8, intervals=((1, 3), (2, 4), (7, 8)))
    labels = annotation.frame_labels(8)
    assert labels.dtype == np.uint8
    assert labels.tolist() == [0, 1, 1, 1, 0, 0, 0, 1]
    assert VideoAnnotation("x", 0).frame_labels(3).tolist() == [0, 0, 0]
    assert VideoAnnotation("x", 1, intervals=()).frame_labels(2).tolist() == [0, 0]


def test_frame_labels_that_are_unknown_or_do_not_fit_are_refused() -> None:
    with pytest.raises(WSVADError, match="the anomalous frames are unknown"):
        VideoAnnotation("x", 1).frame_labels(8)
    with pytest.raises(WSVADError, match="3-9 passes the end of the video at frame 8"):
        VideoAnnotation("x", 1, intervals=((3, 9),)).frame_labels(8)
    with pytest.raises(WSVADError, match="9 frames are annotated and the video has 10"):
        VideoAnnotation("x", 1, num_frames=9, intervals=((3, 9),)).frame_labels(10)
