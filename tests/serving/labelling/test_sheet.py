"""The table that a person fills: nothing of it gets lost, and nothing odd gets in."""

from pathlib import Path
from typing import Any

import pytest

from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.data.datasets.footage import SourceVideo
from wsvad_lightning.data.datasets.table import read_annotations
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.serving.labelling.sheet import Sheet

SHOWN = ("gate", "yard")


def sheet(path: Path) -> Sheet:
    return Sheet(path, [SourceVideo(Path(f"{name}.mp4"), VideoAnnotation(name, -1), name) for name in SHOWN])


def said(**changed: Any) -> dict[str, Any]:
    nothing: dict[str, Any] = {
        "label": "unknown",
        "classes": [],
        "intervals": [],
        "glances": [],
        "split": None,
        "num_frames": 50,
    }
    return nothing | changed


def test_each_change_is_in_the_table_and_is_gone_on_with(tmp_path: Path) -> None:
    table = tmp_path / "videos.csv"
    first = sheet(table)
    first.change(0, said(label="normal", split="train"))
    spans = [[30, 40, None], [5, 9, "fall"]]
    shown = first.change(
        1, said(label="abnormal", classes=["fall", "riot"], intervals=spans, glances=[33, 7])
    )
    assert shown["intervals"] == [[5, 9, "fall"], [30, 40, None]]
    known = read_annotations(table)
    assert known["gate"].intervals == ()
    assert known["gate"].split == "train"
    assert known["yard"].interval_classes == ("fall", None)
    assert (known["yard"].classes, known["yard"].num_frames) == (("fall", "riot"), 50)
    assert known["yard"].glances == (7, 33)
    again = sheet(table)
    assert again.rows() == first.rows()
    again.change(0, said())
    assert list(read_annotations(table)) == ["yard"]


def test_rows_of_other_videos_stay(tmp_path: Path) -> None:
    table = tmp_path / "videos.csv"
    table.write_text("video,label,intervals\nother,abnormal,3-9\nyard.mp4,normal,\n")
    opened = sheet(table)
    assert [row["label"] for row in opened.rows()] == ["unknown", "normal"]
    opened.change(0, said(label="abnormal"))
    known = read_annotations(table)
    assert set(known) == {"other", "yard", "gate"}
    assert known["other"].intervals == ((3, 9),)
    assert known["gate"].intervals is None  # only its label is known


def test_a_label_before_the_frames_are_counted_keeps_the_count_of_the_table(tmp_path: Path) -> None:
    table = tmp_path / "videos.csv"
    table.write_text("video,label,num_frames,intervals\nyard,abnormal,90,40-60\n")
    opened = sheet(table)
    opened.change(0, said(label="normal", num_frames=None))
    opened.change(1, said(label="abnormal", num_frames=None, intervals=[[40, 60, None]], split="test"))
    known = read_annotations(table)
    assert (known["gate"].num_frames, known["yard"].num_frames) == (None, 90)


def test_a_table_that_would_lose_a_column_is_refused(tmp_path: Path) -> None:
    table = tmp_path / "videos.csv"
    table.write_text("video,label,weather\ngate,normal,rain\n")
    with pytest.raises(WSVADError, match="columns that would be lost: weather"):
        sheet(table)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"label": "normal"}, "must have label, classes"),
        (said(label="odd"), "is not a label"),
        (said(label=1), "is of another type"),
        (said(label="abnormal", intervals=[[1, 2]]), "must be start, end, class"),
        (said(label="abnormal", intervals=[["1", 2, None]]), "must be start, end, class"),
        (said(label="abnormal", intervals=[[40, 60, None]]), "passes the end of the video"),
        (said(label="abnormal", intervals=[[9, 5, None]]), "9"),
        (said(label="abnormal", glances=[50]), "behind the end of the video"),
        (said(label="normal", intervals=[[1, 2, None]]), "a normal video has anomalous intervals"),
        (said(label="abnormal", classes=["a;b"]), "a;b"),
        (said(label="normal", split="elsewhere"), "elsewhere"),
        ("text", "must have label"),
    ],
)
def test_what_contradicts_itself_changes_nothing(given: Any, problem: str, tmp_path: Path) -> None:
    opened = sheet(tmp_path / "videos.csv")
    opened.change(0, said(label="normal"))
    before = (tmp_path / "videos.csv").read_text()
    with pytest.raises(WSVADError) as refused:
        opened.change(1, given)
    assert problem in str(refused.value)
    assert (tmp_path / "videos.csv").read_text() == before
    assert opened.rows()[1]["label"] == "unknown"
