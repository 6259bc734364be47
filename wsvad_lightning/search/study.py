"""A search on disk: Optuna's study in a journal, and one trial, trained on some and judged by other videos.

Several processes may work on one journal, also on several machines. A trial trains once a seed, a method of
stages through all of them; each seed holds out other training videos. What it is judged by is the mean of
the seeds after the last step. After each validation a trial that lies below the median of the others at
that point is pruned.
"""

import math
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer

from wsvad_lightning.bench.measure import QUIET, chosen, in_a_line
from wsvad_lightning.bench.recipes import VALIDATIONS
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.files import write_json
from wsvad_lightning.runs.parsed import parse_fit
from wsvad_lightning.runs.run import WSVADCLI, run_trainer
from wsvad_lightning.runs.stages import train_stages
from wsvad_lightning.search.space import Space, arguments_of

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

OBJECTIVE = "val/video_auc"
JOURNAL, NAME, MADE_FROM = "trials.journal", "search", "made_from"
FIRST = 5  # trials before any is pruned, and validations of a training before it is
FOREIGN = (ValueError, LookupError, TypeError, AssertionError)  # raised for lines that Optuna did not write
APART = 10_000  # more than a training has validations


@dataclass(frozen=True)
class Search:
    """What all trials share.

    Attributes:
        arguments: of ``wsvad fit``.
        space: what varies.
        trials: how many are wanted.
        seeds: to train each trial with.
        val_fraction: part of the training videos to hold out; 0 where the split names them.
        output: folder of the search.
    """

    arguments: list[str]
    space: Space
    trials: int
    seeds: tuple[int, ...]
    val_fraction: float
    output: Path

    def arguments_of(self, values: dict[str, Any], seed: int) -> list[str]:
        """The arguments of the training of a trial."""
        own = [*self.arguments, *arguments_of(values), "--data.val_fraction", str(self.val_fraction)]
        steps = parse_fit(own).trainer.max_steps
        return [*own, *look_often(steps), "--seed_everything", str(seed)]


@dataclass(frozen=True)
class Turn:
    """One trial yet to be drawn.

    Attributes:
        search: that it belongs to.
        number: of this turn, from 1.
    """

    search: Search
    number: int

    def __str__(self) -> str:
        return f"{self.number} of {self.search.trials}"


def open_study(output: Path) -> "Study":
    """Open the study in a folder, or begin one.

    Raises:
        WSVADError: if its journal cannot be read.
    """
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path = str(output / JOURNAL)
    lock = JournalFileOpenLock(path)
    try:
        lock.acquire()
        try:
            drop_torn_line(output / JOURNAL)
        finally:
            lock.release()
        storage = JournalStorage(JournalFileBackend(path, lock))
        return optuna.create_study(
            storage=storage,
            study_name=NAME,
            direction="maximize",
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(FIRST, n_warmup_steps=FIRST),
        )
    except FOREIGN as error:
        reason = " ".join(str(error).split())[:100]
        problem = f"is not the journal of a search ({type(error).__name__}: {reason})"
        raise WSVADError("--output", path, problem, "Give another folder") from error


def drop_torn_line(path: Path) -> None:
    """Cut off what follows the last line feed: a write that a full disk or a power cut ended.

    Optuna would append to it, and then read nothing any more.
    """
    if not path.exists():
        return
    with path.open("rb+") as file:
        whole = file.read()
        if b'"op_code"' in whole.partition(b"\n")[0]:  # else it is no journal, and stays as it is
            file.truncate(whole.rfind(b"\n") + 1)


def finished(study: "Study") -> "list[FrozenTrial]":
    """The trials that ended with a figure or were pruned."""
    from optuna.trial import TrialState

    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))


def look_often(steps: int) -> list[str]:
    """Validate some ten times in a training, and after its last step in any case."""
    often = ["--trainer.check_val_every_n_epoch", "null"]
    if steps <= 0:
        return []
    first = math.ceil(steps / VALIDATIONS)
    interval = next(n for n in range(first, steps + 1) if steps % n == 0)
    return [*often, "--trainer.val_check_interval", str(interval)]


class Validations(Callback):
    """Hand over what each validation measures, and end a training that is pruned.

    Args:
        trial: that the training belongs to.
        before: what the trainings of the seeds before reached.

    Attributes:
        last: what the last validation measured.
        pruned: at what the training was ended, if it was.
    """

    def __init__(self, trial: "Trial", before: Sequence[float]) -> None:
        self.trial, self.before, self.count, self.last = trial, before, 0, math.nan
        self.pruned = ""

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Hand over the mean with the seeds before, and look whether to go on.

        Raises:
            TrialPruned: if not.
        """
        from optuna import TrialPruned

        self.last = float(trainer.callback_metrics[OBJECTIVE])
        self.count += 1
        if math.isnan(self.last):
            return
        mean = float(np.mean([*self.before, self.last]))
        self.trial.report(mean, APART * len(self.before) + self.count)
        if self.trial.should_prune():
            self.pruned = f"pruned at {100 * mean:.1f} after {trainer.global_step} steps"
            raise TrialPruned(self.pruned)


def run_trial(turn: Turn) -> str:
    """Draw a trial, train it, and record what it reached; what is printed goes to ``log.txt`` of its folder.

    Returns:
        What it reached, in a line.

    Raises:
        RuntimeError: if anything went wrong, in a line.
    """
    from optuna import TrialPruned
    from optuna.samplers import TPESampler
    from optuna.trial import TrialState

    search = turn.search
    study = open_study(search.output)
    if len(finished(study)) >= search.trials:
        return "done by another process"
    trial = study.ask()
    study.sampler = TPESampler(seed=trial.number)  # a number that no other process has
    values, folder = search.space.suggest(trial), search.output / "trials" / str(trial.number)
    shown = f"trial {trial.number}, {', '.join(f'{key} {short(value)}' for key, value in values.items())}"
    reached: list[float] = []
    where = ("--output", str(folder), *QUIET)
    try:
        with in_a_line(folder), suppress(TrialPruned):
            for seed in search.seeds:
                validations = Validations(trial, reached)
                train([*search.arguments_of(values, seed), *where, "--name", f"seed{seed}"], validations)
                reached.append(validations.last)
    except RuntimeError as error:
        study.tell(trial, state=TrialState.FAIL)
        raise RuntimeError(f"{shown}: {error}") from None
    except BaseException:
        study.tell(trial, state=TrialState.FAIL)
        raise
    if validations.pruned:
        study.tell(trial, state=TrialState.PRUNED)
        return f"{shown}: {validations.pruned}"
    study.tell(trial, float(np.mean(reached)))
    write_json({"values": values, "reached": reached}, folder / "trial.json")
    return f"{shown}: {100 * np.mean(reached):.1f}"


def train(arguments: Sequence[str], validations: Validations) -> None:
    """Train once, stage by stage, and keep no weights: those of a search are of no use later.

    Raises:
        WSVADError: if what the search goes by is undefined.
        TrialPruned: if the training is pruned.
    """

    class Watched(WSVADCLI):
        def instantiate_trainer(self, **kwargs: Any) -> Trainer:
            trainer = super().instantiate_trainer(**kwargs)
            trainer.callbacks.append(validations)  # type: ignore[attr-defined]  # typed without it
            return trainer

    def train_stage(stage: Sequence[str]) -> tuple[WSVADCLI, str]:
        run = run_trainer(["fit", *arguments, *stage], Watched)
        return run, str(chosen(run, "last"))

    output = Path(arguments[arguments.index("--output") + 1])
    try:
        for _ in train_stages(train_stage):
            pass
    finally:
        for checkpoints in output.glob("*/version_*/checkpoints"):
            shutil.rmtree(checkpoints)
    if math.isnan(validations.last):
        remedy = "Hold out normal and abnormal videos, and let the training validate"
        raise WSVADError(OBJECTIVE, None, "is undefined", remedy)


def short(value: object) -> str:
    """Write a value with three digits."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)
