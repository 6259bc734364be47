"""A job of SLURM: Lightning leaves signals and resuming to us; one that is asked to queues itself again."""

import os
import subprocess
import sys

from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch import Trainer
from lightning.pytorch.trainer.connectors.checkpoint_connector import _CheckpointConnector

from wsvad_lightning.signals import StopSignals


class GivenCheckpoints(_CheckpointConnector):
    """Restores the checkpoint that is given, and no other.

    In a job of SLURM, Lightning takes any ``hpc_ckpt_*.ckpt`` in the present folder, whoever left it there.
    """

    @property
    def _hpc_resume_path(self) -> None:
        return None


def take_over(trainer: Trainer, signals: StopSignals) -> None:
    """Let a new trainer leave all signals to ours, and restore nothing of its own accord.

    Its own handlers save in the middle of a step, and wait for what other processes may never send.
    """
    trainer._checkpoint_connector = GivenCheckpoints(trainer)
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
    if requeue := requeue_signal(trainer):
        signals.take(requeue)


def requeue_signal(trainer: Trainer) -> int:
    """Give the signal by which SLURM asks a job to queue itself again; 0 outside SLURM."""
    environment = trainer._accelerator_connector.cluster_environment
    if not isinstance(environment, SLURMEnvironment) or not environment.auto_requeue:
        return 0
    return int(environment.requeue_signal or 0)


def queue_again_if_asked(trainer: Trainer, signum: int) -> None:
    """Ask SLURM to queue this job again, if a signal asks for that; it then continues where it stopped."""
    if signum != requeue_signal(trainer) or not trainer.is_global_zero:
        return
    job = job_id()
    try:
        subprocess.run(["scontrol", "requeue", job], check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", None) or error
        sys.stderr.write(f"note: job {job} is not queued again ({' '.join(str(reason).split())})\n")


def job_id() -> str:
    """Name this job; one of an array by its place there, since one of them has the number of the array."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ["SLURM_JOB_ID"]
