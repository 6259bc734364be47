"""Results of many runs, and what sums them up: a table and a picture."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rich
from lightning_utilities.core.imports import RequirementCache
from rich import box
from rich.table import Column, Table

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.files import replacing, write_json
from wsvad_lightning.reporting.comparison import comparison_figure
from wsvad_lightning.reporting.figures import optional
from wsvad_lightning.reporting.html.command import NAME
from wsvad_lightning.reporting.html.comparison import BENCH, compare_results
from wsvad_lightning.reporting.html.paired import difference_over_splits
from wsvad_lightning.reporting.tables import OF_CLASSES, SHOWN, as_markdown

Key = tuple[str, str, str]  # method, store and selection


@dataclass(frozen=True)
class Result:
    """What one trained model reached on the test videos of its split.

    Attributes:
        method: name of the method.
        store: name of the feature store.
        selection: which checkpoint represents it.
        split: which split.
        seed: which seed.
        metrics: by name, as ``test`` gives them; None where undefined.
        made_from: recipe, overrides, videos, store and version.
        receipt: of the test: what else produced the numbers, and where.
        seconds: of training and test.
        intervals: ends of the 95 % interval of each metric that has one, over the test videos.
    """

    method: str
    store: str
    selection: str
    split: int
    seed: int
    metrics: dict[str, float | None]
    made_from: dict[str, Any]
    receipt: dict[str, Any]
    seconds: float
    intervals: dict[str, list[float]] = field(default_factory=dict)

    def __str__(self) -> str:
        values = ", ".join(f"{title} {summarise([self], name)}" for name, title in SHOWN.items())
        return f"{values} ({self.seconds:.0f} s)"


def write_results(
    results: Sequence[Result], output: Path, misfits: Mapping[tuple[str, str], WSVADError]
) -> None:
    """Print the table, and write ``results.md``, ``results.json``, ``results.png`` and ``report.html``.

    The picture needs matplotlib, the report Jinja2 and plotly.

    Args:
        results: of all runs.
        output: folder to write to.
        misfits: why a method does not fit a store, by the names of both.
    """
    groups = by_method(results)
    given = {metric for result in results for metric, value in result.metrics.items() if value is not None}
    shown = SHOWN | {metric: title for metric, title in OF_CLASSES.items() if metric in given}
    rows = [
        [*key, *(summarise(own, metric) for metric in shown), str(len(own))] for key, own in groups.items()
    ]
    tables = [("Test videos, percent", ["method", "store", "checkpoint", *shown.values(), "runs"], rows)]
    if compared := differences(groups):
        header = ["method", "store", "checkpoint", *SHOWN.values()]
        tables.append(("Higher than the best by, points, with 95 % intervals", header, compared))
    console = rich.get_console()
    console.print("", *(laid_out(*own) for own in tables))
    left_out = [f"* {method} does not fit {store}: {why}" for (method, store), why in misfits.items()]
    more = [f"{title}:\n\n{as_markdown(header, own)}" for title, header, own in tables[1:]]
    parts = [as_markdown(*tables[0][1:]), "\n".join(left_out), *more, explain(results)]
    with replacing(output / "results.md") as path:
        path.write_text("\n\n".join(filter(None, parts)) + "\n", encoding="utf-8")
    write_json([asdict(result) for result in results], output / BENCH)
    if RequirementCache("matplotlib"):
        with optional(output / "results.png"):
            draw_results(groups, output / "results.png")
    with optional(output / NAME):
        compare_results(output / BENCH, output / NAME)
    console.print(f"written to {output}/results.*", markup=False, soft_wrap=True)


def laid_out(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Make a table for the terminal, which is often 80 columns wide."""
    columns = [Column(name.replace(" ", "\n"), overflow="fold") for name in header]
    table = Table(*columns, title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for row in rows:
        table.add_row(*row)
    return table


def differences(groups: Mapping[Key, Sequence[Result]]) -> list[list[str]]:
    """Compare all with the best of each metric on the splits that both have, as the report does.

    Args:
        groups: results by method, store and selection.

    Returns:
        Rows of a table; none where no two share several splits.
    """
    columns, intervals = [], False
    for metric in SHOWN:
        means = {key: split_means(own, metric) for key, own in groups.items()}
        best = max(filter(means.get, means), key=lambda key: np.mean([*means[key].values()]), default=None)
        cells = {}
        for key, own in means.items():
            shared = [split for split in own if best and split in means[best]]
            if key == best or not shared:
                cells[key] = "best" if key == best else "n/a"
                continue
            assert best is not None
            found = difference_over_splits(*([values[i] for i in shared] for values in (own, means[best])))
            intervals |= len(shared) > 1
            reach = f" ({found.low:+.1f} to {found.high:+.1f})" if len(shared) > 1 else ""
            cells[key] = f"{found.value:+.1f}{reach}"
        columns.append(cells)
    return [[*key, *(cells[key] for cells in columns)] for key in groups] if intervals else []


def draw_results(groups: Mapping[Key, Sequence[Result]], path: Path) -> None:
    """Draw one row per method; with several stores, one row per method and store."""
    several = len({store for _, store, _ in groups}) > 1
    rows = {
        (f"{method}, {store}" if several else method, selection): own
        for (method, store, selection), own in groups.items()
    }
    values = {
        title: {row: by_split(own, metric) for row, own in rows.items()} for metric, title in SHOWN.items()
    }
    comparison_figure(values, path)


def by_method(results: Sequence[Result]) -> dict[Key, list[Result]]:
    """Group results by method, store and selection, the methods of a selection together."""
    groups: dict[Key, list[Result]] = {}
    for selection in dict.fromkeys(result.selection for result in results):
        for result in results:
            if result.selection == selection:
                groups.setdefault((result.method, result.store, selection), []).append(result)
    return groups


def by_split(results: Sequence[Result], metric: str) -> list[float]:
    """Mean over the seeds of each split, in percent; nothing if it is undefined in any run."""
    return [*split_means(results, metric).values()]


def split_means(results: Sequence[Result], metric: str) -> dict[int, float]:
    """The same by the number of the split."""
    values: dict[int, list[float]] = {}
    for result in results:
        value = result.metrics.get(metric)
        if value is None:
            return {}
        values.setdefault(result.split, []).append(100 * value)
    return {split: float(np.mean(values[split])) for split in sorted(values)}


def summarise(results: Sequence[Result], metric: str) -> str:
    """Mean over the splits of :func:`by_split`, ± population standard deviation if there are several.

    A single run has its interval over the test videos in place of the deviation.
    """
    means = by_split(results, metric)
    if not means:
        return "n/a"
    if len(results) == 1 and (ends := results[0].intervals.get(metric)):
        return f"{means[0]:.1f} ({100 * ends[0]:.1f} to {100 * ends[1]:.1f})"
    spread = f" ± {np.std(means):.1f}" if len(means) > 1 else ""
    return f"{np.mean(means):.1f}{spread}"


def explain(results: Sequence[Result]) -> str:
    """Say how the figures were made, in Markdown."""
    seeds = ", ".join(map(str, sorted({result.seed for result in results})))
    checksums = {result.store: result.made_from["store_checksum"][:16] for result in results}
    stores = ", ".join(f"{store} `{start}…`" for store, start in sorted(checksums.items()))
    versions = ", ".join(sorted({result.made_from["version"] for result in results}))
    splits = len({result.split for result in results})
    return (
        f"Percent on the test videos: mean over the seeds ({seeds}) of each split, then mean ± population "
        f"standard deviation over the splits ({splits}). `last` is the end of a training on all training "
        "videos, `best-on-val` is chosen by the labels of held-out videos. "
        f"Store {stores}, wsvad {versions}."
    )
