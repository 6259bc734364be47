"""One recipe over all splits of a data set and several seeds: mean, deviation and receipts."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rich
from rich.table import Table

from wsvad_lightning.data.annotations import read_splits
from wsvad_lightning.files import replacing
from wsvad_lightning.training import run_trainer

SHOWN = {"auc": "AUC", "auc_abnormal": "AUC inside abnormal", "ap": "AP"}


@dataclass(frozen=True)
class Result:
    """What one trained model reached on the test videos of its split.

    Attributes:
        split: which split.
        seed: which seed.
        metrics: by name, as :class:`wsvad_lightning.metrics.FrameMetrics` gives them.
        receipt: what produced the numbers.
    """

    split: int
    seed: int
    metrics: dict[str, float]
    receipt: dict[str, Any]


def benchmark_splits(
    config: str, store: str, split: str, seeds: Sequence[int], output: str, overrides: Sequence[str] = ()
) -> list[Result]:
    """Train and test a recipe on every split with every seed, and write ``results.json`` and ``results.md``.

    The model that is tested is the last one of each training: none is chosen on test videos.

    Args:
        config: recipe, a file or a shipped configuration.
        store: feature store.
        split: file of splits.
        seeds: seeds to train with.
        output: folder for the runs and the results.
        overrides: more arguments of ``wsvad fit``.

    Returns:
        A result a split and seed.
    """
    results = []
    for index in range(len(read_splits(split))):
        for seed in seeds:
            where = ["--output", output, "--name", f"split{index}_seed{seed}"]
            data = ["--data.store", store, "--data.split", split, "--data.split_index", str(index)]
            run = ["--seed_everything", str(seed), *where, *data, *overrides]
            trained = run_trainer(["fit", "--config", config, *run])
            checkpoint = Path(trained.trainer.log_dir or ".") / "checkpoints" / "last.ckpt"
            tested = run_trainer(["test", "--ckpt_path", str(checkpoint), *where])
            record = json.loads((Path(tested.trainer.log_dir or ".") / "metrics.json").read_text())
            results.append(Result(index, seed, record["metrics"], record["receipt"]))
    _write(results, Path(output), config)
    return results


def summarise(results: Iterable[Result], metric: str) -> tuple[float, float]:
    """Mean and (population) standard deviation over splits of the mean over seeds, in percent."""
    by_split: dict[int, list[float]] = {}
    for result in results:
        by_split.setdefault(result.split, []).append(result.metrics[metric])
    means = [100 * float(np.mean(values)) for values in by_split.values()]
    return float(np.mean(means)), float(np.std(means))


def _write(results: Sequence[Result], output: Path, config: str) -> None:
    table = Table("split", *SHOWN.values(), title=f"{config}: percent, last model")
    lines = ["| split | " + " | ".join(SHOWN.values()) + " |", "| --- |" + " --- |" * len(SHOWN)]
    for index in sorted({result.split for result in results}):
        own = [result for result in results if result.split == index]
        cells = [str(index), *(f"{summarise(own, metric)[0]:.1f}" for metric in SHOWN)]
        table.add_row(*cells)
        lines.append("| " + " | ".join(cells) + " |")
    cells = ["mean ± std", *("{:.1f} ± {:.1f}".format(*summarise(results, metric)) for metric in SHOWN)]
    table.add_row(*cells)
    lines.append("| " + " | ".join(cells) + " |")
    rich.print(table)
    with replacing(output / "results.md") as path:
        path.write_text("\n".join(lines) + "\n")
    with replacing(output / "results.json") as path:
        path.write_text(json.dumps([vars(result) for result in results], indent=2) + "\n")
    rich.print(f"written to {output}/results.md and {output}/results.json")
