"""How often a promised rate of false alarms holds: ``python scripts/bench_alarms.py rendered FOLDER``.

``rendered`` trains Sultani MIL on rendered videos and scores normal ones of another seed. Each round draws
half of these to calibrate on and counts the alarms on the other half. ``synthetic`` does the same with
correlated noise for scores, whose rate follows from 400 further hours.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jsonargparse import auto_cli
from rich.console import Console
from rich.progress import track
from rich.table import Table

from wsvad_lightning.calibration import HOUR, ScoredVideo, calibrate_scores, hours_needed
from wsvad_lightning.cli import main
from wsvad_lightning.data.store import FeatureStore
from wsvad_lightning.demo.render import DemoSpec, render_dataset
from wsvad_lightning.demo.run import CONFIG, SPEC, make_features
from wsvad_lightning.reporting.alarms import scored_video
from wsvad_lightning.reporting.tables import steady_clock
from wsvad_lightning.serving.detector import Detector

RULE = {"hysteresis": 0.2, "pause": 10.0}


def rendered(
    folder: str, clips: int = 320, promised: float = 30.0, rounds: int = 20, workers: int = 1
) -> None:
    """Calibrate on rendered normal videos, and count alarms on others.

    Args:
        folder: for videos, features and the run; what is there is not made again.
        clips: normal ones.
        promised: alarms an hour.
        rounds: draws of that half.
        workers: processes that render.
    """
    place, normal = Path(folder), DemoSpec(0, 0, clips, 0, difficulty=SPEC.difficulty)
    for name, seed, spec in (("training", 0, SPEC), ("normal", 1, normal)):
        if not (place / f"{name}.h5").exists():
            render_dataset(place / name, seed, spec, workers)
            make_features(place / name, place / f"{name}.h5")
    checkpoint = place / "run" / "version_0" / "checkpoints" / "last.ckpt"
    if not checkpoint.exists():
        where = ["--output", str(place), "--name", "run"]
        assert main(["fit", "--config", CONFIG, "--data.store", str(place / "training.h5"), *where]) == 0
    store = FeatureStore(str(place / "normal.h5"))
    names = [name for name in store if store[name].annotation.label == 0]
    scored = Detector.from_checkpoint(checkpoint).score_store(place / "normal.h5", videos=names)
    grid = store.provenance.grid
    videos = [scored_video(scored[name], grid, steady_clock(store[name].fps)) for name in names]

    def draw(seed: int) -> tuple[list[ScoredVideo], list[ScoredVideo]]:
        order = np.random.default_rng(seed).permutation(len(videos))
        seen, fresh = np.array_split(order, 2)
        return [videos[i] for i in seen], [videos[i] for i in fresh]

    show([draw(seed) for seed in range(rounds)], promised)


def synthetic(hours: float = 24.0, promised: float = 1.0, rounds: int = 20) -> None:
    """Calibrate on noise, and count alarms on more of it.

    Args:
        hours: of noise to calibrate on.
        promised: alarms an hour.
        rounds: seeds.
    """
    fresh = [noise(400.0, rounds)]
    show([([noise(hours, seed)], fresh) for seed in range(rounds)], promised)


def noise(hours: float, seed: int) -> ScoredVideo:
    """Scores, one in two seconds, that go on for about ten seconds."""
    count = round(hours * HOUR / 2)
    values = np.convolve(np.random.default_rng(seed).standard_normal(count + 4), np.ones(5) / 5**0.5, "valid")
    return ScoredVideo(np.arange(0, 2.0 * count, 2), 1 / (1 + np.exp(-values)), 2.0 * count)


def show(rounds: Sequence[tuple[list[ScoredVideo], list[ScoredVideo]]], promised: float) -> None:
    """Calibrate on the first videos of each round, and count the alarms on the second."""
    table = Table("round", "hours", "threshold", "alarms", "bound", "fresh hours", "fresh alarms an hour")
    rates, enough = [], True
    for number, (seen, fresh) in enumerate(track(rounds, transient=True)):
        found = calibrate_scores(seen, promised, **RULE)
        hours = sum(video.end for video in fresh) / HOUR
        rate = sum(len(found.rule.alarms(*video)) for video in fresh) / hours
        rates.append(rate)
        enough = enough and found.keeps
        values = (found.hours, found.threshold, found.alarms, found.bound, hours, rate)
        table.add_row(str(number), *(f"{value:.4g}" for value in values))
    console = Console()
    console.print(table)
    kept = sum(rate <= promised for rate in rates)
    console.print(f"promised {promised:g} an hour, kept on fresh video in {kept} of {len(rates)} rounds")
    console.print(f"fresh alarms an hour: mean {np.mean(rates):.3g}, highest {max(rates):.3g}")
    if not enough:
        console.print(f"too few hours in some round: {hours_needed(promised):.3g} are needed")


if __name__ == "__main__":
    auto_cli([rendered, synthetic])
