"""Tasks run by several processes, with their progress and a list of those that failed."""

import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children, parent_process
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Self, TypeVar

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column

from wsvad_lightning.startup import import_torchmetrics, separate_processes

Task = TypeVar("Task")
VISIBLE = "CUDA_VISIBLE_DEVICES"


def work_off(tasks: Sequence[Task], work: Callable[[Task], str], jobs: int) -> list[tuple[Task, str]]:
    """Run tasks, at most ``jobs`` at a time, each in one of as many processes.

    The summary of a task is printed under its name, which is ``str(task)``. One that fails, or whose
    process dies, does not stop the others. An interruption ends the processes at once.

    Args:
        tasks: what to do; they travel to the processes.
        work: does a task and sums it up in a line; what it raises is shown as its error.
        jobs: number of processes. Several have one thread each, and one GPU, in turn.

    Returns:
        Tasks that failed, each with its error.
    """
    waiting, running = deque(tasks), dict[Future[str], Task]()
    failed: list[tuple[Task, str]] = []
    pool = _make_pool(work, jobs)
    with _Display(len(tasks)) as display:
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    task = waiting.popleft()
                    running[pool.submit(work, task)] = task
                display.show(running.values())
                done = wait(running, return_when=FIRST_COMPLETED).done
                if any(isinstance(future.exception(), BrokenProcessPool) for future in done):
                    done, pool = (
                        wait(running).done,
                        _make_pool(work, jobs),
                    )  # the others in the pool are lost too
                for future in done:
                    task, error = running.pop(future), future.exception()
                    if error is not None:
                        failed.append((task, _explain(error)))
                    display.finish(task, future.result() if error is None else "FAILED")
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in active_children() if running else ():  # interrupted
                process.kill()  # a training would first finish what it does
    return failed


def write_output_to(path: Path) -> None:
    """Send everything that this process prints from now on to a file, whatever prints it."""
    with path.open("w") as file:
        for stream, descriptor in ((sys.stdout, 1), (sys.stderr, 2)):
            stream.flush()
            os.dup2(file.fileno(), descriptor)


def _make_pool(work: Callable[[Task], str], jobs: int) -> ProcessPoolExecutor:
    """Make processes that share no state with this one."""
    context, gpus = separate_processes(work.__module__), visible_gpus() if jobs > 1 else []
    given = (jobs > 1, gpus, context.Value("i", 0))
    return ProcessPoolExecutor(jobs, context, _start_worker, given)


def visible_gpus() -> list[str]:
    """Name the GPUs that this process may use, as the variable of CUDA does."""
    named = os.environ.get(VISIBLE)
    return [str(number) for number in range(torch.cuda.device_count())] if named is None else named.split(",")


def _start_worker(share_cores: bool, gpus: Sequence[str], started: "Synchronized[int]") -> None:
    """Prepare a process: only the parent handles Ctrl-C. With several, each sees one GPU, in turn."""
    if gpus:
        with started.get_lock():
            os.environ[VISIBLE] = gpus[started.value % len(gpus)]
            started.value += 1
    import_torchmetrics()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if share_cores:
        torch.set_num_threads(1)


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _explain(error: BaseException) -> str:
    if isinstance(error, BrokenProcessPool):
        return "a process was killed, perhaps for lack of memory"
    return str(error)


class _Display:
    """A bar over all tasks, the time left and what runs; a line above it for every finished task."""

    def __init__(self, total: int) -> None:
        rest = Column(ratio=1, no_wrap=True, overflow="ellipsis")
        running = TextColumn("{task.description}", markup=False, table_column=rest)
        columns = (BarColumn(20), MofNCompleteColumn(), TextColumn("left"), TimeRemainingColumn(), running)
        self.progress = Progress(*columns, expand=True, speed_estimate_period=float("inf"))
        self.task = self.progress.add_task("", total=total)

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    @property
    def console(self) -> Console:
        return self.progress.console

    def show(self, running: Iterable[object]) -> None:
        """Name what runs."""
        self.progress.update(self.task, description=", ".join(map(str, running)))

    def finish(self, task: object, said: str) -> None:
        """Count a task that ended."""
        self.progress.advance(self.task)
        self.console.print(f"{task}: {said}", markup=False, highlight=False, soft_wrap=True)
