"""Measure extraction against its limits: ``python scripts/bench_extract.py --help``."""

import sys

from jsonargparse import auto_cli

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.speed.extraction import benchmark_extraction

if __name__ == "__main__":
    try:
        auto_cli(benchmark_extraction)
    except WSVADError as error:
        sys.exit(f"error: {error}")
