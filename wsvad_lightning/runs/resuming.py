"""What a checkpoint holds so that a resumed run is the same run, and where a run continues from."""

import os
import random
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loops.progress import _ProcessedTracker
from lightning.pytorch.utilities import rank_zero_info
from torch import distributed

from wsvad_lightning.checkpoint import read_checkpoint
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.files import replacing
from wsvad_lightning.runs.tracking import carried

SLURM = "slurm_job"  # entry of a checkpoint

# What Lightning records of a validation that has begun: it is done from its first video when a run resumes.
UNFINISHED = {"ready": 1, "started": 1, "processed": 0, "completed": 0}


class Resuming(Callback):
    """Keep what Lightning leaves out of checkpoints, and take it over.

    These are the random states of all ranks, the validation that is due, the checkpoints that others keep
    next to it (``best.ckpt``), the run of Weights & Biases, and the job of SLURM.
    """

    def __init__(self) -> None:
        self._restored: Mapping[str, Any] | None = None
        self._validating, self._validated = False, -1
        self._kept: dict[Path, Path] = {}  # where the kept checkpoints are, and are to be

    def state_dict(self) -> dict[str, Any]:
        """Give the random states of all ranks; called on all of them."""
        return {"random_states": gather(random_states())}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the random states until the first step."""
        states = state_dict.get("random_states")
        if isinstance(states, list) and len(states) == len(gather(None)):
            self._restored = states[distributed.get_rank() if distributed.is_initialized() else 0]

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Let the callbacks that keep checkpoints find those of the run that is continued."""
        folder = Path(trainer.ckpt_path or ".").parent
        for callback in trainer.checkpoint_callbacks:
            state = checkpoint["callbacks"].get(callback.state_key)
            if isinstance(callback, ModelCheckpoint) and callback.monitor and state:
                self._kept |= move_kept(state, folder, callback.dirpath, checkpoint["global_step"])

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Copy kept checkpoints, and restore the random states before the first batch is drawn."""
        for source, target in self._kept.items() if trainer.is_global_zero else ():
            with replacing(target) as temporary:
                shutil.copyfile(source, temporary)
        loop, epochs = trainer.fit_loop, trainer.fit_loop.epoch_progress.total
        assert isinstance(epochs, _ProcessedTracker)
        if loop.restarted_mid_epoch and epochs.processed == epochs.started:
            loop.reset_restart_stage()  # after the last batch of an epoch: Lightning would not count the next
        if self._restored is not None:
            restore(self._restored, trainer)
        elif trainer.ckpt_path is not None:
            rank_zero_info(
                "note: the checkpoint has no random states for this number of processes: "
                "noise and dropout are not those of an uninterrupted run"
            )

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Restore them once more where an uninterrupted run would not have opened the loader here."""
        loader: Any = trainer.train_dataloader
        if self._restored is not None and (batch_idx > 0 or loader.persistent_workers):
            restore(self._restored, trainer)
        self._restored = None

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note that a validation has begun."""
        self._validating = True

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note that it is done, before other callbacks save what they think of it."""
        self._validating = False
        self._validated = trained_batches(trainer)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Record what is to be taken over, and the progress as Lightning resumes from it rightly."""
        checkpoint |= carried(trainer.loggers)
        if job := os.environ.get("SLURM_JOB_ID"):
            checkpoint[SLURM] = job
        loop, fetcher = trainer.fit_loop.epoch_loop, trainer.fit_loop._data_fetcher
        if not (batches := trained_batches(trainer)):
            return
        due = self._validated != batches and fetcher is not None and loop._should_check_val_fx(fetcher)
        logged = trainer.global_step - (not loop._should_accumulate())
        progress = checkpoint["loops"]["fit_loop"]
        as_after_a_batch(progress, logged, validate=self._validating or due)
        checkpoint["epoch"] = progress["epoch_progress"]["current"]["completed"]  # as Lightning has it


def trained_batches(trainer: Trainer) -> int:
    """Count the batches that were trained on since the very start."""
    return int(trainer.fit_loop.epoch_loop.batch_progress.total.processed)  # type: ignore[attr-defined]


def as_after_a_batch(progress: dict[str, Any], logged: int, *, validate: bool) -> None:
    """Put the progress of a training as it is when a training batch has ended and nothing has followed yet.

    Lightning resumes right from there. From the end of an epoch, of a validation or of a training it adds a
    batch to the epoch, or counts steps twice.

    Args:
        progress: of Lightning's ``fit_loop``, changed in place.
        logged: the step that loggers have for this batch.
        validate: whether the validation that follows is due; it is taken for done otherwise.
    """
    for name, unfinished in (
        ("epoch_progress", ("processed", "completed")),
        ("epoch_loop.batch_progress", ("completed",)),
    ):
        for counts in (progress[name]["total"], progress[name]["current"]):
            counts |= dict.fromkeys(unfinished, counts["started"] - 1)
    progress["epoch_loop.state_dict"]["_batches_that_stepped"] = logged - validate
    if validate:
        begun = {"total": {**UNFINISHED}, "current": {**UNFINISHED}, "is_last_batch": False}
        progress["epoch_loop.val_loop.batch_progress"] |= begun


def move_kept(state: dict[str, Any], source: Path, folder: Any, step: int) -> dict[Path, Path]:
    """Make the state of a callback that keeps checkpoints one of another folder, where these are copied.

    If one is missing, or was replaced by one of a later step, the callback starts anew.

    Args:
        state: of the callback, changed in place. It names paths, of which only the file names are used.
        source: folder of the checkpoints.
        folder: to copy them to.
        step: that the training continues from.

    Returns:
        What is to be copied: sources and targets.
    """
    names = [Path(path).name for path in state["best_k_models"]]
    if lost := [name for name in names if not is_of_step(source / name, step)]:
        rank_zero_info(f"note: {source} has no {', '.join(lost)} of step {step} or before: it is chosen anew")
        state.clear()
        return {}
    target = Path(folder)
    moved = {path: str(target / Path(path).name) for path in state["best_k_models"]}
    state |= {name: moved.get(state[name], "") for name in ("best_model_path", "kth_best_model_path")}
    scores = {moved[path]: score for path, score in state["best_k_models"].items()}
    state |= {"dirpath": folder, "best_k_models": scores, "last_model_path": ""}
    return {source / name: target / name for name in names if source.resolve() != target.resolve()}


def is_of_step(path: Path, step: int) -> bool:
    """Whether a file is a checkpoint of a step or of one before."""
    try:
        return bool(read_checkpoint(path)["global_step"] <= step)
    except (WSVADError, KeyError, TypeError):
        return False


def requeued_from(folder: Path) -> Path | None:
    """Find the last checkpoint of a SLURM job that was queued again.

    Args:
        folder: of the experiment.

    Returns:
        None outside SLURM, in the first run of a job, and where it was stopped before a checkpoint.
    """
    job = os.environ.get("SLURM_JOB_ID")
    if job is None or os.environ.get("SLURM_RESTART_COUNT", "0") == "0":
        return None
    found = sorted(folder.glob("version_*/checkpoints/last.ckpt"), key=lambda path: path.stat().st_mtime)
    return next((path for path in reversed(found) if read_checkpoint(path).get(SLURM) == job), None)


def gather(mine: Any) -> list[Any]:
    """Give what every rank holds, by rank."""
    if not distributed.is_initialized():
        return [mine]
    parts: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(parts, mine)
    return parts


def random_states() -> dict[str, Any]:
    """Give the states of this process's generators, in tensors and plain values."""
    state: Any = np.random.get_state(legacy=True)  # noqa: NPY002  # of code that draws from it
    _, keys, *rest = state
    version, words, gauss = random.getstate()
    states: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "numpy": [torch.from_numpy(keys.astype(np.int64)), *rest],
        "python": [version, torch.tensor(words), gauss],
    }
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def restore(states: Mapping[str, Any], trainer: Trainer) -> None:
    """Set the generators of this process.

    Raises:
        WSVADError: if these are not states of generators.
    """
    try:
        version, words, gauss = states["python"]
        random.setstate((version, tuple(words.tolist()), gauss))
        keys, *rest = states["numpy"]
        np.random.set_state(("MT19937", keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002
        torch.set_rng_state(states["torch"])
        if "cuda" in states and torch.cuda.is_available():
            torch.cuda.set_rng_state(states["cuda"])
    except Exception as error:  # a file made to be odd fails anywhere
        problem = f"its random states are not what `wsvad fit` writes ({' '.join(str(error).split())[:100]})"
        raise WSVADError(
            "--ckpt_path", trainer.ckpt_path, problem, "Give a file that `wsvad fit` wrote"
        ) from None
