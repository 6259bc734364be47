"""Measure how fast training batches load: ``python scripts/bench_loading.py --help``."""

from jsonargparse import auto_cli

from wsvad_lightning.speed.loading import benchmark_loading

if __name__ == "__main__":
    auto_cli(benchmark_loading)
