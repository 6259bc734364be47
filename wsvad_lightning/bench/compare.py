"""Methods and features compared: every method trained on every store, split and seed, and tested.

A method is an overlay such as the shipped ``method/rtfm.yaml``: its model and what belongs to its training.
It takes the place of the model in a recipe, which gives data and trainer. A store holds the features of one
backbone for the videos of the data set; methods are left out where the store lacks what they need.

Two checkpoints stand for a method. ``last`` is the end of a training on all training videos. ``best-on-val``
is chosen by the labels of videos that are held out: those of the split's part ``val``, or a part of the
training videos. The two are trained apart, so that holding out costs ``last`` nothing.
"""

import json
import time
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import chain, product
from pathlib import Path
from typing import Any

import rich
import torch
import yaml

import wsvad_lightning
from wsvad_lightning.bench.overrides import check_settings, share_of
from wsvad_lightning.bench.results import Result, write_results
from wsvad_lightning.bench.workers import work_off, write_output_to
from wsvad_lightning.checkpoint import read_checkpoint
from wsvad_lightning.configs import config_folder, find_config
from wsvad_lightning.data.datasets.annotations import read_splits
from wsvad_lightning.data.loading.catalogue import Catalogue
from wsvad_lightning.data.store.reader import store_paths
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.files import replacing, write_json
from wsvad_lightning.methods.base.prompted import PromptedModule
from wsvad_lightning.methods.base.staged import stage_of
from wsvad_lightning.prepare import PREPARATIONS
from wsvad_lightning.runs.run import WSVADCLI, run_trainer, writable_folder

CHECKPOINTS = {"last": "last.ckpt", "best-on-val": "best.ckpt"}  # files of a run
VALIDATIONS = 10  # of a training that best-on-val chooses from
QUIET = ("--trainer.enable_progress_bar", "false")


@dataclass(frozen=True)
class Plan:
    """What is compared, and on what.

    Args:
        methods: names of shipped methods, or ``all``; also files like the shipped ``method/rtfm.yaml``.
        stores: feature stores; a pattern names one that lies in several files.
        splits: file of splits, each of which is used; without one, the split written in the store.
        config: recipe whose data and trainer are used, a file or a shipped configuration.
        val_fraction: part of the training videos that is held out for best-on-val, unless the split names
            videos to validate with.
        output: folder for runs and results.
        seeds: seeds to train with.
        selections: which of the ``CHECKPOINTS`` stand for a method.
        overrides: more arguments of ``wsvad fit``; those of a model go to the methods that have them.
    """

    methods: Sequence[str]
    stores: Sequence[str]
    splits: str | None = None
    config: str = "bench/default.yaml"
    val_fraction: float = 0.25
    output: str = "runs/bench"
    seeds: Sequence[int] = (0, 1, 2)
    selections: Sequence[str] = tuple(CHECKPOINTS)
    overrides: Sequence[str] = ()


@dataclass(frozen=True)
class Cell:
    """One training, and the test of its checkpoint.

    Attributes:
        method: name of the method.
        store: name of the store.
        selection: which checkpoint.
        split: which split.
        seed: which seed.
        folder: of its runs and its result.
        arguments: of ``wsvad fit``.
        made_from: what a result must have been made from to count.
    """

    method: str
    store: str
    selection: str
    split: int
    seed: int
    folder: Path
    arguments: list[str]
    made_from: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.method} on {self.store} split {self.split} seed {self.seed} {self.selection}"

    @property
    def pair(self) -> tuple[str, str]:
        """Method and store."""
        return self.method, self.store

    def read_result(self) -> Result | None:
        """The result that is there, unless it was made from something else."""
        try:
            result = Result(**json.loads((self.folder / "result.json").read_text("utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None
        return result if result.made_from == self.made_from else None


def compare(plan: Plan, jobs: int = 1) -> int:
    """Run what fits and has no result yet, and write ``results.md``, ``results.json`` and ``results.png``.

    Args:
        plan: what to compare.
        jobs: runs at a time, each in a process of its own; several have one thread each.

    Returns:
        0 if all runs have a result, 1 if some failed, 130 if the user interrupted them.

    Raises:
        WSVADError: if stores, splits, recipe, methods or overrides do not work, or nothing fits.
    """
    cells = make_cells(plan)
    todo = [cell for cell in cells if cell.read_result() is None]
    check_arguments(todo)
    misfits = find_misfits(todo)
    cells, todo = ([cell for cell in own if cell.pair not in misfits] for own in (cells, todo))
    if not cells:
        raise next(iter(misfits.values()))
    for (method, store), why in misfits.items():
        rich.get_console().print(f"{method} does not fit {store}: {why}", markup=False, soft_wrap=True)
    rich.print(f"{len(cells)} runs, {len(cells) - len(todo)} of them finished before")
    try:
        failed = work_off(todo, train_and_test, jobs) if todo else []
    except KeyboardInterrupt:
        rich.print("interrupted; the same command goes on from here")
        return 130
    results = [result for cell in cells if (result := cell.read_result())]
    if results:
        write_results(results, Path(plan.output), misfits)
    for error in dict.fromkeys(error for _, error in failed):
        logs = [cell.folder / "log.txt" for cell, said in failed if said == error]
        told = f"{len(logs)} failed: {error}"
        rich.get_console().print(told, *logs, sep="\n    ", markup=False, soft_wrap=True)
    return 1 if failed else 0


# ------------------------------------------------------------------------------------------- what is run


def make_cells(plan: Plan) -> list[Cell]:
    """Write the recipes of all methods, and list the runs: all methods of a split and seed together.

    Raises:
        WSVADError: if stores, splits, recipe or methods do not work, or no method takes an override.
    """
    recipes = {
        (selection, method): compose(plan.config, overlay, selection)
        for method, overlay in find_methods(plan.methods).items()
        for selection in plan.selections
    }
    check_settings(plan.overrides, list(recipes.values()))
    splits = range(len(read_splits(plan.splits)) if plan.splits else 1)
    stores = find_stores(plan.stores)
    videos = {
        (name, split): read_videos(path, plan.splits, split)
        for name, path in stores.items()
        for split in splits
    }
    writable_folder(plan.output)
    for (selection, method), text in recipes.items():
        with replacing(recipe_path(plan, method, selection)) as path:
            path.write_text(text)
    return [
        make_cell(plan, method, (store, path), selection, split, seed, recipe, videos[store, split])
        for seed, split in product(dict.fromkeys(plan.seeds), splits)
        for (store, path), ((selection, method), recipe) in product(stores.items(), recipes.items())
    ]


def make_cell(
    plan: Plan,
    method: str,
    store: tuple[str, str],
    selection: str,
    split: int,
    seed: int,
    recipe: str,
    videos: dict[str, Any],
) -> Cell:
    """Put a run together; ``store`` is name and path."""
    name, path = store
    folder = Path(plan.output) / method / name / f"split{split}_seed{seed}_{selection}"
    held_out = plan.val_fraction if selection == "best-on-val" and not videos["val"] else 0.0
    where = ("--data.split", plan.splits, "--data.split_index", str(split)) if plan.splits else ()
    overrides = share_of(recipe, plan.overrides)
    arguments = [
        *("--config", str(recipe_path(plan, method, selection))),
        *("--data.store", path, *where, "--seed_everything", str(seed)),
        *(() if selection == "best-on-val" else ("--trainer.limit_val_batches", "0")),
        *("--output", str(folder.parent), "--name", folder.name, *QUIET),
        *overrides,
        *("--data.val_fraction", str(held_out)),
    ]
    made_from = {
        "recipe": recipe,
        "overrides": overrides,
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
        WSVADError: if there is no such store, or two have the same name.
    """
    found: dict[str, str] = {}
    for path in paths:
        first, *more = store_paths(path)
        name = f"{first.stem}+{len(more)}" if more else first.stem
        if found.setdefault(name, path) != path:
            raise WSVADError("--stores", path, "another store has this name", "Rename the file")
    return found


def read_videos(store: str, splits: str | None, split: int) -> dict[str, Any]:
    """Give the videos of each part of a split, and what their features are.

    Raises:
        WSVADError: if store and split do not fit together.
    """
    catalogue = Catalogue(store, splits, split)
    return {**catalogue.parts, "store_checksum": catalogue.store.checksum()}


def find_methods(names: Sequence[str]) -> dict[str, Path]:
    """Find the overlays of methods by their names.

    Raises:
        WSVADError: if there is no such method, or two have the same name.
    """
    shipped = {path.stem: path for path in sorted((config_folder() / "method").glob("*.yaml"))}
    found: dict[str, Path] = {}
    for name in chain.from_iterable(shipped if name == "all" else [name] for name in names):
        if name not in shipped and Path(name).suffix != ".yaml":
            known = ", ".join(["all", *shipped])
            raise WSVADError("--methods", name, "there is no such method", f"Give some of {known}, or a file")
        path = shipped.get(name) or find_config(name)
        if found.setdefault(path.stem, path) != path:
            raise WSVADError("--methods", name, "another method has this name", "Rename the file")
    return found


def compose(config: str, overlay: Path, selection: str) -> str:
    """Write the recipe that a method is trained by.

    Settings of the overlay come before those of the recipe, whose own model goes: merged, as ``fit`` merges
    configurations, the method would take over from it whatever bears a name that it knows.

    Raises:
        WSVADError: if a configuration cannot be read.
    """
    composed = read_config(find_config("with/best_on_val.yaml")) if selection == "best-on-val" else {}
    for path in (find_config(config), overlay):
        for key, value in read_config(path).items():
            merge = isinstance(value, dict) and key != "model"
            composed[key] = {**composed.get(key, {}), **value} if merge else value
    if selection == "best-on-val" and "max_steps" in composed["trainer"]:
        composed["trainer"]["val_check_interval"] = max(1, composed["trainer"]["max_steps"] // VALIDATIONS)
    return yaml.safe_dump(composed, sort_keys=False)


def read_config(path: Path) -> dict[str, Any]:
    """Read a configuration.

    Raises:
        WSVADError: if it is none.
    """
    try:
        config = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError):
        config = None
    if not isinstance(config, dict):
        raise WSVADError("--config", path, "is no configuration", "Give a YAML file of settings")
    return config


def check_arguments(cells: Sequence[Cell]) -> None:
    """Parse the arguments of every recipe once, before anything is trained.

    Raises:
        ArgumentError: if one does not parse.
    """
    for cell in {cell.made_from["recipe"]: cell for cell in cells}.values():
        Parsing(["fit", *cell.arguments], cell.folder.name)


def find_misfits(cells: Sequence[Cell]) -> dict[tuple[str, str], WSVADError]:
    """Tell which methods do not fit which stores, and what they lack, by the pairs of both.

    Whatever mistake is met in making a method for a store counts.
    """
    misfits = {}
    for pair, cell in {cell.pair: cell for cell in cells}.items():
        try:
            check_fit(cell)
        except WSVADError as error:
            misfits[pair] = error
    return misfits


def check_fit(cell: Cell) -> None:
    """Compare what a method needs, in its last stage if it has several, with what is there.

    Raises:
        WSVADError: if the store lacks something, the method cannot be made for it, or no text tower reads the
            names of its classes.
    """
    made = Making(["fit", *cell.arguments], cell.folder.name)
    _, num_stages = stage_of(made.model)
    if num_stages > 1:
        last = ("--model.stage", str(num_stages))
        made = Making(["fit", *cell.arguments, *last], cell.folder.name)
    made.model.requires.check(type(made.model).__name__, made.datamodule.info)
    if isinstance(made.model, PromptedModule):
        made.model.take_classes(made.datamodule.info.classes)


class Parsing(WSVADCLI):
    """Arguments parsed, and nothing else."""

    def _set_seed(self) -> None:
        """Leave the generators alone."""

    def instantiate_classes(self) -> None:
        """Make nothing."""

    def _run_subcommand(self, subcommand: str) -> None:
        """Run nothing."""


class Making(Parsing):
    """A method and its data made, without a trainer."""

    def instantiate_classes(self) -> None:
        """Make them."""
        made = self.parser.instantiate_classes(self.config)[self.subcommand]
        self.model, self.datamodule = made.model, made.data


# ------------------------------------------------------------------------------------- in another process


def train_and_test(cell: Cell) -> str:
    """Run a cell and write its result; what is printed goes to ``log.txt`` in its folder.

    Returns:
        What it reached, in a line.

    Raises:
        RuntimeError: if anything went wrong; tells it in a line.
    """
    cell.folder.mkdir(parents=True, exist_ok=True)
    write_output_to(cell.folder / "log.txt")
    try:
        result = measure(cell)
    except Exception as error:
        traceback.print_exc()
        told = str(error) if isinstance(error, WSVADError) else f"{type(error).__name__}: {error}"
        raise RuntimeError(" ".join(told.split())) from None
    write_json(asdict(result), cell.folder / "result.json")
    return str(result)


def measure(cell: Cell) -> Result:
    """Train, and test the checkpoint that stands for the method.

    Raises:
        WSVADError: if something does not fit, or no checkpoint was chosen.
    """
    start = time.perf_counter()
    method, checkpoint = train(cell)
    where = ("--output", str(cell.folder.parent), "--name", cell.folder.name, *QUIET)
    tested = run_trainer(["test", "--model", method, "--ckpt_path", str(checkpoint), *where])
    keep_weights(checkpoint)
    record = json.loads((Path(tested.trainer.log_dir or ".") / "metrics.json").read_text())
    return Result(
        cell.method,
        cell.store,
        cell.selection,
        cell.split,
        cell.seed,
        record["metrics"],
        cell.made_from,
        record["receipt"],
        seconds=time.perf_counter() - start,
    )


def train(cell: Cell) -> tuple[str, Path]:
    """Train all stages of a method, and give its class path and the checkpoint that stands for it.

    Raises:
        WSVADError: if something does not fit, or no checkpoint was chosen.
    """
    next_stage: list[str] = []
    while True:
        trained = run_trainer(["fit", *cell.arguments, *next_stage], PreparedTraining)
        checkpoint = Path(trained.trainer.log_dir or ".") / "checkpoints" / CHECKPOINTS[cell.selection]
        if not checkpoint.exists():
            interval = trained.trainer.val_check_interval
            remedy = "Set it to at most trainer.max_steps"
            raise WSVADError("trainer.val_check_interval", interval, "the training ends before", remedy)
        stage, num_stages = stage_of(trained.model)
        if stage == num_stages:
            return trained.config.fit.model.class_path, checkpoint
        next_stage = ["--model.stage", str(stage + 1), "--model.previous", str(checkpoint)]


def keep_weights(checkpoint: Path) -> None:
    """Leave of a run's checkpoints the tested one, without the optimizer's state: a third of the size."""
    state = read_checkpoint(checkpoint)
    with replacing(checkpoint) as path:
        torch.save({key: value for key, value in state.items() if key != "optimizer_states"}, path)
    for other in checkpoint.parent.glob("*.ckpt"):
        if other != checkpoint:
            other.unlink()


class PreparedTraining(WSVADCLI):
    """A training that first prepares what its method needs, where that is not there."""

    def before_fit(self) -> None:
        """Prepare it from the videos of this training."""
        for name in self.model.requires.prepared:
            PREPARATIONS[name](self.datamodule)
