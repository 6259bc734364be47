"""Official annotation files in miniature, and the real ones where they are at hand."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from wsvad_lightning.data.datasets import avenue, msad, shanghaitech, tad, ucf_crime, ucsd, xd_violence
from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.data.datasets.captions import Caption
from wsvad_lightning.data.datasets.clicks import draw_glances
from wsvad_lightning.data.datasets.command import BenchmarkName, read_benchmark
from wsvad_lightning.data.datasets.draft import Draft
from wsvad_lightning.data.datasets.footage import find_footage
from wsvad_lightning.data.datasets.regions import regions_of
from wsvad_lightning.data.datasets.table import read_annotations
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.timeline import Event


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines))
    return path


def repaired(draft: Draft) -> list[tuple[str, str]]:
    return [(repair.what, repair.where) for repair in draft.repairs]


def test_ucf_crime_joins_its_files_by_name(tmp_path: Path) -> None:
    write(
        tmp_path / "Temporal_Anomaly_Annotation.txt",
        "Abuse028_x264.mp4  Abuse  165  240  -1  -1  ",
        "Robbery048_x264.mp4  Robbery  10  40  60  120  ",
        "Normal_Videos_003_x264.mp4  Normal  -1  -1  -1  -1  ",
    )
    write(
        tmp_path / "UCF_Annotation.txt",
        "Testing_Normal/Normal_Videos_003_x264.mp4 2000 Normal -1 -1 -1 -1",
        "Robbery/Robbery048_x264.mp4 118 Robbery 10 40 60 120",
        "Abuse/Abuse028_x264.mp4 1412 Abuse 165 240 -1 -1",
    )
    write(tmp_path / "Anomaly_Train.txt", "Abuse/Abuse001_x264.mp4", "Normal/Normal_Videos308_3_x264.mp4")
    write(tmp_path / "gt.json", "{}")
    draft = Draft()
    ucf_crime.read([tmp_path], draft)
    assert draft.finish() == {
        "Abuse001_x264": VideoAnnotation("Abuse001_x264", 1, ("Abuse",), split="train"),
        "Abuse028_x264": VideoAnnotation("Abuse028_x264", 1, ("Abuse",), 1412, ((165, 240),), "test"),
        "Normal_Videos308_3_x264": VideoAnnotation("Normal_Videos308_3_x264", 0, split="train"),
        "Normal_Videos_003_x264": VideoAnnotation("Normal_Videos_003_x264", 0, (), 2000, (), "test"),
        "Robbery048_x264": VideoAnnotation(
            "Robbery048_x264", 1, ("Robbery",), 118, ((10, 40), (60, 118)), "test"
        ),
    }
    assert repaired(draft) == [("end after the last frame, clipped", "Robbery048_x264 60-120 of 118")]
    assert [path.name for path in draft.left_out] == ["gt.json"]


def test_lists_of_feature_files_name_the_videos(tmp_path: Path) -> None:
    crops = [f"/somewhere/Abuse001_x264__{crop}.npy" for crop in range(10)]
    write(tmp_path / "UCF_Train.list", *crops, "C:\\ten\\Normal_Videos001_x264_i3d.npy")
    write(tmp_path / "ucf_CLIP_rgbtest.csv", "path,label", "clip/Riot/Arson010_x264__5.npy,Arson")
    found = read_benchmark("ucf_crime", [tmp_path])
    assert {name: video.split for name, video in found.items()} == {
        "Abuse001_x264": "train",
        "Arson010_x264": "test",
        "Normal_Videos001_x264": "train",
    }


ARREST = VideoAnnotation("Arrest039_x264", 1, ("Arrest",), 15836, ((7215, 10335),), "test")
WEAK = VideoAnnotation("Arrest039_x264", 1, ("Arrest",))
NORMAL = VideoAnnotation("Normal_Videos_897_x264", 0, (), 876, (), "test")


FORMS: list[tuple[str, list[str], list[VideoAnnotation]]] = [
    ("test_anomaly.txt", ["Arrest/Arrest039_x264.mp4|15836|[7215, 10335]"], [ARREST]),
    ("test_normal.txt", ["Normal_Videos_event/Normal_Videos_897_x264.mp4 876 -1"], [NORMAL]),
    ("test.txt", ["Arrest039_x264.mp4;15836;7215-10335", "Normal_Videos_897_x264;876;-1"], [ARREST, NORMAL]),
    ("a.txt", ["Normal_Videos_897_x264 876 Normal -1 -1 -1 -1"], [NORMAL]),
    ("a.txt", ["Arrest039_x264 15836 Arrest 7215 10335 -1 -1"], [ARREST]),
    ("a.txt", ["Normal_Videos_897_x264.mp4|876|[]"], [replace(NORMAL, split=None)]),
    ("a.txt", ["Arrest039_x264.mp4|15836|[[7215, 10335]]|1"], [ARREST]),
    ("test.csv", ["Normal_Videos_897_x264.mp4,876,0"], [NORMAL]),
    ("test.csv", ["Arrest039_x264.mp4,15836,7215,10335,1"], [ARREST]),
    (
        "test.csv",
        ["Normal_Videos_897_x264;876;-1;0", "Arrest039_x264;15836;7215;10335;1.0"],
        [NORMAL, ARREST],
    ),
    ("test.csv", ["video,label,start,end,frames", "Arrest039_x264,Arrest,7215,10335,15836"], [ARREST]),
    ("test.txt", ["# mine", "", "Arrest039_x264.mp4\t15836\tArrest\t7215\t10335\t-1\t-1\t"], [ARREST]),
    ("test.txt", ['"C:\\My Videos\\Arrest\\Arrest039_x264.mp4" 15836 7215 10335'], [ARREST]),
    ("test.txt", ["C:\\My Videos\\Arrest\\Arrest039_x264.mp4 15836 anomaly 7215 10335"], [ARREST]),
    ("latest.txt", ["Arrest/Arrest039_x264.mp4"], [WEAK]),
    ("a.txt", ["Arrest039_x264.mp4 Arrest"], [WEAK]),
    ("a.csv", ["path;label", "x/Arrest039_x264_i3d.npy;1.0"], [WEAK]),
    (
        "Training.txt",
        ["/x/Arrest039_x264__3.npy 1", "/x/Arrest039_x264__4.npy 1"],
        [replace(WEAK, split="train")],
    ),
]


@pytest.mark.parametrize(("name", "lines", "videos"), FORMS)
def test_the_forms_of_lists_of_ucf_crime(
    tmp_path: Path, name: str, lines: list[str], videos: list[VideoAnnotation]
) -> None:
    found = read_benchmark("ucf_crime", [write(tmp_path / name, *lines)])
    assert [found[video.video_id] for video in videos] == videos


def test_encodings_and_line_ends_of_lists(tmp_path: Path) -> None:
    line = "Arrest/Arrest039_x264.mp4|15836|[7215, 10335]\r\n"
    for encoding in ("utf-8-sig", "utf-16", "utf-16-le"):
        (tmp_path / "test.txt").write_bytes(line.encode(encoding))
        assert read_benchmark("ucf_crime", [tmp_path]) == {"Arrest039_x264": ARREST}


def test_a_name_without_its_suffix_is_that_of_the_same_video(tmp_path: Path) -> None:
    write(tmp_path / "test_a.txt", "Arrest/Arrest039.mp4 15836", "Abuse030 900")
    write(tmp_path / "test_b.txt", "Arrest039_x264.mp4 7215 10335")
    draft = Draft()
    ucf_crime.read([tmp_path], draft)
    videos = draft.finish()
    assert videos == {
        "Abuse030": VideoAnnotation("Abuse030", 1, ("Abuse",), 900, None, "test"),
        "Arrest039_x264": ARREST,
    }
    assert repaired(draft) == [("name without _x264, which another line has", "Arrest039")]
    assert draft.inferred == {
        "label and class by the names of the videos": {"Abuse030", "Arrest039", "Arrest039_x264"},
        "part test by the name of test_a.txt": {"Abuse030", "Arrest039"},
        "part test by the name of test_b.txt": {"Arrest039_x264"},
    }


@pytest.mark.parametrize(
    ("benchmark", "lines", "videos"),
    [
        (
            "xd_violence",
            [
                "a__#1_label_B2-G-0\tB2-G",
                "b__#1_label_A.mp4|900|-1|0",
                "c__#1_label_B1-0-0.mp4|900|[5, 40]|1",
            ],
            [("B2", "G"), (), ("B1",)],
        ),
        ("xd_violence", ["a__#1_label_B2-G-0 900 B2-G-0 5 40 50 60 -1 -1"], [("B2", "G")]),
        (
            "shanghaitech",
            ["train/01_0014_0.npy 1.0", "train/01_0014_1.npy 1.0", "01_002_0.npy 0.0"],
            [(), ()],
        ),
        ("shanghaitech", ["01_0014.avi,330,[20, 90],chasing"], [("chasing",)]),
        ("msad", ["f/Fire_2.npy Fire 1", "f/MSAD_normal_testing_1.mp4 normal 0"], [("Fire",), ()]),
        ("tad", ["01_Accident_001.mp4|500|[40, 90]", "Normal_003.mp4 200 -1"], [("Accident",), ()]),
    ],
)
def test_the_forms_of_other_lists(
    tmp_path: Path, benchmark: BenchmarkName, lines: list[str], videos: list[tuple[str, ...]]
) -> None:
    found = read_benchmark(benchmark, [write(tmp_path / "test.txt", *lines)])
    assert [video.classes for video in found.values()] == videos
    assert {video.split for video in found.values()} == {"test"}


def test_xd_violence_reads_classes_off_names_and_drops_stray_suffixes(tmp_path: Path) -> None:
    name = "Bad.Boys.1995__#01-11-55_01-12-40_label_G-B2-B6"
    write(tmp_path / "annotations.txt", f"{name}.mp4 157 180 180 244", "v=x__#1_label_B4-0-0 3 9")
    write(tmp_path / "rgb.list", *(f"train/a__#1_label_A__{crop}.npy" for crop in range(5)))
    draft = Draft()
    xd_violence.read([tmp_path], draft)
    assert draft.finish() == {
        name: VideoAnnotation(name, 1, ("G", "B2", "B6"), None, ((157, 244),), "test"),
        "a__#1_label_A": VideoAnnotation("a__#1_label_A", 0, split="train"),
        "v=x__#1_label_B4-0-0": VideoAnnotation("v=x__#1_label_B4-0-0", 1, ("B4",), None, ((3, 9),), "test"),
    }
    assert repaired(draft) == [("stray .mp4 in annotations.txt, removed", name)]


def test_xd_violence_takes_frames_from_one_file_and_their_classes_from_the_other(tmp_path: Path) -> None:
    first, second = "a__#1_label_G-B2-0", "b__#1_label_B4-0-0"
    write(tmp_path / "annotations.txt", f"{first} 157 244 300 320", f"{second} 3 9")
    lines = f"{first} G 181 244 B2 157 180 B2 170 190 G 300 320", f"{second} B1 3 9 B4 20 30"
    classes = write(tmp_path / "annotations_multiclasses.txt", *lines)
    draft = Draft()
    xd_violence.read([tmp_path], draft)
    videos = draft.finish()
    assert videos[first] == VideoAnnotation(
        first,
        1,
        ("G", "B2"),
        None,
        ((157, 181), (170, 190), (181, 244), (300, 320)),
        "test",
        ("B2", "B2", "G", "G"),
    )
    assert videos[second] == VideoAnnotation(
        second, 1, ("B4", "B1"), None, ((3, 9),), "test", interval_classes=("B1",)
    )
    assert repaired(draft) == [
        ("frame between two segments, added to the first", f"{first} 180"),
        ("class that the name lacks, added", second),
        ("class of normal frames, left out", f"{second} 20-30:B4"),
    ]
    alone = read_benchmark("xd_violence", [classes])
    assert alone[first] == videos[first]
    assert alone[second].events == (Event(3, 9, "B1"), Event(20, 30, "B4"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "a__#1_label_B1-0-0 B1 3 8",
            "multiclasses.txt.*gives classes of other frames of a__#1_label_B1-0-0",
        ),
        ("a__#1_label_B1-B2-0 B1 3 5 6 9", "calls a__#1_label_B1-B2-0 B1. Correct the class"),
        ("a__#1_label_B1-0-0 B3 3 9", "calls a__#1_label_B1-0-0 B3, which is not a code"),
    ],
)
def test_classes_of_intervals_that_do_not_fit_are_refused(tmp_path: Path, line: str, message: str) -> None:
    write(tmp_path / "annotations.txt", "a__#1_label_B1-0-0 3 9")
    write(tmp_path / "annotations_multiclasses.txt", line)
    with pytest.raises(WSVADError, match=message):
        read_benchmark("xd_violence", [tmp_path])


def test_shanghaitech_takes_masks_as_arrays_or_json(tmp_path: Path) -> None:
    write(tmp_path / "shanghaitech.training.csv", "video-id", "01_0014", "01_002")
    write(tmp_path / "SH_Test.txt", "01_0015", "13_006")
    write(tmp_path / "relabel.list", "01_0014 fighting,chasing")
    write(tmp_path / "masks.json", json.dumps({"01_0014": {"num_frames": 30, "anomalous": [[5, 9]]}}))
    np.save(tmp_path / "01_0015.npy", np.array([0, 1, 1, 0, 1], dtype=np.int8))
    np.save(tmp_path / "gt-sh.npy", np.zeros(7))
    draft = Draft()
    shanghaitech.read([tmp_path], draft)
    assert draft.finish() == {
        "01_0014": VideoAnnotation("01_0014", 1, ("fighting", "chasing"), 30, ((5, 9),), "train"),
        "01_0015": VideoAnnotation("01_0015", 1, (), 5, ((1, 3), (4, 5)), "test"),
        "01_002": VideoAnnotation("01_002", 0, split="train"),
        "13_006": VideoAnnotation("13_006", 0, split="test"),
    }
    assert [path.name for path in draft.left_out] == ["gt-sh.npy"]


def test_shanghaitech_refuses_padded_labels(tmp_path: Path) -> None:
    padded = write(tmp_path / "gt.json", json.dumps({"01_0015": {"num_frames": 16, "labels": [1.0] * 16}}))
    with pytest.raises(WSVADError, match="padded to whole snippets"):
        read_benchmark("shanghaitech", [padded])


def test_msad_includes_ends_and_distrusts_cut_counts(tmp_path: Path) -> None:
    write(tmp_path / "MSAD_Annotation.txt", "v/Fire_2.mp4 32", "v/MSAD_normal_testing_1.mp4 16")
    write(tmp_path / "MSAD_Annotation_noorder.txt", "v/MSAD_normal_testing_1.mp4 21", "v/Fire_2.mp4 40")
    write(tmp_path / "MSAD_Train.list", "f/Traffic_accident_33.npy")
    events = [{"file_name": "Fire_2.mp4", "start_frame": 3, "end_frame": 8}]
    events += [{"file_name": "Fire_2.mp4", "start_frame": 20, "end_frame": 39}]
    polygon = [[0, 0], [4, 0], [4, 3], [0, 3]]
    boxes = [{"start_frame": 3, "end_frame": 8, "keyframes": {"3": polygon, "8": polygon}}]
    events = [{**event, "bounding_boxes": own} for event, own in zip(events, (boxes, []), strict=True)]
    write(tmp_path / "merged_MSAD.json", json.dumps(events))
    draft = Draft()
    msad.read([tmp_path], draft)
    assert draft.finish() == {
        "Fire_2": VideoAnnotation(
            "Fire_2",
            1,
            ("Fire",),
            40,
            ((3, 9), (20, 40)),
            "test",
            regions=str(tmp_path / "merged_MSAD.json"),
        ),
        "MSAD_normal_testing_1": VideoAnnotation("MSAD_normal_testing_1", 0, (), 21, (), "test"),
        "Traffic_accident_33": VideoAnnotation(
            "Traffic_accident_33", 1, ("Traffic_accident",), split="train"
        ),
    }
    assert repaired(draft) == [("frame counts cut to whole snippets, not taken", "MSAD_Annotation.txt")]


def write_pictures(folder: Path, masks: list[bool]) -> None:
    folder.mkdir(parents=True)
    for number, mask in enumerate(masks, start=1):
        picture = np.zeros((4, 6), np.uint8)
        picture[1, 2] = 255 * mask
        Image.fromarray(picture).save(folder / f"{number:03d}.bmp")


def test_ucsd_counts_frames_and_reads_the_list_and_masks(tmp_path: Path) -> None:
    ped = tmp_path / "UCSDped9"
    write_pictures(ped / "Train" / "Train001", [False] * 4)
    write_pictures(ped / "Test" / "Test001", [False] * 5)
    write_pictures(ped / "Test" / "Test002", [False] * 6)
    write_pictures(ped / "Test" / "Test003", [False] * 3)
    write_pictures(ped / "Test" / "Test002_gt", [False, True, True, True, False, False])
    write_pictures(ped / "Test" / "Test003_gt", [False, True, True])
    entries = ("% gt_frame = [9:9];", "TestVideoFile = {};", "TestVideoFile{end+1}.gt_frame = [2:3, 5];")
    write(ped / "Test" / "UCSDped9.m", *entries, "TestVideoFile{end+1}.gt_frame = [2:7];")
    draft = Draft()
    ucsd.read([ped], draft)
    assert draft.finish() == {
        "Test001": VideoAnnotation("Test001", 1, (), 5, ((1, 3), (4, 5)), "test", frame_size=(6, 4)),
        **{
            name: VideoAnnotation(
                name,
                1,
                (),
                num_frames,
                intervals,
                "test",
                frame_size=(6, 4),
                regions=str(ped / "Test" / f"{name}_gt"),
            )
            for name, num_frames, intervals in (("Test002", 6, ((1, 6),)), ("Test003", 3, ((1, 3),)))
        },
        "Train001": VideoAnnotation("Train001", 0, (), 4, (), "train", frame_size=(6, 4)),
    }
    assert repaired(draft) == [
        ("masks differ from the list of frames, the list taken", "Test002"),
        ("end after the last frame, clipped", "Test002 1-7 of 6"),
    ]


def test_avenue_reads_matlab_and_numpy_masks(tmp_path: Path) -> None:
    masks = np.zeros((7, 3, 4), np.uint8)
    masks[2:5, 1, 1] = 1
    cells = np.empty((1, 7), dtype=object)
    cells[0] = list(masks)
    savemat(tmp_path / "1_label.mat", {"volLabel": cells})
    np.save(tmp_path / "02.npy", masks[3:])
    draft = Draft()
    avenue.read([tmp_path], draft)
    assert draft.finish() == {
        "01": VideoAnnotation("01", 1, (), 7, ((2, 5),), "test"),
        "02": VideoAnnotation("02", 1, (), 4, ((0, 2),), "test"),
    }
    savemat(tmp_path / "3_label.mat", {"other": cells})
    with pytest.raises(WSVADError, match="holds no volLabel"):
        avenue.read([tmp_path], Draft())
    whole = (tmp_path / "1_label.mat").read_bytes()
    for length in range(0, len(whole) - 4, 7):  # the last four bytes are padding
        (tmp_path / "3_label.mat").write_bytes(whole[:length])
        with pytest.raises(WSVADError, match="holds no volLabel"):
            avenue.read([tmp_path], Draft())


def test_tad_reads_classes_off_names(tmp_path: Path) -> None:
    write(tmp_path / "test.txt", "01_Accident_001.mp4 500 40 90", "Normal_003.mp4 200 -1 -1")
    write(tmp_path / "train.txt", "03_IllegalOccupation_014.mp4")
    draft = Draft()
    tad.read([tmp_path], draft)
    assert draft.finish() == {
        "01_Accident_001": VideoAnnotation("01_Accident_001", 1, ("Accident",), 500, ((40, 90),), "test"),
        "03_IllegalOccupation_014": VideoAnnotation(
            "03_IllegalOccupation_014", 1, ("IllegalOccupation",), split="train"
        ),
        "Normal_003": VideoAnnotation("Normal_003", 0, (), 200, (), "test"),
    }


@pytest.mark.parametrize(
    ("benchmark", "name", "lines", "message"),
    [
        ("ucf_crime", "a.txt", ["Fire001.mp4 Fire 3 9"], "Fire001.*is not a video of UCF-Crime"),
        ("ucf_crime", "a.txt", ["Abuse001_x264.mp4 Arson 3 9"], "calls Abuse001_x264 Arson"),
        ("ucf_crime", "a.txt", ["Abuse001_x264 Abuse 9 3"], "interval 9-3 is empty or reversed"),
        ("ucf_crime", "a.txt", ["Abuse001_x264 8 Abuse 9 12"], "the interval 9-12 lies after its 8 frames"),
        ("ucf_crime", "a.txt", ["Normal_Videos_001_x264 Normal 2 3"], "normal video has anomalous intervals"),
        (
            "ucf_crime",
            "a.txt",
            ["Abuse001_x264 Abuse 2 3", "Abuse001_x264 Abuse 2 4"],
            "two lines of Abuse001",
        ),
        ("ucf_crime", "a.txt", ["Abuse001_x264 0"], "labels Abuse001_x264 0, the name says abnormal, Abuse"),
        ("ucf_crime", "a.txt", ["Abuse001_x264 Normal"], "calls Abuse001_x264 Normal"),
        ("ucf_crime", "a.txt", ["Abuse001_x264 no"], "calls Abuse001_x264 no, which may mean a normal"),
        ("ucf_crime", "a.txt", ["Abuse001_x264 900 -1"], "gives Abuse001_x264 no anomaly"),
        ("ucf_crime", "a.txt", ["Abuse001_x264 7"], "gives Abuse001_x264 7, which is neither a label"),
        ("ucf_crime", "a.txt", ["Abuse001_x264 0 1411 1"], "a form that is not read"),
        ("ucf_crime", "a.txt", ["Abuse001_x264 -1 3 9"], "a form that is not read"),
        ("ucf_crime", "a.txt", ["Abuse001_x264 -3 9"], "a form that is not read"),
        ("ucf_crime", "a.txt", ["| 900"], "a line without a name"),
        ("ucf_crime", "a.txt", ["Abuse001_x264 " + "9" * 5000], "calls Abuse001_x264 9"),
        (
            "ucf_crime",
            "a.csv",
            ["video-id,glance", "Abuse001_x264,299"],
            "a column 'glance', which is not read",
        ),
        ("xd_violence", "a.txt", ["v=x__#1_label_B3-0-0 1 2"], "is not a video of XD-Violence"),
        ("xd_violence", "a.txt", ["v=x__#1_label_B2-0-0 B1"], "calls v=x__#1_label_B2-0-0 B1"),
        ("shanghaitech", "train.txt", ["01_001 1.0"], "labels 01_001 1, the name says normal"),
        ("msad", "MSAD_Train.list", ["Fire_3.mp4 90 3 9"], "not whether their ends are included"),
        ("tad", "a.txt", ["01_Accident_001.mp4 Normal 1 2"], "calls 01_Accident_001 Normal"),
        ("shanghaitech", "train.txt", ["1_0014"], "is not a video of ShanghaiTech"),
        ("shanghaitech", "mask.json", ['{"01_0014": {"num_frames": 9, "anomalous": []}}'], "has no anomaly"),
        ("shanghaitech", "mask.json", ["[1, 2]"], "holds no frame masks"),
        ("msad", "MSAD_Train.list", ["Riot_3.npy"], "Riot_3.*is not a video of MSAD"),
        ("msad", "MSAD.json", ['[{"file_name": "Fire_1.mp4"}]'], "holds no list of events"),
        ("ucsd", "x.m", ["TestVideoFile = {};"], "holds no gt_frame"),
        ("avenue", "x_label.mat", [""], "its name gives no video"),
        ("tad", "a.txt", ["Accident1.mp4 1 2"], "is not a video of TAD"),
    ],
)
def test_what_does_not_fit_is_refused(
    tmp_path: Path, benchmark: BenchmarkName, name: str, lines: list[str], message: str
) -> None:
    with pytest.raises(WSVADError, match=message):
        read_benchmark(benchmark, [write(tmp_path / name, *lines)])


def test_files_that_contradict_each_other_are_named(tmp_path: Path) -> None:
    write(tmp_path / "Anomaly_Train.txt", "Abuse/Abuse001_x264.mp4")
    write(tmp_path / "Anomaly_Test.txt", "Abuse/Abuse001_x264.mp4")
    with pytest.raises(
        WSVADError, match=r"Train\.txt.*says split train of Abuse001_x264.*Test\.txt says test"
    ):
        read_benchmark("ucf_crime", [tmp_path])


def test_repeated_lines_are_taken_once(tmp_path: Path) -> None:
    path = write(tmp_path / "Anomaly_Train.txt", *["Abuse/Abuse001_x264.mp4"] * 2)
    draft = Draft()
    ucf_crime.read([path], draft)
    assert list(draft.finish()) == ["Abuse001_x264"]
    assert repaired(draft) == [("listed twice in Anomaly_Train.txt, taken once", "Abuse001_x264")]


def test_nothing_to_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(WSVADError, match=f"sources={str(tmp_path)!r}: hold no file of this benchmark"):
        read_benchmark("msad", [tmp_path])
    with pytest.raises(WSVADError, match="no such file"):
        read_benchmark("msad", [tmp_path / "absent"])


COUNTS = {  # train normal, train abnormal, test normal, test abnormal, test videos with intervals
    "ucf_crime": (800, 810, 150, 140, 140),
    "xd_violence": (2049, 1905, 300, 500, 500),
    "shanghaitech": (175, 63, 155, 44, 44),
    "msad": (360, 120, 120, 120, 120),
}


@pytest.mark.parametrize("name", COUNTS)
def test_the_official_files_are_read_whole(real_data: Path, name: BenchmarkName) -> None:
    videos = read_benchmark(name, [real_data / "annotations" / name]).values()
    found = [
        sum((video.split, video.label) == (split, label) for video in videos)
        for split in ("train", "test")
        for label in (0, 1)
    ]
    assert (*found, sum(bool(v.intervals) for v in videos if v.split == "test")) == COUNTS[name]


def test_xd_violence_files_of_two_repositories_agree(real_data: Path) -> None:
    folder = real_data / "annotations" / "xd_violence"
    first, second = (
        read_benchmark("xd_violence", [folder / f"{n}.txt"]) for n in ("annotations", "XD_Annotation")
    )
    assert first == second
    assert len(first) == 500


def test_events_of_xd_violence_are_those_of_vadclip(real_data: Path) -> None:
    """But for one on frames that ``annotations.txt`` calls normal, and for four that end a frame later."""
    folder = real_data / "annotations" / "xd_violence"
    theirs = {
        (video, *span, name)
        for video, known in json.loads((folder / "gt_segments_vadclip.json").read_text()).items()
        for span, name in zip(known["segments"], known["labels"], strict=True)
        if name != "A"  # normal videos, each from end to end
    }
    for source, left_out in ((folder, {(4511, 4650)}), (folder / "annotations_multiclasses.txt", set())):
        videos = read_benchmark("xd_violence", [source])
        ours = {(name, *event[:3]) for name, video in videos.items() for event in video.events or ()}
        moved = {event[1:3] for event in ours - theirs}
        assert moved == {(1050, 1191), (1248, 1261), (1531, 1563), (3109, 3195)}
        assert {event[1:3] for event in theirs - ours} == {
            (start, end - 1) for start, end in moved
        } | left_out
        assert len(ours) == len(theirs) - len(left_out) == 1272 - len(left_out)


@pytest.mark.parametrize("name", ["ucf_crime", "msad", "shanghaitech"])
def test_shipped_tables_hold_what_the_official_files_say(real_data: Path, name: BenchmarkName) -> None:
    official = read_benchmark(name, [real_data / "annotations" / name])
    shipped = read_annotations(name)
    assert list(shipped) == list(official)
    for video_id, video in shipped.items():
        for entry in ("label", "split", "classes", "num_frames", "intervals", "glances"):
            if name != "shanghaitech" or entry in ("label", "split", "classes"):
                assert getattr(video, entry) == getattr(official[video_id], entry)


def test_ucsd_masks_give_the_official_intervals(real_data: Path, tmp_path: Path) -> None:
    known = read_annotations(real_data / "ucsd_ped2" / "annotations.csv")
    with h5py.File(real_data / "ucsd_ped2" / "masks.h5") as file:
        for clip in ("Test001", "Test004", "Test012"):
            write_pictures(tmp_path / f"{clip}_gt", [bool(mask.any()) for mask in file[clip][()]])
    for clip, video in read_benchmark("ucsd", [tmp_path]).items():
        assert (video.num_frames, video.intervals) == (known[clip].num_frames, known[clip].intervals)


GLANCES = ("video-id,glance", "Abuse001_x264,299", "Arson011_x264,0", "Abuse001_x264,17")


def test_glances_join_the_lists_of_their_data_set(tmp_path: Path) -> None:
    write(tmp_path / "Anomaly_Train.txt", "Abuse/Abuse001_x264.mp4", "Normal/Normal_Videos001_x264.mp4")
    table = write(tmp_path / "ucf_glance_annotations.csv", *GLANCES)
    abuse = VideoAnnotation("Abuse001_x264", 1, ("Abuse",), split="train", glances=(299, 17))
    arson = VideoAnnotation("Arson011_x264", 1, ("Arson",), split="train", glances=(0,))
    normal = VideoAnnotation("Normal_Videos001_x264", 0, split="train")
    alone = read_benchmark("glances", [table])
    assert alone == {"Abuse001_x264": abuse, "Arson011_x264": arson}
    assert read_benchmark("ucf_crime", [tmp_path]) == {**alone, "Normal_Videos001_x264": normal}
    xd = write(tmp_path / "xd_glances.csv", "video-id,glance", "Bad__#1_label_B2-G-0,5")
    expected = VideoAnnotation("Bad__#1_label_B2-G-0", 1, ("B2", "G"), split="train", glances=(5,))
    for benchmark in ("glances", "xd_violence"):
        assert read_benchmark(benchmark, [xd]) == {"Bad__#1_label_B2-G-0": expected}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["video-id,glance", "Abuse001_x264,x"], "line 2.*glance 'x': is not a number of frames"),
        (["video-id,glance", "Normal_Videos001_x264,5"], "glances are given of a video that is not abnormal"),
        (["video-id,glance", "holiday,5"], "holiday.*is not a video of UCF-Crime"),
        (["video-id,frame", "Abuse001_x264,5"], "lacks the column 'glance'"),
    ],
)
def test_rows_that_are_no_glances_are_refused(tmp_path: Path, rows: list[str], message: str) -> None:
    with pytest.raises(WSVADError, match=message):
        read_benchmark("glances", [write(tmp_path / "a.csv", *rows)])


def test_a_glance_is_drawn_in_every_interval() -> None:
    spans = ((3, 4), (10, 12), (20, 400))
    videos = {
        "a": VideoAnnotation("a", 1, intervals=spans),
        "b": VideoAnnotation("b", 0),
        "c": VideoAnnotation("c", 1),
    }
    draws = [draw_glances(videos, seed) for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]
    assert (draws[0]["b"], draws[0]["c"]) == (videos["b"], videos["c"])
    for drawn in draws:
        assert all(start <= g < end for g, (start, end) in zip(drawn["a"].glances, spans, strict=True))


@pytest.mark.parametrize(
    ("name", "videos", "glances"), [("ucf_crime", 810, 2026), ("xd_violence", 1905, 4278)]
)
def test_the_published_glances_are_of_all_abnormal_training_videos(
    real_data: Path, name: BenchmarkName, videos: int, glances: int
) -> None:
    read = read_benchmark(name, [real_data / "annotations" / name])
    marked = [video for video in read.values() if video.glances]
    assert (len(marked), sum(len(video.glances) for video in marked)) == (videos, glances)
    assert {(video.label, video.split) for video in marked} == {(1, "train")}


def test_nwpu_campus_takes_labels_by_name_and_classes_and_parts_by_lists(tmp_path: Path) -> None:
    labels: dict[str, Any] = {"D001_03": np.array([0, 1, 1, 0, 1], np.uint8), "N002_01": np.zeros(4)}
    np.savez(tmp_path / "NWPU_Campus_gt.npz", **labels)
    write(tmp_path / "classes.txt", "D001_03 climbing_fence")
    write(tmp_path / "train.txt", "D005_12.avi", "N002_04.avi")
    assert read_benchmark("nwpu_campus", [tmp_path]) == {
        "D001_03": VideoAnnotation("D001_03", 1, ("climbing_fence",), 5, ((1, 3), (4, 5)), "test"),
        "D005_12": VideoAnnotation("D005_12", 0, split="train"),
        "N002_01": VideoAnnotation("N002_01", 0, (), 4, (), "test"),
        "N002_04": VideoAnnotation("N002_04", 0, split="train"),
    }


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"01_0014": [0, 1]}, "01_0014.*not a video of NWPU Campus"),
        ({"D001_01": [0, 2]}, "not a 0 or 1 for each frame"),
        ({"D001_01": [[0, 1]]}, r"shape \(1, 2\) for D001_01"),
        ({"D001_01": np.array([None])}, "cannot be read"),
    ],
)
def test_labels_that_are_none_of_nwpu_campus(tmp_path: Path, labels: dict[str, Any], message: str) -> None:
    path = tmp_path / "gt.npz"
    arrays: dict[str, Any] = {name: np.array(values) for name, values in labels.items()}
    np.savez(path, **arrays)
    with pytest.raises(WSVADError, match=message):
        read_benchmark("nwpu_campus", [path])


def write_masks(folder: Path, name: str, objects: list[int]) -> None:
    """One mask a frame, in which an object of that number is at its own place; 0 is none."""
    folder.mkdir(parents=True, exist_ok=True)
    for frame, number in enumerate(objects):
        mask = np.zeros((6, 8), np.uint8)
        mask[1, number] = number
        Image.fromarray(mask).save(folder / f"{name}_{frame:04d}_gt.png")


def test_ubnormal_reads_scenes_tracks_and_masks(tmp_path: Path) -> None:
    name, other = "abnormal_scene_2_scenario_1", "abnormal_scene_2_scenario_3_fog"
    scene = tmp_path / "Scene2"
    write_masks(scene / f"{name}_annotations", name, [0, 2, 2, 0, 5])
    write(scene / f"{name}_annotations" / f"{name}_tracks.txt", "2.0,1.0,9.0")
    write(scene / f"{name}_annotations" / f"{name}_new_tracks.txt", "2.0,1.0,2.0", "5.0,4.0,4.0")
    write(scene / f"{other}_annotations" / f"{other}_tracks.txt", "1,0,7")
    for video in (name, other, "normal_scene_2_scenario1_1"):
        write(scene / f"{video}.mp4", "x")
    for part in ("training", "test"):
        write(tmp_path / "scripts" / f"abnormal_{part}_video_names.txt", name if part == "test" else other)
    videos = read_benchmark("ubnormal", [tmp_path])
    annotated = scene / f"{name}_annotations"
    assert videos == {
        name: VideoAnnotation(
            name, 1, (), None, ((1, 3), (4, 5)), "test", frame_size=(8, 6), regions=str(annotated)
        ),
        other: VideoAnnotation(other, 1, intervals=((0, 8),), split="train"),
        "normal_scene_2_scenario1_1": VideoAnnotation("normal_scene_2_scenario1_1", 0),
    }
    regions = regions_of(videos[name], 5)
    assert regions is not None
    assert [(s.start, s.tracks, s.masks.sum()) for s in regions.spans()] == [
        (1, (0,), 1),
        (2, (0,), 1),
        (4, (1,), 1),
    ]
    assert [Path(path).name for path in find_footage(tmp_path).videos] == sorted(
        f"{video}.mp4" for video in videos
    )  # and not the masks


def test_ubnormal_says_which_masks_it_does_not_take(tmp_path: Path) -> None:
    name = "abnormal_scene_1_scenario_1"
    folder = tmp_path / f"{name}_annotations"
    write_masks(folder, name, [0, 1, 1])
    (folder / f"{name}_0000_gt.png").unlink()
    draft = Draft()
    assert read_benchmark("ubnormal", [folder], draft)[name].regions is None
    assert repaired(draft) == [("masks of some frames only, not taken", name)]
    write(folder / f"{name}_tracks.txt", "1;0;2")
    with pytest.raises(WSVADError, match="holds no tracks"):
        read_benchmark("ubnormal", [folder])
    with pytest.raises(WSVADError, match="01_0014.*not a video of UBnormal"):
        read_benchmark("ubnormal", [write(tmp_path / "normal_test_video_names.txt", "01_0014")])


EVENTS = {
    "Abuse001_x264": {
        "n_frames": 900,
        "fps": 30.0,
        "label": ["Abuse"],
        "events": [[3.933, 15.867], [24.7, 42.5]],
        "events_summary": ["A man is hit.", "He lies\non the floor."],
    },
    "Normal_Videos001_x264": {"n_frames": 60, "fps": 30, "label": [], "events": [[0, 1]]},
}


def test_hivau_gives_events_in_frames_and_their_texts(tmp_path: Path) -> None:
    write(tmp_path / "ucf_database_train.json", json.dumps(EVENTS))
    film = {"n_frames": 3273, "fps": 24.0, "label": ["Riot"], "events": [[82.083, 126.583]]}
    write(tmp_path / "xd_database_test.json", json.dumps({"v=S__#1_label_B4-0-0": film}))
    draft = Draft()
    assert read_benchmark("hivau", [tmp_path], draft) == {
        "Abuse001_x264": VideoAnnotation(
            "Abuse001_x264", 1, ("Abuse",), 900, ((118, 476), (741, 900)), "train"
        ),
        "Normal_Videos001_x264": VideoAnnotation("Normal_Videos001_x264", 0, (), 60, (), "train"),
        "v=S__#1_label_B4-0-0": VideoAnnotation(
            "v=S__#1_label_B4-0-0", 1, ("B4",), 3273, ((1970, 3038),), "test"
        ),
    }
    assert draft.captions == {
        Caption("Abuse001_x264", 3.933, 15.867, "A man is hit."),
        Caption("Abuse001_x264", 24.7, 42.5, "He lies on the floor."),
    }
    assert repaired(draft) == [
        ("parts of interest in normal videos, not taken for anomalies", "Normal_Videos001_x264"),
        ("end after the last frame, clipped", "Abuse001_x264 741-1275 of 900"),
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fps": "fast"}, "does not describe Abuse001_x264"),
        ({"label": []}, r"labels Abuse001_x264 \[\], the name says abnormal"),
        ({"events_summary": ["one"]}, "does not describe"),
        ({"events_summary": [1, 2]}, "events_summary holds a int"),
        ({"events": [[9, 3], [1, 2]], "events_summary": ["a", "b"]}, "from 9 to 3 seconds"),
    ],
)
def test_events_of_another_form_are_refused(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    entry = {"Abuse001_x264": EVENTS["Abuse001_x264"] | changes}
    with pytest.raises(WSVADError, match=message):
        read_benchmark("hivau", [write(tmp_path / "ucf_database_train.json", json.dumps(entry))])


def test_uca_reads_texts_from_both_of_its_forms(tmp_path: Path) -> None:
    sentences = {"timestamps": [[3.4, 7.4], [67.0, 70.1]], "sentences": ["A door opens.", "Somebody runs."]}
    held = {"Abuse043_x264": {"duration": 129.08, **sentences}}
    write(tmp_path / "UCFCrime_Val.json", json.dumps(held))
    write(
        tmp_path / "UCFCrime_Train.txt",
        "Normal_Videos001_x264 00:00.0 00:05.5 ##A ## is drawn.",
        "",
        "Normal_Videos001_x264 59:58.5 1:00:00.0 ##Nothing moves.",
    )
    draft = Draft()
    assert read_benchmark("uca", [tmp_path], draft) == {
        "Abuse043_x264": VideoAnnotation("Abuse043_x264", 1, ("Abuse",), split="val"),
        "Normal_Videos001_x264": VideoAnnotation("Normal_Videos001_x264", 0, split="train"),
    }
    assert draft.captions == {
        Caption("Abuse043_x264", 3.4, 7.4, "A door opens."),
        Caption("Abuse043_x264", 67.0, 70.1, "Somebody runs."),
        Caption("Normal_Videos001_x264", 0.0, 5.5, "A ## is drawn."),
        Caption("Normal_Videos001_x264", 3598.5, 3600.0, "Nothing moves."),
    }


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("UCFCrime_Val.json", '{"Abuse043_x264": {"timestamps": [[1, 2]], "sentences": []}}', "no sentences"),
        ("UCFCrime_Val.txt", "Abuse043_x264 1 2 ##text", "line 1.*is not a name, two times"),
        ("UCFCrime_Val.txt", "Abuse043_x264 00:02.0 00:01.0 ##text", "from 2 to 1 seconds"),
        ("UCFCrime_Val.txt", "holiday 00:02.0 00:03.0 ##text", "is not a video of UCF-Crime"),
    ],
)
def test_texts_of_another_form_are_refused(tmp_path: Path, name: str, content: str, message: str) -> None:
    with pytest.raises(WSVADError, match=message):
        read_benchmark("uca", [write(tmp_path / name, content)])
