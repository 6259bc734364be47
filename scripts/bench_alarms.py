"""How often a promised rate of false alarms holds: ``python scripts/bench_alarms.py rendered FOLDER``.

``rendered`` trains on rendered videos, once for each seed and recipe, and scores normal videos of another
rendering, as whole videos and as ``wsvad watch`` does. Half of these, drawn anew for each seed, calibrate.
The alarms on the other half are counted, and the events that are found in videos with one. ``synthetic``
calibrates on correlated noise for scores, whose rate follows from 400 further hours.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
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
from wsvad_lightning.reporting.alarms import alarm_figures, scored_video, spans_of
from wsvad_lightning.reporting.tables import steady_clock
from wsvad_lightning.serving.calibrate import streamed
from wsvad_lightning.serving.detector import Detector
from wsvad_lightning.types import Prediction

RULE = {"hysteresis": 0.2, "pause": 10.0}
PARTS = {  # seed and clips of each rendering, ten frames a second
    "training": (0, DemoSpec(24, 30, 0, 0, 60, 75, difficulty="plain")),
    "fresh": (1, DemoSpec(0, 0, 60, 20, 100, 150, difficulty="plain")),
}
RECIPES = ("ped2_sultani.yaml", "ped2_urdmu.yaml")


@dataclass(frozen=True)
class Round:
    """What came of one seed.

    Attributes:
        hours: of normal video that calibrated.
        threshold: that was found.
        keeps: whether these hours were enough for the promise.
        fresh_hours: of other normal video.
        fresh_rate: alarms an hour of that.
        events_found: share of the events; NaN without any.
    """

    hours: float
    threshold: float
    keeps: bool
    fresh_hours: float
    fresh_rate: float
    events_found: float


def rendered(
    folder: str,
    recipes: Sequence[str] = RECIPES,
    promised: float = 40.0,
    seeds: int = 20,
    window: int = 32,
    workers: int = 1,
) -> None:
    """Calibrate on rendered normal videos, and count alarms on others.

    Args:
        folder: for videos, features, runs and rounds; what is there is not made again.
        recipes: what is trained, on motion features.
        promised: alarms an hour.
        seeds: of trainings and draws.
        window: of snippets that are scored together.
        workers: processes that render.
    """
    place = Path(folder)
    for name, (seed, spec) in PARTS.items():
        store, table = place / f"{name}.h5", place / name / "annotations.csv"
        if not store.exists():
            render_dataset(place / name, seed, spec, workers)
            given = [str(place / name / "videos"), str(store), "--annotations", str(table)]
            assert main(["extract", *given, "--config", "extract/motion.yaml"]) == 0
    for recipe in recipes:
        found: dict[str, list[Round]] = {}
        for seed in range(seeds):
            path = place / f"{Path(recipe).stem}-{seed}.json"
            if not path.exists():
                path.write_text(json.dumps(one_seed(place, recipe, seed, promised, window)), "utf-8")
            for kind, values in json.loads(path.read_text("utf-8")).items():
                found.setdefault(kind, []).append(Round(**values))
        for kind, rounds in found.items():
            show(f"{recipe}, {kind}", rounds, promised)


def one_seed(
    place: Path, recipe: str, seed: int, promised: float, window: int
) -> dict[str, dict[str, float]]:
    """Train, score, calibrate and count, by what is scored."""
    name = f"{Path(recipe).stem}-{seed}"
    where = ["--data.store", str(place / "training.h5"), "--output", str(place / "runs"), "--name", name]
    assert main(["fit", "--config", recipe, "--seed_everything", str(seed), *where]) == 0
    (last,) = (place / "runs" / name).glob("version_0/checkpoints/last.ckpt")
    detector, store = Detector.from_checkpoint(last), FeatureStore(str(place / "fresh.h5"))
    whole = detector.score_store(place / "fresh.h5")
    stream = detector.stream() if detector.stream().exact else detector.stream(window)
    kinds = {"whole videos": whole}
    if not stream.exact:
        kinds[f"windows of {window}"] = streamed(whole, store, stream)
    return {kind: asdict(drawn(scores, store, seed, promised)) for kind, scores in kinds.items()}


def drawn(scores: Mapping[str, Prediction], store: FeatureStore, seed: int, promised: float) -> Round:
    """Calibrate on half of the normal videos, and count on the others and on all events."""
    clocks = {name: steady_clock(store[name].fps) for name in store}
    videos = {name: scored_video(scores[name], store.provenance.grid, clocks[name]) for name in store}
    normal = [name for name in store if store[name].annotation.label == 0]
    order = np.random.default_rng(seed).permutation(len(normal))
    seen, fresh = ([normal[i] for i in half] for half in np.array_split(order, 2))
    found = calibrate_scores([videos[name] for name in seen], promised, **RULE)
    events = {
        name: spans_of(store[name].annotation.events or (), clocks[name])
        for name in store
        if name not in normal
    }
    tested = {name: videos[name] for name in (*fresh, *events)}
    figures = alarm_figures(tested, fresh, events, found)
    rate, hours = figures.false_alarms_per_hour, figures.normal_hours
    return Round(found.hours, found.threshold, found.keeps, hours, rate, figures.events_found)


def synthetic(hours: float = 24.0, promised: float = 1.0, rounds: int = 20) -> None:
    """Calibrate on noise, and count alarms on more of it.

    Args:
        hours: of noise to calibrate on.
        promised: alarms an hour.
        rounds: seeds.
    """
    fresh, found = noise(400.0, rounds), []
    for seed in track(range(rounds), transient=True):
        calibration = calibrate_scores([noise(hours, seed)], promised, **RULE)
        rate = len(calibration.rule.alarms(*fresh)) / 400.0
        found.append(Round(hours, calibration.threshold, calibration.keeps, 400.0, rate, float("nan")))
    show("noise", found, promised)


def noise(hours: float, seed: int) -> ScoredVideo:
    """Scores, one in two seconds, that go on for about ten seconds."""
    count = round(hours * HOUR / 2)
    values = np.convolve(np.random.default_rng(seed).standard_normal(count + 4), np.ones(5) / 5**0.5, "valid")
    return ScoredVideo(np.arange(0, 2.0 * count, 2), 1 / (1 + np.exp(-values)), 2.0 * count)


def show(title: str, rounds: Sequence[Round], promised: float) -> None:
    """Print the rounds, and how many kept the promise."""
    table = Table("seed", *Round.__annotations__, title=title)
    for seed, one in enumerate(rounds):
        table.add_row(str(seed), *(f"{value:.4g}" for value in asdict(one).values()))
    console = Console()
    console.print(table)
    rates = [one.fresh_rate for one in rounds]
    kept = sum(rate <= promised for rate in rates)
    console.print(f"promised {promised:g} an hour, kept on fresh video in {kept} of {len(rounds)} seeds")
    console.print(f"fresh alarms an hour: mean {np.mean(rates):.3g}, highest {max(rates):.3g}")
    console.print(f"events found: mean {100 * np.mean([one.events_found for one in rounds]):.1f} %")
    if not all(one.keeps for one in rounds):
        console.print(f"too few hours in some round: {hours_needed(promised):.3g} are needed")


if __name__ == "__main__":
    auto_cli([rendered, synthetic])
