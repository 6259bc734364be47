"""Which videos train, test and validate: a JSON file of one or several splits, or a column of a table."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from wsvad_lightning.data.datasets.labels import part_of
from wsvad_lightning.data.datasets.names import resolve_names
from wsvad_lightning.data.datasets.reading import located, read_rows, read_text
from wsvad_lightning.errors import WSVADError


@dataclass(frozen=True)
class Split:
    """Which videos train, test and validate, by their names; what a stage needs it asks for itself.

    Raises:
        WSVADError: if no video is named, or one twice.
    """

    train: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    val: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        parts = {"train": self.train, "test": self.test, "val": self.val}
        if not any(parts.values()):
            remedy = "List the videos to train with, to test with, or both"
            raise WSVADError("parts", ", ".join(parts), "name no video", remedy)
        first: dict[str, str] = {}
        for part, names in parts.items():
            for name in names:
                if name in first:
                    problem = f"is in {first[name]} and again in {part}"
                    raise WSVADError("video", name, problem, "Name each video once")
                first[name] = part


def read_split(path: str | Path, index: int = 0, known: Mapping[str, str] | None = None) -> Split:
    """Read which videos train and which test, also of a shipped table by its name alone.

    Either JSON, ``{"train": names, "test": names, "val": names}`` (``val`` may be absent) or several of these
    as ``{"splits": [...]}``, where names is a list or ``{"normal": [...], "abnormal": [...]}``; or a CSV or
    TSV table with the columns ``video`` and ``split``, such as an annotations table.

    Args:
        path: the file.
        index: which of several splits, from 0.
        known: videos that the names may mean, as for :func:`read_annotations`.

    Raises:
        WSVADError: if the file cannot be read, the split does not exist, a part is empty, or parts overlap.
    """
    choices = _read_choices(path)
    if not 0 <= index < len(choices):
        problem = f"{path} holds {len(choices)} split(s), counted from 0"
        raise WSVADError("split_index", index, problem, f"Choose one up to {len(choices) - 1}")
    return _make_split(path, choices[index], known)


def count_splits(path: str | Path) -> int:
    """How many splits a file holds.

    Args:
        path: the file.

    Raises:
        WSVADError: if it cannot be read, or holds none.
    """
    return len(_read_choices(path))


def read_splits(path: str | Path, known: Mapping[str, str] | None = None) -> list[Split]:
    """Read every split of a file; see :func:`read_split`.

    Args:
        path: the file.
        known: as for :func:`read_split`.

    Raises:
        WSVADError: as :func:`read_split`.
    """
    return [_make_split(path, choice, known) for choice in _read_choices(path)]


def _read_choices(path: str | Path) -> list[Any]:
    """The splits of a file as they are written: names by part."""
    if Path(path).suffix.lower() != ".json":
        return [_read_table_split(path)]
    try:
        content = json.loads(read_text(Path(path), "split", []))
    except (json.JSONDecodeError, RecursionError) as error:
        problem = f"is not JSON: {error}"
        raise WSVADError("split", path, problem, "Correct the file") from None
    choices = content.get("splits", [content]) if isinstance(content, dict) else None
    if not (choices and isinstance(choices, list) and all(isinstance(choice, dict) for choice in choices)):
        raise WSVADError("split", path, "holds no split", 'Give {"train": [...], "test": [...]}')
    return choices


def _read_table_split(path: str | Path) -> dict[str, list[str]]:
    parts: dict[str, list[str]] = {"train": [], "test": [], "val": []}
    for line, row in read_rows(path, "split", ("video", "split")):
        part = part_of(row["split"])
        if row["split"] and part is None:
            problem = f"{row['split']!r} is not a part of a split"
            raise WSVADError("split", f"{path}, line {line}", problem, f"Give one of {list(parts)}")
        if part in parts:  # a video of no part, or one that is only scored, is left out
            parts[part].append(row["video"])
    return parts


def _make_split(path: str | Path, choice: Mapping[str, Any], known: Mapping[str, str] | None) -> Split:
    with located("split", str(path)):
        parts: dict[str, list[str]] = {}
        for key, names in choice.items():
            part = part_of(key)
            if part not in ("train", "test", "val"):
                if part is None and _holds_names(names):  # whatever else a file says is left alone
                    remedy = "Name the parts train, test and val"
                    raise WSVADError("part", key, "is not a part of a split", remedy)
            elif part in parts:
                raise WSVADError("part", key, f"is a second part {part}", "Join them")
            else:
                parts[part] = list(_flatten(key, names))
        named = iter(resolve_names([name for own in parts.values() for name in own], known))
        return Split(**{part: tuple(islice(named, len(own))) for part, own in parts.items()})


def _holds_names(value: object) -> bool:
    groups = list(value.values()) if isinstance(value, dict) else [value]
    return bool(groups) and all(
        isinstance(g, list) and g and all(isinstance(n, str) for n in g) for g in groups
    )


def _flatten(part: str, names: object) -> Iterator[str]:
    """Names of one part of a split: a list, or lists by label."""
    for group in names.values() if isinstance(names, dict) else [names]:
        if not isinstance(group, list) or not all(isinstance(name, str) for name in group):
            remedy = 'Give a list of names, or {"normal": [...], "abnormal": [...]}'
            raise WSVADError("part", part, "is not a list of names", remedy)
        yield from group
