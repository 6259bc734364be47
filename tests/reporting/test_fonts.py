"""Names in any script can be read on every picture, with the fonts that there are."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder  # type: ignore[import-untyped]
from fontTools.pens.ttGlyphPen import TTGlyphPen  # type: ignore[import-untyped]

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.reporting import fonts
from wsvad_lightning.reporting.figures import VideoCurve, report_figure
from wsvad_lightning.reporting.fonts import font_files, legible
from wsvad_lightning.reporting.overlay import name_tag
from wsvad_lightning.timeline import Event

FIGHT = "打架"


@pytest.fixture(autouse=True)
def _forget_fonts() -> Iterator[None]:
    for function in (font_files, legible):
        function.cache_clear()
    yield
    for function in (font_files, legible):
        function.cache_clear()


def make_font(path: Path, letters: str) -> Path:
    """A font whose letters are all a black box."""
    pen = TTGlyphPen(None)
    pen.moveTo((100, 0))
    for corner in ((100, 700), (900, 700), (900, 0)):
        pen.lineTo(corner)
    pen.closePath()
    names = {ord(letter): f"box{i}" for i, letter in enumerate(letters)}
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", *names.values()])
    builder.setupCharacterMap(names)
    builder.setupGlyf(dict.fromkeys((".notdef", *names.values()), pen.glyph()))
    builder.setupHorizontalMetrics(dict.fromkeys((".notdef", *names.values()), (1000, 100)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Boxes", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)
    return path


def fonts_are(monkeypatch: pytest.MonkeyPatch, *paths: Path) -> None:
    monkeypatch.setattr(fonts, "font_files", lambda: paths)


@pytest.mark.parametrize("words", ["Überfall \N{EN DASH} bewaffnet", "Драка", "žluť, ő", "5 $ x_1", ""])
def test_the_font_of_matplotlib_has_the_letters_of_most_names(words: str) -> None:
    drawn, font = legible(words)
    assert drawn == words
    assert font.name == "DejaVuSans.ttf"


def test_other_letters_are_taken_from_a_font_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, latin = font_files()[0], make_font(tmp_path / "latin.ttf", "ab")
    boxes = make_font(tmp_path / "boxes.ttf", FIGHT)
    fonts_are(monkeypatch, own, latin, boxes)
    assert legible(FIGHT) == (FIGHT, boxes)
    tag = name_tag(FIGHT, 20, 500)
    assert (tag == 1).mean() > 0.2  # black boxes
    report_figure([VideoCurve(FIGHT, np.zeros(9), None, events=(Event(2, 5, FIGHT),))], tmp_path / "s.png")


def test_letters_without_any_font_are_spelt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = font_files()[0]
    fonts_are(monkeypatch, own, make_font(tmp_path / "boxes.ttf", FIGHT))
    assert legible(f"Überfall {FIGHT}") == (r"Überfall \u6253\u67b6", own)  # no font has both scripts
    assert name_tag(f"{FIGHT} Ü", 20, 500).shape[1] > name_tag("Ü", 20, 500).shape[1] + 60
    classes = ("笑", "哭")
    curve = VideoCurve("笑", np.zeros(9), np.ones(9, int), classes, (Event(2, 5, "哭"),))
    report_figure([curve], tmp_path / "s.png")  # a warning would be an error


def test_the_font_that_draws_numbers_in_boxes_is_not_taken_for_letters() -> None:
    assert not [path for path in font_files() if "LastResort" in path.name]


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.font_manager", None)
    with pytest.raises(WSVADError, match=r"wsvad-lightning\[report\]"):
        legible("fall")
