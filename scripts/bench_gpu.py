"""Measure everything that is worth measuring on a GPU: ``python scripts/bench_gpu.py FOLDER``.

FOLDER gets ``gpu.md``, a table of training steps of all methods (float32, bf16, bf16 compiled; their share of
the speed of a matrix product) and of extraction, and ``gpu.json`` with every repetition and a receipt. With
``--peers CODE``, where ``CODE/urdmu`` is a copy of henrryzh1/UR-DMU, its UCF recipe runs next to the
authors' code on features of noise in the number of UCF-Crime: steps and, every 10 of them, scores of all test
videos, loading included. **Their code runs with your rights**, see ``bench_peers.py``.

``--device cpu`` tries the command without a GPU; give a few ``--methods`` and ``--steps`` then.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench_peers import PEERS, build_urdmu, running, urdmu_data
from jsonargparse import auto_cli
from torch.utils.data import DataLoader

from wsvad_lightning.cli import main
from wsvad_lightning.data.store import FeatureStore
from wsvad_lightning.data.store.synthetic import make_store
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.speed.extraction import STREAMS
from wsvad_lightning.speed.gpu import Row, measure_extraction, measure_steps, require_device, write_table
from wsvad_lightning.speed.measures import Device
from wsvad_lightning.speed.step import OFFICIAL, in_fresh_process

CROPS, DIM = 10, 1024
EVERY = 10  # steps from one test to the next
LENGTHS = (20, 600)  # snippets of a video


def benchmark_gpu(
    folder: str,
    methods: list[str] | None = None,
    peers: str | None = None,
    device: Device = "cuda",
    repeats: int = 5,
    steps: int = 3000,
    bags: int = 64,
    videos: int = 1610,
    tested: int = 290,
) -> None:
    """Measure training steps, extraction and a whole training; write tables.

    The whole training needs 50 GB of disk in the folder for videos in the number of UCF-Crime.

    Args:
        folder: where ``gpu.md`` and ``gpu.json`` are written.
        methods: names of those whose steps are measured; None for all.
        peers: folder with a copy of the authors' UR-DMU in ``urdmu``, to train next to; None for neither.
        device: where to compute.
        repeats: repetitions that are timed, after one that is not.
        steps: of the whole training.
        bags: of it, normal and as many abnormal ones.
        videos: that it trains with.
        tested: videos that are scored every 10 of its steps.

    Raises:
        WSVADError: if there is no GPU, no such method, or no copy of the authors' code.
    """
    require_device(device)
    unknown = sorted(set(methods or ()) - set(OFFICIAL))
    if unknown:
        remedy = f"Choose among {', '.join(OFFICIAL)}"
        raise WSVADError("methods", ", ".join(unknown), "no official batch is known", remedy)
    if peers is not None and not Path(peers, "urdmu").is_dir():
        raise WSVADError("peers", peers, "holds no folder urdmu", "Put a copy of henrryzh1/UR-DMU there")
    rows = list(measure_steps(methods or list(OFFICIAL), repeats, device))
    rows += measure_extraction(STREAMS, repeats, device)
    if peers is not None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as name:
            place, code = Path(name).resolve(), str(Path(peers, "urdmu").resolve())
            make_data(place, videos, tested)
            for side, run in (("theirs", train_theirs), ("ours", train_ours)):
                seconds = in_fresh_process(run, place, code, device, steps, bags)
                rate = steps / seconds
                rows.append(Row("UCF recipe", f"UR-DMU, {side}", "32-true", [seconds], rate, "steps/s"))
    print(f"The table is in {write_table(rows, Path(folder), device)}")


def make_data(place: Path, videos: int, tested: int) -> None:
    """Write noise as a store, with a split of ours, and as files of crops, with the lists of the authors."""
    made = make_store(
        place / "store.h5", train=videos // 2, test=tested // 2, dim=DIM, crops=CROPS, lengths=LENGTHS
    )
    store = FeatureStore(made)
    lines: dict[str, list[str]] = {}
    for video_id in store:
        for crop in range(CROPS):
            part, kind, number = video_id.split("_")
            path = place / f"{kind.capitalize()}{part}{number}_x264__{crop}.npy"
            np.save(path, store.read(video_id)[:, crop])
            lines.setdefault(f"{part}_{kind}", []).append(f"{path}\n")
    first = [
        lines["train_abnormal"][i % len(lines["train_abnormal"])] for i in range(PEERS["urdmu"].abnormal)
    ]
    (place / "list").mkdir()
    (place / PEERS["urdmu"].listing).write_text("".join(first + lines["train_normal"]))
    (place / "list" / "UCF_Test.list").write_text("".join(lines["test_abnormal"] + lines["test_normal"]))
    parts = {part: [name for name in store if name.startswith(part)] for part in ("train", "test")}
    (place / "split.json").write_text(json.dumps({"train": parts["train"], "val": parts["test"], "test": []}))


def train_theirs(place: Path, code: str, device: Device, steps: int, bags: int) -> float:
    """Train by the authors' step and loaders, and score by their network; without their metrics and plots."""
    with running(code, device):
        os.chdir(place)
        theirs = build_urdmu(DIM, 2 * bags)
        theirs.network.to(device)
        loaders = [
            DataLoader(urdmu_data(is_normal), batch_size=bags, shuffle=True, drop_last=True)
            for is_normal in (True, False)
        ]
        start, batches = time.perf_counter(), [iter(loader) for loader in loaders]
        for number in range(steps):
            for half, loader in enumerate(loaders):
                if number % len(loader) == 0:
                    batches[half] = iter(loader)
            theirs.train(*batches)
            if (number + 1) % EVERY == 0:
                score_theirs(theirs.network, theirs.score, device)
        return time.perf_counter() - start


@torch.no_grad()
def score_theirs(network: torch.nn.Module, score: Any, device: Device) -> None:
    """Score all crops of the test videos, one by one as the authors do."""
    network.eval()
    for features, *_ in DataLoader(urdmu_data(None, "Test"), batch_size=1):
        score(features.to(device))["frame"].cpu()


def train_ours(place: Path, code: str, device: Device, steps: int, bags: int) -> float:
    """Train by ``wsvad fit``, metrics, logs and checkpoints included."""
    start = time.perf_counter()
    given = {
        "--config": "ucf_urdmu.yaml",
        "--data.store": str(place / "store.h5"),
        "--data.split": str(place / "split.json"),
        "--data.batch_size": str(bags),
        "--trainer.max_steps": str(steps),
        "--trainer.check_val_every_n_epoch": "null",
        "--trainer.val_check_interval": str(EVERY),
        "--trainer.accelerator": "gpu" if device == "cuda" else "cpu",
        "--trainer.devices": "1",
        "--trainer.enable_progress_bar": "false",
        "--output": str(place / "runs"),
    }
    if main(["fit", *(word for pair in given.items() for word in pair)]):
        raise RuntimeError("the training failed")
    return time.perf_counter() - start


if __name__ == "__main__":
    try:
        auto_cli(benchmark_gpu)
    except WSVADError as error:
        sys.exit(f"error: {error}")
