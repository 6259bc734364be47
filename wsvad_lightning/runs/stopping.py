"""How a run ends on a signal: after the step in hand, with a checkpoint of it and the signal's status."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any, Self

import torch
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch import Callback, LightningModule, Trainer


class Stopped(SystemExit):
    """A run was stopped by a signal. The exit status is that of a process that the signal killed.

    Args:
        signum: number of the signal.
        reached: what was reached, for the line that the user sees.
        agreed: whether all processes of the run stop at this point.
    """

    def __init__(self, signum: int, reached: str = "", *, agreed: bool = False) -> None:
        super().__init__(128 + signum)
        self.said, self.agreed = f"stopped by {signal.Signals(signum).name}{reached}", agreed


class StopSignals:
    """The signals that end a run, taken by a context manager of its process.

    One that arrives raises :class:`Stopped`. While a training makes its steps it is only noted, for
    :class:`StopAfterStep`. More signals do not disturb the end of a run, except a second Ctrl-C.

    Attributes:
        received: number of the first one; 0 if there was none.
        noted: whether they are only noted at present.
    """

    def __init__(self) -> None:
        self.received, self.noted = 0, False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        self.take(signal.SIGTERM)
        self.take(signal.SIGINT)
        return self

    def __exit__(self, *_: object) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)
        self._before.clear()

    def take(self, signum: int) -> None:
        """Take one more signal, unless this process ignores it."""
        main = threading.current_thread() is threading.main_thread()  # others cannot
        if main and signum not in self._before and signal.getsignal(signum) != signal.SIG_IGN:
            self._before[signum] = signal.signal(signum, self._receive)

    def _receive(self, signum: int, frame: FrameType | None) -> None:
        insists = signum == signal.SIGINT == self.received
        if self.received and not insists:
            return
        self.received = signum
        if insists or not self.noted:
            raise Stopped(signum)


class StopAfterStep(Callback):
    """End a training after the step in which a signal arrived, on all of its processes."""

    def __init__(self, signals: StopSignals) -> None:
        self.signals = signals
        self._saved: tuple[int, Path | None] | None = (
            None  # the signal and the file, when this is to be the end
        )

    def save(self, trainer: Trainer) -> Path | None:
        """Save what was reached, and give the file; nothing here."""
        return None

    def is_due(self, trainer: Trainer) -> bool:
        """Whether to save after this step in any case; never here."""
        return False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note signals from now on."""
        self.signals.noted = True

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save if that is due, or if any process received a signal; loggers get the step afterwards."""
        if trainer.fit_loop._should_accumulate():  # a checkpoint has no gradients
            return
        signum, due = divmod(highest(trainer, 2 * self.signals.received + self.is_due(trainer)), 2)
        if signum or due:
            path = self.save(trainer)
            self._saved = (signum, path) if signum else None

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Stop before the next step."""
        self.end_if_saved(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop before the next epoch."""
        self.end_if_saved(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop before a validation, which is done when the run is continued."""
        self.end_if_saved(trainer)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Stop a single process in the middle; several ones have different numbers of videos."""
        if trainer.world_size == 1 and self.signals.received and self.signals.noted:
            self.stop(trainer, self.signals.received)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop after a validation."""
        if self.signals.noted and (signum := highest(trainer, self.signals.received)):
            self.stop(trainer, signum)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the last step, whatever its number, and stop after it."""
        path = self.save(trainer)
        if signum := highest(trainer, self.signals.received):
            self.end(trainer, signum, path)
        self.signals.noted = False

    def end_if_saved(self, trainer: Trainer) -> None:
        """Stop if the step is saved after which to stop.

        Raises:
            Stopped: if so.
        """
        if self._saved is not None:
            self.end(trainer, *self._saved)

    def stop(self, trainer: Trainer, signum: int) -> None:
        """Save, and stop.

        Raises:
            Stopped: in any case.
        """
        self.end(trainer, signum, self.save(trainer))

    def end(self, trainer: Trainer, signum: int, path: Path | None) -> None:
        """Stop after what was saved in a file; a SLURM job that asks for it is queued again.

        Raises:
            Stopped: in any case.
        """
        if signum == requeue_signal(trainer) and trainer.is_global_zero:
            queue_again()
        self.signals.noted = False
        saved = "" if path is None else f"; --ckpt_path {path} continues"
        raise Stopped(signum, f" after step {trainer.global_step}{saved}", agreed=True)


def take_signals(trainer: Trainer, signals: StopSignals) -> None:
    """Let a trainer leave all signals to ours: it saves within the handler, in the middle of a step."""
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
    if requeue := requeue_signal(trainer):
        signals.take(requeue)


def requeue_signal(trainer: Trainer) -> int:
    """Give the signal by which SLURM asks a job to queue itself again; 0 outside SLURM."""
    environment = trainer._accelerator_connector.cluster_environment
    if not isinstance(environment, SLURMEnvironment) or not environment.auto_requeue:
        return 0
    return int(environment.requeue_signal or 0)


def queue_again() -> None:
    """Ask SLURM to queue this job again; it then continues from its last checkpoint."""
    job = os.environ["SLURM_JOB_ID"]
    try:
        subprocess.run(["scontrol", "requeue", job], check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", None) or error
        sys.stderr.write(f"note: job {job} is not queued again ({' '.join(str(reason).split())})\n")


def highest(trainer: Trainer, mine: int) -> int:
    """Give the highest number of all processes; called on all of them."""
    if trainer.world_size == 1:
        return mine
    number = torch.tensor(mine, device=trainer.strategy.root_device)
    return int(trainer.strategy.reduce(number, reduce_op="max"))
