"""Measure training steps and scoring of every method: ``python scripts/bench_step.py --help``."""

import sys

from jsonargparse import auto_cli

from wsvad_lightning.benchmark.step import benchmark_steps
from wsvad_lightning.errors import WSVADError

if __name__ == "__main__":
    try:
        auto_cli(benchmark_steps)
    except WSVADError as error:
        sys.exit(f"error: {error}")
