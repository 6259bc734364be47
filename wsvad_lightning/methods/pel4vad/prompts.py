"""The vectors of classes that PEL4VAD learns from: from a file, or read by a text tower in words."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wsvad_lightning.data.datasets.limits import read_npy
from wsvad_lightning.data.datasets.reading import read_json
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.layers import TextTower
from wsvad_lightning.types import NORMAL


def read_prompts(path: str, names: list[str] | None, classes: tuple[str, ...]) -> Tensor:
    """Read the vectors of normal and of ``classes``, in their order, ``[1 + C, P]``.

    Args:
        path: ``.npy`` file, that of normal first.
        names: of its other rows; None for ``classes``.
        classes: of the store.

    Raises:
        WSVADError: if the file cannot be read, or its rows are not those named, or lack a class.
    """
    rows = read_npy("model.prompt_file", path)
    names = list(classes) if names is None else names
    if rows.ndim != 2 or len(rows) != 1 + len(names):
        problem = f"its shape is {rows.shape}, its rows are normal and {len(names)}: {', '.join(names)}"
        raise WSVADError("model.prompt_file", path, problem, "Name its rows by model.prompt_classes")
    missing = [name for name in classes if name not in names]
    if missing:
        problem = f"lacks {', '.join(missing)}, of which the store has videos"
        raise WSVADError("model.prompt_classes", ", ".join(names), problem, "Give a row for every class")
    return torch.from_numpy(rows[[0, *(1 + names.index(name) for name in classes)]].astype(np.float32))


def read_words(path: str) -> dict[str, list[str]]:
    """Read the words of normal and of classes, by their names in small letters.

    Raises:
        WSVADError: if the file is not such an object, or gives a class no words.
    """
    held = read_json(Path(path), "model.prompt_words")
    lists = held.values() if isinstance(held, dict) else [None]
    if not all(
        isinstance(words, list) and words and all(isinstance(w, str) for w in words) for words in lists
    ):
        problem = "is not an object of a list of words for each class"
        remedy = 'Give {"normal": ["normal event"], "Arson": ["arson", "burning"]}'
        raise WSVADError("model.prompt_words", path, problem, remedy)
    return {str(name).casefold(): words for name, words in held.items()}


def encode_words(tower: TextTower, path: str, classes: tuple[str, ...]) -> Tensor:
    """Give the vectors of normal and of ``classes``, in their order, ``[1 + C, P]``.

    Each is the mean over its words of what the tower reads in each word alone, not normalised, as the authors
    made theirs.

    Args:
        tower: reads them.
        path: see :func:`read_words`.
        classes: of the store.

    Raises:
        WSVADError: if the file cannot be read or lacks a class.
    """
    words = read_words(path)
    missing = [name for name in (NORMAL, *classes) if name.casefold() not in words]
    if missing:
        problem = f"lacks {', '.join(missing)}, of which the store has videos"
        raise WSVADError("model.prompt_words", path, problem, "Give words for every class, and for normal")
    return torch.stack(
        [
            torch.stack([tower.features_of(word) for word in words[name.casefold()]]).mean(dim=0)
            for name in (NORMAL, *classes)
        ]
    )
