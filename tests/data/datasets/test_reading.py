"""Tables as people save them: encodings, separators, line ends, comments, quotes."""

from pathlib import Path

import pytest

from wsvad_lightning.data.datasets.reading import Row, read_rows, read_text
from wsvad_lightning.errors import WSVADError

TABLE = "video,label\nTür,normal\ny,1\n"
ROWS = [Row(2, {"video": "Tür", "label": "normal"}), Row(3, {"video": "y", "label": "1"})]


def read(path: Path, content: bytes | str, notes: list[str] | None = None) -> list[Row]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_rows(path, "annotations", ("video", "label"), [] if notes is None else notes)


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        *((encoding, None) for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32")),
        *((encoding, "UTF-16") for encoding in ("utf-16-le", "utf-16-be")),
        ("cp1252", "Windows-1252"),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_encodings_and_line_ends(tmp_path: Path, encoding: str, said: str | None, end: str) -> None:
    notes: list[str] = []
    path = tmp_path / "videos.csv"
    assert read(path, TABLE.replace("\n", end).encode(encoding), notes) == ROWS
    assert notes == ([] if said is None else [f"{path} is not UTF-8 and was read as {said}, such as Tür"])


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", " ; "])
def test_separators(tmp_path: Path, separator: str) -> None:
    assert read(tmp_path / "videos.csv", TABLE.replace(",", separator)) == ROWS


@pytest.mark.parametrize(
    "content",
    [
        "sep=;\nvideo;label\nTür;normal\n",
        '"sep=;"\r\nvideo;label\r\nTür;normal\r\n',
        "Video,LABEL,,\n\n , ,\nTür,normal,,,\n",
        '"video","label"\n"Tür", "normal"\n',
        "# made by hand, in May\nvideo,label\nTür,normal\n  # y,1\n",
        "File Name;is_anomaly\nTür;normal\n",
        ",video,label\n0,Tür,normal\n",
    ],
)
def test_what_people_add(tmp_path: Path, content: str) -> None:
    (row,) = read(tmp_path / "videos.csv", content)
    assert {name: cell for name, cell in row.cells.items() if name} == ROWS[0].cells


def test_cells_with_separators_and_line_ends(tmp_path: Path) -> None:
    rows = read(tmp_path / "v.csv", 'video,label,note\n"#1, a.mp4",0,"says ""no""\nand more"\ny,1,\n')
    assert rows == [
        Row(3, {"video": "#1, a.mp4", "label": "0", "note": 'says "no"\nand more'}),
        Row(4, {"video": "y", "label": "1", "note": ""}),
    ]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("name,file,label\na,b,0\n", r"lacks the column 'video'"),  # either may be meant
        ("video;label;label\na;0;1\n", "names 'label' twice"),
        ("video;label\na;0;1-2;3-4\n", "line 2.*4 cells under a header of 2"),
        ("video;label\na\n", "line 2.*1 cells under a header of 2"),
        ('video,label\n"a,0\n', "line 2.*is broken: unexpected end of data"),
        ("video,label\na," + "x" * 200_000, "line 2.*is broken: field larger"),
        ("video,label\n# a,0\n", "has no rows"),
        ("", r"the header \[\] lacks the column 'video'"),
    ],
)
def test_a_table_that_is_refused(tmp_path: Path, content: str, problem: str) -> None:
    with pytest.raises(WSVADError, match=problem):
        read(tmp_path / "videos.csv", content)


@pytest.mark.parametrize(
    "content",
    [
        *(TABLE.replace("Tür", "正常").encode(encoding) for encoding in ("gbk", "shift_jis", "big5")),
        TABLE.replace("Tür", "нормальный").encode("cp1251"),
        b"\x00\xff\xfe",
        b"video,label\nx\x00,0\n",
        b"\xff\xfev",
    ],
)
def test_what_is_not_text_or_would_be_garbled_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "video.mp4"
    path.write_bytes(content)
    with pytest.raises(WSVADError, match=f"sources='{path}': cannot be read: it is not UTF-8 text"):
        read_text(path, "sources", [])
