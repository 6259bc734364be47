"""Export every method, in a small size, in every format: what differs, and how long scoring takes.

    python scripts/check_export.py [FORMAT ...] [--methods NAME ...] [--dim 64] [--snippets 256]

A row is a method in a format. The largest difference of a score from the checkpoint's is over three
lengths, none of which was traced. Times are medians on one thread, in which PyTorch and the file take turns.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import get_args

import torch

from tests.methods.small import small
from wsvad_lightning import methods
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.serving import export
from wsvad_lightning.serving.exported import ScoringModule, scoring_module
from wsvad_lightning.serving.preparation import Preparation

TURNS = 15
CROPS = 1


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("formats", nargs="*", default=get_args(export.Format))
    parser.add_argument("--methods", nargs="+", default=methods.__all__)
    parser.add_argument("--dim", type=int, default=64, help="channels of the features")
    parser.add_argument("--snippets", type=int, default=256)
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'method':<10} {'format':<9} {'differs':>8} {'PyTorch ms':>11} {'file ms':>8} {'times':>6}")
    for name in args.methods:
        model = small(name, args.dim).eval()
        try:
            module = scoring_module(model, Preparation({}, {}, model), name)
            export.refuse_draws(module, name)
            program = export.trace(module)
        except WSVADError as error:
            print(f"{name:<10} {error.problem}", flush=True)
            continue
        most = export.most_snippets(program)
        described = json.dumps(export.metadata(module, program, {}))
        for kind in args.formats:
            with TemporaryDirectory() as folder:
                path = Path(folder, "model" + export.SUFFIXES[kind])
                try:
                    export.WRITERS[kind](program, module, described, path)
                except WSVADError as error:
                    print(f"{name:<10} {kind:<9} {error.problem}", flush=True)
                    continue
                run = export.RUNNERS[kind](path, module)
                differs = export.largest_difference(module, run, most)
                eager, file = in_turns(module, run, min(args.snippets, most or args.snippets))
            times = f"{eager:>11.2f} {file:>8.2f} {file / eager:>6.2f}"
            print(f"{name:<10} {kind:<9} {differs:>8.1e} {times}", flush=True)


def in_turns(module: ScoringModule, run: export.Runner, snippets: int) -> tuple[float, float]:
    """Time the module and a file on the same video in turns: medians in milliseconds."""
    streams = export.drawn(module, snippets, CROPS)
    ways: tuple[Callable[[], object], ...] = (lambda: module(*streams), lambda: run(streams))
    taken: tuple[list[float], ...] = ([], [])
    with torch.inference_mode():
        for _ in range(TURNS):
            for way, times in zip(ways, taken, strict=True):
                begin = time.perf_counter()
                way()
                times.append(1000 * (time.perf_counter() - begin))
    eager, file = map(median, taken)
    return eager, file


if __name__ == "__main__":
    main()
