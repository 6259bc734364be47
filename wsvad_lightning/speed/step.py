"""What training steps and the scoring of a long video cost, and how near they come to the machine's limit."""

import json
import re
import statistics
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import torch
import yaml
from jsonargparse import auto_cli
from rich.progress import track
from rich.table import Table
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from wsvad_lightning.configs import find_config
from wsvad_lightning.data.loading.datamodule import WSVADDataModule
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.layers import TextTower
from wsvad_lightning.methods.adplg import ADPLG
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.methods.base.prepared import PreparedModule
from wsvad_lightning.methods.base.prompted import PromptedModule
from wsvad_lightning.methods.s3r import DICTIONARY
from wsvad_lightning.runs.parsed import parser_of_fit
from wsvad_lightning.speed.console import open_console
from wsvad_lightning.types import WSVADBatch

SNIPPETS = (1000, 2000)  # of the scored videos
SCORED_CROPS = 10
ATOMS = 400  # of S3R's dictionary for UCF-Crime
CLASSES = 13  # of UCF-Crime
TOKENS = [49406, 320, 49407]  # start, a word and end, as CLIP counts them
MATRIX = {"cpu": 2048, "cuda": 8192}  # rows and columns of the product that shows the limit
PRODUCTS = 8  # to time it by
LABELLINGS = 20  # to time one by

Device = Literal["cpu", "cuda"]
Precision = Literal["32-true", "bf16-mixed"]
Shape = tuple[int, int, int, int]
Task = Callable[[], object]

aten = torch.ops.aten
CPU_ATTENTION = {  # PyTorch's counter knows attention by its names on a GPU
    aten._scaled_dot_product_flash_attention_for_cpu: aten._scaled_dot_product_flash_attention,
    aten._scaled_dot_product_flash_attention_for_cpu_backward: (
        aten._scaled_dot_product_flash_attention_backward
    ),
}


@dataclass(frozen=True)
class Official:
    """What a method is trained by at its authors'.

    Attributes:
        recipe: shipped configuration.
        crops: of a video in their features.
        settings: of the method, in addition to the recipe's.
    """

    recipe: str
    crops: int
    settings: Mapping[str, Any] = field(default_factory=dict)


OFFICIAL = {
    "Sultani": Official("ucf_sultani.yaml", 1),
    "RTFM": Official("ucf_rtfm.yaml", 10),
    "MGFN": Official("ucf_mgfn.yaml", 10),
    "S3R": Official("ucf_s3r.yaml", 10),
    "BNWVAD": Official("xd_bnwvad.yaml", 5),
    "URDMU": Official("ucf_urdmu.yaml", 10),
    "SSRL": Official("ucf_ssrl.yaml", 10, {"stage": 4}),
    "SVMAE": Official("ucf_svmae.yaml", 10),
    "CLIPTSA": Official("ucf_cliptsa.yaml", 1),
    "VadCLIP": Official("ucf_vadclip.yaml", 10),
    "TPWNG": Official("ucf_tpwng.yaml", 10),
    "GSMoE": Official("ucf_gsmoe.yaml", 10),
    "ADPLG": Official("ucf_adplg.yaml", 10),
    "C2FPL": Official("ucf_c2fpl.yaml", 10),
    "FRDUVAD": Official("ucf_frduvad.yaml", 10),
}


@dataclass(frozen=True)
class Measurement:
    """What a task cost.

    Attributes:
        shape: ``[B, N, T, D]`` of its features.
        flops: floating-point operations, of matrix products, convolutions and attention.
        seconds: of each repetition.
        limits: operations a second of the matrix product before each repetition.
        start_bytes: memory in use before the features were made.
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
        """Memory that features and computation took."""
        return self.peak_bytes - self.start_bytes


def benchmark_steps(
    methods: list[str] | None = None,
    repeats: int = 3,
    device: Device = "cpu",
    precision: Precision = "32-true",
) -> None:
    """Measure methods at their authors' batches; print tables of training steps and of scoring.

    A step is losses, gradients and the optimizer's update on features that are noise. It takes turns with
    matrix products, so that whatever else the machine does slows both. Every measurement has a fresh process.

    Args:
        methods: names of those to measure; None for all in ``OFFICIAL``.
        repeats: repetitions that are timed, after one that is not.
        device: where to compute.
        precision: of the computation, and of the matrix products.

    Raises:
        WSVADError: if no batch of a method is known.
    """
    unknown = sorted(set(methods or ()) - set(OFFICIAL))
    if unknown:
        raise WSVADError(
            "methods", ", ".join(unknown), "no official batch is known", f"Choose among {', '.join(OFFICIAL)}"
        )
    training, scoring = {}, {}
    for name in track(methods or list(OFFICIAL), "methods", transient=True):
        measure_one = partial(in_fresh_process, name, repeats, device, precision)
        training[name] = measure_one(None)
        scoring[name] = [measure_one(snippets) for snippets in SNIPPETS]
    console = open_console()
    console.print(training_table(training, f"Training steps ({device}, {precision})"))
    console.print(scoring_table(scoring, f"Scoring a video of {SCORED_CROPS} crops ({device}, {precision})"))
    if "ADPLG" in training:
        task = labelling(device)
        share = min(seconds_of(task, device) for _ in range(LABELLINGS)) / min(training["ADPLG"].seconds)
        console.print(f"ADPLG: pseudo-labels take {share:.4%} of a step")


def in_fresh_process(
    name: str, repeats: int, device: Device, precision: Precision, snippets: int | None
) -> Measurement:
    """Call :func:`measure` where no memory was used before."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(measure, name, repeats, device, precision, snippets).result()


def measure(
    name: str, repeats: int, device: Device, precision: Precision, snippets: int | None
) -> Measurement:
    """Measure a method.

    Args:
        name: the method.
        repeats: repetitions that are timed.
        device: where to compute.
        precision: of the computation.
        snippets: length of a video to score; None for a training step.
    """
    torch.manual_seed(0)
    model, shape = official(name)
    model.to(device)
    if snippets is not None:
        shape = (1, SCORED_CROPS, snippets, model.feature_dim)
    start = memory_in_use(device)
    task = training_step(model, shape) if snippets is None else scoring_pass(model, shape)
    with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16-mixed"):
        flops = count_flops(task)
        seconds, limits = [], []
        for _ in range(repeats):
            limits.append(matrix_limit(MATRIX[device], device))
            seconds.append(seconds_of(task, device))
    peak = max(
        start, peak_memory(device)
    )  # the kernel counts pages in batches, so that a peak may lag behind
    return Measurement(shape, flops, seconds, limits, start, peak)


# --------------------------------------------------------------------------------------------------- tasks


def official(name: str) -> tuple[WSVADModule, Shape]:
    """Build a method as its recipe says, and give the shape of its authors' training batch.

    Channels are the method's default; what has to be prepared before training is noise.
    """
    theirs = OFFICIAL[name]
    settings = [f"--model.{name}={value}" for name, value in theirs.settings.items()]
    parser = parser_of_fit()
    recipe = parser.parse_args(["--config", str(find_config(theirs.recipe)), *settings])
    chosen = json.dumps(yaml.safe_load(parser.dump(recipe, skip_unset=False))["model"])
    model: WSVADModule = auto_cli(_given, args=["--model", chosen], as_positional=False)
    data = WSVADDataModule(**recipe.data.as_dict())
    bags = data.batch_size if data.bags == "windows" else 2 * data.batch_size
    bag_crops = theirs.crops if data.crops == "all" else 1
    shape = (bags, bag_crops, data.segments, model.feature_dim)
    for artefact in model.requires.prepared:
        assert isinstance(model, PreparedModule)
        values = (
            torch.randn(ATOMS, model.feature_dim) if artefact == DICTIONARY else labels_of_snippets(shape)
        )
        model.take_prepared(artefact, values)
    if isinstance(model, PromptedModule):
        model.net.prompt.use(untrained_text_tower(model.feature_dim), [""] * (1 + CLASSES))
    return model, shape


def _given(model: WSVADModule) -> WSVADModule:
    """Give the model that the parser made."""
    return model


def untrained_text_tower(dim: int) -> TextTower:
    """Build a text tower of CLIP's size, to which every text is one word."""
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    model = CLIPTextModelWithProjection(CLIPTextConfig(projection_dim=dim))
    return TextTower(model, lambda texts: [TOKENS] * len(texts))


def labels_of_snippets(shape: Shape) -> Tensor:
    """Mark some of the snippets of a batch of windows, as if they were all there are."""
    return torch.rand(shape[0] * shape[2]).round()


def noise(shape: Shape, model: WSVADModule) -> WSVADBatch:
    """Make a batch of noise without negative values, as backbones give them, and of the streams it needs."""
    (bags, _, snippets, _), device = shape, model.device
    streams = {
        name: torch.randn(bags, snippets, shape.num_views or 1, shape.dim, device=device).relu_()
        for name, shape in model.requires.streams.items()
    }
    features = torch.randn(shape, device=device).relu_()
    lengths = torch.full((bags,), snippets, device=device)
    names = [f"video{i}" for i in range(bags)]
    if model.requires.bags == "windows":
        unlabelled = torch.full((bags,), torch.nan, device=device)
        positions = torch.arange(bags * snippets, device=device).view(bags, snippets)
        return WSVADBatch(features, lengths, unlabelled, names, streams, positions=positions)
    labels = torch.arange(bags, device=device) >= bags // 2
    classes = labels * torch.randint(1, 1 + CLASSES, (bags,), device=device)
    targets = torch.nn.functional.one_hot(classes, 1 + CLASSES).float()
    return WSVADBatch(features, lengths, labels.float(), names, streams, class_targets=targets)


def training_step(model: WSVADModule, shape: Shape) -> Task:
    """A step of the recipe's optimizer, always on the same batch; of two optimizers, one does for both."""
    batch = noise(shape, model)
    optimizer = model.train().optimizer(model.parameters())

    def step() -> None:
        optimizer.zero_grad()
        torch.autograd.backward(model.total_loss(model.compute_losses(batch)))
        optimizer.step()

    return step


def scoring_pass(model: WSVADModule, shape: Shape) -> Task:
    """Scoring of a video."""
    batch = noise(shape, model)
    return torch.inference_mode()(partial(model.eval().score, batch))


def labelling(device: Device) -> Task:
    """ADPLG's labels for the bags of a batch, from their attention."""
    model, shape = official("ADPLG")
    assert isinstance(model, ADPLG)
    attention = torch.rand(shape[0] // 2, shape[1], shape[2], device=device)
    return partial(model.label, noise(shape, model), attention)


# ------------------------------------------------------------------------------------------------ measures


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


# -------------------------------------------------------------------------------------------------- tables


def training_table(measured: dict[str, Measurement], title: str) -> Table:
    """Tabulate training steps; memory is that of the whole process."""
    table = _table(title, "batch", "GFLOP", "median", "fastest", "share", "median share", "memory")
    for name, step in measured.items():
        table.add_row(name, " x ".join(map(str, step.shape)), *_speed(step), _gib(step.peak_bytes))
    return table


def scoring_table(measured: dict[str, list[Measurement]], title: str) -> Table:
    """Tabulate scoring; memory is what is added, and growth what a video of twice the length needs."""
    added = "memory added"
    table = _table(title, "snippets", "GFLOP", "median", "fastest", "share", "median share", added, "growth")
    for name, (short, long) in measured.items():
        growth = (
            f"x {long.flops / short.flops:.2f} GFLOP, x {long.added_bytes / short.added_bytes:.2f} memory"
        )
        table.add_row(name, f"{long.shape[2]:,}", *_speed(long), _gib(long.added_bytes), growth)
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title)
    for column in ("method", *columns):
        table.add_column(column, no_wrap=True)
    return table


def _speed(measured: Measurement) -> list[str]:
    median, fastest = statistics.median(measured.seconds), min(measured.seconds)
    times = [f"{1e3 * seconds:,.0f} ms" for seconds in (median, fastest)]
    return [f"{measured.flops / 1e9:,.1f}", *times, f"{measured.share:.2f}", f"{measured.median_share:.2f}"]


def _gib(size: int) -> str:
    return f"{size / 2**30:.2f} GiB"
