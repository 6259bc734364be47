"""What a checkpoint holds so that a resumed run is the same run: random states, and the validation that is due."""

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info
from torch import distributed

from wsvad_lightning.errors import WSVADError

# What Lightning records of a validation that has begun: it is done from its first video when a run resumes.
UNFINISHED = {"ready": 1, "started": 1, "processed": 0, "completed": 0}


class Resuming(Callback):
    """Keep what Lightning leaves out of checkpoints: the random states of all ranks, and a validation due."""

    def __init__(self) -> None:
        self._restored: Mapping[str, Any] | None = None
        self._validating, self._validated = False, -1

    def state_dict(self) -> dict[str, Any]:
        """Give the random states of all ranks; called on all of them."""
        return {"random_states": gather(random_states())}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the random states until the first step."""
        states = state_dict["random_states"]
        if len(states) == len(gather(None)):
            self._restored = states[distributed.get_rank() if distributed.is_initialized() else 0]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore the random states before the first batch is drawn."""
        if self._restored is not None:
            restore(self._restored, trainer)
        elif trainer.ckpt_path is not None:
            rank_zero_info("note: noise and dropout are not those of an uninterrupted run")

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
        self._validated = trainer.fit_loop.epoch_loop.batch_progress.total.processed

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Record the progress in the one form from which Lightning resumes as if nothing had happened."""
        loop, fetcher = trainer.fit_loop.epoch_loop, trainer.fit_loop._data_fetcher
        if not (batches := loop.batch_progress.total.processed):
            return
        due = self._validated != batches and fetcher is not None and loop._should_check_val_fx(fetcher)
        logged = trainer.global_step - (not loop._should_accumulate())
        as_after_a_batch(checkpoint["loops"]["fit_loop"], logged, validate=self._validating or due)


def as_after_a_batch(progress: dict[str, Any], logged: int, *, validate: bool) -> None:
    """Put the progress of a training as it is when a training batch has ended and nothing has followed yet.

    Lightning resumes right from there. From the end of an epoch, of a validation or of a training it adds a
    batch to the epoch, or counts steps twice.

    Args:
        progress: of Lightning's ``fit_loop``, changed in place.
        logged: the step that loggers have for this batch.
        validate: whether the validation that follows is due; it is taken for done otherwise.
    """
    for name, unfinished in (("epoch_progress", ("processed", "completed")), ("epoch_loop.batch_progress", ("completed",))):
        for counts in (progress[name]["total"], progress[name]["current"]):
            counts |= dict.fromkeys(unfinished, counts["started"] - 1)
    progress["epoch_loop.state_dict"]["_batches_that_stepped"] = logged - validate
    if validate:
        begun = {"total": {**UNFINISHED}, "current": {**UNFINISHED}, "is_last_batch": False}
        progress["epoch_loop.val_loop.batch_progress"] |= begun


def gather(mine: Any) -> list[Any]:
    """Give what every rank holds, by rank."""
    if not distributed.is_initialized():
        return [mine]
    parts: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(parts, mine)
    return parts


def random_states() -> dict[str, Any]:
    """Give the states of this process's generators, in tensors and plain values."""
    _, keys, *rest = np.random.get_state(legacy=True)  # noqa: NPY002  # of code that draws from it
    version, words, gauss = random.getstate()
    states = {
        "torch": torch.get_rng_state(),
        "numpy": [torch.from_numpy(keys.astype(np.int64)), *rest],
        "python": [version, torch.tensor(words), gauss],
    }
    return states | ({"cuda": torch.cuda.get_rng_state()} if torch.cuda.is_initialized() else {})


def restore(states: Mapping[str, Any], trainer: Trainer) -> None:
    """Set the generators of this process.

    Raises:
        WSVADError: if these are no states of generators.
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
        raise WSVADError("--ckpt_path", trainer.ckpt_path, problem, "Give a file that `wsvad fit` wrote") from None
