"""Fonts for names in any script."""

from functools import cache
from pathlib import Path

from wsvad_lightning.errors import WSVADError

OWN = "DejaVu Sans"  # comes with matplotlib, and has the letters of most alphabets
NO_LETTERS = "Last Resort"  # comes with matplotlib too: it draws the number of a letter in a box


@cache
def legible(words: str) -> tuple[str, Path]:
    r"""Find a font that has every letter of a text: matplotlib's own, or one of this machine.

    Args:
        words: on one line.

    Returns:
        The text, in which letters without any font are spelt as ``\u6253``, and the file of the font.

    Raises:
        WSVADError: if matplotlib is not installed.
    """
    fonts = font_files()
    for path in fonts:
        if not missing(words, path):
            return words, path
    absent = missing(words, fonts[0])
    return "".join(f"\\u{ord(one):04x}" if one in absent else one for one in words), fonts[0]


@cache
def font_files() -> tuple[Path, ...]:
    """List matplotlib's own font, then the others of this machine, upright ones of normal weight first.

    Raises:
        WSVADError: if matplotlib is not installed.
    """
    try:
        from matplotlib.font_manager import findfont, fontManager
    except ImportError:
        remedy = 'Run pip install "wsvad-lightning[report]"'
        raise WSVADError("report", "fonts", "a picture needs matplotlib", remedy) from None
    others = [font for font in fontManager.ttflist if not font.name.startswith(NO_LETTERS)]
    others.sort(key=lambda font: (font.style != "normal", font.weight != 400, font.fname))
    paths = (Path(name) for name in dict.fromkeys((findfont(OWN), *(font.fname for font in others))))
    return tuple(path for path in paths if path.is_file())


def missing(words: str, path: Path) -> set[str]:
    """Find the letters that a font lacks; a font of bitmaps counts as lacking all."""
    from matplotlib.ft2font import FT2Font

    font = FT2Font(str(path))
    return {one for one in words if not (font.scalable and font.get_char_index(ord(one)))}
