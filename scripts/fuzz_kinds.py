"""The kinds of files that `fuzz.py` damages: how to make a good one, to damage it, and to read it."""

import asyncio
import contextlib
import io
import json
import random
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from fuzz_damage import (
    damage_archive,
    damage_bytes,
    damage_calibrated,
    damage_checkpoint,
    damage_folder,
    damage_json,
    damage_store,
    damage_tensors,
    damage_text,
    damage_yaml,
)

from wsvad_lightning import Detector
from wsvad_lightning.cli import main
from wsvad_lightning.data.datasets.footage import find_videos
from wsvad_lightning.data.store.synthetic import make_store
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.serving.labelling.sheet import Sheet
from wsvad_lightning.serving.service.app import Limits, make_app
from wsvad_lightning.serving.service.scorer import Scorer
from wsvad_lightning.video.writer import write_video

TRACEBACK = 70  # exit status of a command that raises
QUICK = ("--trainer.enable_progress_bar", "false", "--trainer.max_steps", "1")

Mutate = Callable[[Path, random.Random], None]
Task = Callable[[], int]
Command = Callable[[Path, int], list[str] | Task]


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        source: a good one, or a folder.
        mutate: damages a copy of it.
        command: that reads it, or a task that does; the number of the case chooses among several.
    """

    source: Path
    mutate: Mutate
    command: Command


def make_kinds(folder: Path) -> dict[str, Kind]:
    """Make a good file of each kind."""
    store = make_store(folder / "store.h5", dim=16, train=3, test=2, classes=("fall", "riot"), lengths=(4, 8))
    run = ["fit", "--config", "ucf_urdmu.yaml", "--config", "with/smoke.yaml", "--data.store", str(store)]
    small = ["--model.hidden_dim", "8", "--output", str(folder / "runs"), *QUICK]
    if main([*run, *small]):
        raise WSVADError("output", folder, "the training did not work", "See above")
    checkpoint = folder / "runs" / "ucf_urdmu" / "version_0" / "checkpoints" / "last.ckpt"
    recipe = folder / "recipe.yaml"  # its own output holds, within the folder that a command runs in
    recipe.write_text(
        (checkpoint.parents[1] / "fit.yaml").read_text("utf-8").replace(small[3], "runs"), "utf-8"
    )
    names = [name for name, _ in _videos(store)]
    table, split = folder / "table.csv", folder / "split.json"
    rows = [
        f"{name},{'fall' if 'abnormal' in name else 'normal'},,{'5-20' if 'abnormal' in name else ''}"
        for name in names
    ]
    table.write_text("\n".join(["video,label,num_frames,intervals", *rows]), "utf-8")
    parts = {part: [name for name in names if name.startswith(part)] for part in ("train", "test")}
    split.write_text(json.dumps(parts), "utf-8")
    archive = folder / "features.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for name in names:
            made = io.BytesIO()
            np.save(made, np.ones((4, 16), np.float32))
            packed.writestr(f"i3d/{name}.npy", made.getvalue())
    tensors, arrays = folder / "features.pt", folder / "features.h5"
    torch.save({name: torch.ones(4, 16) for name in names}, tensors)
    with h5py.File(arrays, "w") as file:
        for name in names:
            file.create_dataset(f"{name}/features", data=np.ones((4, 16)), chunks=(4, 16), compression="gzip")
    video = folder / "video.mp4"
    pictures = np.random.default_rng(0).integers(0, 255, (8, 8, 12, 3), np.uint8).repeat(8, 1).repeat(8, 2)
    with write_video(video, fps=10) as writer:
        for picture in pictures.repeat(4, 0):
            writer.write(picture)
    out = str(folder / "out")

    def of_store(path: Path, number: int) -> list[str]:
        quick = ["--data.store", str(path), "--output", out, *QUICK]
        commands = (
            ["data", "verify", str(path)],
            ["data", "info", str(path)],
            ["data", "verify", str(path), "--annotations", str(table)],
            ["data", "export", str(path), f"{out}/export"],
            ["data", "split", str(path), "-o", f"{out}/split.json"],
            ["test", "--ckpt_path", str(checkpoint), *quick[:-2]],
            [*run[:5], *quick, "--model.hidden_dim", "8"],
        )
        return commands[number % len(commands)]

    def of_checkpoint(path: Path, number: int) -> list[str]:
        where = ["--data.store", str(store), "--output", out]
        commands = (
            ["test", "--ckpt_path", str(path), *where, *QUICK[:2]],
            ["predict", "--ckpt_path", str(path), *where, *QUICK[:2]],
            [*run[:5], "--ckpt_path", str(path), "--model.hidden_dim", "8", *where, *QUICK[:3], "2"],
        )
        return commands[number % len(commands)]

    def of_table(path: Path, number: int) -> list[str]:
        commands = (
            ["data", "verify", str(store), "--annotations", str(path)],
            ["data", "split", str(path), "-o", f"{out}/split.json"],
            ["data", "convert", str(archive), "-o", f"{out}/c.h5", "--annotations", str(path)],
        )
        return commands[number % len(commands)]

    def convert(path: Path, number: int) -> list[str]:
        return ["data", "convert", str(path), "-o", f"{out}/c.h5"]

    def of_split(path: Path, number: int) -> list[str]:
        commands = (
            ["data", "verify", str(store), "--split", str(path)],
            [*run, "--data.split", str(path), *small[:2], "--output", out, *QUICK],
        )
        return commands[number % 5 == 4]

    return {
        "stores": Kind(store, damage_store, of_store),
        "checkpoints": Kind(checkpoint, damage_checkpoint, of_checkpoint),
        "tables": Kind(table, damage_text, of_table),
        "splits": Kind(split, damage_json, of_split),
        "recipes": Kind(recipe, damage_yaml, lambda path, _: ["fit", "--config", str(path), *QUICK]),
        "videos": Kind(
            video,
            damage_bytes,
            lambda path, _: ["extract", str(path), f"{out}/v.h5", "--config", "extract/motion.yaml"],
        ),
        "archives": Kind(archive, damage_archive, convert),
        "tensors": Kind(tensors, damage_tensors, convert),
        "arrays": Kind(arrays, damage_bytes, convert),
        **make_newer_kinds(folder, store, checkpoint, video),
    }


def make_newer_kinds(folder: Path, store: Path, checkpoint: Path, video: Path) -> dict[str, Kind]:
    """Make what is calibrated, shared, marked by glances, labelled on a page, or sent to the service."""
    out, test, quiet = str(folder / "out"), folder / "normal.h5", ["--data.store", str(store), *QUICK[:2]]
    calibrated, shared = folder / "calibrated.ckpt", folder / "shared"
    shutil.copy(checkpoint, calibrated)
    make_store(test, dim=16, train=3, test=1, lengths=(4, 8), seed=1)
    _must(["calibrate", "--ckpt_path", str(calibrated), "--data.store", str(test)])
    _must(["share", "--ckpt_path", str(calibrated), "-o", str(shared), "--license", "apache-2.0"])
    glances = folder / "glances.csv"
    glances.write_text("video-id,glance\nAbuse001_x264,299\nAbuse001_x264,1047\nArson002_x264,12\n", "utf-8")
    vectors = folder / "vectors.npz"
    with h5py.File(store) as file:
        frames = {name: group.attrs["num_frames"] for name, group in file["videos"].items()}
    labels: dict[str, Any] = {name: np.zeros(count, np.uint8) for name, count in frames.items()}
    np.savez(vectors, **{name: array for name, array in labels.items() if name.startswith("test")})

    def of_model(path: Path, number: int) -> list[str]:
        commands = (
            ["predict", "--ckpt_path", str(path), *quiet, "--output", out],
            ["test", "--ckpt_path", str(path), *quiet, "--output", out],
            ["share", "--ckpt_path", str(path), "-o", f"{out}/again", "--license", "MIT"],
            ["calibrate", "--ckpt_path", str(path), "--data.store", str(test)],
        )
        return commands[number % len(commands)]

    def of_glances(path: Path, number: int) -> list[str]:
        return ["data", "annotations", str(path), "--from", "glances", "-o", f"{out}/glances.csv"]

    def of_vectors(path: Path, number: int) -> list[str]:
        return [*of_model(checkpoint, 1), "--data.gt_vector", str(path)]

    page, body = make_page(folder, video), make_bodies(folder, video)
    service = make_service(folder, video)
    return {
        "calibrated": Kind(calibrated, damage_calibrated, of_model),
        "shared": Kind(shared, damage_folder, of_model),
        "glances": Kind(glances, damage_text, of_glances),
        "vectors": Kind(vectors, damage_archive, of_vectors),
        "pages": Kind(page, damage_folder, lambda path, _: lambda: fill_page(path, video)),
        "uploads": Kind(body, damage_folder, lambda path, number: lambda: send(service, path, number)),
    }


def _must(command: list[str]) -> None:
    if main(command):
        raise WSVADError("output", " ".join(command), "did not work", "See above")


def make_page(folder: Path, video: Path) -> Path:
    """Make a table that `wsvad label` fills, and what its page sends."""
    page = folder / "page"
    page.mkdir()
    row = f"{video.stem},fall,32,5-20,12"
    (page / "table.csv").write_text(f"video,label,num_frames,intervals,glances\n{row}\n", "utf-8")
    sent = {
        "label": "abnormal",
        "classes": ["riot"],
        "intervals": [[3, 9, "fall"], [12, 20, None]],
        "glances": [5],
        "split": "train",
        "num_frames": 32,
    }
    (page / "sent.json").write_text(json.dumps(sent), "utf-8")
    return page


def fill_page(page: Path, video: Path) -> int:
    """Read the table and take what is sent, as `wsvad label` does; what is sent is JSON of any kind."""
    try:
        sheet = Sheet(page / "table.csv", find_videos(str(video))[0])
        with contextlib.suppress(ValueError, RecursionError):  # what is not JSON is refused before
            sheet.change(0, json.loads((page / "sent.json").read_text("utf-8")))
            sheet.rows()
    except (WSVADError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


def make_bodies(folder: Path, video: Path) -> Path:
    """Make bodies of requests: features of motion, as the service's model reads them, and a video."""
    bodies = folder / "bodies"
    bodies.mkdir()
    features = np.ones((4, 1, 10), np.float32)
    np.save(bodies / "a.npy", features)
    np.savez(bodies / "b.npz", features=features)
    shutil.copy(video, bodies / "c.mp4")
    return bodies


def make_service(folder: Path, video: Path) -> Any:
    """Train a model on motion, and make the service of it."""
    table, store, runs = folder / "motion.csv", str(folder / "motion.h5"), str(folder / "runs")
    clips = folder / "clips"
    clips.mkdir()
    for name in ("normal", "abnormal"):
        shutil.copy(video, clips / f"{name}.mp4")
    table.write_text("video,label,split\nnormal,normal,train\nabnormal,abnormal,train\n", "utf-8")
    _must(["extract", str(clips), store, "--annotations", str(table), "--config", "extract/motion.yaml"])
    fit = ["fit", "--config", "ped2_sultani.yaml", "--data.store", store, "--data.batch_size", "2", *QUICK]
    _must([*fit, "--output", runs, "--name", "motion"])
    detector = Detector.from_checkpoint(str(folder / "runs/motion/version_0/checkpoints/last.ckpt"))
    return make_app(Scorer(detector, detector.extractor(None), 10**7), Limits(10, 4, 100.0))


def send(service: Any, bodies: Path, number: int) -> int:
    """Send one of the bodies to the service; anything but an answer to it or to a mistake is a failure."""
    body = sorted(bodies.iterdir())
    content = body[number % len(body)].read_bytes() if body else b""
    status = asyncio.run(_ask(service, content))
    sys.stderr.write(f"{len(content)} bytes: {status}\n")
    return 0 if status < 500 else TRACEBACK


async def _ask(service: Any, content: bytes) -> int:
    """Post a body to an application, and give the status of its answer."""
    sent, statuses = [{"type": "http.request", "body": content, "more_body": False}], list[int]()

    async def receive() -> dict[str, Any]:
        return sent.pop() if sent else await asyncio.Event().wait()  # type: ignore[return-value]  # for ever

    async def answer(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    head = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST"}
    where = {"path": "/score", "raw_path": b"/score", "root_path": "", "scheme": "http", "query_string": b""}
    machines = {"server": ("127.0.0.1", 80), "client": ("127.0.0.1", 1), "headers": [(b"host", b"127.0.0.1")]}
    await service({**head, **where, **machines}, receive, answer)
    return statuses[0]


def _videos(store: Path) -> Iterator[tuple[str, Any]]:
    with h5py.File(store) as file:
        yield from file["videos"].items()
