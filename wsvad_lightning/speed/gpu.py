"""What a GPU makes of training steps and extraction, in one table with a receipt."""

import json
import platform
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from rich.progress import track

import wsvad_lightning
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.extraction.encoders import build_encoder
from wsvad_lightning.extraction.streams import StreamSpec
from wsvad_lightning.files import replacing, write_json
from wsvad_lightning.speed import extraction, step
from wsvad_lightning.speed.measures import Device, Precision

WAYS: tuple[tuple[Precision, bool], ...] = (("32-true", False), ("bf16-mixed", False), ("bf16-mixed", True))


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        task: what was done, such as ``step``.
        what: to what, such as a method or a stream.
        way: precision, and ``compiled`` where it was.
        seconds: of each repetition; empty where it failed.
        rate: operations a second as a share of a matrix product's of that precision, or frames a second.
        unit: of the rate.
        problem: why it failed, in a line.
    """

    task: str
    what: str
    way: str
    seconds: Sequence[float] = ()
    rate: float | None = None
    unit: str = ""
    problem: str = ""

    def cells(self) -> list[str]:
        """Show it; the spread is from the fastest repetition to the slowest."""
        if not self.seconds:
            return [self.task, self.what, self.way, "", "", self.problem]
        first, last = (f"{1e3 * seconds:,.1f}" for seconds in (min(self.seconds), max(self.seconds)))
        middle = f"{1e3 * median(self.seconds):,.1f} ms"
        rate = "" if self.rate is None else f"{self.rate:,.2f} {self.unit}"
        return [self.task, self.what, self.way, middle, f"{first} to {last} ms", rate]


def require_device(device: Device) -> None:
    """Make sure that there is a GPU if one is wanted.

    Raises:
        WSVADError: if there is none.
    """
    if device == "cuda" and not torch.cuda.is_available():
        remedy = "Run this on a machine with an NVIDIA GPU, or try the command with --device cpu"
        raise WSVADError("device", device, "PyTorch finds no GPU with CUDA", remedy)


def measure_steps(methods: Sequence[str], repeats: int, device: Device) -> Iterator[Row]:
    """Measure training steps at the authors' batches in float32, in bf16, and in bf16 compiled.

    Every one has a fresh process. What fails, as for lack of memory, is a row with its reason.

    Args:
        methods: names, see ``OFFICIAL``.
        repeats: repetitions that are timed.
        device: where to compute.
    """
    for name in track(methods, "steps", transient=True):
        for precision, compiled in WAYS:
            way = f"{precision}, compiled" if compiled else precision
            run = partial(
                step.in_fresh_process, step.measure, name, repeats, device, precision, None, compiled
            )
            try:
                found = run()
            except Exception as error:  # of any kind: the others are measured all the same
                yield Row(
                    "step", name, way, problem=" ".join(f"{type(error).__name__}: {error}".split())[:120]
                )
                continue
            yield Row("step", name, way, found.seconds, found.median_share, "of the limit")


def measure_extraction(streams: Sequence[StreamSpec], repeats: int, device: Device) -> Iterator[Row]:
    """Measure the extraction of a video that is made, by each stream, decoding included.

    Args:
        streams: each is measured by itself.
        repeats: repetitions that are timed.
        device: where the backbones compute.
    """
    with tempfile.TemporaryDirectory() as folder:
        video = extraction.moving_texture(Path(folder, "texture.mp4"), extraction.FRAMES)
        for spec in track(streams, "streams", transient=True):
            rates = extraction.measure(video, build_encoder(spec, torch.device(device)), repeats).both
            seconds = [extraction.FRAMES / rate for rate in rates]
            yield Row("extraction", spec.name, "32-true", seconds, median(rates), "frames/s")


def write_table(rows: Sequence[Row], folder: Path, device: Device) -> Path:
    """Write ``gpu.md``, the table, and ``gpu.json``, every repetition and the receipt; give the first.

    Args:
        rows: what was measured.
        folder: where to write; it is made.
        device: where it was measured.
    """
    folder.mkdir(parents=True, exist_ok=True)
    described = receipt(device)
    write_json({"receipt": described, "rows": [asdict(row) for row in rows]}, folder / "gpu.json")
    head = ["task", "what", "precision", "median", "spread", "rate"]
    lines = [head, ["---"] * len(head), *(row.cells() for row in rows)]
    table = "".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |\n" for line in lines)
    with replacing(folder / "gpu.md") as temporary:
        temporary.write_text(f"{table}\nReceipt: {json.dumps(described)}\n", encoding="utf-8")
    return folder / "gpu.md"


def receipt(device: Device) -> dict[str, Any]:
    """Say what measured: versions, processor, threads and GPU."""
    found: dict[str, Any] = {
        "wsvad": wsvad_lightning.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "device": device,
    }
    if device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        found |= {"gpu": properties.name, "memory": properties.total_memory, "cuda": torch.version.cuda}
    return found
