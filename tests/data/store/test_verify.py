import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.data.store.store_cases import PROVENANCE, add_video, make_annotation, make_streams, write_store
from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.data.store import FeatureStore, StoreWriter
from wsvad_lightning.data.store.layout import checksum
from wsvad_lightning.data.store.verify import info, verify
from wsvad_lightning.errors import WSVADError, counted


@pytest.fixture(autouse=True)
def _wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return write_store(tmp_path / "store.h5", range(8))


def format_row(annotation: VideoAnnotation) -> str:
    intervals = ";".join(f"{start}-{end}" for start, end in annotation.intervals or ())
    if annotation.interval_classes:
        intervals = "2-9:Riot;12-16"
    cells = (annotation.label, annotation.num_frames, intervals, ";".join(annotation.classes))
    return ",".join(map(str, (annotation.video_id, *cells)))


def write_table(path: Path, numbers: range, change: Callable[[str], str] = str) -> str:
    rows = [format_row(make_annotation(number)) for number in numbers]
    path.write_text(change("\n".join(["video,label,num_frames,intervals,classes", *rows])))
    return str(path)


def add_cells(text: str, column: str, cells: dict[str, str]) -> str:
    header, *rows = text.splitlines()
    return "\n".join([f"{header},{column}", *(f"{row},{cells.get(row.split(',')[0], '')}" for row in rows)])


def mean_norm(stream: str) -> str:
    norms = [
        np.linalg.norm(make_streams(number)[stream].astype(float), axis=2).ravel() for number in range(8)
    ]
    return f"{np.concatenate(norms).mean():.4g}"


def test_verify_reads_the_regions_of_the_annotations(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    numbers = [n for n in range(8) if make_annotation(n).intervals and make_annotation(n).num_frames]
    (first, second) = (make_annotation(number) for number in numbers[:2])
    assert first.num_frames
    assert second.num_frames
    assert first.intervals
    masks = np.zeros((first.num_frames, 2, 3), dtype=bool)
    masks[first.intervals[0][0]] = True
    with h5py.File(tmp_path / "masks.h5", "w") as file:
        file[first.video_id] = masks
        file[second.video_id] = np.zeros((second.num_frames + 1, 2, 3), dtype=bool)
    named = {first.video_id, second.video_id}

    def add_regions(text: str) -> str:
        header, *rows = text.splitlines()
        cells = ["masks.h5" if row.split(",")[0] in named else "" for row in rows]
        return "\n".join([f"{header},regions", *map(",".join, zip(rows, cells, strict=True))])

    table = write_table(tmp_path / "a.csv", range(8), add_regions)
    assert verify(str(store), table) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "8 videos, 1 finding" in shown
    assert f"have {second.num_frames + 1} frames, the video has {second.num_frames}" in shown
    masks[:] = True
    with h5py.File(tmp_path / "masks.h5", "r+") as file:
        file[first.video_id][...] = masks
    assert verify(str(store), table) == 1
    assert "stretches of normal frames" in " ".join(capsys.readouterr().out.split())


def test_boxes_take_the_size_of_frames_that_the_store_records(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    abnormal = [n for n in range(8) if make_annotation(n).intervals]
    events = []
    for number in abnormal:
        video = make_annotation(number)
        start, end = (video.intervals or ())[0]
        polygon = [[0, 0], [6, 0], [6, 4], [0, 4]]
        box = {"start_frame": start, "end_frame": end - 1, "keyframes": {str(start): polygon}}
        events.append({"file_name": f"{video.video_id}.mp4", "bounding_boxes": [box]})
    (tmp_path / "boxes.json").write_text(json.dumps(events))
    names = {make_annotation(number).video_id for number in abnormal}

    def add_regions(text: str) -> str:
        header, *rows = text.splitlines()
        cells = ["boxes.json" if row.split(",")[0] in names else "" for row in rows]
        return "\n".join([f"{header},regions", *map(",".join, zip(rows, cells, strict=True))])

    table = write_table(tmp_path / "a.csv", range(8), add_regions)
    lines = []
    for size in (None, (6, 4), (3, 4)):
        with StoreWriter(tmp_path / f"{size}.h5", PROVENANCE) as writer:
            for number in range(8):
                annotation = dataclasses.replace(make_annotation(number), frame_size=size)
                frames = 16 * (1 + number % 9)
                writer.add(annotation, make_streams(number), num_frames=frames, fps=25.0)
        status = verify(str(tmp_path / f"{size}.h5"), table)
        lines.append((status, " ".join(capsys.readouterr().out.split())))
    (unknown, missing), fits, (outside, misfit) = lines
    assert (unknown, fits[0], outside) == (1, 0, 1)
    assert "neither annotations nor store give the size of its frames" in missing
    assert f", as of {len(names) - 1} more" in missing
    assert "leaves its frames of 3 x 4 pixels" in misfit


def test_info_tells_what_is_there(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    info(str(store))
    shown = capsys.readouterr().out
    lines = [
        [cell.strip() for cell in line.replace("┃", "│").split("│")[1:-1]] for line in shown.splitlines()
    ]
    assert ["test", "1", "2", "0", "0.00", "21"] in lines
    assert ["train", "3", "2", "0", "0.00", "15"] in lines
    assert ["all", "4", "4", "0", "0.01", "36"] in lines
    assert ["features", "17", "2: left right", "float32", mean_norm("features")] in lines
    assert ["patches_2x3", "5", "6: 0 1 2 3 4 5", "float16", mean_norm("patches_2x3")] in lines
    assert ["backbone", "tiny"] in lines
    assert ["preprocessing", '{"size": 8}'] in lines
    assert ["classes", "Fighting Riot"] in lines
    assert "glances: 2, in 1 video" in shown
    assert ["checksum", FeatureStore(store).checksum()] in lines
    assert len(lines) < 40


def test_info_fits_a_narrow_terminal(
    store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    info(str(store))
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 60
    assert FeatureStore(store).checksum()[-8:] in shown


def test_a_whole_store_has_no_findings(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = write_table(tmp_path / "videos.csv", range(8))
    split = tmp_path / "split.json"
    split.write_text(json.dumps({"train": ["video00", "video01.mp4"], "test": ["video02", "video03"]}))
    assert verify(str(store)) == 0
    assert verify(str(store), table, str(split)) == 0
    assert "8 videos, 0 findings" in capsys.readouterr().out


def test_a_table_that_knows_less_is_no_finding(store: Path, tmp_path: Path) -> None:
    table = tmp_path / "videos.csv"
    table.write_text("video,label\n" + "".join(f"video0{number},{number % 2}\n" for number in range(8)))
    assert verify(str(store), str(table)) == 0


def test_an_unfinished_store_is_verified(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with StoreWriter(tmp_path / "store.h5", PROVENANCE) as writer:
        add_video(writer, 1)
        assert verify(str(tmp_path / "store.h5")) == 0
    assert "1 video, 0 findings" in capsys.readouterr().out


def put(store: Path, value: float, *, forge: bool) -> None:
    """Change a number of a video behind the back of the store, and the checksum too if asked to."""
    with h5py.File(store, "r+") as file:
        dataset = file["videos/video05/features"]
        dataset[3, 1, 2] = value
        if forge:
            dataset.attrs["checksum"] = checksum(dataset[()])


def drop_snippets(store: Path) -> None:
    with h5py.File(store, "r+") as file:
        group = file["videos/video05"]
        array = group["patches_2x3"][:-2]
        del group["patches_2x3"]
        group.create_dataset("patches_2x3", data=array).attrs.update(mean_norm=1.0, checksum=checksum(array))


def set_frames(store: Path) -> None:
    with h5py.File(store, "r+") as file:
        file["videos/video05"].attrs["num_frames"] = 80


DAMAGES: dict[str, tuple[Callable[[Path], None], list[str]]] = {
    "value": (lambda store: put(store, 9.0, forge=False), ["features is not what was written"]),
    "nan": (lambda store: put(store, np.nan, forge=True), ["features holds NaN or infinite values"]),
    "infinite": (
        lambda store: put(store, np.inf, forge=False),
        ["features is not what was written", "features holds NaN or infinite values"],
    ),
    "lengths": (drop_snippets, ["patches_2x3 has 4 snippets, another stream 6"]),
    "frames": (set_frames, ["has 6 snippets where 80 frames give 5 to 5"]),
}


@pytest.mark.parametrize(("damage", "problems"), DAMAGES.values(), ids=DAMAGES)
def test_damages_are_found(
    store: Path, damage: Callable[[Path], None], problems: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    damage(store)
    assert verify(str(store)) == 1
    shown = capsys.readouterr().out
    for problem in problems:
        assert f"video05 │ {problem}" in shown


@pytest.mark.parametrize(
    ("num_frames", "fits"), [(80, False), (81, True), (96, True), (111, True), (112, False)]
)
def test_the_number_of_snippets_must_fit_the_frames(tmp_path: Path, num_frames: int, fits: bool) -> None:
    """Six snippets of 16 frames take 96 frames, up to 15 less if the tail was padded, or more if dropped."""
    streams = {"features": np.ones((6, 2, 3), np.float32)}
    with StoreWriter(tmp_path / "store.h5", PROVENANCE) as writer:
        writer.add(VideoAnnotation("video", 0), streams, num_frames=num_frames, fps=25.0)
    assert verify(str(tmp_path / "store.h5")) == (0 if fits else 1)


CHANGES: dict[str, tuple[range, Callable[[str], str], list[str]]] = {
    "missing": (range(9), str, ["video08 │ is annotated and not in the store"]),
    "extra": (range(7), str, ["video07 │ is in the store and not annotated"]),
    "frames": (
        range(8),
        lambda text: text.replace("video04,0,80", "video04,0,81"),
        ["video04 │ 81 frames are annotated and the video has 80"],
    ),
    "interval": (
        range(8),
        lambda text: text.replace("video05,1,96,2-9;12-16", "video05,1,,2-9;12-97"),
        [
            "video05 │ the interval 12-97 passes the end",
            "video05 │ intervals ((2, 9), (12, 97)) in the annotations",
        ],
    ),
    "interval class": (
        range(8),
        lambda text: text.replace("2-9:Riot;12-16", "2-9;12-16:Riot"),
        ["video03 │ interval_classes (None, 'Riot') in the annotations, ('Riot', None) in the store"],
    ),
    "label": (
        range(8),
        lambda text: text.replace("video04,0,", "video04,1,"),
        ["video04 │ label 1 in the annotations, 0 in the store"],
    ),
    "glances": (
        range(8),
        lambda text: add_cells(text, "glances", {"video01": "4", "video03": "13;4", "video05": "10"}),
        [
            "video01 │ glances (4,) in the annotations, () in the store",
            "video05 │ has glances outside of its intervals: 10",
            "video05 │ glances (10,) in the annotations, () in the store",
        ],
    ),
    "classes": (
        range(8),
        lambda text: text.replace("video07,1,128,2-9;12-16,Fighting;Riot", "video07,1,128,2-9;12-16,Arson"),
        ["video07 │ classes ('Arson',) in the annotations, ('Fighting', 'Riot') in the store"],
    ),
}


@pytest.mark.parametrize(("numbers", "change", "problems"), CHANGES.values(), ids=CHANGES)
def test_annotations_that_do_not_fit_are_found(
    store: Path,
    tmp_path: Path,
    numbers: range,
    change: Callable[[str], str],
    problems: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert verify(str(store), write_table(tmp_path / "videos.csv", numbers, change)) == 1
    shown = capsys.readouterr().out
    assert f"{counted(len(problems), 'finding')}" in shown
    for problem in problems:
        assert problem in shown


def test_videos_of_a_split_that_are_missing_are_found(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    split = tmp_path / "split.json"
    choices = [{"train": ["video00"], "test": [name]} for name in ("video01", "video[08]", "video09")]
    split.write_text(json.dumps({"splits": choices}))
    assert verify(str(store), split=str(split)) == 1
    shown = capsys.readouterr().out
    assert "video[08] │ is in the split and not in the store" in shown
    assert "video09   │ is in the split and not in the store" in shown


def test_shards_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_store(tmp_path / "a.h5", range(3))
    write_store(tmp_path / "b.h5", range(2, 5))
    write_store(tmp_path / "c.h5", [9], dataclasses.replace(PROVENANCE, backbone="other"))
    broken = write_store(tmp_path / "d.h5", [10])
    broken.write_bytes(broken.read_bytes()[:-100])
    assert verify(str(tmp_path / "*.h5")) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "video02 │ is in 2 stores" in shown
    assert f"{tmp_path / 'c.h5'} │ its backbone is 'other' where 'tiny' is wanted" in shown
    assert f"{broken} │ cannot be read: truncated file" in shown


def test_what_is_not_there_cannot_be_verified(store: Path, tmp_path: Path) -> None:
    with pytest.raises(WSVADError, match="no such store"):
        verify(str(tmp_path / "missing.h5"))
    with pytest.raises(WSVADError, match="no such store"):
        info(str(tmp_path / "missing.h5"))
    with pytest.raises(WSVADError, match="annotations=.*cannot be read"):
        verify(str(store), str(tmp_path / "missing.csv"))


def test_times_are_compared_by_the_frame_rates_of_the_store(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = ["video00;normal;", 'video01;1;"0,08-0,36;0,48-0,64"', 'video05;1;"0,08-0,36;0,48-0,68"']
    (tmp_path / "t.csv").write_text("\n".join(["video;label;intervals (s)", *rows]))
    assert verify(str(store), str(tmp_path / "t.csv")) == 1
    shown = capsys.readouterr().out
    assert "video05 │ intervals ((2, 9), (12, 17)) in the annotations, ((2, 9), (12, 16)) in" in shown
    assert "video01 │" not in shown
    assert "times are read from 'intervals (s)'" in shown


def test_notes_of_extraction_are_shown_and_are_no_findings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "noted.h5"
    with StoreWriter(path, PROVENANCE) as writer:
        for number in (0, 1, 2):
            annotation = make_annotation(number)
            notes = ["turned upright [90]", *(["2 frames are lost"] if number == 2 else [])][: number + 1]
            streams, frames = make_streams(number), annotation.num_frames
            assert frames is not None
            writer.add(annotation, streams, num_frames=frames, fps=25.0, notes=notes if number else ())
    info(str(path))
    shown = capsys.readouterr().out
    assert verify(str(path)) == 0
    for said in (shown, capsys.readouterr().out):
        rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in said.splitlines() if "│" in line]
        assert ["turned upright [90]", "2", "video01"] in rows
        assert ["2 frames are lost", "1", "video02"] in rows
