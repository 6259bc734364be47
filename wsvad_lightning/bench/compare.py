"""Methods and features compared: every method trained on every store, split and seed, and tested.

A store holds the features of one backbone for the videos of the data set; methods are left out where the
store lacks what they require. :mod:`wsvad_lightning.bench.recipes` composes what a method is trained by.

Two checkpoints represent a method. ``last`` is the end of a training on all training videos. ``best-on-val``
is chosen by the labels of videos that are held out: those of the split's part ``val``, or a part of the
training videos. The two are trained apart, so that holding out costs ``last`` nothing.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import rich

import wsvad_lightning
from wsvad_lightning.bench.measure import QUIET, Cell, train_and_test
from wsvad_lightning.bench.recipes import CHECKPOINTS, Recipes, as_text, compose, find_methods
from wsvad_lightning.bench.results import write_results
from wsvad_lightning.bench.tracking import join_group, log_comparison
from wsvad_lightning.bench.workers import work_off
from wsvad_lightning.data.datasets.splits import read_splits
from wsvad_lightning.data.loading.catalogue import Catalogue, as_settings
from wsvad_lightning.data.store.reader import FeatureStore, store_paths
from wsvad_lightning.errors import WSVADError, counted
from wsvad_lightning.files import replacing
from wsvad_lightning.methods.base.prompted import PromptedModule
from wsvad_lightning.methods.base.staged import stage_of
from wsvad_lightning.runs.parsed import ParsedRun
from wsvad_lightning.runs.run import writable_folder
from wsvad_lightning.signals import continuing

DEFAULT_STREAMS = ["features"]  # of `bench/default.yaml`; any others were asked for


@dataclass(frozen=True)
class Plan:
    """What is compared, and on what.

    Args:
        methods: ids of shipped methods, or ``all``; also files with a ``model``, such as recipes.
        stores: feature stores; a pattern names one that lies in several files.
        splits: file of splits, each of which is used; without one, the split written in the store.
        configs: recipes whose data and trainer are used, files or shipped configurations.
        val_fraction: part of the training videos that is held out for best-on-val, unless the split names
            videos to validate with.
        output: folder for runs and results.
        seeds: seeds to train with.
        selections: which of the ``CHECKPOINTS`` represent a method.
        arguments: more arguments of ``wsvad fit``; those of a model go to the methods that have them.
    """

    methods: Sequence[str]
    stores: Sequence[str]
    splits: str | None = None
    configs: Sequence[str] = ("bench/default.yaml",)
    val_fraction: float = 0.25
    output: str = "runs/bench"
    seeds: Sequence[int] = (0, 1, 2)
    selections: Sequence[str] = tuple(CHECKPOINTS)
    arguments: Sequence[str] = ()

    def recipes(self) -> Recipes:
        """Compose the recipes of all methods and selections.

        Raises:
            WSVADError: if recipe, methods or arguments do not parse or do not work.
        """
        return compose(find_methods(self.methods), self.configs, self.selections, self.arguments)


def compare(plan: Plan, jobs: int = 1) -> int:
    """Run what fits and has no result yet, and write ``results.md``, ``results.json`` and ``results.png``.

    Args:
        plan: what to compare.
        jobs: runs at a time, each in a process of its own; several have one thread each.

    Returns:
        0 if all runs have a result, 1 if some failed.

    Raises:
        WSVADError: if stores, splits, recipe, methods or arguments do not work, or nothing fits.
    """
    cells = make_cells(plan)
    todo = [cell for cell in cells if cell.read_result() is None]
    misfits = find_misfits(todo)
    cells, todo = ([cell for cell in own if cell.pair not in misfits] for own in (cells, todo))
    if not cells:
        raise next(iter(misfits.values()))
    for (method, store), why in misfits.items():
        rich.get_console().print(f"{method} does not fit {store}: {why}", markup=False, soft_wrap=True)
    rich.print(f"{counted(len(cells), 'run')}, {len(cells) - len(todo)} of them finished before")
    with continuing():
        failed = work_off(todo, train_and_test, jobs) if todo else []
    results = [result for cell in cells if (result := cell.read_result())]
    if results:
        write_results(results, Path(plan.output), misfits)
        log_comparison(recipe_path(plan, cells[0].method, cells[0].selection), plan.output, results)
    for error in dict.fromkeys(error for _, error in failed):
        logs = [cell.folder / "log.txt" for cell, said in failed if said == error]
        message = f"{len(logs)} failed: {error}"
        rich.get_console().print(message, *logs, sep="\n    ", markup=False, soft_wrap=True)
    return 1 if failed else 0


# ------------------------------------------------------------------------------------------- what is run


def make_cells(plan: Plan) -> list[Cell]:
    """Write the recipes of all methods, and list the runs: all methods of a split and seed together.

    Raises:
        WSVADError: if stores, splits, recipe, methods or arguments do not work.
    """
    recipes = plan.recipes()
    for composed in recipes.values():
        join_group(composed, plan.output)
    with as_settings({"split": "--splits"}):
        splits = range(len(read_splits(plan.splits)) if plan.splits else 1)
    stores = find_stores(plan.stores)
    videos = {
        (name, split): read_videos(path, plan.splits, split)
        for name, path in stores.items()
        for split in splits
    }
    streams = choose_streams(stores, recipes)
    texts = {key: as_text(recipe, logger=False) for key, recipe in recipes.items()}
    with writable_folder(plan.output):
        for (selection, method), recipe in recipes.items():
            with replacing(recipe_path(plan, method, selection)) as path:
                path.write_text(as_text(recipe), encoding="utf-8")
    return [
        make_cell(
            plan,
            method,
            (store, path),
            selection,
            split,
            seed,
            text,
            streams[store, method],
            videos[store, split],
        )
        for seed, split in product(dict.fromkeys(plan.seeds), splits)
        for (store, path), ((selection, method), text) in product(stores.items(), texts.items())
    ]


def make_cell(
    plan: Plan,
    method: str,
    store: tuple[str, str],
    selection: str,
    split: int,
    seed: int,
    recipe: str,
    streams: list[str],
    videos: dict[str, Any],
) -> Cell:
    """Put a run together; ``store`` is name and path, ``streams`` are arguments that choose them."""
    name, path = store
    folder = Path(plan.output) / method / name / f"split{split}_seed{seed}_{selection}"
    held_out = plan.val_fraction if selection == "best-on-val" and not videos["val"] else 0.0
    where = ("--data.split", plan.splits, "--data.split_index", str(split)) if plan.splits else ()
    arguments = [
        *("--config", str(recipe_path(plan, method, selection))),
        *("--data.store", path, *where, "--seed_everything", str(seed)),
        *(() if selection == "best-on-val" else ("--trainer.limit_val_batches", "0")),
        *("--output", str(folder.parent), "--name", folder.name, *QUIET),
        *("--data.val_fraction", str(held_out), *streams),
    ]
    made_from = {
        "recipe": recipe,
        "streams": streams,
        "val_fraction": held_out,
        "version": wsvad_lightning.__version__,
        **videos,
    }
    return Cell(method, name, selection, split, seed, folder, arguments, made_from)


def recipe_path(plan: Plan, method: str, selection: str) -> Path:
    """Where the recipe that a method is trained by is written."""
    return Path(plan.output) / method / f"{selection}.yaml"


def find_stores(paths: Sequence[str]) -> dict[str, str]:
    """Name the stores by their files.

    Raises:
        WSVADError: if the store does not exist, or two have the same name.
    """
    found: dict[str, str] = {}
    for path in paths:
        first, *more = store_paths(path)
        name = f"{first.stem}+{len(more)}" if more else first.stem
        if found.setdefault(name, path) != path:
            raise WSVADError("--stores", path, "another store has this name", "Rename the file")
    return found


def read_videos(store: str, splits: str | None, split: int) -> dict[str, Any]:
    """Give the videos of each part of a split, and digests of their features and of what is known of them.

    Raises:
        WSVADError: if store and split do not fit together, or name no video to train or to test with.
    """
    catalogue = Catalogue(store, splits, split)
    for part in ("train", "test"):
        catalogue.require_videos(part)
    named = [name for part in catalogue.parts.values() for name in part]
    known = json.dumps([asdict(catalogue.annotations[name]) for name in named])
    labels = hashlib.sha256(known.encode()).hexdigest()
    return {**catalogue.parts, "store_checksum": catalogue.store.checksum(), "labels": labels}


def choose_streams(stores: Mapping[str, str], recipes: Recipes) -> dict[tuple[str, str], list[str]]:
    """Take all streams of a store where it lacks those of a recipe, and say so.

    Args:
        stores: paths by name.
        recipes: of the methods.

    Returns:
        Arguments of ``fit`` by store and method, none where the recipe's streams are there. Streams with
        different views are merged by the maximum of each.
    """
    chosen: dict[tuple[str, str], list[str]] = {}
    notes: dict[str, None] = {}
    for (name, path), ((_, method), recipe) in product(stores.items(), recipes.items()):
        held, wanted = FeatureStore(path).streams, recipe.data.features
        names = [wanted] if isinstance(wanted, str) else wanted
        if names != DEFAULT_STREAMS or held.keys() & names:
            chosen[name, method] = []
            continue
        merged = len({info.views for info in held.values()}) > 1
        listed = f"[{', '.join(held)}]"
        chosen[name, method] = ["--data.features", listed, *(("--data.crops", "max") if merged else ())]
        rest = ", the maximum over the views of each" if merged else ""
        notes[f"{name} has no stream {', '.join(names)}: methods read {listed}{rest}"] = None
    rich.get_console().print(*notes, sep="\n", end="\n" if notes else "", markup=False, soft_wrap=True)
    return chosen


# ------------------------------------------------------------------------------------- what does not fit


def find_misfits(cells: Sequence[Cell]) -> dict[tuple[str, str], WSVADError]:
    """Find which methods do not fit which stores, and what they lack, by the pairs of both.

    Any mistake met while making a method for a store counts.
    """
    misfits = {}
    for pair, cell in {cell.pair: cell for cell in cells}.items():
        try:
            check_fit(cell)
        except WSVADError as error:
            misfits[pair] = error
    return misfits


def check_fit(cell: Cell) -> None:
    """Compare what a method requires, in its last stage if it has several, with what is there.

    Raises:
        WSVADError: if the store lacks something, the method cannot be made for it, an argument that it
            requires is missing, or no text tower reads the names of its classes.
    """
    model, data = ParsedRun(["fit", *cell.arguments]).make()
    _, num_stages = stage_of(model)
    if num_stages > 1:
        last = ("--model.stage", str(num_stages))
        model, data = ParsedRun(["fit", *cell.arguments, *last]).make()
    model.requires.check(type(model).__name__, data.info)
    model.check_trainable()
    if isinstance(model, PromptedModule):
        model.take_classes(data.info.classes)
