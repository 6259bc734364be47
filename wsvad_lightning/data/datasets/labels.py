"""What a word says of a video: normal, abnormal, unknown, or an anomaly class."""

from difflib import get_close_matches
from typing import NamedTuple

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.types import LABELS

RESERVED = (*LABELS.values(), "score")  # words that labels and tables use, so that no class can have them


class Label(NamedTuple):
    """Label of a video.

    Attributes:
        label: 0 normal, 1 abnormal, -1 unknown.
        classes: anomaly classes, the dominant one first; empty if they are unknown or there are none.
    """

    label: int
    classes: tuple[str, ...] = ()


def label_of(word: str) -> Label:
    """Read a label as tables and lists give it.

    Args:
        word: ``normal``, ``abnormal`` or ``unknown`` in any case; ``0``, ``1`` or ``-1``, also as ``1.0``; or
            the name of an anomaly class.

    Raises:
        WSVADError: if it is none of these: empty, another number, or a mistyped word.
    """
    known = {text: label for label, text in LABELS.items()}
    if word.lower() in known:
        return Label(known[word.lower()])
    try:
        number = float(word)
    except ValueError:
        number = None
    if number in LABELS:
        return Label(int(number))
    if not word or number is not None:
        raise WSVADError(
            "label", word, "is not a label", "Give normal, abnormal, unknown or an anomaly class"
        )
    if meant := get_close_matches(word.lower(), known, 1, cutoff=0.8):
        remedy = "Correct it; a class of that name goes to the column 'classes', its label is abnormal"
        raise WSVADError("label", word, f"is not a label, is {meant[0]} meant?", remedy)
    return Label(1, (word,))
