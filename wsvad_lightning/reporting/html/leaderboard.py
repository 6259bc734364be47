"""``wsvad leaderboard``: results of comparisons by data set, features and splits, and what papers report.

A table holds what was measured on the same videos with the same features. What papers report stands in tables
of its own: their features, and what chose their checkpoints, are others.
"""

import csv
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rich
import yaml

from wsvad_lightning.errors import WSVADError, counted
from wsvad_lightning.reporting.html.comparison import (
    COLUMNS,
    Entry,
    best_first,
    entry_of,
    joined,
    read_results,
)
from wsvad_lightning.reporting.html.page import write_page

PUBLISHED = Path(__file__).parent / "published.csv"
PARTS = ("train", "val", "test")
Found = tuple[Path, dict[str, Any]]  # a result, and the file that it is in


@dataclass(frozen=True)
class Board:
    """What was measured on the same videos with the same features.

    Attributes:
        title: data set and features.
        facts: what else distinguishes it from other boards.
        entries: a row of each method and checkpoint, the best first, with what produced it.
        shown: titles of the metrics that any row has.
        best: name of the best row by metric.
    """

    title: str
    facts: Sequence[str]
    entries: Sequence[tuple[Entry, Mapping[str, Sequence[str]]]]
    shown: Mapping[str, str]
    best: Mapping[str, str]


def leaderboard(results: list[str], *, output: str) -> None:
    """Rank results of `wsvad bench` on a page, each with its receipt, next to what papers report.

    Args:
        results: files results.json that `wsvad bench` wrote.
        output: HTML file to write.

    Raises:
        WSVADError: if a file holds no results, or the page cannot be written.
    """
    path = Path(output)
    if path.is_dir() or path.suffix.lower() not in (".html", ".htm"):
        raise WSVADError("--output", path, "is not an HTML file", "Give a name that ends with .html")
    found = [(Path(file), result) for file in dict.fromkeys(results) for result in read_results(Path(file))]
    boards = [board_of(own, path) for _, own in sorted(grouped(found).items())]
    write_page(
        path,
        "leaderboard.html.j2",
        {"videos": [], "figures": {}},
        title="Leaderboard",
        facts=[counted(len(found), "run"), counted(len(boards), "board")],
        boards=boards,
        published=published(),
    )
    rich.get_console().print(f"written to {path}", markup=False, soft_wrap=True)


def grouped(found: Iterable[Found]) -> dict[tuple[str, ...], list[Found]]:
    """Put the results together that are of the same videos, parts and features.

    Raises:
        WSVADError: if one does not say what it was made from.
    """
    parts: dict[tuple[Path, str], set[str]] = {}
    for file, result in found:
        if not isinstance(result.get("made_from"), dict):
            raise WSVADError("RESULTS", file, "a result has no made_from", "Run `wsvad bench` again")
        own = [result["split"], *(result["made_from"].get(part) for part in PARTS)]
        parts.setdefault((file, result["store"]), set()).add(json.dumps(own))
    groups: dict[tuple[str, ...], list[Found]] = {}
    for file, result in found:
        made_from = result["made_from"]
        splits = "".join(sorted(parts[file, result["store"]]))
        digest = hashlib.sha256(splits.encode()).hexdigest()
        checksum = str(made_from.get("store_checksum"))
        key = (result["store"], features_of(made_from), checksum, digest)
        groups.setdefault(key, []).append((file, result))
    return groups


def features_of(made_from: Mapping[str, Any]) -> str:
    """Name the streams that a run read."""
    given = made_from.get("streams") or []
    if "--data.features" in given:
        return str(given[given.index("--data.features") + 1]).strip("[]")
    try:
        named = yaml.safe_load(str(made_from.get("recipe")))["data"]["features"]
    except (yaml.YAMLError, TypeError, KeyError):
        return "unknown features"
    return ", ".join(map(str, named)) if isinstance(named, list) else str(named)


def board_of(found: Sequence[Found], page: Path) -> Board:
    """Sum up the results of one data set, features and splits.

    Args:
        found: results with the files that they are in.
        page: where the board is to be written.
    """
    rows: dict[tuple[str, str, Path], list[dict[str, Any]]] = {}  # by method, checkpoint and file
    for file, result in found:
        rows.setdefault((result["method"], result["selection"], file), []).append(result)
    names = [(method, selection) for method, selection, _ in rows]
    entries, receipts = [], []
    for (method, selection, file), own in rows.items():
        name = f"{method}, {selection}" + (f", {file}" if names.count((method, selection)) > 1 else "")
        entries.append(entry_of(name, own, file.parent, page))
        receipts.append({"file": [str(file)], **receipt_of(own)})
    first = found[0][1]
    splits = {result["split"] for _, result in found}
    counts = [
        f"{span(len(own['made_from'].get(part) or []) for _, own in found)} to {part}" for part in PARTS
    ]
    shown = {metric: name for metric, name in COLUMNS.items() if any(metric in e.values for e in entries)}
    order = best_first(entries, "auc")
    order += [i for i in range(len(entries)) if i not in order]
    return Board(
        f"{first['store']}: {features_of(first['made_from'])}",
        [
            f"{len(splits)} split{'s' * (len(splits) > 1)}, videos {', '.join(counts)}",
            f"store {str(first['made_from'].get('store_checksum', 'unknown'))[:16]}…",
        ],
        [(entries[i], receipts[i]) for i in order],
        shown,
        {metric: entries[top[0]].name for metric in shown if (top := best_first(entries, metric))},
    )


def span(counts: Iterable[int]) -> str:
    """Write the lowest and the highest of some numbers; one number where they are the same."""
    known = sorted({*counts})
    return "-".join(map(str, dict.fromkeys((known[0], known[-1]))))


def receipt_of(results: Sequence[dict[str, Any]]) -> dict[str, list[str]]:
    """What the runs of a row were made from, each distinct value once."""
    receipts = [own for result in results if isinstance(own := result.get("receipt"), dict)]
    seeds = sorted({result["seed"] for result in results})
    return {"seeds": [", ".join(map(str, seeds))], **joined(receipts)}


def published() -> dict[str, list[dict[str, Any]]]:
    """Read what papers report, by data set and metric, the highest first."""
    tables: dict[str, list[dict[str, Any]]] = {}
    with PUBLISHED.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            tables.setdefault(f"{row['data_set']}, {row['metric']}", []).append(row)
    return {name: sorted(own, key=lambda row: -float(row["percent"])) for name, own in tables.items()}
