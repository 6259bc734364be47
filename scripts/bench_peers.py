"""Compare with the authors' code: ``python scripts/bench_peers.py FOLDER``.

FOLDER holds copies of the authors' repositories, in subfolders of these names. Those found are compared:

    urdmu    henrryzh1/UR-DMU
    rtfm     tianyu0207/RTFM
    mgfn     carolchenyx/MGFN.
    bnwvad   cool-xuan/BN-WVAD
    vadclip  nwpu-zxr/VadCLIP

**Their code is imported and runs with your rights.** Everything else in this project treats files of
strangers as data; read what you put there first. Each method runs in processes of its own, in an empty
working folder, on a CPU: calls that move tensors to a GPU leave them where they are, and modules that only
plot, measure or debug are replaced by ones that do nothing. VadCLIP's text tower has CLIP's size and random
weights, and every class is one word, in theirs as in ours. Its files of weights are neither written nor read.
"""

import importlib
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, NamedTuple
from unittest.mock import MagicMock, patch

import numpy as np
import torch
from jsonargparse import auto_cli
from torch import Tensor, nn
from torch.utils.data import DataLoader

from wsvad_lightning.data.loading.datamodule import WSVADDataModule
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.speed.console import open_console
from wsvad_lightning.speed.loading import make_data
from wsvad_lightning.speed.measures import (
    Device,
    Precision,
    Shape,
    Task,
    gib,
    memory_in_use,
    peak_memory,
    seconds_of,
    table_of,
)
from wsvad_lightning.speed.step import (
    CLASSES,
    TOKENS,
    in_fresh_process,
    noise,
    official,
    optimizer_step,
    scoring_pass,
)

IDLE = ("visdom", "ipdb", "wandb", "tensorboardX", "pandas", "clip.clip")  # modules of theirs that do nothing
Side = Literal["theirs", "ours"]


class Theirs(NamedTuple):
    """The authors' code, ready to run.

    Attributes:
        train: a step on the normal and the abnormal half, each an iterable of features and labels.
        score: scores a video ``[1, N, T, D]``.
        network: what they train.
        read: makes their input, ``[B, N, T, D]`` as well.
    """

    train: Callable[[Any, Any], object]
    score: Callable[[Tensor], object]
    network: nn.Module
    read: Callable[[Tensor], Tensor] = lambda features: features


@dataclass(frozen=True)
class Peer:
    """How the authors' code of a method is run.

    Attributes:
        ours: name of the method.
        build: prepares their code for features of D channels and a number of bags, ``(D, bags)``.
        dataset: builds their data set of the normal or of the abnormal half, ``(is_normal)``; None if it is
            not compared.
        listing: list that the data set reads, relative to the working folder.
        abnormal: lines of abnormal videos, which come first in it.
        sources: folder of their modules in the repository.
    """

    ours: str
    build: Callable[[int, int], Theirs]
    dataset: Callable[[bool], Any] | None = None
    listing: str = ""
    abnormal: int = 0
    sources: str = ""


@dataclass(frozen=True)
class Row:
    """A comparison.

    Attributes:
        task: what was done.
        shape: to what.
        seconds: of theirs and of ours, in turn.
        added: bytes that either took, each in a process of its own; None if not measured.
    """

    task: str
    shape: Shape
    seconds: list[tuple[float, float]]
    added: tuple[int, int] | None


def compare_with_peers(
    folder: str,
    methods: list[str] | None = None,
    repeats: int = 5,
    bags: int | None = None,
    snippets: int = 2000,
    crops: int = 10,
    precision: Precision = "32-true",
) -> None:
    """Run the authors' code and ours in turn on the same input, and print ratios.

    The code in the folder is imported and runs with your rights.

    Args:
        folder: copies of the authors' repositories, one subfolder a method.
        methods: names of subfolders to compare; None for all that are there.
        repeats: of each, after one that is not timed.
        bags: of a training batch; None for the authors'.
        snippets: of a scored video.
        crops: of a scored video.
        precision: of our steps and scoring; theirs compute in float32.

    Raises:
        WSVADError: if a subfolder is missing.
    """
    there = [name for name in PEERS if (Path(folder) / name).is_dir()]
    missing = sorted(set(methods or ()) - set(there))
    if missing or not there:
        problem = f"holds no copy of a repository named {' or '.join(missing or PEERS)}"
        raise WSVADError("folder", folder, problem, "Put a copy there, see --help")
    table = table_of(
        f"The authors' code and ours in turn, CPU, {torch.get_num_threads()} threads, ours {precision}",
        *("task", "batch", "theirs, median", "ours, median", "theirs : ours", "spread", "memory added"),
    )
    for name in methods or there:
        given = (name, str(Path(folder, name, PEERS[name].sources).resolve()), bags, precision)
        tasks: dict[str, tuple[int, int] | None] = {"step": None, "scoring": (crops, snippets)}
        for task, video in tasks.items():
            added = [in_fresh_process(memory_of, side, *given, video) for side in ("theirs", "ours")]
            seconds, shape = in_fresh_process(seconds_in_turn, repeats, *given, video)
            table.add_row(name, *cells(Row(task, shape, seconds, (added[0], added[1]))))
        if PEERS[name].dataset is not None:
            seconds, shape = in_fresh_process(loading_in_turn, repeats, *given)
            table.add_row(name, *cells(Row("loading", shape, seconds, None)))
    open_console().print(table)


def cells(row: Row) -> list[str]:
    """Show a comparison; the spread is that of the ratios of adjacent runs."""
    ratios = [theirs / ours for theirs, ours in row.seconds]
    medians = [statistics.median(times) for times in zip(*row.seconds, strict=True)]
    added = "" if row.added is None else f"{gib(row.added[0])} : {gib(row.added[1])}"
    return [
        row.task,
        " x ".join(map(str, row.shape)),
        *(f"{1e3 * median:,.0f} ms" for median in medians),
        f"{statistics.median(ratios):.2f}",
        f"{min(ratios):.2f} to {max(ratios):.2f}",
        added,
    ]


# --------------------------------------------------------------------------------------------- measurements


def seconds_in_turn(
    repeats: int, name: str, code: str, bags: int | None, precision: Precision, video: tuple[int, int] | None
) -> tuple[list[tuple[float, float]], Shape]:
    """Time a training step, or the scoring of a video ``(crops, snippets)``, of both in turn."""
    with running(code):
        theirs, shape = prepared("theirs", name, bags, precision, video)
        ours, _ = prepared("ours", name, bags, precision, video)
        return in_turn(theirs, ours, repeats), shape


def memory_of(
    side: Side, name: str, code: str, bags: int | None, precision: Precision, video: tuple[int, int] | None
) -> int:
    """Measure the bytes that one of them adds, network and input included."""
    with running(code):
        start = memory_in_use("cpu")
        task, _ = prepared(side, name, bags, precision, video)
        task()
        task()
        return peak_memory("cpu") - start


def prepared(
    side: Side, name: str, bags: int | None, precision: Precision, video: tuple[int, int] | None
) -> tuple[Task, Shape]:
    """Make the task of one side on its input, which is that of the other."""
    peer = PEERS[name]
    torch.manual_seed(0)
    model, shape = official(peer.ours)
    shape = (bags or shape[0], *shape[1:]) if video is None else (1, *video, shape[-1])
    torch.manual_seed(0)
    batch = noise(shape, model)
    if side == "ours":
        task = optimizer_step(model, batch) if video is None else scoring_pass(model, shape)
        autocast = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed")
        return autocast(task), shape
    theirs = peer.build(shape[-1], shape[0])
    features = theirs.read(batch.features)
    if video is not None:
        theirs.network.eval()
        return torch.no_grad()(lambda: theirs.score(features)), shape
    half = shape[0] // 2
    normal, abnormal = ([(features[part], batch.labels[part])] for part in (slice(half), slice(half, None)))
    return lambda: theirs.train(normal, abnormal), shape


def loading_in_turn(
    repeats: int, name: str, code: str, bags: int | None, precision: Precision
) -> tuple[list[tuple[float, float]], Shape]:
    """Time loading a batch of noise of 20 to 4,000 snippets a video, drawn from the same videos by both."""
    peer = PEERS[name]
    _, shape = official(peer.ours)
    shape = (bags or shape[0], *shape[1:])
    assert peer.dataset is not None
    with running(code) as work:
        make_data(work, shape[0], shape[-1], "uniform")
        files = sorted(work.glob("video*.npy"))
        normal, abnormal = files[::2], files[1::2]
        listed = [*(abnormal[i % len(abnormal)] for i in range(peer.abnormal)), *normal]
        listing = work / peer.listing
        listing.parent.mkdir(exist_ok=True)
        listing.write_text("".join(f"{path}\n" for path in listed))
        loaders = [
            DataLoader(peer.dataset(is_normal), batch_size=shape[0] // 2, shuffle=True)
            for is_normal in (True, False)
        ]
        data = WSVADDataModule(str(work / "store.h5"), segments=shape[2], batch_size=shape[0] // 2)
        data.setup("fit")
        batches = data.train_dataloader()
        theirs = lambda: [next(iter(loader)) for loader in loaders]  # noqa: E731  # a task
        return in_turn(theirs, lambda: next(iter(batches)), repeats), shape


def in_turn(theirs: Task, ours: Task, repeats: int) -> list[tuple[float, float]]:
    """Time both in turn, after a run of each that is not timed."""
    theirs()
    ours()
    return [(seconds_of(theirs, "cpu"), seconds_of(ours, "cpu")) for _ in range(repeats)]


@contextmanager
def running(code: str, device: Device = "cpu") -> Iterator[Path]:
    """Let modules of a folder be imported and run, by default on a CPU, in an empty working folder."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="wsvad-") as work, patch.object(sys, "argv", ["train"]):
        os.chdir(work)
        sys.path.insert(0, code)
        for name in IDLE:
            sys.modules[name] = MagicMock()
        for owner in (Tensor, nn.Module) if device == "cpu" else ():
            owner.cuda = lambda self, *device, **options: self  # type: ignore[method-assign]  # no GPU
        if device == "cpu":
            Tensor.to = _not_to_a_gpu(Tensor.to)  # type: ignore[method-assign]
        setattr(torch, "set_default_tensor_type", lambda kind: None)  # noqa: B010  # to one of a GPU
        setattr(np, "int", int)  # noqa: B010  # NumPy had this name when they wrote their loaders
        try:
            yield Path(work)
        finally:
            os.chdir(before)


def _not_to_a_gpu(move: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def stay(self: Tensor, *where: Any, **options: Any) -> Tensor:
        return self if where and str(where[0]).startswith("cuda") else move(self, *where, **options)

    return stay


# ------------------------------------------------------------------------------------------ the authors' code


def build_urdmu(dim: int, bags: int) -> Theirs:
    """UR-DMU."""
    training = importlib.import_module("train")
    network = importlib.import_module("model").WSAD(dim, flag="Train", a_nums=60, n_nums=60)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, weight_decay=5e-5)
    criterion = training.AD_Loss()

    def train(normal: Any, abnormal: Any) -> None:
        training.train(network, iter(normal), iter(abnormal), optimizer, criterion, MagicMock(), 0)

    def score(features: Tensor) -> object:
        network.flag = "Test"
        return network(features)

    return Theirs(train, score, network)


def build_rtfm(dim: int, bags: int) -> Theirs:
    """RTFM."""
    training = importlib.import_module("train")
    network = importlib.import_module("model").Model(dim, max(bags // 2, 1))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, weight_decay=5e-3)

    def train(normal: Any, abnormal: Any) -> None:
        training.train(iter(normal), iter(abnormal), network, bags // 2, optimizer, MagicMock(), "cpu")

    return Theirs(train, network, network)


def build_mgfn(dim: int, bags: int) -> Theirs:
    """MGFN, whose input has the magnitude as one more channel."""
    sys.argv = ["train", "--batch_size", str(max(bags // 2, 1))]
    training = importlib.import_module("train")
    network = importlib.import_module("models.mgfn").mgfn()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, weight_decay=5e-4)

    def train(normal: Any, abnormal: Any) -> None:
        training.train(normal, abnormal, network, bags // 2, optimizer, "cpu")

    def read(features: Tensor) -> Tensor:
        return torch.cat([features, features.norm(dim=-1, keepdim=True)], dim=-1)

    return Theirs(train, network, network, read)


def build_bnwvad(dim: int, bags: int) -> Theirs:
    """BN-WVAD."""
    options = importlib.import_module("options").parse_args()
    network = importlib.import_module("models").WSAD(dim, flag="Train", args=options)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, weight_decay=5e-5)
    criterion = importlib.import_module("losses").LossComputer()

    def train(normal: Any, abnormal: Any) -> None:
        importlib.import_module("train").train(network, iter(normal), iter(abnormal), optimizer, criterion)

    def score(features: Tensor) -> object:
        network.flag = "Test"
        return network(features)

    return Theirs(train, score, network)


class Bags(list[Any]):
    """A loader of one batch: features, names of classes, lengths."""

    def __init__(self, features: Tensor, classes: list[str]) -> None:
        super().__init__([(features, classes, torch.full((len(features),), features.shape[1]))])
        self.batch_size = len(features)


def build_vadclip(dim: int, bags: int) -> Theirs:
    """VadCLIP, whose ``train`` is a whole epoch: of one batch here, always by the same optimizer."""
    clip = importlib.import_module("clip.model")
    reader = importlib.import_module("clip.clip")
    reader.load = lambda name, device: (clip.CLIP(dim, 224, 12, 768, 16, 77, 49408, 512, 8, 12), None)  # type: ignore[attr-defined]
    words = nn.functional.pad(torch.tensor(TOKENS), (0, 77 - len(TOKENS)))
    reader.tokenize = lambda texts: words.expand(len(texts), -1)  # type: ignore[attr-defined]
    training, tools = (importlib.import_module(name) for name in ("ucf_train", "utils.tools"))
    options = importlib.import_module("ucf_option").parser.parse_args(["--max-epoch", "1"])
    names = {str(number): str(number) for number in range(1 + CLASSES)}
    sizes = ("visual_length", "visual_width", "visual_head", "visual_layers", "attn_window")
    prompts = ("prompt_prefix", "prompt_postfix")
    network = training.CLIPVAD(1 + CLASSES, dim, *(getattr(options, key) for key in sizes + prompts), "cpu")
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-5)
    idle = SimpleNamespace(AdamW=lambda *_, **__: optimizer)
    without_files = {"optim": idle, "save": MagicMock(), "load": MagicMock()}
    training.torch = SimpleNamespace(**{**vars(torch), **without_files})  # type: ignore[attr-defined]
    training.np = MagicMock()  # type: ignore[attr-defined]
    network.load_state_dict = MagicMock()

    def train(normal: Any, abnormal: Any) -> None:
        halves = [
            Bags(features[:, 0], [kind] * len(features))
            for ((features, _),), kind in ((normal, "0"), (abnormal, "1"))
        ]
        training.train(network, *halves, None, options, names, "cpu")

    def score(video: Tensor) -> object:
        for crop in video[0]:
            parts, count = tools.process_split(crop.numpy(), options.visual_length)
            windows = torch.from_numpy(parts).view(-1, options.visual_length, dim)
            lengths = [
                min(options.visual_length, max(count - start, 0))
                for start in range(0, count + 1, options.visual_length)
            ]
            network(windows, None, [*names], torch.tensor(lengths[: len(windows)]))
        return None

    return Theirs(train, score, network)


def urdmu_data(is_normal: bool | None, mode: str = "Train") -> Any:
    """UR-DMU's training videos, or those of a test."""
    loader = importlib.import_module("dataset_loader")
    return loader.UCF_crime("", "rgb", mode, num_segments=200, len_feature=1024, is_normal=is_normal)


PEERS = {
    "urdmu": Peer("URDMU", build_urdmu, urdmu_data, "list/UCF_Train.list", 8100),
    "rtfm": Peer("RTFM", build_rtfm),
    "mgfn": Peer("MGFN", build_mgfn),
    "bnwvad": Peer("BNWVAD", build_bnwvad),
    "vadclip": Peer("VadCLIP", build_vadclip, sources="src"),
}


if __name__ == "__main__":
    try:
        auto_cli(compare_with_peers)
    except WSVADError as error:
        sys.exit(f"error: {error}")
