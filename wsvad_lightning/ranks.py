"""The processes of a run end together: when one fails or is killed, all do, and one line says why."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from unittest.mock import patch

from lightning.pytorch import Trainer
from lightning.pytorch.strategies.launchers import subprocess_script
from lightning.pytorch.strategies.launchers.multiprocessing import _MultiProcessingLauncher
from torch import distributed
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.signals import Stopped

PATIENCE = 5.0  # seconds for a process to end by itself when another one has failed
INTERVAL = 0.2  # seconds between looks at the other processes
MISTAKE = 2  # exit status
RAISED = f"{WSVADError.__module__}.{WSVADError.__qualname__}: "  # how a traceback spells a mistake


class ForkedError(ValueError):
    """A user's mistake that a forked process met, in the words of its error."""


class Watch(threading.Thread):
    """Watch the processes that the first one of a machine has started, and end it when one of them fails.

    Args:
        processes: the started ones.
    """

    def __init__(self, processes: Sequence["subprocess.Popen[bytes]"]) -> None:
        super().__init__(daemon=True, name="watch")
        self._processes = processes
        self._left = threading.Event()

    def run(self) -> None:
        """Wait until a process fails, give this one some time to notice, and end it."""
        while not self._left.wait(INTERVAL):
            code = self.code()
            if code and not self._left.wait(PATIENCE):  # it waits for what the other would have sent
                status = explained(code)
                self.end()
                os._exit(status)

    def code(self) -> int:
        """Give the code of the first process that failed, negative if a signal killed it; 0 if none has."""
        return next((code for process in self._processes if (code := process.poll())), 0)

    def leave(self) -> None:
        """Watch no longer."""
        self._left.set()

    def end(self) -> None:
        """Wait for the started processes for a moment, and kill those that are left."""
        for process in self._processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE)
            process.kill()


@contextmanager
def ending_together() -> Iterator[None]:
    """End all processes of the run inside when one fails; only the first to fail says why.

    Raises:
        SystemExit: with the status of the process that failed first, if this is another one.
    """
    watches: list[Watch] = []

    def watch(processes: Sequence["subprocess.Popen[bytes]"]) -> None:
        watches.append(Watch(processes))
        watches[-1].start()

    # Lightning's own watch kills this process, before it can say anything.
    with patch.object(subprocess_script, "_launch_process_observer", watch):
        try:
            with forks_explained():
                yield
        except BaseException as error:
            status = first_to_fail(error, watches)
            leave(watches)
            if status is None:
                raise
            raise SystemExit(status) from None
        leave(watches)


@contextmanager
def forks_explained() -> Iterator[None]:
    """Report a forked process that failed as it would have done itself.

    Raises:
        ForkedError: in place of PyTorch's error, which has the traceback of the mistake.
        SystemExit: with the status of a process that ended without an error, or was killed.
    """
    try:
        yield
    except ProcessRaisedException as error:
        _, mistake, words = str(error).rpartition(RAISED)
        if not mistake:
            raise
        raise ForkedError(words) from error
    except ProcessExitedException as error:
        raise SystemExit(explained(error.exit_code)) from error


def check_start(trainer: Trainer) -> None:
    """Refuse to start processes that do not share what this one has made: a run cannot be sent to them.

    Raises:
        WSVADError: if the trainer would.
    """
    launcher = trainer.strategy.launcher
    if isinstance(launcher, _MultiProcessingLauncher) and launcher._start_method != "fork":
        problem = f"starts processes by {launcher._start_method!r}, to which a run cannot be sent"
        raise WSVADError("--trainer.strategy", "ddp_spawn", problem, "Use ddp")


def first_to_fail(error: BaseException, watches: Sequence[Watch]) -> int | None:
    """Give the status of the process that failed before this one; None if this is the first.

    Args:
        error: why this one failed.
        watches: of the processes that this one has started.
    """
    if not distributed.is_initialized():
        return None
    if isinstance(error, Stopped) and error.agreed:
        return error.status if distributed.get_rank() else None
    killed = killed_among(watches) if isinstance(error, RuntimeError) else 0  # as when another one is gone
    if killed:
        return explained(killed)
    status = error.code if isinstance(error, SystemExit) else MISTAKE if isinstance(error, ValueError) else 1
    mine = f"{distributed.get_rank()} {status}"
    try:
        first = distributed.distributed_c10d._get_default_store().compare_set("failed first", "", mine)
    except Exception:  # the process that holds the store has left
        return 1
    return None if first.decode() == mine else int(first.split()[1])


def killed_among(watches: Sequence[Watch]) -> int:
    """Give the code of a started process that a signal killed; 0 if none is seen within a second."""
    deadline = time.monotonic() + 1
    while watches and time.monotonic() < deadline:
        if code := next((code for watch in watches if (code := watch.code())), 0):
            return min(code, 0)
        time.sleep(INTERVAL)
    return 0


def explained(code: int) -> int:
    """Give the exit status for the code of a process; say so if it was killed, as it could not itself."""
    if code >= 0:
        return code
    name = signal.Signals(-code).name
    sys.stderr.write(f"error: a process of this run was killed by {name}, perhaps for lack of memory\n")
    return 128 - code


def leave(watches: Sequence[Watch]) -> None:
    """Leave the other processes: nothing waits for them any more, and they end."""
    if distributed.is_initialized() and distributed.get_backend() == "gloo":
        distributed.destroy_process_group()  # else its threads may abort the process as it ends
    for watch in watches:
        watch.leave()
        watch.end()
