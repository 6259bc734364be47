"""Every video of a source is found, and what else it holds is named."""

from pathlib import Path

import pytest
from PIL import Image

from tests.videos import VideoMaker
from wsvad_lightning.data.datasets.footage import find_footage
from wsvad_lightning.data.store import FeatureStore
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.extraction.command import extract, find_videos
from wsvad_lightning.extraction.streams import StreamSpec
from wsvad_lightning.video.frames import FrameFolder


def touch(folder: Path, *names: str, content: str = "x") -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


def names_of(folder: Path) -> list[str]:
    return [Path(video).relative_to(folder).as_posix() for video in find_footage(folder).videos]


def write_frames(folder: Path, num_frames: int, name: str = "{:03d}.jpg") -> None:
    folder.mkdir(parents=True)
    for number in range(num_frames):
        Image.new("L", (32, 24), 5 * number).save(folder / name.format(number))


def test_what_is_passed_over_is_named_in_a_line(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "b.AVI", "a.srt", "b.srt", "notes", "._a.mp4", "c.mp4.part", "a.jpg")
    touch(tmp_path, "hollow.mp4", content="")
    (line,) = find_footage(tmp_path).notes
    assert names_of(tmp_path) == ["a.mp4", "b.AVI"]
    assert line.startswith("passed over: ")
    for part in (
        "suffix .srt: 2 (a.srt, b.srt)",
        "no suffix: 1 (notes)",
        "empty: 1 (hollow.mp4)",
        "images next to videos: 1 (a.jpg)",
        "files of the operating system: 1 (._a.mp4)",
        "unfinished downloads: 1 (c.mp4.part)",
    ):
        assert part in line


def test_the_layout_of_ucsd(tmp_path: Path) -> None:
    root = tmp_path / "UCSDped2"
    for name in ("Train/Train001", "Test/Test001", "Test/Test002"):
        write_frames(root / name, 4, "{:03d}.tif")
        touch(root / name, "._001.tif", ".DS_Store")
    write_frames(root / "Test" / "Test001_gt", 4, "{:03d}.bmp")
    touch(root, "Test/UCSDped2.m", "README.txt")
    assert names_of(root) == ["Test/Test001", "Test/Test002", "Train/Train001"]
    passed, folders = find_footage(root).notes
    assert "images of masks, as of Test001: 4 (000.bmp, 001.bmp, 002.bmp, …)" in passed
    assert folders.endswith("Test001 of 4 frames, at 30 a second; --image_fps gives another")


def test_what_is_assumed_of_images_is_said(tmp_path: Path) -> None:
    touch(tmp_path / "walk", "1.png", "2.png", "9.png", "cover.png")
    found = find_footage(tmp_path / "walk", image_fps=25)
    (folder,) = found.videos
    assert isinstance(folder, FrameFolder)
    assert (folder.path, folder.fps, len(folder.images)) == (tmp_path / "walk", 25, 3)
    assert found.notes == [
        f"folders of images taken for videos: 1, such as {folder} of 3 frames, at 25 a second",
        f"numbers without an image, so that what follows moves up: {folder} (6)",
        "images without a number, not taken for frames: 1 (cover.png)",
    ]


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (["one.jpg", "two.jpg"], "images without numbers in their names: 2"),
        (["a_1.jpg", "b_1.jpg"], "images named in several ways (a_1.jpg, b_1.jpg): 2"),
        (["a.txt"], "suffix .txt: 1 (a.txt)"),
        ([], "holds no videos. Give a folder of .mp4"),
    ],
)
def test_a_source_without_videos_says_what_it_holds(names: list[str], why: str, tmp_path: Path) -> None:
    with pytest.raises(WSVADError) as error:
        find_footage(touch(tmp_path, *names))
    assert why in str(error.value)


def test_a_rate_is_above_zero(tmp_path: Path) -> None:
    with pytest.raises(WSVADError, match="image_fps='0': must be above 0"):
        find_footage(tmp_path, 0)


def test_tables_name_folders_of_images(tmp_path: Path) -> None:
    write_frames(tmp_path / "frames" / "01_0014", 3)
    touch(tmp_path, "a.mp4")
    table = tmp_path / "videos.csv"
    table.write_text("video,label\nframes/01_0014,normal\na.mp4,abnormal\n")
    found = find_videos(table, str(table))
    assert [(str(video.path), video.annotation.label) for video in found] == [
        (str(tmp_path / "frames" / "01_0014"), 0),
        (str(tmp_path / "a.mp4"), 1),
    ]
    (tmp_path / "empty").mkdir()
    table.write_text("video,label\nempty,normal\n")
    with pytest.raises(WSVADError, match="holds images that are not there"):
        find_videos(table)


def test_the_folder_at_hand_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_frames(tmp_path / "01_0014", 2)
    monkeypatch.chdir(tmp_path / "01_0014")
    (video,) = find_videos(".")
    assert video.annotation.video_id == "01_0014"


def test_folders_of_images_are_extracted(
    make_video: VideoMaker, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_frames(tmp_path / "videos" / "01_0014", 20)
    make_video("nas/far.mp4", 9)
    (tmp_path / "videos" / "nas").symlink_to(tmp_path / "nas")
    videos, output = str(tmp_path / "videos"), str(tmp_path / "store.h5")
    streams = [StreamSpec("motion", "flow_statistics", size=32)]
    assert extract(videos, output, streams=streams, snippet_length=8, image_fps=24) == 0
    store = FeatureStore(output)
    assert {name: (store[name].num_frames, store[name].fps) for name in store} == {
        "01_0014": (20, 24.0),
        "far": (9, 10.0),
    }
    error = capfd.readouterr().err
    assert f"note: followed linked folders: {tmp_path / 'videos' / 'nas'}\n" in error
    assert "at 24 a second\n" in error
