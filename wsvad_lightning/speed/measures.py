"""What a task costs: operations, seconds relative to matrix products, memory; and how it is shown."""

import re
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode, flop_registry

MATRIX = {"cpu": 2048, "cuda": 8192}  # rows and columns of the product that shows the limit
PRODUCTS = 8  # to time it by

Device = Literal["cpu", "cuda"]
Precision = Literal["32-true", "bf16-mixed"]
Shape = tuple[int, ...]
Task = Callable[[], object]

aten = torch.ops.aten
CPU_ATTENTION = {  # PyTorch's counter knows attention by its names on a GPU
    aten._scaled_dot_product_flash_attention_for_cpu: aten._scaled_dot_product_flash_attention,
    aten._scaled_dot_product_flash_attention_for_cpu_backward: (
        aten._scaled_dot_product_flash_attention_backward
    ),
}


@dataclass(frozen=True)
class Measurement:
    """What a task cost.

    Attributes:
        shape: of what it is done to.
        flops: floating-point operations, of matrix products, convolutions and attention.
        seconds: of each repetition.
        limits: operations a second of the matrix product before each repetition.
        start_bytes: memory in use before that was made.
        peak_bytes: most memory in use: on the CPU the resident set of the process, on a GPU what PyTorch has
            allocated.
    """

    shape: Shape
    flops: int
    seconds: list[float]
    limits: list[float]
    start_bytes: int
    peak_bytes: int

    @property
    def share(self) -> float:
        """Operations a second of the fastest repetition, as a share of the fastest matrix product's."""
        return self.flops / min(self.seconds) / max(self.limits)

    @property
    def median_share(self) -> float:
        """The same of each repetition and the product before it: the median."""
        pairs = zip(self.seconds, self.limits, strict=True)
        return statistics.median(self.flops / seconds / limit for seconds, limit in pairs)

    @property
    def added_bytes(self) -> int:
        """Memory that it and the computation took."""
        return self.peak_bytes - self.start_bytes


def measure_task(
    task: Task,
    shape: Shape,
    start: int,
    repeats: int,
    device: Device,
    precision: Precision,
    ready: Task | None = None,
) -> Measurement:
    """Measure a task.

    Args:
        task: what is done.
        shape: of what it is done to.
        start: bytes in use before that was made.
        repeats: repetitions that are timed, after one that is not.
        device: where it computes.
        precision: of the computation, and of the matrix products.
        ready: done after operations were counted and before time is taken, such as compiling.
    """
    with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16-mixed"):
        flops = count_flops(task)
        if ready is not None:
            ready()
        seconds, limits = [], []
        for _ in range(repeats):
            limits.append(matrix_limit(MATRIX[device], device))
            seconds.append(seconds_of(task, device))
    peak = max(start, peak_memory(device))  # the kernel counts pages in batches: a peak may lag behind
    return Measurement(shape, flops, seconds, limits, start, peak)


def count_flops(task: Task) -> int:
    """Run a task, and count its floating-point operations."""
    formulas = {on_cpu: flop_registry[on_gpu].__wrapped__ for on_cpu, on_gpu in CPU_ATTENTION.items()}
    with FlopCounterMode(display=False, custom_mapping=formulas) as counter:
        task()
    return int(counter.get_total_flops())


def matrix_limit(size: int, device: Device) -> float:
    """Operations a second in products of two square matrices."""
    left, right = torch.randn(2, size, size, device=device)

    def multiply() -> None:
        for _ in range(PRODUCTS):
            torch.mm(left, right)

    return PRODUCTS * 2 * size**3 / seconds_of(multiply, device)


def seconds_of(task: Task, device: Device) -> float:
    """Time a task until its last operation is done."""
    _wait(device)
    start = time.perf_counter()
    task()
    _wait(device)
    return time.perf_counter() - start


def memory_in_use(device: Device) -> int:
    """Bytes in use now."""
    return torch.cuda.memory_allocated() if device == "cuda" else _process_status("VmRSS")


def peak_memory(device: Device) -> int:
    """Most bytes in use so far."""
    return torch.cuda.max_memory_allocated() if device == "cuda" else _process_status("VmHWM")


def _wait(device: Device) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _process_status(field: str) -> int:
    found = re.search(rf"^{field}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None, "Linux reports the memory of a process"
    return 1024 * int(found[1])


def table_of(title: str, *columns: str) -> Table:
    """Make a table of methods."""
    table = Table(title=title)
    for column in ("method", *columns):
        table.add_column(column, no_wrap=True)
    return table


def speed_cells(measured: Measurement) -> list[str]:
    """Show operations, seconds and shares."""
    median, fastest = statistics.median(measured.seconds), min(measured.seconds)
    times = [f"{1e3 * seconds:,.0f} ms" for seconds in (median, fastest)]
    return [f"{measured.flops / 1e9:,.1f}", *times, f"{measured.share:.2f}", f"{measured.median_share:.2f}"]


def gib(size: int) -> str:
    """Show bytes."""
    return f"{size / 2**30:.2f} GiB"
