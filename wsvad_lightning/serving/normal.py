"""``wsvad normal``: from normal videos alone to a model with a calibrated alarm, in one command."""

from dataclasses import replace
from pathlib import Path

import rich
import yaml

from wsvad_lightning.configs import find_config
from wsvad_lightning.data.datasets.table import write_annotations
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.extraction.command import extract, find_videos
from wsvad_lightning.extraction.streams import StreamSpec
from wsvad_lightning.runs.run import announce, run_trainer
from wsvad_lightning.serving.calibrate import calibrate

HELD_OUT = 0.2  # of the videos, to find the threshold on
FEATURES = "extract/motion.yaml"


def normal(
    videos: str,
    output: str = "runs/normal",
    recipe: str = "ped2_gaussian.yaml",
    false_alarms_per_hour: float = 1.0,
    skip_broken: bool = False,
) -> int:
    """Learn what is normal from normal videos alone, and find the alarm threshold on a fifth of them.

    It extracts motion features, trains a method that needs no labels, and calibrates it. What was extracted
    before is kept.

    Args:
        videos: folder of normal videos of a camera, with all its subfolders.
        output: folder for the features and the run.
        recipe: of a method that trains without labels on motion features; by default a Gaussian of normal
            motion.
        false_alarms_per_hour: alarms an hour of normal video at most.
        skip_broken: continue without videos that cannot be read, such as one in recording.

    Returns:
        0 if all videos are in the store, 1 if broken ones were skipped.

    Raises:
        WSVADError: if there are fewer than two videos, one is broken and must not be skipped, or the recipe
            does not fit.
    """
    find_config(recipe)  # refused before hours of extraction
    folder = Path(output)
    table, store = folder / "videos.csv", folder / "normal.h5"
    found = [source.annotation for source in find_videos(videos)]
    if len(found) < 2:
        problem = "has a single video, and the threshold is found on others than those of the training"
        raise WSVADError("videos", videos, problem, "Give several, such as one an hour")
    folder.mkdir(parents=True, exist_ok=True)
    write_annotations(table, {one.video_id: replace(one, label=0, split="train") for one in found})
    features = yaml.safe_load(find_config(FEATURES).read_text("utf-8"))
    streams = [StreamSpec(**stream) for stream in features.pop("streams")]
    announce("extract", videos, str(store), "--annotations", str(table), "--config", FEATURES, "--update")
    settings = {**features, "streams": streams, "update": True, "skip_broken": skip_broken}
    broken = extract(videos, str(store), annotations=str(table), **settings)
    held_out = ["--data.val_fraction", str(HELD_OUT), "--trainer.limit_val_batches", "0"]
    where = ["--output", str(folder), "--name", "run"]
    fit = ["fit", "--config", recipe, "--data.store", str(store), *held_out, *where]
    announce(*fit)
    run = Path(run_trainer(fit).trainer.log_dir or folder)
    checkpoint = str(run / "checkpoints" / "last.ckpt")
    rule = ["--ckpt_path", checkpoint, "--false_alarms_per_hour", str(false_alarms_per_hour)]
    announce("calibrate", *rule)
    calibrate(rule)
    rich.get_console().print(f"Next: wsvad watch SOURCE --ckpt_path {checkpoint}", soft_wrap=True)
    return broken
