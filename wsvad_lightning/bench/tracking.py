"""A comparison in Weights & Biases: all its runs in one group, and one more run that sums them up."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import Namespace

from wsvad_lightning.bench.results import Result, by_method, summarise
from wsvad_lightning.reporting.tables import SHOWN
from wsvad_lightning.reporting.wandb import WandbRun, finish

WRITTEN = ("results.md", "results.json", "results.png", "report.html")
SHARED = ("project", "entity", "group", "offline", "save_dir")  # settings of the runs and of their sum


def join_group(recipe: Namespace, output: str) -> None:
    """Put the runs of a recipe into the group of the comparison, unless it names one.

    Args:
        recipe: of a method, changed in place.
        output: folder of the comparison.
    """
    for settings in _settings_of(recipe.trainer.logger):
        settings["group"] = settings.get("group") or f"{Path(output).name}-{digest_of(output)}"


def digest_of(output: str) -> str:
    """Identify a comparison by its folder, so that the same command continues it."""
    return hashlib.sha256(str(Path(output).resolve()).encode()).hexdigest()[:8]


def log_comparison(recipe: Path, output: str, results: Sequence[Result]) -> None:
    """Log the table, all results and the picture in a run of their own, where the recipe asks for runs.

    Args:
        recipe: of a method of the comparison, as it was written.
        output: folder of the comparison, with its results.
        results: of all runs.
    """
    trainer = yaml.safe_load(recipe.read_text("utf-8"))["trainer"]
    for settings in _settings_of(trainer.get("logger")):
        own: Any = {key: settings[key] for key in SHARED if settings.get(key) is not None}
        run = WandbRun(**own, name=Path(output).name, job_type="bench", id=f"bench-{digest_of(output)}")
        run.belong(output, stage=1, step=None, extremes={})
        log_results(run, Path(output), results)
        finish(run.experiment)


def log_results(run: WandbRun, output: Path, results: Sequence[Result]) -> None:
    """Log the table as ``results.md`` has it, a row a run, and the picture."""
    rows = [
        [*key, *(summarise(own, metric) for metric in SHOWN), len(own)]
        for key, own in by_method(results).items()
    ]
    metrics = list(dict.fromkeys(name for result in results for name in result.metrics))
    of_runs = [
        [one.method, one.store, one.selection, one.split, one.seed, one.seconds]
        + [one.metrics.get(name) for name in metrics]
        for one in results
    ]
    key = ["method", "store", "checkpoint"]
    run.log_table("bench/methods", [*key, *SHOWN.values(), "runs"], rows)
    run.log_table("bench/runs", [*key, "split", "seed", "seconds", *metrics], of_runs)
    if (output / "results.png").is_file():
        run.log_image("bench/results", [str(output / "results.png")])
    run.log_files("results", [output / name for name in WRITTEN])


def _settings_of(loggers: Any) -> Iterator[Any]:
    """Give the settings of those loggers of a recipe, or its written text, that are runs of W&B."""
    for logger in loggers if isinstance(loggers, list) else [loggers]:
        if isinstance(logger, dict | Namespace) and logger["class_path"].endswith(WandbRun.__name__):
            yield logger["init_args"]
