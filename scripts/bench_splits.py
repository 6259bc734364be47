"""Reproduce a table of docs/benchmarks.md from videos, their annotations and a file of splits."""

import argparse
import sys

from wsvad_lightning.benchmark.splits import benchmark_splits
from wsvad_lightning.cli import main as wsvad
from wsvad_lightning.errors import WSVADError


def main() -> int:
    """Extract features where they are missing, then train and test on every split."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("videos", help="folder of videos")
    parser.add_argument("annotations", help="table of labels and intervals")
    parser.add_argument("splits", help="file of splits")
    parser.add_argument("--config", default="ped2_urdmu.yaml", help="recipe of the training")
    parser.add_argument("--extract", default="extract/motion.yaml", help="recipe of the features")
    parser.add_argument("--store", default="stores/ped2.h5", help="feature store; made where it is missing")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--output", default="runs/bench_splits", help="folder of runs and results")
    args, overrides = parser.parse_known_args()
    extracting = [
        "extract",
        args.videos,
        args.store,
        "--annotations",
        args.annotations,
        "--config",
        args.extract,
    ]
    status = wsvad(extracting)
    if status:
        return status
    try:
        benchmark_splits(args.config, args.store, args.splits, args.seeds, args.output, overrides)
    except WSVADError as error:
        sys.exit(f"error: {error}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
