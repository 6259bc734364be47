"""Measure what scoring a long video costs: ``python scripts/bench_long.py --help``.

Every measurement has a process of its own, forked before PyTorch computes anything. Times are seconds of the
processor; memory is the peak resident set of the process, the features (float32) and PyTorch included.
"""

import json
import os
import resource
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import torch
from jsonargparse import auto_cli
from matplotlib.ticker import NullFormatter, StrMethodFormatter
from rich.console import Console
from rich.table import Table

from wsvad_lightning import methods
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.methods import S3R
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.methods.base.prompted import PromptedModule
from wsvad_lightning.reporting.figures import INK, new_figure, save_figure, style
from wsvad_lightning.speed.step import ATOMS, CLASSES, OFFICIAL, noise

CHANNELS = 1024
SETTINGS = {"SVMAE": {"inputs": "vis"}}  # otherwise it reads captions; SSRL is in stage 1, without patches
GIB = 2**30


class Cost(NamedTuple):
    """What scoring one video cost.

    Attributes:
        seconds: of the processor.
        peak: bytes.
        ended: whether it was scored; else seconds and peak are those until it was given up.
    """

    seconds: float
    peak: int
    ended: bool


Costs = dict[str, dict[str, Cost]]  # by method and snippets


def benchmark_long(
    output: str,
    names: list[str] | None = None,
    snippets: Sequence[int] = (2_000, 20_000, 200_000),
    crops: int = 1,
    give_up: int = 180,
    picture: str | None = None,
) -> None:
    """Measure methods; print a table and draw a figure of cost against T.

    Args:
        output: file (JSON) of what was measured. What it holds is not measured again.
        names: methods; None for all whose recipes `bench_step.py` knows. Without any, nothing is measured.
        snippets: T of the videos.
        crops: of the videos.
        give_up: seconds of the processor after which a video is given up.
        picture: file of the figure; None for none.

    Raises:
        WSVADError: if a method is unknown.
    """
    if unknown := sorted(set(names or ()) - set(OFFICIAL)):
        raise WSVADError("names", ", ".join(unknown), "no such method", f"Choose among {', '.join(OFFICIAL)}")
    path = Path(output)
    found = json.loads(path.read_text()) if path.exists() else {}
    costs: Costs = {
        name: {length: Cost(*cost) for length, cost in of_method.items()} for name, of_method in found.items()
    }
    for name in OFFICIAL if names is None else names:
        for length in map(str, snippets):
            known = costs.setdefault(name, {})
            if length not in known:
                known[length] = measure(name, int(length), crops, give_up)
                path.write_text(json.dumps(costs, indent=1))
    Console().print(table_of(costs))
    if picture is not None:
        draw(costs, Path(picture))


def measure(name: str, snippets: int, crops: int, give_up: int) -> Cost:
    """Score a video of noise in a forked process, whose time is limited."""
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (give_up, give_up))
        try:
            score(name, snippets, crops)
        except Exception as error:  # a forked process must not go on as its parent
            print(f"{name}, {snippets:,} snippets: {error}", file=sys.stderr)
            os._exit(1)
        os._exit(0)
    _, status, used = os.wait4(child, 0)
    return Cost(used.ru_utime + used.ru_stime, 1024 * used.ru_maxrss, status == 0)


def score(name: str, snippets: int, crops: int) -> None:
    """Score a video of noise with a new method."""
    torch.manual_seed(0)
    model = untrained(name)
    batch = noise((1, crops, snippets, CHANNELS), model)
    with torch.inference_mode():
        model.eval().score(batch)


def untrained(name: str) -> WSVADModule:
    """Make a method of its default size for these channels; what it would read or learn is noise."""
    model: WSVADModule = getattr(methods, name)(feature_dim=CHANNELS, **SETTINGS.get(name, {}))
    if isinstance(model, S3R):
        model.net.use_dictionary(torch.randn(ATOMS, CHANNELS))
    if isinstance(model, PromptedModule):
        model.net.prompt.restore([""] * (1 + CLASSES), torch.randn(1 + CLASSES, CHANNELS))
    return model


def table_of(costs: Costs) -> Table:
    """Tabulate what was measured, T by T."""
    lengths = sorted({length for of_method in costs.values() for length in of_method}, key=int)
    columns = [f"{what}, {int(length):,}" for what in ("GiB", "s") for length in lengths]
    table = Table(
        "method", *columns, title=f"Scoring, {CHANNELS} channels, {torch.get_num_threads()} threads"
    )
    for name, known in costs.items():
        rows = [known.get(length) for length in lengths]
        peaks = ["" if cost is None else f"{at_least(cost)}{cost.peak / GIB:.2f}" for cost in rows]
        seconds = ["" if cost is None else f"{at_least(cost)}{cost.seconds:.1f}" for cost in rows]
        table.add_row(name, *peaks, *seconds)
    return table


def at_least(cost: Cost) -> str:
    """Mark what was given up."""
    return "" if cost.ended else "> "


def draw(costs: Costs, path: Path) -> None:
    """Draw the time of all methods at the smallest T, and time and memory against T of those with several.

    Of what was given up only the memory is shown, as a hollow point.
    """
    figure = new_figure(path, height=4.8)
    bars, times, peaks = figure.subplots(1, 3, width_ratios=(1, 1.2, 1.2))
    shortest = min((length for known in costs.values() for length in known), key=int)
    seconds = {name: known[shortest].seconds for name, known in costs.items() if known[shortest].ended}
    order = sorted(seconds, key=lambda name: -seconds[name])
    bars.plot([seconds[name] for name in order], order, "o", color=INK)
    bars.set(title=f"processor seconds, {int(shortest):,} snippets", xscale="log")
    colours = iter(plt.get_cmap("Dark2").colors)  # type: ignore[attr-defined]  # a list of colours
    for name, known in costs.items():
        if len(known) == 1:
            continue
        line: dict[str, Any] = {"color": next(colours), "label": name, "marker": "o", "markersize": 4}
        points = sorted((int(length), cost) for length, cost in known.items())
        ended = [(length, cost.seconds) for length, cost in points if cost.ended]
        times.plot(*zip(*ended, strict=True), **line)
        peaks.plot([length for length, _ in points], [cost.peak / GIB for _, cost in points], **line)
        for length, cost in points:
            if not cost.ended:
                peaks.plot(length, cost.peak / GIB, **line | {"markerfacecolor": "white"})
    times.set(title="processor seconds", xscale="log", yscale="log", xlabel="snippets")
    peaks.set(title="peak memory, GiB", xscale="log", ylim=(0, None), xlabel="snippets")
    for axes in (bars, times, peaks):
        style(axes)
        axes.title.set(fontsize=11, color=INK)
    for axis in (bars.xaxis, times.xaxis, times.yaxis, peaks.xaxis):
        axis.set_major_formatter(StrMethodFormatter("{x:,g}"))
        axis.set_minor_formatter(NullFormatter())
    figure.legend(*times.get_legend_handles_labels(), loc="outside right upper", frameon=False)
    save_figure(figure, path)


if __name__ == "__main__":
    try:
        auto_cli(benchmark_long)
    except WSVADError as error:
        sys.exit(f"error: {error}")
