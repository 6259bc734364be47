import os
from pathlib import Path

import pytest

from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.data.datasets.table import read_annotations, write_annotations
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.timeline import Event
from wsvad_lightning.types import UNKNOWN


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_table_is_read(tmp_path: Path) -> None:
    path = write(
        tmp_path / "videos.csv",
        "video,fps,label,num_frames,anomalous_intervals,split\n"
        "Train001.mp4,10,normal,120,,train\n"
        "Test001.mp4,10,abnormal,180,60-100; 150-180,test\n"
        "\n"
        "Test002.mp4,10,Abnormal,,0-5,\n",
    )
    assert list(read_annotations(path).items()) == [
        ("Train001", VideoAnnotation("Train001", 0, (), 120, (), "train")),
        ("Test001", VideoAnnotation("Test001", 1, (), 180, ((60, 100), (150, 180)), "test")),
        ("Test002", VideoAnnotation("Test002", 1, (), None, ((0, 5),), None)),
    ]


def test_rows_of_one_base_name_are_told_apart_by_path(tmp_path: Path) -> None:
    rows = "cam1/0001.mp4,0\ncam2/0001.mp4,1\ncam2/x.mp4,0\ncam2/x.avi,1\n"
    path = write(tmp_path / "videos.csv", f"video,label\n{rows}")
    own = ["cam1/0001", "cam2/0001", "cam2/x.mp4", "cam2/x.avi"]
    assert [(name, row.label) for name, row in read_annotations(path).items()] == list(
        zip(own, (0, 1, 0, 1), strict=True)
    )
    known = {name: f"site/{name}" for name in own}
    assert list(read_annotations(path, known)) == own
    with pytest.raises(WSVADError, match="video 'cam1/0001.mp4': may mean a/cam1/0001, b/cam1/0001"):
        read_annotations(path, {f"{site}/cam1/0001": f"{site}/cam1/0001" for site in "ab"})


def test_two_rows_of_one_known_video_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "videos.csv", "video,label\ncam1/0001,0\n0001,1\n")
    with pytest.raises(WSVADError, match="line 3.*'0001': is listed twice"):
        read_annotations(path, {"0001": "cam1/0001.mp4"})


def test_a_tab_separated_table_with_classes_is_read(tmp_path: Path) -> None:
    path = write(
        tmp_path / "videos.tsv",
        "\ufeffVideo\tLabel\tClasses\nx\t0\t\ny\tFighting\t\nz\tG\tB2; B6;G\nw\t1\tRiot\n",
    )
    annotations = read_annotations(path).values()
    assert [annotation.label for annotation in annotations] == [0, 1, 1, 1]
    assert [annotation.classes for annotation in annotations] == [
        (),
        ("Fighting",),
        ("G", "B2", "B6"),
        ("Riot",),
    ]


def test_intervals_may_tell_their_class(tmp_path: Path) -> None:
    rows = "x,fall,20-90:riot; 70 - 110 : car crash;5-9\ny,fall,1-3:fall;5-9\nz,abnormal,1-3:a:b\n"
    annotations = read_annotations(write(tmp_path / "videos.csv", f"video,label,intervals\n{rows}"))
    x, y, z = annotations.values()
    assert x.classes == ("fall", "riot", "car crash")
    assert x.interval_classes == ("riot", "car crash", None)
    assert x.events == (
        Event(20, 90, "riot"),
        Event(70, 110, "car crash"),
        *(Event(5, 9, name) for name in x.classes),  # of none of its own: of all of the video
    )
    assert x.frame_labels(120).sum() == 90 + 4
    assert y == VideoAnnotation("y", 1, ("fall",), intervals=((1, 3), (5, 9)))
    assert y.events == (Event(1, 3, "fall"), Event(5, 9, "fall"))
    assert z.classes == ("a:b",)
    write_annotations(tmp_path / "again.csv", annotations)
    assert read_annotations(tmp_path / "again.csv") == annotations


@pytest.mark.parametrize("cell", ["unknown", "Unknown", "-1"])
def test_a_label_may_be_unknown(tmp_path: Path, cell: str) -> None:
    path = write(tmp_path / "videos.csv", f"video,label,split\nx,{cell},train\n")
    assert read_annotations(path) == {"x": VideoAnnotation("x", UNKNOWN, split="train")}


@pytest.mark.parametrize(
    "table", ["video,label\nn,normal\na,abnormal\n", "video,label,intervals\nn,0,\na,1,\n"]
)
def test_only_normal_videos_are_known_to_have_no_anomalous_frames(tmp_path: Path, table: str) -> None:
    annotations = read_annotations(write(tmp_path / "videos.csv", table))
    assert annotations["n"].intervals == ()
    assert annotations["a"].intervals is None


WRONG_TABLES = {
    "empty": ("", "lacks the column 'video'"),
    "no header": ("Train001,normal\n", r"the header \['train001', 'normal'\] lacks the column 'video'"),
    "no label": ("video,class\nx,0\n", "lacks the column 'label'"),
    "no rows": ("video,label\n\n", "has no rows"),
    "twice": ("video,label\nx,0\ny.mp4,1\ny,0\n", "line 4.*video 'y': is listed twice, with label 1 and 0"),
    "twice intervals": (
        "video,label,intervals\ny.mp4,1,1-2\ny,1,3-4\n",
        "line 3.*video 'y': is listed twice.",
    ),
    "two parts": (
        "video,label,split,start_frame,end_frame\ny,1,test,1,2\ny,1,train,3,4\n",
        "line 3.*video 'y': is listed twice, with split test and train",
    ),
    "label empty": ("video,label\nx,\n", "line 2.*label '': is not a label"),
    "label a number": ("video,label\nx,2\n", "line 2.*label '2': is not a label"),
    "label mistyped": (
        "video,label\nx,abnromal\n",
        "line 2.*label 'abnromal': is not a label; abnormal may be meant",
    ),
    "split mistyped": ("video,label,split\nx,0,tset\n", "line 2.*'tset' is not a part of a split"),
    "class reserved": (
        "video,label,intervals\nx,1,4-10:Normal\n",
        "line 2.*'Normal' is not a name of a class",
    ),
    "class empty": ("video,label,classes\nx,1,Riot;;Fall\n", "line 2.*'' is not a name of a class"),
    "classes as label": ("video,label\nx,Riot;Fall\n", "line 2.*'Riot;Fall' is not a name of a class"),
    "class spelt twice": ("video,label\nx,Riot\ny,riot\n", "line 3.*'riot': is spelt Riot in a row before"),
    "name empty": ("video,label\nx,0\n,1\n", "line 3.*is not a name of a video"),
    "frames": ("video,label,num_frames\nx,0,12.5\n", "line 2.*num_frames '12.5': is not a number of frames"),
    "no frames": ("video,label,num_frames\nx,0,0\n", "line 2.*the video has 0 frames"),
    "interval": ("video,label,intervals\nx,1,60\n", "line 2.*intervals '60': is not an interval"),
    "negative": ("video,label,intervals\nx,1,-1--1\n", "line 2.*is not an interval"),
    "empty interval": ("video,label,intervals\nx,1,1-2;;3-4\n", "line 2.*is not an interval"),
    "clock": ("video,label,intervals\nx,1,0:30-1:00\n", "line 2.*is not an interval.*intervals_seconds"),
    "no unit": ("video,label,start,end\nx,1,1,2\n", "column 'start': says neither frames nor seconds"),
    "normal seconds": (
        "video,label,start_seconds,end_seconds\nx,0,1,2\n",
        "line 2.*a normal video has anomalous intervals",
    ),
    "reversed": ("video,label,intervals\nx,1,9-4\n", "line 2.*the interval 9-4 is empty or reversed"),
    "no length": ("video,label,intervals\nx,1,4-4\n", "line 2.*the interval 4-4 is empty or reversed"),
    "beyond": (
        "video,label,num_frames,intervals\nx,1,99,4-100\n",
        "4-100 passes the end of the video at frame 99",
    ),
    "glance": ("video,label,glances\nx,1,5;y\n", "line 2.*glances 'y': is not a number of frames"),
    "glance before": ("video,label,glances\nx,1,-5\n", "line 2.*glances '-5': is not a number of frames"),
    "glance behind": (
        "video,label,num_frames,glances\nx,1,99,4;99\n",
        "the glance 99 is behind the end of the video at frame 99",
    ),
    "glance of none": (
        "video,label,glances\nx,0,4\n",
        "line 2.*glances are given of a video that is not abnormal",
    ),
    "no class": ("video,label,intervals\nx,1,4-10:\n", "line 2.*intervals '4-10:': is not an interval"),
    "normal": ("video,label,intervals\nx,0,4-10\n", "line 2.*a normal video has anomalous intervals"),
    "classes": ("video,label,classes\nx,0,Riot\n", "line 2.*a normal video has anomaly classes"),
    "cells": ("video,label\nx,0\ny,1,2-4,5-6\n", "line 3.*4 cells under a header of 2"),
    "two columns": (
        "video,label,intervals,anomalous_intervals\nx,1,1-2,\n",
        "column 'anomalous_intervals': says the same as 'intervals'",
    ),
    "quotes": ('video,label\n"x\ny,0\n', "line 3.*is broken: unexpected end of data"),
    "in doubt": ("video,label\nx,no\n", "line 2.*label 'no': may mean a normal"),
}


@pytest.mark.parametrize(("table", "message"), WRONG_TABLES.values(), ids=WRONG_TABLES)
def test_a_wrong_table_is_refused(tmp_path: Path, table: str, message: str) -> None:
    path = write(tmp_path / "videos.csv", table)
    with pytest.raises(WSVADError, match=message) as error:
        read_annotations(path)
    assert error.value.argument == "annotations"
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_inferred_from_a_table_is_said(tmp_path: Path) -> None:
    path = tmp_path / "videos.csv"
    rows = ["v0;A;train", "v1;B2-G;train", "v2;Testing_Normal_Videos_Anomaly;Testing", "v3;Schlägerei;test"]
    rows += ["v4;normal;train", "v5;1;train", "v6;A;train", "v6.mp4;A;train", "# v7;0;test", "v8;-1;train"]
    path.write_bytes(
        "\r\n".join(["video;label;split;camera", *(f"{row};3" for row in rows)]).encode("cp1252")
    )
    notes: list[str] = []
    videos = read_annotations(path, notes=notes)
    assert [(name, video.label, video.classes) for name, video in videos.items()] == [
        ("v0", 0, ()),
        ("v1", 1, ("B2", "G")),
        ("v2", 0, ()),
        ("v3", 1, ("Schlägerei",)),
        ("v4", 0, ()),
        ("v5", 1, ()),
        ("v6", 0, ()),
        ("v8", UNKNOWN, ()),
    ]
    assert notes == [
        f"{path} is not UTF-8 and was read as Windows-1252, such as Schlägerei",
        f"{path}: lines that begin with # were passed over: 1",
        f"{path}: abnormal, B2 and G is read from 'B2-G' (1)",
        f"{path}: classes are read from 'Schlägerei' (1)",
        f"{path}: normal is read from 'A' (3), 'Testing_Normal_Videos_Anomaly' (1)",
        f"{path}: unknown is read from '-1' (1)",
        f"{path}: the part test is read from 'Testing' (1)",
        f"{path}: rows that repeat another were taken once: 1",
        f"{path}: columns not read as annotations: camera",
    ]


def test_a_plain_table_needs_no_words(tmp_path: Path) -> None:
    notes: list[str] = []
    path = write(tmp_path / "videos.csv", "video,label,intervals\nx,normal,\ny,1,2-5\nz,0.0,\n")
    assert len(read_annotations(path, notes=notes)) == 3
    assert notes == []


def test_classes_may_repeat_the_label_and_hold_codes(tmp_path: Path) -> None:
    rows = 'x;0;Normal_Videos\ny;1;B2-G-0\nz;1;"Abnormal; Riot;"\nw;Fall;Fall;\n'
    videos = read_annotations(write(tmp_path / "v.csv", f"video;label;classes;\n{rows}"))
    assert [video.classes for video in videos.values()] == [(), ("B2", "G"), ("Riot",), ("Fall",)]
    for word in ("Normal", "A"):
        with pytest.raises(WSVADError, match=f"line 2.*classes '{word}': means normal, and the label is abn"):
            read_annotations(write(tmp_path / "v.csv", f"video,label,classes\nx,1,{word}\n"))


def test_a_row_may_be_an_event(tmp_path: Path) -> None:
    rows = "n,normal,,\nx,Fighting,30,60\ny,1,-1,-1\nx,Shooting,90.0,100.0\nx,Fighting,30,60\n"
    videos = read_annotations(write(tmp_path / "v.csv", f"Video Name,label,start_frame,end_frame\n{rows}"))
    assert videos == {
        "n": VideoAnnotation("n", 0),
        "x": VideoAnnotation(
            "x",
            1,
            ("Fighting", "Shooting"),
            intervals=((30, 60), (90, 100)),
            interval_classes=("Fighting", "Shooting"),
        ),
        "y": VideoAnnotation("y", 1),
    }


def test_glances_are_read_and_written(tmp_path: Path) -> None:
    """In the order in which they are given; those of the events of a video are joined."""
    table = "video,label,glances\nn,0,\na,1,700; 0\nb,Riot,\n"
    read = read_annotations(write(tmp_path / "videos.csv", table))
    assert [video.glances for video in read.values()] == [(), (700, 0), ()]
    write_annotations(tmp_path / "again.csv", read)
    assert read_annotations(tmp_path / "again.csv") == read
    rows = "video,label,start_frame,end_frame,glances\na,1,0,9,4\na,1,20,30,25\n"
    events = read_annotations(write(tmp_path / "events.csv", rows))
    assert events["a"].glances == (4, 25)


def test_times_become_frames_by_the_frame_rate(tmp_path: Path) -> None:
    header = "video;label;num_frames;intervals (s)"
    rows = 'n;normal;;\nx;Fall;300;"1,5-2,52;0:09-0:10,9:Riot"\n'
    table = read_annotations(write(tmp_path / "videos.csv", f"{header}\n{rows}"))
    video = table["x"]
    assert video.intervals is None
    assert video.seconds == ((1.5, 2.52), (9.0, 10.9))
    assert table["n"].in_frames(25, 300) is table["n"]
    placed = video.in_frames(29.97, 300)
    assert placed.intervals == ((45, 76), (270, 300))  # the last second is not whole
    assert placed.events == (Event(45, 76, "Fall"), Event(45, 76, "Riot"), Event(270, 300, "Riot"))
    with pytest.raises(WSVADError, match="from 9 to 10.9 seconds passes the end of the video: 200 frames at"):
        video.in_frames(25, 200)
    with pytest.raises(WSVADError, match="its intervals are seconds"):
        write_annotations(tmp_path / "again.csv", table)
    with pytest.raises(WSVADError, match="the anomalous frames are unknown"):
        video.frame_labels(300)


def test_events_by_the_clock_are_joined(tmp_path: Path) -> None:
    rows = "x\t1\t0:30\t1:00:00.5\nx\t1\t2:00:00\t2:00:01\n"
    path = write(tmp_path / "v.csv", f"video\tlabel\tstart (hh:mm:ss)\tend (hh:mm:ss)\n{rows}")
    assert read_annotations(path)["x"].seconds == ((30.0, 3600.5), (7200.0, 7201.0))


def test_a_name_that_begins_like_a_comment_is_written_and_read(tmp_path: Path) -> None:
    videos = {"#1": VideoAnnotation("#1", 1, num_frames=9), "x": VideoAnnotation("x", 0)}
    write_annotations(tmp_path / "videos.csv", videos)
    assert read_annotations(tmp_path / "videos.csv") == videos


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WSVADError, match="cannot be read: No such file"):
        read_annotations(tmp_path / "missing.csv")
    with pytest.raises(WSVADError, match="cannot be read: Is a directory"):
        read_annotations(tmp_path)
    (tmp_path / "video.mp4").write_bytes(b"\x00\xff\xfe")
    with pytest.raises(WSVADError, match="is not UTF-8 text"):
        read_annotations(tmp_path / "video.mp4")


def test_names_that_a_spreadsheet_would_compute_come_back(tmp_path: Path) -> None:
    names = ("=1+1", "@home", "-x", "'=quoted", "+49 lobby")
    videos = {name: VideoAnnotation(name, 1, ("=sum(a)", "-riot")) for name in names}
    write_annotations(tmp_path / "t.csv", videos)
    assert read_annotations(tmp_path / "t.csv") == videos
    assert not any(
        line.startswith(("=", "@", "-", "+")) for line in (tmp_path / "t.csv").read_text().splitlines()
    )


@pytest.mark.skipif("WSVAD_DATA" not in os.environ, reason="WSVAD_DATA names no folder of real data sets")
def test_ucsd_ped2() -> None:
    folder = Path(os.environ["WSVAD_DATA"]) / "data" / "ucsd_ped2"
    annotations = read_annotations(folder / "annotations.csv")
    assert len(annotations) == 28
    assert sum(annotation.label for annotation in annotations.values()) == 12
    assert annotations["Test002"].frame_labels(180).sum() == 180 - 94
