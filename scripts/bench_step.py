"""Measure training steps and scoring of every method: ``python scripts/bench_step.py --help``."""

import sys

from jsonargparse import auto_cli

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.speed.step import benchmark_steps

if __name__ == "__main__":
    try:
        auto_cli(benchmark_steps)
    except WSVADError as error:
        sys.exit(f"error: {error}")
