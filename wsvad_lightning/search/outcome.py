"""What a search found: its trials, the best recipe, and what its figure is worth on test videos."""

import math
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich

from wsvad_lightning.bench.results import Result, laid_out, summarise
from wsvad_lightning.files import replacing, write_json, write_table
from wsvad_lightning.reporting.figures import optional
from wsvad_lightning.reporting.tables import SHOWN
from wsvad_lightning.search.picture import draw_importance
from wsvad_lightning.search.study import short

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

BEST, PICTURE, RECORD, TRIALS = "best.yaml", "importance.png", "search.json", "trials.csv"
LISTED = 5  # trials on the terminal


@dataclass(frozen=True)
class Outcome:
    """The best trial and its test.

    Attributes:
        number: of the trial.
        values: of the settings.
        reached: what it was chosen by, the mean over the seeds.
        result: of the test.
        recipe: as YAML.
    """

    number: int
    values: dict[str, Any]
    reached: float
    result: Result
    recipe: str

    @property
    def gap(self) -> float:
        """How much lower the video AUC of the test videos is than what the trial was chosen by."""
        tested = self.result.metrics.get("video_auc")
        return math.nan if tested is None else self.reached - tested


def write_trials(study: "Study", output: Path) -> None:
    """Write all trials as a table, and print the best ones."""
    there = [one for one in study.get_trials(deepcopy=False) if one.state.is_finished()]
    trials = sorted(there, key=lambda one: (one.state.name, -(one.value or 0), one.number))
    ended = [trial for trial in trials if trial.state.name == "COMPLETE"]
    keys = list(ended[0].params)
    rows = [
        [one.number, one.state.name.lower(), one.value if one in ended else None, seconds_of(one)]
        + [one.params.get(key) for key in keys]
        for one in trials
    ]
    write_table(output / TRIALS, ["trial", "state", "video_auc", "seconds", *keys], rows)
    shown = [
        [str(one.number), f"{100 * (one.value or 0):.1f}", *(short(one.params[key]) for key in keys)]
        for one in ended[:LISTED]
    ]
    states = Counter(one.state.name for one in trials)
    title = f"{len(trials)} trials, {states['PRUNED']} of them pruned"
    title += f", {states['FAIL']} failed" if states["FAIL"] else ""
    header = ["trial", "held-out video AUC", *(key.rpartition(".")[2] for key in keys)]
    console = rich.get_console()
    console.print("", laid_out(title, header, shown))
    if (ties := sum(one.value == ended[0].value for one in ended)) > 1:
        said = f"{ties} trials reached the same, the earliest is taken; more --seeds distinguish them"
        console.print(said, markup=False, soft_wrap=True)


def seconds_of(trial: "FrozenTrial") -> float | None:
    """How long a trial took."""
    return None if trial.duration is None else round(trial.duration.total_seconds(), 1)


def write_outcome(outcome: Outcome, study: "Study", output: Path) -> None:
    """Write recipe, record and picture, and print the gap between the objective and the test."""
    tests = len([*output.glob("tests/*/result.json")])
    head = f"# Trial {outcome.number} of `wsvad search`: video AUC {100 * outcome.reached:.1f} on held-out "
    with replacing(output / BEST) as path:
        path.write_text(f"{head}training videos.\n{outcome.recipe}", encoding="utf-8")
    record = {key: value for key, value in asdict(outcome).items() if key != "recipe"}
    write_json({**record, "gap": outcome.gap, "tests": tests}, output / RECORD)
    with optional(output / PICTURE):
        draw_importance(study, output / PICTURE)
    chosen = ["held-out training, chosen by it", f"{100 * outcome.reached:.1f}", *([""] * len(SHOWN))]
    tested = [summarise([outcome.result], name) for name in ("video_auc", *SHOWN)]
    rows = [chosen, ["test, last checkpoint", *tested]]
    console = rich.get_console()
    header = ["videos", "video AUC", *SHOWN.values()]
    console.print("", laid_out(f"Trial {outcome.number}, percent", header, rows))
    gap = f"Gap, held-out videos minus test videos: {100 * outcome.gap:+.1f} points. "
    looked = f"{tests} recipes of this search were tested." if tests > 1 else "It was the only test."
    console.print(f"{gap}{looked}", markup=False, soft_wrap=True)
    written = [name for name in (BEST, PICTURE, TRIALS, RECORD) if (output / name).is_file()]
    console.print(f"written: {output}/{', '.join(written)}", markup=False, soft_wrap=True)
