"""What names mean, also those of the lists that authors publish."""

import os
import re
from pathlib import Path

import pytest

from wsvad_lightning.data.convert.files import parts_of, read_list
from wsvad_lightning.data.convert.names import (
    Name,
    Reading,
    named_label,
    parse_names,
    split_of,
    stream_of,
)
from wsvad_lightning.data.datasets.labels import Label, label_of
from wsvad_lightning.data.datasets.names import canonical_id

ANNOTATIONS = Path(os.environ.get("WSVAD_DATA", "")) / "data" / "annotations"
needs_data = pytest.mark.skipif(not os.environ.get("WSVAD_DATA"), reason="WSVAD_DATA names no data")
UCF, XD, SHT, MSAD = "ucf_crime", "xd_violence", "shanghaitech", "msad"

OFFICIAL = {  # list: data set, crops, videos, abnormal videos (None: the list has no labels)
    "UR-DMU/UCF_Train.list": (UCF, range(10), 3, 3),
    "UR-DMU/XD_Test.list": (XD, range(5), 6, 6),
    "ADPLG-VAD/UCF_Train.list": (UCF, [None, *range(1, 10)], 3, 3),
    "ADPLG-VAD/SHT_Train.list": (SHT, range(10), 3, 2),
    "ADPLG-VAD/XD_audio_Train.list": (XD, [None], 30, 30),
    "PEL4VAD/ucf/train.list": (UCF, [None, *range(1, 10)], 3, 3),
    "PEL4VAD/sh/train.list": (SHT, range(10), 3, 2),
    "PEL4VAD/sh/test.list": (SHT, range(10), 3, None),
    "PEL4VAD/xd/test.list": (XD, range(5), 6, 6),
    "RTFM/ucf-i3d.list": (UCF, [None], 30, 30),
    "RTFM/shanghai-i3d-test-10crop.list": (SHT, [None], 30, None),
    "SSRL/shanghai-train.list": (SHT, [None], 30, None),
    "C2FPL/ucf-c3d.list": (UCF, [None], 30, 30),
    "DeepMIL/ucf-c3d-test.list": (UCF, [0], 30, 30),
    "SVMAE/ucf-videoMae-CLIP-L_UCF_9-5_9-1_finetune_dif_0.5_SP_norm_a0.05_fast.list": (UCF, [None], 30, 30),
    "S3R/ucf-crime.training.csv": (UCF, [None], 29, 29),
    "VadCLIP/ucf_CLIP_rgb.csv": (UCF, range(10), 3, 3),
    "VadCLIP/xd_CLIP_rgbtest.csv": (XD, [0], 29, 29),
    "CLIP-TSA/vit/xd-vit-train.list": (XD, [None], 30, 30),
    "XDVioDet/flow.list": (XD, range(5), 6, 6),
    "XDVioDet/audio_test.list": (XD, [None], 30, 30),
    "SST-WSVADL/UCF_Train.list": (UCF, [None], 30, 0),
    "SST-WSVADL/UCF_Test.list": (UCF, [None], 30, None),
    "SST-WSVADL/XD_Train.list": (XD, [None], 30, 0),
    "SST-WSVADL/MSAD_Train_i3d.list": (MSAD, [None], 30, 0),
}


def known_videos(dataset: str) -> set[str]:
    """Every video of a data set, from lists that are none of the samples."""
    lists = {
        UCF: ("Anomaly_Train.txt", "Anomaly_Test.txt"),
        XD: ("train_videos.txt", "test_videos.txt"),
        SHT: ("SH_Train.txt", "SH_Test.txt"),
        MSAD: ("MSAD_Train.list", "MSAD_Test.list"),
    }
    texts = [(ANNOTATIONS / dataset / name).read_text() for name in lists[dataset]]
    lines = [line.split("\t")[0].strip() for text in texts for line in text.splitlines()]
    return {canonical_id(line).removesuffix("_i3d") for line in lines}


@needs_data
@pytest.mark.parametrize("name", OFFICIAL)
def test_official_lists(name: str) -> None:
    dataset, crops, num_videos, num_abnormal = OFFICIAL[name]
    lines, _ = read_list(ANNOTATIONS / "samples" / name)
    paths = [parts_of(line.path) for line in lines]
    names = parse_names({parts[-1] for parts in paths})
    videos = {found.video for found in names.values()}
    assert videos <= known_videos(dataset)
    assert len(videos) == num_videos
    assert {found.crop for found in names.values()} == set(crops)
    labels: dict[str, Label | None] = {}
    for line, parts in zip(lines, paths, strict=True):
        video = names[parts[-1]].video
        said = named_label(video, [])
        labels[video] = label_of(line.label) if line.label else (said and said.what)
    if num_abnormal is not None:
        assert sum(label.label for label in labels.values() if label) == num_abnormal
        assert None not in labels.values()


@needs_data
def test_every_sample_is_of_known_videos() -> None:
    """Also where lists are not listed above; all samples but those of C3D text."""
    known = set().union(*map(known_videos, (UCF, XD, SHT, MSAD)))
    for path in sorted((ANNOTATIONS / "samples").rglob("*.*")):
        lines, _ = read_list(path)
        names = parse_names({parts_of(line.path)[-1] for line in lines})
        assert {name.video for name in names.values()} <= known, path


@needs_data
def test_names_of_all_videos_stay_whole() -> None:
    """No name of a video is mistaken for one with a crop, a kind or a class that it has not."""
    for dataset in (UCF, XD, SHT, MSAD):
        videos = known_videos(dataset)
        assert {name.video for name in parse_names(videos).values()} == videos
    for video in known_videos(UCF) | known_videos(MSAD):
        word = re.match(r"[A-Za-z]+(_[a-z]+)?", video)
        assert word
        said = named_label(video, [])
        assert (said and said.what) == (Label(0) if "ormal" in video else Label(1, (word[0],)))


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("Abuse001_x264__3.npy", Name("Abuse001_x264", None, 3)),
        ("Abuse001_x264_i3d.npy", Name("Abuse001_x264", None, None)),
        ("Abuse001_x264_i3d__3.npy", Name("Abuse001_x264", None, 3)),
        ("a_flow__12.npy", Name("a", "flow", 12)),
        ("v=x__#1_label_B4-0-0__vggish.npy", Name("v=x__#1_label_B4-0-0", "audio", None)),
        ("01_0014_patch23_i3d.npy", Name("01_0014", "patches_2x3", None)),
        ("01_0014_patches_4x7.npy", Name("01_0014", "patches_4x7", None)),
        ("Abuse001_x264_emb.npy", Name("Abuse001_x264", "text", None)),
        ("Abuse001_x264_videomae.npy", Name("Abuse001_x264", None, None)),
    ],
)
def test_file_names(file: str, name: Name) -> None:
    assert parse_names([file])[file] == name


def test_known_names_are_not_split() -> None:
    assert parse_names(["gate__1.npy", "gate__2.npy"], Reading({"gate__1"})) == {
        "gate__1.npy": Name("gate__1", None, None),
        "gate__2.npy": Name("gate", None, 2),
    }


def numbered(lengths: dict[str, list[int]]) -> dict[str, int | None]:
    """Rows of arrays by name: ``x_0`` and so on."""
    return {f"{base}_{number}": rows for base, held in lengths.items() for number, rows in enumerate(held)}


@pytest.mark.parametrize("count", [5, 10])
def test_complete_sets_of_crops(count: int) -> None:
    """As PEL4VAD has them: crops of one video have its length, which is not that of others."""
    lengths = numbered({"01_0014": [7] * count, "01_002": [9] * count})
    parsed = parse_names(lengths, Reading(lengths=lengths))
    assert {name.video for name in parsed.values()} == {"01_0014", "01_002"}
    assert {name.crop for name in parsed.values()} == set(range(count))


@pytest.mark.parametrize(
    "lengths",
    [
        {"q8Xa1": [9, 9, 9], "Bz-22": [7, 7, 7]},  # clips of RWF-2000
        {"cam": [9, 9, 9, 9]},
        {"cam": [9] * 5},  # one set of one length may be chance
        {"cam": [9] * 10, "gate": [9] * 10},  # so may be two
        {"cam": [9] * 5, "gate": [9, 9, 9, 9, 8]},
        {"cam": [9] * 5, "gate": [8, 8], "yard": [7, 7, 7]},  # most are incomplete
        {"video": [5, 6, 7]},
    ],
)
def test_numbers_of_clips_and_cameras(lengths: dict[str, list[int]]) -> None:
    rows = numbered(lengths)
    parsed = parse_names(rows, Reading(lengths=rows))
    assert parsed == {name: Name(name, None, None) for name in rows}


def test_crops_are_taken_for_such_where_that_is_said() -> None:
    rows = numbered({"cam": [9] * 4})
    for reading in (Reading(lengths=rows, numbered=True), Reading({"cam"}, rows)):
        assert parse_names(rows, reading) == {f"cam_{n}": Name("cam", None, n) for n in range(4)}


def test_two_underscores_are_crops_where_most_names_have_them() -> None:
    assert parse_names(["0Ow4cotK__3", "a_1", "b_2"])["0Ow4cotK__3"] == Name("0Ow4cotK__3", None, None)
    assert parse_names(["a__0", "a__1", "b"])["a__1"] == Name("a", None, 1)


@pytest.mark.parametrize(
    ("folder", "split", "stream"),
    [
        ("UCF_Train_ten_crop_i3d", "train", None),
        ("RGBTest", "test", None),
        ("FlowTest", "test", "flow"),
        ("rgbtest", "test", None),
        ("shanghaitech.training", "train", None),
        ("latest", None, None),
        ("pretrained", None, None),
        ("workflow", None, None),
        ("context", None, None),
        ("train_and_test", None, None),
        ("SH_PATCH35_i3d", None, "patches_3x5"),
        ("vggish-features", None, "audio"),
        ("sent_emb_n", None, "text"),
        ("traffic_flow", None, None),
        ("cash-flow", None, None),
        ("text_books", None, None),
        ("audiology", None, None),
        ("dispatch12", None, None),
        ("rgb_flow", None, None),  # joined channels
        ("Flow.zip", None, "flow"),
        ("train.zip", "train", None),
    ],
)
def test_folders(folder: str, split: str | None, stream: str | None) -> None:
    said = (split_of([folder]), stream_of([folder]))
    assert [one and one.what for one in said] == [split, stream]
    assert {one.by for one in said if one} <= {folder}


@pytest.mark.parametrize(
    ("video", "folders", "label"),
    [
        ("Normal_Videos_003_x264", [], Label(0)),
        ("MSAD_normal_road11", [], Label(0)),
        ("Traffic_accident_33", [], Label(1, ("Traffic_accident",))),
        ("RoadAccidents121_x264", [], Label(1, ("RoadAccidents",))),
        ("a__#00_label_G-B2-B6", [], Label(1, ("G", "B2", "B6"))),
        ("a__#00_label_A", [], Label(0)),
        ("01_0014", [], None),
        ("01_0014", ["abnormal"], Label(1)),
        ("01_0014", ["Testing_Normal_Videos"], Label(0)),
        ("cam3", ["train", "Fighting"], Label(1, ("Fighting",))),
        ("abnormal_17", [], Label(1)),
        ("x", ["NonFight"], Label(0)),
        ("x", ["Fight"], Label(1, ("Fight",))),
        ("fight01", ["l2_normalized"], None),
        ("Paranormal.Activity.2007_fight", [], None),
        ("anormal_01", [], None),
        ("not_normal_03", [], None),
        ("no_anomaly_02", [], None),
        ("abnormally_normal", [], None),
        ("Fire_exit_2nd_floor", [], None),
        ("pos_12", ["terminals"], None),
        ("a1", ["anomalib"], None),
        ("a1", ["Anomaly-Detection-Dataset"], None),
        ("a1", ["normalization", "batchnorm"], None),
        ("soup_label_A", [], None),
    ],
)
def test_labels_of_names(video: str, folders: list[str], label: Label | None) -> None:
    said = named_label(video, folders)
    assert (said and said.what) == label


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
@pytest.mark.parametrize(
    "text",
    [
        "a/x.npy 1.0\nb c.npy 0.0\n",
        "a/x.npy;1.0;\r\nb c.npy;0.0;\r\n",
        "a/x.npy|1.0\rb c.npy|0.0",
        '"a/x.npy",1.0\n"b c.npy",0.0\n',
        "path;label\na/x.npy;1.0\nb c.npy;0.0\n",
        '"path"\t"label"\n"a/x.npy"\t1.0\n"b c.npy"\t0.0\n',
    ],
)
def test_forms_of_lists(tmp_path: Path, text: str, encoding: str) -> None:
    (tmp_path / "x.list").write_bytes(text.encode(encoding))
    lines, _ = read_list(tmp_path / "x.list")
    assert [tuple(line) for line in lines] == [("a/x.npy", "1.0"), ("b c.npy", "0.0")]


def test_names_that_differ_in_the_suffix_of_the_video_alone_keep_it() -> None:
    found = parse_names(["c.avi.npy", "c.mp4.npy", "d.mkv.npy", "e.npy", "e.npz"])
    assert [name.video for name in found.values()] == ["c.avi", "c.mp4", "d", "e", "e"]
