"""Measure SST's maps with and without token pruning: ``python scripts/bench_pruning.py --help``."""

import sys

from jsonargparse import auto_cli

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.speed.pruning import benchmark_pruning

if __name__ == "__main__":
    try:
        auto_cli(benchmark_pruning)
    except WSVADError as error:
        sys.exit(f"error: {error}")
