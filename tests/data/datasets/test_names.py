"""Names of videos: what files are called, and which video a row of a table means."""

import os
import unicodedata
from collections.abc import Sequence

import pytest

from wsvad_lightning.data.datasets.names import (
    canonical_id,
    match_videos,
    name_videos,
    path_id,
    usable_as_path,
)
from wsvad_lightning.errors import WSVADError


@pytest.mark.parametrize("name", ["", "  ", ".mp4", "videos/.mp4", "/", "..", "a/."])
def test_no_name_is_refused(name: str) -> None:
    with pytest.raises(WSVADError, match="is not a name of a video"):
        canonical_id(name)


def decomposed(name: str) -> str:
    """As macOS writes it."""
    return unicodedata.normalize("NFD", name)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("cam1/0001.mp4", "cam1/0001.mp4"),
        (r"D:\rec\cam1\0001.mp4", "rec/cam1/0001.mp4"),
        ("/data/cam1//./0001.mp4", "data/cam1/0001.mp4"),
        ("../../etc/passwd", "etc/passwd"),
        ("a/../../b", "b"),
        (decomposed("Überfall.mp4"), "Überfall.mp4"),
        (os.fsdecode(b"caf\xe9.mp4"), "caf%E9.mp4"),
        ("new\nline\u2028.mp4", "new%0Aline%E2%80%A8.mp4"),
        ("日本　語.mp4", "日本　語.mp4"),
    ],
)
def test_a_path_becomes_a_name_that_any_folder_and_table_can_hold(path: str, expected: str) -> None:
    assert path_id(path) == expected
    assert path_id(expected) == expected
    expected.encode()


@pytest.mark.parametrize("path", ["", " ", "/", "..", "a/.."])
def test_a_path_of_nothing_is_refused(path: str) -> None:
    with pytest.raises(WSVADError, match="is not a name of a video"):
        path_id(path)


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["a.mp4", "b/c.mp4"], ["a", "c"]),
        (["cam1/0001.mp4", "cam2/0001.mp4", "cam2/0002.mp4"], ["cam1/0001", "cam2/0001", "0002"]),
        (["x.mp4", "x.avi"], ["x.mp4", "x.avi"]),
        (["0001.mp4", "cam/0001.mp4"], ["0001.mp4", "cam/0001"]),
        (["a/x.mp4", "a/x.avi", "b/x.avi"], ["a/x.mp4", "a/x.avi", "b/x"]),
        ([f"{h}/yard/38.34.mp4" for h in ("00", "01")], ["00/yard/38.34", "01/yard/38.34"]),
        (["é.mp4", decomposed("é.mp4")], ["%C3%A9.mp4", "e%CC%81.mp4"]),
        (["a/b.mp4", r"a\b.mp4"], ["a/b.mp4", "a%5Cb.mp4"]),
        ([".mp4", "x/.mp4"], [".mp4", "x/.mp4"]),
        (["x", "x.mp4"], ["x", "x.mp4"]),  # a folder of frames and a file
        ([f"{'n' * 251}.mp4"], ["n" * 251]),
    ],
)
def test_videos_have_the_shortest_name_that_no_other_has(paths: list[str], names: list[str]) -> None:
    assert name_videos(paths) == names
    assert name_videos(paths[::-1]) == names[::-1]
    assert match_videos(names, dict(zip(names, map(path_id, paths), strict=True))) == names


def test_a_video_keeps_its_name_when_another_of_that_name_comes() -> None:
    assert name_videos(["cam1/0001.mp4"]) == ["0001"]
    both = ["cam1/0001.mp4", "cam2/0001.mp4"]
    assert name_videos(both, {"cam1/0001.mp4": "0001"}) == ["0001", "cam2/0001"]


def test_a_path_that_is_given_twice_is_refused() -> None:
    with pytest.raises(WSVADError, match="video='./a.mp4': is listed twice"):
        name_videos(["./a.mp4", "b/../a.mp4"])


CAMERAS = {"cam1/0001": "cam1/0001.mp4", "cam2/0001": "cam2/0001.mp4", "Tür": "cam2/Tür.mp4"}
BESIDE = {"x.mp4": "a/x.mp4", "x.avi": "a/x.avi"}
KEPT = {"0001": "cam1/0001.mp4", "cam2/0001": "cam2/0001.mp4"}


@pytest.mark.parametrize(
    ("known", "names", "expected"),
    [
        (CAMERAS, ["cam1/0001", "cam2/0001.mp4", "Tür.mp4"], ["cam1/0001", "cam2/0001", "Tür"]),
        (CAMERAS, [decomposed("Tür.mp4"), decomposed("cam2/Tür")], ["Tür", "Tür"]),
        (CAMERAS, ["cam2/0001.avi", r"cam1\0001.mp4"], ["cam2/0001", "cam1/0001"]),
        (CAMERAS, ["/mnt/cam1/0001.mp4", "/mnt/cam2/0001.mp4"], ["cam1/0001", "cam2/0001"]),
        (CAMERAS, ["cam3/0001.mp4", "cam1/0001"], [None, "cam1/0001"]),
        (CAMERAS, ["old/Tür.avi", "gone"], ["Tür", None]),
        (CAMERAS, ["old/Tür.avi", "older/Tür.avi"], [None, None]),
        (BESIDE, ["x.mp4", "a/x.avi"], ["x.mp4", "x.avi"]),
        (KEPT, ["cam1/0001", "cam2/0001", "0001"], ["0001", "cam2/0001", "0001"]),
        ({"0001": "0001"}, ["cam1/0001", "cam2/0001"], [None, None]),
        ({"a/c/1": "a/c/1.mp4", "b/c/1": "b/c/1.mp4"}, ["b/c/1.mp4"], ["b/c/1"]),
        ({"Abuse001": "all/Abuse001.mp4"}, ["Abuse/Abuse001.mp4"], ["Abuse001"]),
    ],
)
def test_a_row_means_a_video_by_name_or_path(
    known: dict[str, str], names: list[str], expected: Sequence[str | None]
) -> None:
    assert match_videos(names, known) == expected


@pytest.mark.parametrize(
    ("known", "name", "candidates"),
    [
        (CAMERAS, "0001.mp4", "cam1/0001, cam2/0001"),
        (BESIDE, "x", "x.avi, x.mp4"),
        (BESIDE, "a/x.mov", "x.avi, x.mp4"),
        ({"a/c/1": "a/c/1.mp4", "b/c/1": "b/c/1.mp4"}, "c/1", "a/c/1, b/c/1"),
        ({"1.mp4": "1.mp4", "b/1": "b/1.mp4"}, "1", "1.mp4, b/1"),
        ({f"{i:02d}/1": f"{i:02d}/1.mp4" for i in range(12)}, "1", "09/1 and 2 more"),
    ],
)
def test_a_row_that_may_mean_several_names_them(known: dict[str, str], name: str, candidates: str) -> None:
    with pytest.raises(WSVADError, match=f"may mean .*{candidates}. Name the video by its path"):
        match_videos([name], known)


def test_a_name_that_no_folder_can_have_is_a_digest_there() -> None:
    assert usable_as_path("cam1/0001") == "cam1/0001"
    for name in ("n" * 251, "/".join(["deep"] * 300)):
        assert len(usable_as_path(name)) == 32
    assert usable_as_path("n" * 251) != usable_as_path("n" * 252)
