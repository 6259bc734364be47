"""``wsvad data split``: new training and test parts, alike in classes, with no scene in two of them."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.data.datasets.table import read_annotations, read_column
from wsvad_lightning.data.store.reader import FeatureStore
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.files import replacing
from wsvad_lightning.types import LABELS, UNKNOWN

DEFAULT_TEST = 0.2

Videos = Mapping[str, VideoAnnotation]
Group = list[str]  # videos that stay together
Parts = dict[str, list[str]]


def split(
    source: str,
    *,
    output: str,
    test: float | None = None,
    val: float = 0.0,
    folds: int | None = None,
    group_by: str | None = None,
    group_column: str | None = None,
    seed: int = 0,
) -> None:
    """Divide videos into parts that hold every class in the same proportion.

    Args:
        source: feature store, or annotations table.
        output: JSON file to write, for ``--data.split``.
        test: part of the videos to test with, 0.2 by default.
        val: part of the videos to validate with.
        folds: make this number of splits, each video being tested in one of them.
        group_by: regular expression that finds the scene in a name, by its first group if it has one:
            ``([0-9]+)_`` for ``01_0014``. Videos of a scene stay together.
        group_column: column of the table; videos with the same cell stay together.
        seed: of the order in which videos are assigned; the same seed gives the same split.

    Raises:
        WSVADError: if a part is out of range, a name does not match, or a part would lack a label.
    """
    fractions = _fractions(test, val, folds)
    videos = _read(source)
    groups = _group(videos, _key(source, group_by, group_column))
    rng = np.random.default_rng(seed)
    dealt = deal(groups, videos, fractions, rng)
    if folds is None:
        parts = ("train", "test", "val")[: len(dealt)]
        choices = [dict(zip(parts, map(_names, dealt), strict=True))]
    else:
        choices = [_leave_out(dealt, fold, videos, val, rng) for fold in range(folds)]
    for choice in choices:
        _check(choice, videos)
    with replacing(output) as temporary:
        content = choices[0] if folds is None else {"splits": choices}
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False), "utf-8")
    Console().print(_table(choices, videos, output))


def deal(
    groups: Sequence[Group], videos: Videos, fractions: Sequence[float], rng: np.random.Generator
) -> list[list[Group]]:
    """Deal groups to parts, so that each part comes near its fraction of every class.

    The largest groups go first, equal ones in random order; each goes where it brings the counts nearest to
    what is due, the difference of a class being weighed by its rarity.

    Args:
        groups: names of videos that stay together.
        videos: what is known of them.
        fractions: of all videos for each part, 1 in all.
        rng: decides the order.

    Returns:
        The groups of each part.
    """
    kinds = sorted({_kind(video) for video in videos.values()})
    counts = np.array([[Counter(_kind(videos[n]) for n in group)[k] for k in kinds] for group in groups])
    due = np.outer(fractions, counts.sum(axis=0)).astype(float)
    weights = 1 / counts.sum(axis=0)
    parts: list[list[Group]] = [[] for _ in fractions]
    shuffled = rng.permutation(len(groups))
    for i in shuffled[np.argsort(-counts[shuffled].sum(axis=1), kind="stable")]:
        change = ((due - counts[i]) ** 2 - due**2) @ weights
        best = int(np.argmin(change))
        due[best] -= counts[i]
        parts[best].append(groups[i])
    return parts


def _fractions(test: float | None, val: float, folds: int | None) -> list[float]:
    if folds is not None:
        if test is not None:
            raise WSVADError("test", test, f"each of {folds} folds is tested once", "Give test or folds")
        if folds < 2:
            raise WSVADError("folds", folds, "must be at least 2", "Give 5, or leave it out")
    tested = 1 / folds if folds else DEFAULT_TEST if test is None else test
    if not (0 < tested < 1 and 0 <= val < 1 - tested):
        raise WSVADError(
            "test, val",
            f"{tested}, {val}",
            "leave no videos for training",
            "Give fractions that add up to less than 1",
        )
    return [tested] * folds if folds else [1 - tested - val, tested, *([val] if val else [])]


def _read(source: str) -> Videos:
    if _is_store(source):
        store = FeatureStore(source)
        return {video_id: store[video_id].annotation for video_id in store}
    notes: list[str] = []
    videos = read_annotations(source, notes=notes)
    for note in notes:
        Console().print(f"note: {note}", markup=False, highlight=False, soft_wrap=True)
    return videos


def _is_store(source: str) -> bool:
    return Path(source).suffix.lower() in (".h5", ".hdf5") or Path(f"{source}.parts").is_dir()


def _key(source: str, group_by: str | None, group_column: str | None) -> Callable[[str], str]:
    """What videos of a group have in common, by the name of a video."""
    if group_by is not None and group_column is not None:
        raise WSVADError("group_by", group_by, f"and group_column {group_column} are given", "Give one")
    if group_column is not None and _is_store(source):
        raise WSVADError(
            "group_column", group_column, "a store has no columns", "Split the annotations table"
        )
    if group_column is not None:
        return read_column(source, group_column).__getitem__
    if group_by is None:
        return str
    try:
        pattern = re.compile(group_by)
    except re.error as error:
        raise WSVADError(
            "group_by", group_by, f"is not a regular expression: {error}", "Correct it"
        ) from None

    def find(video_id: str) -> str:
        match = pattern.search(video_id)
        if match is None:
            raise WSVADError("group_by", group_by, f"finds nothing in {video_id}", "Correct it")
        return str(match[match.re.groups and 1])

    return find


def _group(videos: Videos, key: Callable[[str], str]) -> list[Group]:
    groups: dict[str, Group] = defaultdict(list)
    for video_id in sorted(videos):
        groups[key(video_id)].append(video_id)
    return [groups[name] for name in sorted(groups)]


def _leave_out(
    dealt: Sequence[list[Group]], fold: int, videos: Videos, val: float, rng: np.random.Generator
) -> Parts:
    """Test with one fold, train with the others, validate with a part of these."""
    rest = [group for i, groups in enumerate(dealt) if i != fold for group in groups]
    parts = {"train": _names(rest), "test": _names(dealt[fold])}
    if val:
        share = val / (1 - 1 / len(dealt))
        trained, held_out = deal(rest, {n: videos[n] for n in parts["train"]}, [1 - share, share], rng)
        parts |= {"train": _names(trained), "val": _names(held_out)}
    return parts


def _names(groups: Sequence[Group]) -> list[str]:
    return sorted(name for group in groups for name in group)


def _kind(video: VideoAnnotation) -> str:
    """The dominant class, or what else is known."""
    return video.classes[0] if video.classes else LABELS[video.label]


def _check(parts: Parts, videos: Videos) -> None:
    """Refuse a part that lacks normal or abnormal videos where there are any."""
    for part, names in parts.items():
        for label in {video.label for video in videos.values()} - {UNKNOWN}:
            if not any(videos[name].label == label for name in names):
                remedy = "Give more videos, other fractions, another seed or smaller groups"
                raise WSVADError("part", part, f"would have no {LABELS[label]} video", remedy)


def _table(choices: Sequence[Parts], videos: Videos, output: str) -> Table:
    """Count the videos of each class in each part of each split; the longer of both lists goes down."""
    kinds = sorted({_kind(video) for video in videos.values()})
    lines: list[tuple[str, ...]] = [("videos", *kinds, "all")]
    for i, choice in enumerate(choices):
        for part, names in choice.items():
            counts = [sum(_kind(videos[name]) == kind for name in names) for kind in kinds]
            title = f"{part} {i}" if len(choices) > 1 else part
            lines.append((title, *map(str, counts), str(len(names))))
    if len(lines) < len(lines[0]):
        lines = list(zip(*lines, strict=True))
    header, *rows = lines
    table = Table(*map(escape, header), title=escape(output))
    for row in rows:
        table.add_row(*map(escape, row))
    return table
