"""Regions of videos: boxes and masks, what of them is refused, and how a table refers to them."""

import gzip
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.data.datasets.command import read_benchmark
from wsvad_lightning.data.datasets.masks import read_pictures
from wsvad_lightning.data.datasets.regions import BoxRegions, read_boxes, regions_of
from wsvad_lightning.data.datasets.table import read_annotations, write_annotations
from wsvad_lightning.errors import WSVADError

NAME = "Fighting001_x264"


def box(start: int, end: int, left: int, top: int, right: int, bottom: int) -> dict[str, Any]:
    polygon = [[left, top], [right, top], [right, bottom], [left, bottom]]
    return {"start_frame": start, "end_frame": end, "keyframes": {str(start): polygon, str(end): polygon}}


def write_events(path: Path, *events: list[dict[str, Any]]) -> Path:
    """A file of events of one video, each from its first to its last box."""
    entries = [
        {
            "file_name": f"{NAME}.mp4",
            "start_frame": min(given["start_frame"] for given in event),
            "end_frame": max(given["end_frame"] for given in event),
            "bounding_boxes": event,
        }
        for event in events
    ]
    path.write_bytes(gzip.compress(json.dumps(entries).encode()))
    return path


def annotated(regions: Path, **more: Any) -> VideoAnnotation:
    return VideoAnnotation(NAME, 1, regions=str(regions), **more)


def test_boxes_hold_from_their_first_to_their_last_frame(tmp_path: Path) -> None:
    first = [box(2, 4, 0, 0, 3, 2), box(4, 5, 5, 1, 8, 3)]  # two at once in frame 4
    path = write_events(tmp_path / "merged_x.json.gz", first, [box(9, 9, -2, 0, 10, 8)])
    video = annotated(path, frame_size=(8, 6), intervals=((2, 8), (9, 10)))
    regions = regions_of(video, 10)
    assert regions is not None
    spans = list(regions.spans())
    assert [(span.start, span.end, span.tracks) for span in spans] == [
        (2, 4, (0,)),
        (4, 5, (0, 0)),
        (5, 6, (0,)),
        (6, 8, ()),  # of the event, without a box
        (9, 10, (1,)),
    ]
    assert [span.masks.sum() for span in spans] == [6, 12, 6, 0, 48]  # two pixels outside are cut
    assert spans[0].masks[0, :2, :3].all()


def test_boxes_that_pass_the_end_are_cut(tmp_path: Path) -> None:
    path = write_events(tmp_path / "merged_x.json.gz", [box(2, 20, 0, 0, 3, 2)])
    regions = regions_of(annotated(path, frame_size=(8, 6)), 5)
    assert regions is not None
    assert [(span.start, span.end) for span in regions.spans()] == [(2, 5)]


@pytest.mark.parametrize(
    ("boxes", "size", "message"),
    [
        ([box(5, 6, 0, 0, 3, 2)], (8, 6), "begins at frame 5, the video has 5"),
        ([box(1, 2, 0, 0, 11, 2)], (8, 6), "leaves its frames of 8 x 6 pixels"),
        ([box(1, 2, 8, 0, 9, 2)], (8, 6), "leaves its frames"),
        ([box(1, 2, -2, 0, -1, 2)], (8, 6), "leaves its frames"),
        ([box(1, 2, 0, 0, 3, 2)], None, "columns width and height"),
        ([box(1, 2, 0, 0, 0, 2)], (8, 6), "not an upright rectangle"),
        ([box(3, 2, 0, 0, 3, 2)], (8, 6), "frames 3 to 2"),
        ([{**box(1, 2, 0, 0, 3, 2), "keyframes": {}}], (8, 6), "keyframes"),
        ([{**box(1, 2, 0, 0, 3, 2), "end_frame": float("inf")}], (8, 6), "holds no list of events"),
        ([{"start_frame": 1, "end_frame": 2}], (8, 6), "holds no list of events"),
    ],
)
def test_unfit_boxes_are_refused(tmp_path: Path, boxes: list[Any], size: Any, message: str) -> None:
    path = write_events(tmp_path / "merged_x.json.gz", boxes)
    with pytest.raises(WSVADError, match=message):
        regions_of(annotated(path, frame_size=size), 5)


def test_a_damaged_file_of_boxes_is_refused(tmp_path: Path) -> None:
    path = write_events(tmp_path / "merged_x.json.gz", [box(1, 2, 0, 0, 3, 2)])
    content = bytearray(path.read_bytes())
    content[12:16] = b"\xff" * 4
    path.write_bytes(content)
    with pytest.raises(WSVADError, match="is not JSON"):
        regions_of(annotated(path, frame_size=(8, 6)), 5)


def moving_masks() -> np.ndarray[Any, Any]:
    """Two regions that meet in frame 3, and one far from both in frame 5."""
    masks = np.zeros((6, 8, 12), dtype=bool)
    masks[1, 1:3, 0:3] = masks[1, 1:3, 8:12] = True
    masks[2, 1:3, 2:5] = masks[2, 1:3, 6:9] = True
    masks[3, 1:3, 4:7] = True
    masks[5, 6, 0] = masks[5, 7, 1] = True  # they touch at a corner
    return masks


def write_masks(folder: Path, kind: str, masks: np.ndarray[Any, Any]) -> Path:
    """Masks as a reference may name them."""
    path = folder / f"masks{kind}"
    if kind == ".h5":
        with h5py.File(path, "w") as file:
            file[NAME] = masks
    elif kind == ".npy":
        np.save(path, masks)
    else:
        path.mkdir()
        for number, mask in enumerate(masks):
            Image.fromarray(mask.astype(np.uint8) * 255).save(path / f"{number + 1:03d}.bmp")
    return path


@pytest.mark.parametrize("kind", [".h5", ".npy", ""])
def test_masks_are_regions_and_tracks(tmp_path: Path, kind: str) -> None:
    masks = moving_masks()
    path = write_masks(tmp_path, kind, masks)
    regions = regions_of(annotated(path, frame_size=(12, 8), intervals=((1, 6),)), 6)
    assert regions is not None
    spans = list(regions.spans())
    assert [(span.start, span.tracks) for span in spans] == [
        (1, (0, 0)),
        (2, (0, 0)),
        (3, (0,)),
        (4, ()),
        (5, (1,)),
    ]
    for span in spans:
        assert (span.masks.any(axis=0) == masks[span.start]).all()
        assert (span.masks.sum(axis=0) <= 1).all()


@pytest.mark.parametrize("kind", [".h5", ".npy", ""])
def test_masks_of_another_length_or_size_are_refused(tmp_path: Path, kind: str) -> None:
    path = write_masks(tmp_path, kind, moving_masks())
    with pytest.raises(WSVADError, match="have 6 frames, the video has 7"):
        regions_of(annotated(path), 7)
    with pytest.raises(WSVADError, match="have 12 x 8 pixels, its frames 8 x 12"):
        regions_of(annotated(path, frame_size=(8, 12)), 6)


def test_masks_lead_nowhere_else(tmp_path: Path) -> None:
    write_masks(tmp_path, ".h5", moving_masks())
    path = tmp_path / "link.h5"
    with h5py.File(path, "w") as file:
        file[NAME] = h5py.ExternalLink("masks.h5", NAME)
        file.create_dataset("text", data="a")
    with pytest.raises(WSVADError, match="is not an array of masks"):
        regions_of(annotated(path), 6)
    with pytest.raises(WSVADError, match="holds nothing of other"):
        regions_of(VideoAnnotation("other", 1, regions=str(path)), 6)
    with pytest.raises(WSVADError, match="data set text has shape"):
        regions_of(VideoAnnotation("text", 1, regions=str(path)), 6)


def test_transparency_of_a_picture_is_no_mask(tmp_path: Path) -> None:
    path = tmp_path / "masks"
    path.mkdir()
    pixels = np.zeros((2, 3, 4), np.uint8)
    pixels[..., 3] = 255
    pixels[1, 2, 2] = 1
    Image.fromarray(pixels).save(path / "1.png")
    regions = regions_of(annotated(path), 1)
    assert regions is not None
    (span,) = regions.spans()
    assert span.masks.astype(int).tolist() == [[[0, 0, 0], [0, 0, 1]]]


def test_edges_that_jpeg_blurs_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "masks"
    path.mkdir()
    Image.new("L", (12, 8)).save(path / "1.jpg")
    (mask,) = read_pictures(path)
    assert not mask.any()  # black is exact
    Image.fromarray(np.tri(8, 12, dtype=np.uint8) * 255).save(path / "2.jpg")
    with pytest.raises(WSVADError, match=r"2\.jpg': has values between 0 and 255.*Give masks as PNG$"):
        list(read_pictures(path))


@pytest.mark.parametrize(
    ("kind", "message"),
    [("", "002.bmp': is not a picture that can be read"), (".npy", "has shape .* and type float64")],
)
def test_unfit_masks_are_refused(tmp_path: Path, kind: str, message: str) -> None:
    path = write_masks(tmp_path, kind, moving_masks().astype(np.float64))
    if kind == "":
        (path / "002.bmp").write_bytes(b"BM")
    with pytest.raises(WSVADError, match=message):
        list((regions_of(annotated(path), 6) or BoxRegions((), 6, 8, 12)).spans())


def test_a_table_refers_to_regions_relative_to_its_folder(tmp_path: Path) -> None:
    (tmp_path / "truth").mkdir()
    path = write_events(tmp_path / "truth" / "merged_x.json.gz", [box(2, 4, 0, 0, 3, 2)])
    videos = read_benchmark("sst_boxes", [path])
    assert videos[NAME].frame_size == (320, 240)
    assert videos[NAME].intervals == ((2, 5),)
    table = tmp_path / "tables" / "boxes.csv"
    table.parent.mkdir()
    write_annotations(table, videos)
    assert table.read_text().splitlines()[1].endswith(",320,240,../truth/merged_x.json.gz")
    again = read_annotations(table)
    assert Path(again[NAME].regions or "").samefile(path)
    assert regions_of(again[NAME], 9) is not None


def test_a_table_gives_both_sides_and_regions_of_abnormal_videos_alone(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("video,label,width,height,regions\na,abnormal,320,,masks.h5\n")
    with pytest.raises(WSVADError, match="both or none"):
        read_annotations(table)
    table.write_text("video,label,width,height,regions\na,normal,320,240,masks.h5\n")
    with pytest.raises(WSVADError, match="a video that is not abnormal"):
        read_annotations(table)


@pytest.mark.parametrize(
    ("name", "boxes"), [("ucf_crime/merged_ucf_crime", 3110), ("msad/merged_MSAD", 1140)]
)
def test_no_published_box_is_lost(real_data: Path, name: str, boxes: int) -> None:
    path = real_data / "annotations" / f"{name}.json.gz"
    read = read_boxes(path)
    assert sum(map(len, read.values())) == boxes
    videos = read_benchmark("sst_boxes", [path])
    assert videos.keys() == read.keys()
    spans = 0
    for video_id, video in videos.items():
        size = video.frame_size or (1920, 1080)
        ends = max(box.end for box in read[video_id])
        regions = regions_of(VideoAnnotation(video_id, 1, regions=video.regions, frame_size=size), ends)
        assert regions is not None
        spans += len({(b.start, b.end) for b in read[video_id]})
    assert spans > 0.9 * boxes
