import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wsvad_lightning.cli import main
from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.data.datasets.command import annotations
from wsvad_lightning.data.datasets.splits import read_split
from wsvad_lightning.data.datasets.table import read_annotations
from wsvad_lightning.errors import WSVADError

LINES = ("Abuse028_x264.mp4 20 Abuse 5 25 -1 -1", "Normal_Videos_003_x264.mp4 33 Normal -1 -1 -1 -1")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "ucf").mkdir()
    (tmp_path / "ucf" / "UCF_Annotation.txt").write_text("\n".join(LINES))
    (tmp_path / "ucf" / "Anomaly_Train.txt").write_text("Arson/Arson001_x264.mp4\n")
    (tmp_path / "ucf" / "notes.md").write_text("")
    return tmp_path / "ucf"


def test_the_table_reads_back_and_the_summary_tells_all(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    table, vectors = folder / "table.csv", folder / "gt.npz"
    annotations(
        [str(folder)], from_="ucf_crime", output=str(table), gt_rule="official:rtfm", gt_vectors=str(vectors)
    )
    assert read_annotations(table) == {
        "Abuse028_x264": VideoAnnotation("Abuse028_x264", 1, ("Abuse",), 20, ((5, 20),), "test"),
        "Arson001_x264": VideoAnnotation("Arson001_x264", 1, ("Arson",), split="train"),
        "Normal_Videos_003_x264": VideoAnnotation("Normal_Videos_003_x264", 0, (), 33, (), "test"),
    }
    with np.load(vectors) as arrays:
        labels = {name: arrays[name].tolist() for name in arrays}
    assert labels == {"Abuse028_x264": [0] * 5 + [1] * 16 + [0] * 11, "Normal_Videos_003_x264": [0] * 48}
    shown = " ".join(capsys.readouterr().out.split())
    for reported in ("│ test │ 1 │ 1 │ 1 │ 0 │ 0 │ 2 │ 53", "Arson │ 1 │ 0", "5-25 of 20", "notes.md"):
        assert reported in shown


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gt_rule": "rtfm"}, "no such rule"),
        ({"from_": "msad"}, "no file of this benchmark"),
        ({"sources": ["Anomaly_Train.txt"]}, "no file names a test video"),
    ],
)
def test_mistakes_write_nothing(folder: Path, changes: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {
        "sources": ["."],
        "from_": "ucf_crime",
        "output": "table.csv",
        "gt_vectors": "gt.npz",
        **changes,
    }
    sources = [str(folder / name) for name in given["sources"]]
    paths = {name: str(folder / given[name]) for name in ("output", "gt_vectors") if given[name]}
    with pytest.raises(WSVADError, match=message):
        annotations(**{**given, **paths, "sources": sources})
    assert not list(folder.glob("*.csv"))
    assert not list(folder.glob("*.npz"))


def test_unknown_frame_counts_cannot_be_labelled(tmp_path: Path) -> None:
    source = tmp_path / "annotations.txt"
    source.write_text("v=x__#1_label_B4-0-0 3 9\n")
    with pytest.raises(WSVADError, match="frame count is unknown.*data.gt_rule"):
        annotations(
            [str(source)],
            from_="xd_violence",
            output=str(tmp_path / "t.csv"),
            gt_vectors=str(tmp_path / "g.npz"),
        )


def test_boxes_of_unknown_frames_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corners = [[0, 0], [4, 0], [4, 3], [0, 3]]
    box = {"start_frame": 3, "end_frame": 8, "keyframes": {"3": corners, "8": corners}}
    videos = ("Fire_2.mp4", "Abuse028_x264.mp4")  # of MSAD, with frames of many sizes, and of UCF-Crime
    events = [
        {"file_name": video, "start_frame": 3, "end_frame": 8, "bounding_boxes": [box]} for video in videos
    ]
    (tmp_path / "merged_both.json").write_text(json.dumps(events))
    annotations([str(tmp_path)], from_="sst_boxes", output=str(tmp_path / "t.csv"))
    assert "1 video has boxes and no frame size" in capsys.readouterr().out


def test_shipped_tables_are_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {len(read_annotations(name)) for name in ("ucf_crime", "shanghaitech", "msad")} == {1900, 437, 720}
    parts = read_split("ucf_crime")
    assert (len(parts.train), len(parts.test)) == (1610, 290)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ucf_crime").write_text("video,label\nmine,normal\n")
    assert list(read_annotations("ucf_crime")) == ["mine"]
    with pytest.raises(WSVADError, match="avenue"):
        read_annotations("avenue")


def test_the_command_line_takes_several_files(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(folder / name) for name in ("UCF_Annotation.txt", "Anomaly_Train.txt")]
    table = folder / "table.csv"
    assert main(["data", "annotations", *files, "--from", "ucf_crime", "-o", str(table)]) == 0
    assert {video.split for video in read_annotations(table).values()} == {"train", "test"}
    assert main(["data", "annotations", files[1], "--from", "ucf_crime", "-o", str(table)]) == 0
    assert {video.split for video in read_annotations(table).values()} == {"train"}
    assert main(["data", "merge", str(folder / "a.h5"), str(folder / "b.h5"), "-o", "c.h5"]) == 2
    assert "no such store" in capsys.readouterr().err


def test_texts_of_events_are_written_with_their_seconds(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = "Abuse001_x264 00:03.4 00:07.5 ##=A man, a door"
    (folder / "UCFCrime_Test.txt").write_text(line)
    texts = folder / "texts.csv"
    command = ["data", "annotations", "-o", str(folder / "table.csv"), "--captions", str(texts)]
    assert main([*command, str(folder / "UCFCrime_Test.txt"), "--from", "uca"]) == 0
    assert texts.read_text() == 'video,start,end,text\nAbuse001_x264,3.4,7.5,"\'=A man, a door"\n'
    texts.unlink()
    assert main([*command, str(folder / "UCF_Annotation.txt"), "--from", "ucf_crime"]) == 2
    assert "the files hold no texts of events" in capsys.readouterr().err
    assert not texts.exists()
