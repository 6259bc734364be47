"""What `fuzz.py` does to files: to their bytes, and to what is in them, as a generator of numbers decides."""

import copy
import io
import json
import math
import random
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
import yaml

from wsvad_lightning.calibration import KEY, STREAMED_KEY
from wsvad_lightning.checkpoint import CHECKSUMS_KEY, sealed

DEEP = 100_000  # brackets that no reader can follow one by one

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

ODD_YAML = (
    "0b_",
    "._",
    "!!bool x",
    "!!timestamp x",
    "!!int ''",
    "1" * 5000,
    '"\\U99999999"',
    "*x",
    "2024-13-45",
)


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
    if rng.random() < 0.03:
        path.write_text(rng.choice(("[", '{"x":')) * DEEP, "utf-8")
        return
    path.write_text(json.dumps(damage_tree(json.loads(path.read_text("utf-8")), rng), default=str), "utf-8")


def damage_yaml(path: Path, rng: random.Random) -> None:
    """Damage the bytes or values of YAML."""
    if rng.random() < 0.3:
        damage_bytes(path, rng)
        return
    if rng.random() < 0.15:
        lines = path.read_text("utf-8").splitlines()
        place = rng.randrange(len(lines))
        lines[place] = f"{lines[place].partition(':')[0]}: {rng.choice(ODD_YAML)}"
        path.write_text("\n".join(lines), "utf-8")
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


def damage_calibrated(path: Path, rng: random.Random) -> None:
    """Damage what `wsvad calibrate` wrote, with a stranger's checksums, or the rest of the checkpoint."""
    if rng.random() < 0.3:
        damage_checkpoint(path, rng)
        return
    content = torch.load(path, weights_only=True)
    for _ in range(rng.choice((1, 1, 3))):
        kind = rng.choice((KEY, STREAMED_KEY))
        content[kind] = damage_tree(content[kind], rng)
    content.pop(CHECKSUMS_KEY, None)
    torch.save(sealed(content), path)


def damage_safetensors(path: Path, rng: random.Random) -> None:
    """Damage the bytes, or the header, which says where each tensor lies."""
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    if rng.random() < 0.4:
        damage_bytes(path, rng)
        return
    header = json.dumps(damage_tree(json.loads(content[8:end]), rng), default=str).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + content[end:])


def damage_folder(path: Path, rng: random.Random) -> None:
    """Damage one file of a folder by its suffix, or remove it, or make it a link to another one."""
    file = rng.choice(sorted(one for one in path.rglob("*") if one.is_file()))
    choice = rng.random()
    if choice < 0.05:
        file.unlink()
    elif choice < 0.1:
        file.unlink()
        file.symlink_to("/etc/passwd")
    else:
        BY_SUFFIX.get(file.suffix, damage_bytes)(file, rng)


BY_SUFFIX: dict[str, Callable[[Path, random.Random], None]] = {
    ".csv": damage_text,
    ".json": damage_json,
    ".npz": damage_archive,
    ".safetensors": damage_safetensors,
}
