"""Measure loading of clips against decoding alone: ``python scripts/bench_frames.py --help``."""

import sys

from jsonargparse import auto_cli

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.speed.clips import benchmark_clips

if __name__ == "__main__":
    try:
        auto_cli(benchmark_clips)
    except WSVADError as error:
        sys.exit(f"error: {error}")
