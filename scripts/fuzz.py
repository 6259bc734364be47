"""Damage every kind of file that wsvad reads, and run wsvad on it: one line, a finding or a result is right.

A traceback, a crash of the interpreter, a hang, and more than one line for a mistake are failures. Each is
kept, with its command, in a folder of its own::

    python scripts/fuzz.py runs/fuzz --seconds 600
    python scripts/fuzz.py runs/fuzz --kinds checkpoints --count 300 --seed 1

Every command runs in a process of its own, forked from this one, through :func:`wsvad_lightning.cli.main`.
"""

import contextlib
import copy
import io
import json
import math
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
import yaml
from jsonargparse import auto_cli

from wsvad_lightning.checkpoint import CHECKSUMS_KEY, sealed
from wsvad_lightning.cli import COMMANDS, load, main
from wsvad_lightning.data.store.synthetic import make_store
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.video.writer import write_video

HANG = 300  # seconds that a command may take, on a busy machine too
MEMORY = 6 * 2**30  # bytes of addresses that a command may take on top of what is loaded
TRACEBACK = 70  # exit status of a command that raises
QUICK = ("--trainer.enable_progress_bar", "false", "--trainer.max_steps", "1")

ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    2**63,
    -(2**70),
    1e308,
    math.nan,
    math.inf,
    "",
    "x" * 5000,
    "../x",
    "/etc/passwd",
    "=1+1",
    "a\0b",
    "\u202e\n\x1b[2J",
    [],
    {},
    [[[]]],
    {"class_path": "os.system", "init_args": {"command": "true"}},
    b"bytes",
    (1, 2),
)

Mutate = Callable[[Path, random.Random], None]
Command = Callable[[Path, int], list[str]]


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        source: a good one.
        mutate: damages a copy of it.
        command: that reads it; the number of the case chooses among several.
    """

    source: Path
    mutate: Mutate
    command: Command


# --------------------------------------------------------------------------------------------- mutations


def damage_bytes(path: Path, rng: random.Random) -> None:
    """Flip bits, cut, fill, repeat or insert."""
    content = bytearray(path.read_bytes())
    for _ in range(rng.choice((1, 1, 4, 30))):
        start = rng.randrange(max(1, len(content)))
        end = min(len(content), start + rng.choice((1, 4, 64, 1000)))
        choice = rng.randrange(6)
        if choice < 3 and content:
            content[start] ^= 1 << rng.randrange(8)
        elif choice == 3:
            content[start:end] = bytes([rng.choice((0, 255))]) * (end - start)
        elif choice == 4:
            content[start:end] = rng.randbytes(rng.choice((0, end - start, 2 * (end - start))))
        elif rng.random() < 0.3:
            del content[start:]
    path.write_bytes(content)


def damage_tree(value: Any, rng: random.Random) -> Any:
    """Replace, remove or rename one value in nested mappings and sequences."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(list(value))
        change = rng.randrange(8)
        if change == 0:
            value.pop(key)
        elif change == 1:
            value[f"{key}x"] = value.pop(key)
        else:
            value[key] = damage_tree(value[key], rng)
        return value
    if isinstance(value, list) and value and rng.random() < 0.85:
        place = rng.randrange(len(value))
        value[place] = damage_tree(value[place], rng)
        return value
    if isinstance(value, torch.Tensor):
        return damage_array(value, rng)
    if isinstance(value, str) and rng.random() < 0.4:
        place = rng.randrange(len(value) + 1)
        return (
            value[:place]
            + rng.choice(("x", " ", "\0", "é", ";", ",", "'", '"', ":", "1"))
            + value[place + 1 :]
        )
    return copy.deepcopy(rng.choice(ODD))


def damage_array(value: torch.Tensor, rng: random.Random) -> Any:
    """Change shape, type or values of a tensor."""
    changes: tuple[Callable[[], Any], ...] = (
        lambda: value[..., :-1] if value.ndim else value.reshape(1),
        lambda: value.unsqueeze(0),
        lambda: value.double(),
        lambda: value.to(torch.complex64),
        lambda: torch.full_like(value, math.nan) if value.is_floating_point() else value - 5,
        lambda: value.new_zeros(0),
        lambda: value.new_zeros(1).expand(10**6),
        lambda: value.to_sparse() if value.ndim else value,
        lambda: rng.choice(ODD),
    )
    return rng.choice(changes)()


def damage_store(path: Path, rng: random.Random) -> None:
    """Damage the bytes, or the contents by HDF5's own means."""
    if rng.random() < 0.5:
        damage_bytes(path, rng)
        return
    with h5py.File(path, "r+") as file:
        video = file["videos"][rng.choice(list(file["videos"]))]
        thing = rng.choice((file, video, video["features"]))
        name = rng.choice(list(thing.attrs))
        values: tuple[Any, ...] = (
            -1,
            0,
            2**62,
            math.nan,
            "x",
            "../x",
            [1, 2],
            np.zeros((2, 3)),
            h5py.Empty("f4"),
            b"x",
        )
        shape = rng.choice(((3, 1), (0, 1, 16), (10**9, 1, 16), (4, 2, 16), (4, 1, 15), ()))
        chunks = tuple(max(1, min(n, 4)) for n in shape) if shape and rng.random() < 0.5 else None
        kind = rng.choice(("f2", "f4", "f8", ">f4", "i4", "S3"))
        links = (h5py.SoftLink("/videos"), h5py.ExternalLink("/etc/passwd", "/x"), h5py.SoftLink("nowhere"))
        changes: tuple[Callable[[], Any], ...] = (
            lambda: thing.attrs.__delitem__(name),
            lambda: thing.attrs.__setitem__(name, rng.choice(values)),
            lambda: thing.attrs.__setitem__("other", rng.choice(values)),
            lambda: video.__delitem__("features"),
            lambda: (
                video.__delitem__("features"),
                video.create_dataset("features", shape, kind, chunks=chunks),
            ),
            lambda: video.create_dataset("more", shape, kind, chunks=chunks),
            lambda: (video.__delitem__("features"), video.__setitem__("features", rng.choice(links))),
            lambda: file["videos"].__setitem__("..", rng.choice(links)),
            lambda: file["videos"].create_group(rng.choice(("..", "x", "a\nb"))),
            lambda: file.move(video.name, "/videos/other"),
            lambda: video["features"].__setitem__((0, 0, 0), math.nan),
            lambda: file.__delitem__("videos"),
        )
        rng.choice(changes)()


def damage_checkpoint(path: Path, rng: random.Random) -> None:
    """Damage the bytes, or entries: as they are, without checksums, or with those of a stranger."""
    if rng.random() < 0.4:
        damage_bytes(path, rng)
        return
    content = torch.load(path, weights_only=True)
    choice = rng.randrange(3)
    for _ in range(rng.choice((1, 1, 3))):
        text = content.get("wsvad_config") if isinstance(content, dict) else None
        if rng.random() < 0.3 and isinstance(text, str):
            content["wsvad_config"] = yaml.dump(damage_tree(yaml.safe_load(text), rng), Dumper=yaml.Dumper)
        else:
            content = damage_tree(content, rng)
    if choice and isinstance(content, dict):
        content.pop(CHECKSUMS_KEY, None)
        content = sealed(content) if choice == 2 else content
    torch.save(content, path)


def damage_tensors(path: Path, rng: random.Random) -> None:
    """Damage the bytes of a file of PyTorch, or what it holds."""
    if rng.random() < 0.4:
        damage_bytes(path, rng)
        return
    torch.save(damage_tree(torch.load(path, weights_only=True), rng), path)


def damage_text(path: Path, rng: random.Random) -> None:
    """Damage the bytes, cells or lines of a text."""
    if rng.random() < 0.3:
        damage_bytes(path, rng)
        return
    lines = [line.split(",") for line in path.read_text("utf-8").splitlines()]
    for _ in range(rng.choice((1, 2, 5))):
        row = rng.choice(lines)
        choice = rng.randrange(6)
        if choice == 0:
            lines.remove(row) if len(lines) > 1 else None
        elif choice == 1:
            lines.append(list(row))
        elif choice == 2:
            row.append("x")
        elif row:
            row[rng.randrange(len(row))] = str(damage_tree(rng.choice(row), rng))
    encoding = rng.choice(("utf-8", "utf-8", "utf-16", "cp1252"))
    separator = rng.choice((",", ",", ";", "\t"))
    path.write_text("\n".join(map(separator.join, lines)), encoding, errors="replace")


def damage_json(path: Path, rng: random.Random) -> None:
    """Damage the bytes or values of JSON."""
    if rng.random() < 0.3:
        damage_bytes(path, rng)
        return
    path.write_text(json.dumps(damage_tree(json.loads(path.read_text("utf-8")), rng), default=str), "utf-8")


def damage_yaml(path: Path, rng: random.Random) -> None:
    """Damage the bytes or values of YAML."""
    if rng.random() < 0.3:
        damage_bytes(path, rng)
        return
    damaged = damage_tree(yaml.safe_load(path.read_text("utf-8")), rng)
    path.write_text(yaml.dump(damaged, Dumper=yaml.Dumper), "utf-8")


def damage_archive(path: Path, rng: random.Random) -> None:
    """Damage the archive, or a file in it, or names."""
    if rng.random() < 0.4:
        damage_bytes(path, rng)
        return
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(list(files))
    with tempfile.TemporaryDirectory() as folder:
        inner = Path(folder, "inner")
        inner.write_bytes(files[name])
        choice = rng.randrange(4)
        if choice < 2:
            damage_bytes(inner, rng)
        elif choice == 2:
            shape = rng.choice(((10**10, 8), (0, 8), (3,), (2, 3, 4, 5), (5, -1)))
            header = {
                "descr": rng.choice(("<f4", ">f8", "|O", "<U9", "|V9")),
                "fortran_order": False,
                "shape": shape,
            }
            made = io.BytesIO()
            np.lib.format.write_array_header_1_0(made, header)
            inner.write_bytes(made.getvalue() + bytes(100))
        else:
            files[rng.choice(("../x.npy", "/x.npy", "a\\b.npy", "x" * 200 + ".npy", "x.pkl", "x.npz"))] = (
                files[name]
            )
        files[name] = inner.read_bytes()
    with zipfile.ZipFile(path, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for file, content in files.items():
            archive.writestr(file, content)


# ------------------------------------------------------------------------------------------------ kinds


def make_kinds(folder: Path) -> dict[str, Kind]:
    """Make a good file of each kind."""
    store = make_store(folder / "store.h5", dim=16, train=3, test=2, classes=("fall", "riot"), lengths=(4, 8))
    run = ["fit", "--config", "ucf_urdmu.yaml", "--config", "with/smoke.yaml", "--data.store", str(store)]
    small = ["--model.hidden_dim", "8", "--output", str(folder / "runs"), *QUICK]
    if main([*run, *small]):
        raise WSVADError("output", folder, "the training did not work", "See above")
    checkpoint = folder / "runs" / "ucf_urdmu" / "version_0" / "checkpoints" / "last.ckpt"
    recipe = checkpoint.parents[1] / "fit.yaml"
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
        "recipes": Kind(
            recipe, damage_yaml, lambda path, _: ["fit", "--config", str(path), "--output", out, *QUICK]
        ),
        "videos": Kind(
            video,
            damage_bytes,
            lambda path, _: ["extract", str(path), f"{out}/v.h5", "--config", "extract/motion.yaml"],
        ),
        "archives": Kind(archive, damage_archive, convert),
        "tensors": Kind(tensors, damage_tensors, convert),
        "arrays": Kind(arrays, damage_bytes, convert),
    }


def _videos(store: Path) -> Iterator[tuple[str, Any]]:
    with h5py.File(store) as file:
        yield from file["videos"].items()


# ---------------------------------------------------------------------------------------------- running


def run_apart(command: Sequence[str], folder: Path) -> str:
    """Run a command in a forked process; give what is wrong with how it ended, nothing if all is right."""
    child = os.fork()
    if not child:
        _run(command, folder)
    end, status = time.monotonic() + HANG, 0
    while time.monotonic() < end:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            break
        time.sleep(0.01)
    else:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return f"it runs for more than {HANG} seconds"
    code = os.waitstatus_to_exitcode(status)
    text = (folder / "stderr").read_text("utf-8", "replace")
    errors = text.count("error: ")
    if code < 0:
        return f"it crashes by signal {-code}"
    if code == TRACEBACK or "Traceback (most recent call last)" in text:
        return f"it ends in a traceback: {text.strip().splitlines()[-1][:150]}"
    if code not in (0, 1, 2) or (code == 2 and errors != 1):
        return f"it ends with status {code} and {errors} errors"
    return ""


def _run(command: Sequence[str], folder: Path) -> None:
    """Be the process that runs a command."""
    with (folder / "stderr").open("w") as errors, (folder / "stdout").open("w") as output:
        os.dup2(errors.fileno(), 2)
        os.dup2(output.fileno(), 1)
    loaded = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (loaded + MEMORY, resource.RLIM_INFINITY))
    os.chdir(folder)
    code = TRACEBACK
    try:
        code = main(command)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def fuzz(
    output: str,
    seconds: float = 600.0,
    count: int = 300,
    kinds: list[str] | None = None,
    seed: int = 0,
) -> int:
    """Damage files and run wsvad on them.

    Args:
        output: folder for what fails.
        seconds: time for all.
        count: mutations of each kind, at most.
        kinds: of files, all by default.
        seed: of the mutations; the number of a case and the seed make it again.

    Returns:
        1 if anything failed.
    """
    torch.set_num_threads(1)
    for command in COMMANDS:
        load(command)  # once, in place of once a case
    end, failures = time.monotonic() + seconds, 0
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        known = make_kinds(base)
        chosen = kinds or list(known)
        tried = dict.fromkeys(chosen, 0)
        for number in range(count):
            for kind in chosen:
                if time.monotonic() < end:
                    tried[kind] += 1
                    failures += not _try(known[kind], kind, number, seed, base, Path(output))
        sys.stdout.write(f"{tried}: {failures} failures\n")
    return int(failures > 0)


def _try(kind: Kind, name: str, number: int, seed: int, base: Path, output: Path) -> bool:
    """Run one case; keep it if it fails."""
    rng = random.Random(f"{name} {number} {seed}")
    work = base / "case"
    shutil.rmtree(work, ignore_errors=True)
    shutil.rmtree(base / "out", ignore_errors=True)
    (base / "out").mkdir()
    work.mkdir()
    path = work / f"damaged{kind.source.suffix}"
    shutil.copy(kind.source, path)
    with contextlib.suppress(Exception):  # a mutation that cannot be made leaves what there is
        kind.mutate(path, rng)
    command = kind.command(path, number)
    problem = run_apart(command, work)
    if problem:
        kept = output / f"{name}_{seed}_{number}"
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(work, kept)
        (kept / "command.txt").write_text(f"wsvad {' '.join(command)}\n{problem}\n")
        sys.stdout.write(f"{kept}: {problem}\n")
        sys.stdout.flush()
    return not problem


if __name__ == "__main__":
    sys.exit(auto_cli(fuzz))
