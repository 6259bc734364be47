"""A search from its first trial to the test of the recipe that it found."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import portalocker
import rich

import wsvad_lightning
from wsvad_lightning.bench.compare import check_fit
from wsvad_lightning.bench.measure import Cell, train_and_test
from wsvad_lightning.bench.recipes import as_text
from wsvad_lightning.bench.workers import work_off
from wsvad_lightning.data.loading.catalogue import Catalogue
from wsvad_lightning.data.store.lock import WriterLock
from wsvad_lightning.data.store.reader import store_paths
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.runs.parsed import ParsedRun, parse_fit
from wsvad_lightning.runs.run import writable_folder
from wsvad_lightning.search.outcome import Outcome, write_outcome, write_trials
from wsvad_lightning.search.space import arguments_of
from wsvad_lightning.search.study import JOURNAL, MADE_FROM, Search, Turn, finished, open_study, run_trial
from wsvad_lightning.signals import continuing

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

KINDS = {0: "normal", 1: "abnormal"}


def check(search: Search) -> Search:
    """Validate that the recipe trains, and that videos of both kinds can be held out and tested.

    Returns:
        The search; where the split names videos to validate with, none are held out.

    Raises:
        WSVADError: if something does not work.
    """
    model, data = ParsedRun(["fit", *search.arguments, "--data.val_fraction", "0"]).make()
    if not isinstance(model, WSVADModule):
        remedy = "Search a method that does"
        raise WSVADError("--config", type(model).__name__, "scores no features", remedy)
    known = data.catalogue
    known.require_videos("test")
    if known.parts["val"]:
        search = replace(search, val_fraction=0.0)
    where = (known.store_path, known.split_path, known.split_index, known.annotations_path)
    held_out = Catalogue(*where, search.val_fraction, search.seeds[0])
    labels = {held_out.annotations[name].label for name in held_out.parts["val"]}
    if missing := [kind for label, kind in KINDS.items() if label not in labels]:
        problem = f"no {missing[0]} training video is held out, so that video AUC is undefined"
        raise WSVADError("--val_fraction", search.val_fraction, problem, "Give a split with both kinds")
    check_fit(cell_of(search, {}, 0))
    return search


def search_on(search: Search, jobs: int) -> int:
    """Run the trials that are missing, and test the best one.

    Args:
        search: that :func:`check` accepted.
        jobs: trials at a time, each in a process of its own.

    Returns:
        0 if all trials ended, 1 if some failed.

    Raises:
        WSVADError: if the folder holds another search, or no trial ended.
    """
    with writable_folder(str(search.output)):
        study = open_study(search.output)
    claim(study, search)
    share = WriterLock(search.output / "running")
    try:
        return _search_on(study, search, jobs, share)
    finally:
        share.release()


def _search_on(study: "Study", search: Search, jobs: int, share: WriterLock) -> int:
    """Run the trials; of the processes that search in the folder, the last one tests."""
    before = len(finished(study))
    rich.print(f"{search.trials} trials, {min(before, search.trials)} of them finished before")
    turns = [Turn(search, number + 1) for number in range(before, search.trials)]
    with continuing():
        failed = work_off(turns, run_trial, jobs) if turns else []
    for _, error in failed:
        rich.get_console().print(f"failed: {error}", markup=False, soft_wrap=True)
    ended = [trial for trial in finished(study) if trial.value is not None and trial.state.name == "COMPLETE"]
    if not ended:
        raise WSVADError("search", search.output, "no trial ended", f"See {search.output}/trials/*/log.txt")
    write_trials(study, search.output)
    if not share.is_last():
        said = "another process still searches in this folder, and tests the best recipe at its end"
        rich.get_console().print(said, markup=False, soft_wrap=True)
        return 1 if failed else 0
    share.remove()
    best = max(ended, key=lambda trial: (trial.value, -trial.number))
    with continuing():
        write_outcome(test(search, best), study, search.output)
    return 1 if failed else 0


def claim(study: "Study", search: Search) -> None:
    """Write into a study what it is of, one process at a time; another search does not go on in its folder.

    Raises:
        WSVADError: if it is of something else.
    """
    path = search.output / "claim"
    with path.open("a") as file:
        portalocker.lock(file, portalocker.LockFlags.EXCLUSIVE)
        _claim(study, search)
        path.unlink(missing_ok=True)  # who waited for it finds the claim


def _claim(study: "Study", search: Search) -> None:
    recipe = parse_fit(search.arguments)
    own: dict[str, Any] = {
        "recipe": as_text(recipe, logger=False, without=("data.val_fraction",)),
        "space": search.space.described(),
        "seeds": list(search.seeds),
        "val_fraction": search.val_fraction,
        "store": Catalogue(recipe.data.store).store.checksum(),
        "version": wsvad_lightning.__version__,
    }
    there = study.user_attrs.get(MADE_FROM)
    if there is None:
        study.set_user_attr(MADE_FROM, own)
    elif other := [name for name, value in own.items() if there.get(name) != value]:
        problem = f"holds a search of another {' and '.join(other)}"
        raise WSVADError("--output", search.output, problem, "Give another folder, or the same arguments")


def test(search: Search, best: "FrozenTrial") -> Outcome:
    """Write the best recipe, train it on all training videos, and test its last checkpoint once.

    Raises:
        WSVADError: if that fails.
    """
    search.space.check(best.params, search.output / JOURNAL)
    cell = cell_of(search, best.params, best.number)
    if cell.read_result() is None and (failed := work_off([cell], train_and_test, 1)):
        raise WSVADError("search", cell, failed[0][1], f"See {cell.folder}/log.txt")
    result = cell.read_result()
    assert result is not None, "written by the run that did not fail"
    config = parse_fit([*search.arguments, *arguments_of(best.params), "--data.val_fraction", "0"])
    text = as_text(config, without=()) + f"seed_everything: {search.seeds[0]}\n"
    assert best.value is not None, "the trial has ended"
    return Outcome(best.number, best.params, best.value, result, text)


def cell_of(search: Search, values: dict[str, Any], number: int) -> Cell:
    """Put together the run that trains on all training videos and is tested."""
    arguments = [*search.arguments, *arguments_of(values), "--data.val_fraction", "0"]
    config = parse_fit(arguments)
    method, store = config.model.class_path.rpartition(".")[2].lower(), store_paths(config.data.store)[0]
    folder, seed = search.output / "tests" / f"trial{number}", search.seeds[0]
    made_from = {"recipe": as_text(config, logger=False, without=()), "version": wsvad_lightning.__version__}
    more = ["--trainer.limit_val_batches", "0", "--trainer.enable_progress_bar", "false"]
    where = ["--output", str(folder.parent), "--name", folder.name, "--seed_everything", str(seed)]
    return Cell(
        method,
        Path(store).stem,
        "last",
        config.data.split_index,
        seed,
        folder,
        [*arguments, *more, *where],
        made_from,
    )
