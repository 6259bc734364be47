"""What training steps and the scoring of a long video cost, and how near they come to the machine's limit."""

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from typing import Any, TypeVar, cast

import torch
import yaml
from jsonargparse import auto_cli
from rich.progress import track
from rich.table import Table
from torch import Tensor

from wsvad_lightning.configs import find_config
from wsvad_lightning.data.loading.datamodule import WSVADDataModule
from wsvad_lightning.data.loading.frames import ClipDataModule
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.layers import TextTower
from wsvad_lightning.methods.adplg import ADPLG
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.methods.base.prepared import PreparedModule
from wsvad_lightning.methods.base.prompted import PromptedModule
from wsvad_lightning.methods.base.training import TrainingModule
from wsvad_lightning.methods.s3r import DICTIONARY
from wsvad_lightning.methods.svmaepretraining import SVMAEPretraining
from wsvad_lightning.runs.parsed import ParsedRun, parser_of_fit
from wsvad_lightning.speed.console import open_console
from wsvad_lightning.speed.measures import (
    Device,
    Measurement,
    Precision,
    Shape,
    Task,
    gib,
    measure_task,
    memory_in_use,
    seconds_of,
    speed_cells,
    table_of,
)
from wsvad_lightning.types import ClipBatch, WSVADBatch

Result = TypeVar("Result")

SNIPPETS = (1000, 2000)  # of the scored videos
SCORED_CROPS = 10
ATOMS = 400  # of S3R's dictionary for UCF-Crime
CLASSES = 13  # of UCF-Crime
TOKENS = [49406, 320, 49407]  # start, a word and end, as CLIP counts them
LABELLINGS = 20  # to time one by


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
    "DSANet": Official("ucf_dsanet.yaml", 10),
    "TPWNG": Official("ucf_tpwng.yaml", 10),
    "GSMoE": Official("ucf_gsmoe.yaml", 10),
    "ADPLG": Official("ucf_adplg.yaml", 10),
    "C2FPL": Official("ucf_c2fpl.yaml", 10),
    "FRDUVAD": Official("ucf_frduvad.yaml", 10),
}


def benchmark_steps(
    methods: list[str] | None = None,
    pretraining: str | None = None,
    repeats: int = 3,
    device: Device = "cpu",
    precision: Precision = "32-true",
) -> None:
    """Measure methods at their authors' batches; print tables of training steps and of scoring.

    A step is losses, gradients and the optimizer's update on features that are noise. It takes turns with
    matrix products, so that whatever else the machine does slows both. Every measurement has a fresh process.

    Args:
        methods: names of those to measure; None for all in ``OFFICIAL``.
        pretraining: recipe of SVMAE's pre-training, such as ``demo_svmae.yaml``: its step on noise is
            measured instead.
        repeats: repetitions that are timed, after one that is not.
        device: where to compute.
        precision: of the computation, and of the matrix products.

    Raises:
        WSVADError: if no batch of a method is known.
    """
    if pretraining is not None:
        step = in_fresh_process(measure_pretraining, pretraining, repeats, device, precision)
        title = f"Pre-training steps ({device}, {precision}, {torch.get_num_threads()} threads)"
        open_console().print(pretraining_table(pretraining, step, title))
        return
    unknown = sorted(set(methods or ()) - set(OFFICIAL))
    if unknown:
        raise WSVADError(
            "methods", ", ".join(unknown), "no official batch is known", f"Choose among {', '.join(OFFICIAL)}"
        )
    training, scoring = {}, {}
    for name in track(methods or list(OFFICIAL), "methods", transient=True):
        measure_one = partial(in_fresh_process, measure, name, repeats, device, precision)
        training[name] = measure_one(None)
        scoring[name] = [measure_one(snippets) for snippets in SNIPPETS]
    console = open_console()
    console.print(training_table(training, f"Training steps ({device}, {precision})"))
    console.print(scoring_table(scoring, f"Scoring a video of {SCORED_CROPS} crops ({device}, {precision})"))
    if "ADPLG" in training:
        task = labelling(device)
        share = min(seconds_of(task, device) for _ in range(LABELLINGS)) / min(training["ADPLG"].seconds)
        console.print(f"ADPLG: pseudo-labels take {share:.4%} of a step")


def in_fresh_process(measurement: Callable[..., Result], *arguments: Any) -> Result:
    """Measure where no memory was used before."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(measurement, *arguments).result()


def measure(
    name: str,
    repeats: int,
    device: Device,
    precision: Precision,
    snippets: int | None,
    compiled: bool = False,
) -> Measurement:
    """Measure a method.

    Args:
        name: the method.
        repeats: repetitions that are timed.
        device: where to compute.
        precision: of the computation.
        snippets: length of a video to score; None for a training step.
        compiled: whether the losses are compiled, which the time of a step leaves out.
    """
    torch.manual_seed(0)
    model, shape = official(name)
    model.to(device)
    if snippets is not None:
        shape = (1, SCORED_CROPS, snippets, model.feature_dim)
    start = memory_in_use(device)
    task = training_step(model, shape) if snippets is None else scoring_pass(model, shape)
    ready = partial(compile_losses, model, task) if compiled else None
    return measure_task(task, shape, start, repeats, device, precision, ready)


def compile_losses(model: WSVADModule, step: Task) -> None:
    """Compile the losses of a method, and run its step twice: afterwards nothing is left to compile."""
    setattr(model, "compute_losses", torch.compile(model.compute_losses))  # noqa: B010  # a method
    step()
    step()


def measure_pretraining(recipe: str, repeats: int, device: Device, precision: Precision) -> Measurement:
    """Measure a step of a pre-training; its shape is that of the tokens, ``[B, N]``.

    Args:
        recipe: its configuration, by name or path.
        repeats: repetitions that are timed.
        device: where to compute.
        precision: of the computation.

    Raises:
        WSVADError: if the recipe is of another method.
    """
    torch.manual_seed(0)
    run = ParsedRun(["fit", "--config", recipe])
    trained = run.config.fit.model.class_path.rpartition(".")[2]
    if trained != SVMAEPretraining.__name__:
        problem = f"trains {trained}, which --methods measures"
        raise WSVADError("pretraining", recipe, problem, "Give a recipe of SVMAEPretraining")
    model, data = cast("tuple[SVMAEPretraining, ClipDataModule]", run.make())
    model.to(device)
    start = memory_in_use(device)
    task = optimizer_step(model, clips_of_noise(data.batch_size, model))
    shape = (data.batch_size, model.grid.tokens)
    return measure_task(task, shape, start, repeats, device, precision)


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


def clips_of_noise(count: int, model: SVMAEPretraining) -> ClipBatch:
    """Make a batch of clips."""
    grid = model.grid
    clips = torch.rand(count, 3, grid.frames, *grid.size, device=model.device)
    unknown = torch.full((count,), torch.nan)
    starts = torch.zeros(count, dtype=torch.int64)
    frames = torch.arange(grid.frames).expand(count, -1)
    return ClipBatch(clips, unknown, ["noise"] * count, starts, frames, starts + grid.frames, starts + 10.0)


def training_step(model: WSVADModule, shape: Shape) -> Task:
    """A step on noise, always the same."""
    return optimizer_step(model, noise(shape, model))


def optimizer_step(model: TrainingModule, batch: Any) -> Task:
    """A step of the recipe's optimizer, always on the same batch; of two optimizers, one does for both."""
    optimizer = model.train().optimizer(model.trained_parameters())

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


# -------------------------------------------------------------------------------------------------- tables


def training_table(measured: dict[str, Measurement], title: str) -> Table:
    """Tabulate training steps; memory is that of the whole process."""
    table = table_of(title, "batch", "GFLOP", "median", "fastest", "share", "median share", "memory")
    for name, step in measured.items():
        table.add_row(name, " x ".join(map(str, step.shape)), *speed_cells(step), gib(step.peak_bytes))
    return table


def scoring_table(measured: dict[str, list[Measurement]], title: str) -> Table:
    """Tabulate scoring; memory is what is added, and growth what a video of twice the length needs."""
    added = "memory added"
    table = table_of(
        title, "snippets", "GFLOP", "median", "fastest", "share", "median share", added, "growth"
    )
    for name, (short, long) in measured.items():
        growth = (
            f"x {long.flops / short.flops:.2f} GFLOP, x {long.added_bytes / short.added_bytes:.2f} memory"
        )
        table.add_row(name, f"{long.shape[2]:,}", *speed_cells(long), gib(long.added_bytes), growth)
    return table


def pretraining_table(recipe: str, step: Measurement, title: str) -> Table:
    """Tabulate a step of a pre-training; tokens are those of the clips, seen or masked."""
    clips, tokens = step.shape
    table = table_of(
        title, "batch", "GFLOP", "median", "fastest", "share", "median share", "tokens/s", "memory"
    )
    rate = f"{clips * tokens / min(step.seconds):,.0f}"
    batch = f"{clips} clips x {tokens} tokens"
    table.add_row(recipe, batch, *speed_cells(step), rate, gib(step.peak_bytes))
    return table
