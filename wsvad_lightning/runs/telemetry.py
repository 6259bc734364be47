"""What a training does, its losses apart: learning rate, gradient norm, time, and the scores of its bags."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger
from lightning.pytorch.strategies import FSDPStrategy, ModelParallelStrategy
from numpy.typing import NDArray
from torch import Tensor, nn

from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.types import LABELS, WSVADBatch

MOMENTS = 50  # of a training at which the scores of its bags are recorded
SHARDED = (FSDPStrategy, ModelParallelStrategy)  # no process has a whole gradient, or can score alone


class Telemetry(Callback):
    """Log what a training does, in the steps that are logged anyway, and without changing a number of it.

    All loggers receive ``train/lr``, the learning rate of the step; ``train/gradient_norm``, the L2 norm of
    all gradients before they are clipped; ``time/step``, the seconds a step took on average since the steps
    that were logged before, validation left out; and ``time/data``, those of them spent waiting for batches.
    Where an optimizer has several groups, or there are several optimizers, names end with their numbers.
    Weights & Biases and TensorBoard also receive histograms of the scores of normal and of abnormal bags,
    ``scores/normal`` and ``scores/abnormal``, at most 50 times.

    A norm stays on the device until it is logged together with the losses. Where layers are sharded over
    processes there are neither norms nor histograms.
    """

    def __init__(self) -> None:
        self._start = self._validation_start = self._validated = self._waited = 0.0
        self._steps, self._interval = 0, 1

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock, and choose the steps at which scores are recorded."""
        total = trainer.estimated_stepping_batches
        apart = int(total) // MOMENTS if np.isfinite(total) else 0
        self._interval = max(1, apart, trainer.log_every_n_steps)  # type: ignore[attr-defined]  # set by a mixin
        self._start, self._validated, self._steps = time.perf_counter(), 0.0, 0
        self._waited = waited(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock."""
        self._validation_start = time.perf_counter()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let the clock go on."""
        self._validated += time.perf_counter() - self._validation_start

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Log the learning rates and the norm of the gradients that the step is made with."""
        if not trainer._logger_connector.should_update_logs:
            return
        which = [str(i) for i, own in enumerate(trainer.optimizers) if own is optimizer]
        which = which if len(trainer.optimizers) > 1 else []
        several = len(optimizer.param_groups) > 1
        for i, group in enumerate(optimizer.param_groups):
            name = "/".join(["train/lr", *which, *([str(i)] if several else [])])
            pl_module.log(name, float(group["lr"]), batch_size=1)
        if not isinstance(trainer.strategy, SHARDED):
            pl_module.log("/".join(["train/gradient_norm", *which]), gradient_norm(optimizer), batch_size=1)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log the time of the steps, and record the scores of the bags."""
        self._steps += 1
        if trainer._logger_connector.should_update_logs:
            now, data = time.perf_counter(), waited(trainer)
            seconds = {
                "time/step": (now - self._start - self._validated) / self._steps,
                "time/data": (data - self._waited) / self._steps,
            }
            pl_module.log_dict(seconds, batch_size=1)
            self._start, self._validated, self._waited, self._steps = now, 0.0, data, 0
        if trainer.global_step % self._interval == 0 and not trainer.fit_loop._should_accumulate():
            self._record_scores(trainer, pl_module, batch)

    def _record_scores(self, trainer: Trainer, pl_module: LightningModule, batch: Any) -> None:
        """Give the loggers that can show them the scores of a batch by the labels of its bags."""
        loggers = [own for own in trainer.loggers if isinstance(own, TensorBoardLogger | WandbLogger)]
        scorable = isinstance(pl_module, WSVADModule) and not isinstance(trainer.strategy, SHARDED)
        if not loggers or not scorable or not trainer.is_global_zero:
            return
        assert isinstance(pl_module, WSVADModule)
        step = trainer.fit_loop.epoch_loop._batches_that_stepped  # that of the row with the losses
        for kind, values in scores_by_label(pl_module, batch).items():
            for logger in loggers:
                log_histogram(logger, f"scores/{kind}", values, step)


def waited(trainer: Trainer) -> float:
    """Give the seconds that a training has waited for batches so far; 0 if its loader does not count."""
    return float(getattr(trainer.train_dataloader, "waited", 0.0))


def gradient_norm(optimizer: torch.optim.Optimizer) -> Tensor:
    """Give the L2 norm of all gradients of an optimizer, on their device."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    return nn.utils.get_total_norm([one.grad for one in parameters if one.grad is not None])


def scores_by_label(method: WSVADModule, batch: WSVADBatch) -> dict[str, NDArray[np.float32]]:
    """Score the bags of a training batch as a test would: neither weights nor random numbers change.

    Args:
        method: that is being trained.
        batch: of the training.

    Returns:
        The scores of all valid snippets, by ``normal`` and ``abnormal``; by ``unknown`` in training without
        labels.
    """
    with as_in_a_test(method):
        scores = method.score(batch).float().cpu()
    valid = torch.arange(scores.shape[1]) < batch.lengths.cpu()[:, None]
    labels = batch.labels.cpu().nan_to_num(-1)
    chosen = {word: scores[valid & (labels == label)[:, None]] for label, word in LABELS.items()}
    return {word: values.numpy() for word, values in chosen.items() if len(values)}


@contextmanager
def as_in_a_test(method: LightningModule) -> Iterator[None]:
    """Switch a module and all its parts to evaluation, and back to what each was; keep random states."""
    modes = {module: module.training for module in method.modules()}
    devices = [method.device] if method.device.type == "cuda" else []
    try:
        method.eval()
        with torch.random.fork_rng(devices), torch.no_grad():
            yield
    finally:
        for module, training in modes.items():
            module.training = training


def log_histogram(
    logger: TensorBoardLogger | WandbLogger, name: str, values: NDArray[np.float32], step: int
) -> None:
    """Send a histogram of values to a logger."""
    if isinstance(logger, TensorBoardLogger):
        logger.experiment.add_histogram(name, values, step)
        return
    from wandb import Histogram

    logger.log_metrics({name: Histogram(values, num_bins=32)}, step)
