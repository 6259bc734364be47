"""Folders are walked as a whole, and nothing in them is passed over without a word."""

import os
import sys
from pathlib import Path

import pytest

from wsvad_lightning.folders import (
    HIDDEN,
    NOWHERE,
    SPECIAL,
    SYSTEM,
    TWICE,
    UNDONE,
    Series,
    name_passed,
    series_of,
    walk,
)


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def found(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in walk(folder).files]


def test_files_are_sorted_by_path(tmp_path: Path) -> None:
    names = ["a/b/3", "a/2", "a.x", "b"]
    assert found(touch(tmp_path, *reversed(names))) == ["a/2", "a/b/3", "a.x", "b"]


def test_linked_folders_are_followed(tmp_path: Path) -> None:
    touch(tmp_path / "nas", "deep/far")
    (touch(tmp_path / "cams", "near") / "link").symlink_to("../nas")
    (tmp_path / "nas" / "deep" / "more").symlink_to(touch(tmp_path / "other", "last"))
    assert found(tmp_path / "cams") == ["link/deep/far", "link/deep/more/last", "near"]
    assert [path.name for path in walk(tmp_path / "cams").linked] == ["link", "more"]


@pytest.mark.parametrize("target", [".", "..", "../a", "../../root", "../..", "/"])
def test_links_that_lead_back_are_not_followed(target: str, tmp_path: Path) -> None:
    root = touch(tmp_path / "root", "a/one", "b/two")
    (root / "a" / "again").symlink_to(target)
    walked = walk(root)
    assert found(root) == ["a/one", "b/two"]
    assert walked.passed == {TWICE: [root / "a" / "again"]}


def test_a_folder_is_read_by_its_own_path_and_once(tmp_path: Path) -> None:
    root = touch(tmp_path / "root", "z/one")
    (root / "a").symlink_to("z")
    for name in ("m", "n"):
        (root / name).symlink_to(touch(tmp_path / "other", "two"))
    assert found(root) == ["m/two", "z/one"]
    assert walk(root).passed == {TWICE: [root / "a", root / "n"]}


def test_what_is_passed_over_is_counted(tmp_path: Path) -> None:
    names = [
        ".x",
        ".git/config",
        "._a.mp4",
        "Thumbs.db",
        ".DS_Store",
        "__MACOSX/a.mp4",
        "b.mp4.part",
        "c.mp4",
    ]
    root = touch(tmp_path / "root", *names, "d.MP4.CRDOWNLOAD")
    (root / "gone.mp4").symlink_to("nothing")
    (root / "nas").symlink_to("not_mounted")
    if sys.platform != "win32":
        os.mkfifo(root / "pipe.mp4")
    walked = walk(root)
    assert found(root) == ["c.mp4", "gone.mp4"]  # a lost file is a fault of its video
    counts = {reason: len(paths) for reason, paths in walked.passed.items()}
    assert counts == {HIDDEN: 2, SYSTEM: 4, UNDONE: 2, SPECIAL: 1, NOWHERE: 1}
    two = {reason: walked.passed[reason] for reason in (HIDDEN, UNDONE)}
    assert name_passed(two) == "hidden: 2 (.git, .x); unfinished downloads: 2 (b.mp4.part, d.MP4.CRDOWNLOAD)"


@pytest.mark.parametrize(
    ("names", "order", "base", "absent"),
    [
        (["000.jpg", "001.jpg", "002.jpg"], ["000.jpg", "001.jpg", "002.jpg"], "", 0),
        (["f10.png", "f9.png", "f2.png"], ["f2.png", "f9.png", "f10.png"], "f", 6),
        (["01_0014_3.jpg", "01_0014_20.jpeg"], ["01_0014_3.jpg", "01_0014_20.jpeg"], "01_0014_", 16),
        (["5_480.tif", "06_480.tif"], ["5_480.tif", "06_480.tif"], "", 0),
        (["1.png", "2.PNG", "cover.png"], ["1.png", "2.PNG"], "", 0),
    ],
)
def test_numbers_give_the_order(names: list[str], order: list[str], base: str, absent: int) -> None:
    series = series_of(map(Path, names))
    assert isinstance(series, Series)
    assert [str(path) for path in series.paths] == order
    assert (series.base, series.absent) == (base, absent)
    assert len(series.paths) + len(series.others) == len(names)


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (["a.jpg", "b.jpg"], "without numbers"),
        (["1.jpg"], "alone"),
        (["a_1.jpg", "b_1.jpg"], "named in several ways (a_1.jpg, b_1.jpg)"),
        (["cam1_1.jpg", "cam2_2.jpg"], "differ in several numbers"),
        (["1.jpg", "1.png"], "several have the number 1"),
        (["1.jpg", "01.jpg", "2.jpg"], "several have the number 1"),
    ],
)
def test_what_is_no_series(names: list[str], why: str) -> None:
    reason = series_of(map(Path, names))
    assert isinstance(reason, str)
    assert why in reason
