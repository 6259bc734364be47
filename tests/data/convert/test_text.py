"""Features as text, in the forms that people write."""

from pathlib import Path

import numpy as np
import pytest

from wsvad_lightning.data.convert.files import SourceFile
from wsvad_lightning.data.convert.text import text_of

ROWS = [[0.5, 1.0, -2.0], [3.25, 4e-3, 5.0]]


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("0.5 1 -2\n3.25 4e-3 5\n", ""),
        ("0.5 1 -2 \r\n3.25 4E-3 5\r\n\r\n", ""),
        ("0.5,1,-2\n3.25,4e-3,5", ""),
        ("0.5, 1, -2,\n3.25, .004, 5,\n", ""),
        ("0.5\t1\t-2\n3.25\t0.004\t5.\n", ""),
        ("\ufeff0.5;1;-2\n3.25;0.004;5\n", ""),
        ("0,5;1;-2\n3,25;0,004;5\n", ""),
        ("f0,f1,f2\n0.5,1,-2\n3.25,4e-3,5\n", "its first line is taken for a header"),
        (
            ",0,1,2\n0,0.5,1,-2\n1,3.25,4e-3,5\n",
            "its first line is taken for a header, its column '' left out",
        ),
        (
            "snippet;a;b;c\n0;0,5;1;-2\n1;3,25;0,004;5\n",
            "its first line is taken for a header, its column 'snippet' left out",
        ),
    ],
)
def test_numbers(text: str, note: str, tmp_path: Path) -> None:
    (tmp_path / "v.csv").write_text(text, encoding="utf-8", newline="")
    found = text_of(SourceFile(tmp_path / "v.csv"))
    assert found is not None
    assert found.note == note
    np.testing.assert_allclose(found.read(), ROWS)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Download the features and unpack them.",
        "01_0014 1\n01_001 0\n",
        "path,label\nx/a.npy,1\n",
        "video,1\n3,4\n",
        "one\n2\n",
    ],
)
def test_other_text(text: str, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(text)
    assert text_of(SourceFile(tmp_path / "list.txt")) is None


def test_rows_of_other_lengths_are_refused(tmp_path: Path) -> None:
    (tmp_path / "v.csv").write_text("1,2\n3\n")
    found = text_of(SourceFile(tmp_path / "v.csv"))
    assert found is not None
    with pytest.raises(ValueError, match="same shape"):
        found.read()
