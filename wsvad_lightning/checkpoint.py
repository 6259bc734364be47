"""Checkpoints of this project: what they hold, and how they are read.

They are Lightning checkpoints that also carry their configuration (method, data and seed) as YAML text, so
that ``wsvad test --ckpt_path X`` needs nothing else and ``torch.load(X, weights_only=True)`` works.

A checkpoint may come from a stranger. It is read as tensors and plain values, whose types are validated
before they are used. It carries a checksum of each of its entries, which shows damage, and proves nothing
about who wrote it.
"""

import argparse
import hashlib
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from itertools import chain
from pathlib import Path
from types import NoneType, UnionType
from typing import IO, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import torch
from torch import Tensor

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.shared import is_shared, load_shared

CONFIG_KEY = "wsvad_config"
CHECKSUMS_KEY = "wsvad_checksums"
WRAPPERS = ("state_dict", "model_state_dict", "model", "module")  # what checkpoints of a training call it
VERSION_KEY = "pytorch-lightning_version"

ENTRY_TYPES: dict[str, Any] = {  # of the entries that are read, where present
    "state_dict": Mapping[str, Tensor],
    "hyper_parameters": dict[str, object],
    "method": str,
    "classes": dict[str, list[str] | Tensor],
    "features": dict[str, str | int],
    "transform": dict[str, object],
    "provenance": dict[str, object],
    "calibration": dict[str, object],
    "streamed_calibration": dict[str, object],
    "WSVADDataModule": Mapping[str, Tensor],
    "callbacks": dict[str, dict[str, object]],
    "global_step": int,
    VERSION_KEY: str,
}

SETTINGS = (
    CONFIG_KEY,
    VERSION_KEY,
    "hyper_parameters",
    "method",
    "features",
    "transform",
    "provenance",
    "epoch",
    "global_step",
)
OF_TRAINING = ("optimizer_states", "lr_schedulers", "loops", "callbacks")  # may be left out to share a model
DEEPEST = 50  # levels of a checkpoint; ours have ten
SHOWN = 120  # characters of what a reader says
BLOCK = 2**24  # bytes that are hashed at once

Record = TypeVar("Record")


def read_checkpoint(path: str | Path, argument: str = "--ckpt_path") -> dict[str, Any]:
    """Read a checkpoint into memory-mapped tensors and plain values.

    Args:
        path: the file, or a model as :mod:`wsvad_lightning.shared` has it.
        argument: that names it, for messages.

    Raises:
        WSVADError: if the file is missing, damaged or not a checkpoint, or an entry is not of its type.
    """
    try:
        checkpoint = _load(path, mmap=True)
    except FileNotFoundError:
        raise WSVADError(argument, path, "no such file", "Give the path of a checkpoint") from None
    except ModuleNotFoundError as error:
        problem = f"a shared model is read by {error.name}, which is missing"
        raise WSVADError(argument, path, problem, 'Install "wsvad-lightning[share]"') from None
    except Exception as error:  # a file made to be odd fails anywhere in the reader
        problem = f"not a readable checkpoint ({_reason(error)})"
        raise WSVADError(argument, path, problem, "Give a file that `wsvad fit` wrote") from None
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise WSVADError(
            argument, path, "not a checkpoint", "Import the authors' weights by `wsvad import-weights`"
        )
    for name, hint in ENTRY_TYPES.items():
        if name in checkpoint and not fits(checkpoint[name], hint):
            problem = f"its entry {name!r} is not what `wsvad fit` writes"
            raise WSVADError(argument, path, problem, "Give a file that `wsvad fit` wrote")
    check_seal(checkpoint, path, argument)
    return checkpoint


def sealed(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Give a checkpoint with the checksum of each entry, as it is to be written."""
    entries = {name: value for name, value in checkpoint.items() if name != CHECKSUMS_KEY}
    return {**entries, CHECKSUMS_KEY: {name: content_checksum(value) for name, value in entries.items()}}


def with_entry(checkpoint: Mapping[str, Any], name: str, value: object) -> dict[str, Any]:
    """Give a checkpoint as read with one entry more, or another one, and its checksum.

    The other checksums stay, and with them what they say of changes.
    """
    changed = {**checkpoint, name: value}
    if CHECKSUMS_KEY in checkpoint:
        changed[CHECKSUMS_KEY] = {**checkpoint[CHECKSUMS_KEY], name: content_checksum(value)}
    return changed


def check_seal(checkpoint: Mapping[str, Any], path: str | Path, argument: str) -> None:
    """Compare weights and states with their checksums; a checkpoint without checksums passes.

    Settings, which are validated where they are used, are left to :func:`changed_settings`. What belongs to
    training alone may be missing.

    Args:
        checkpoint: as read.
        path: of the file, for messages.
        argument: that names it, for messages.

    Raises:
        WSVADError: if an entry differs or is missing; names the first one.
    """
    written, problem = checkpoint.get(CHECKSUMS_KEY, {}), None
    if not fits(written, dict[str, str]):
        raise _changed(argument, path, "its checksums are not what `wsvad fit` writes")
    for name in written.keys() - {*SETTINGS}:
        if name not in checkpoint and name not in OF_TRAINING:
            problem = f"its entry {name!r} is missing"
        elif name in checkpoint and written[name] != content_checksum(checkpoint[name]):
            problem = f"its entry {name!r} is not what was written: its checksum differs"
    if problem:
        raise _changed(argument, path, problem)


def changed_settings(checkpoint: Mapping[str, Any]) -> list[str]:
    """Name the settings in a checkpoint that were changed or left out after it was written."""
    written = checkpoint.get(CHECKSUMS_KEY, {})
    return [
        name
        for name in SETTINGS
        if name in written and (name not in checkpoint or written[name] != content_checksum(checkpoint[name]))
    ]


def _changed(argument: str, path: str | Path, problem: str) -> WSVADError:
    remedy = f"Copy the file again; if you changed it, remove its {CHECKSUMS_KEY}"
    return WSVADError(argument, path, problem, remedy)


def content_checksum(value: object) -> str:
    """SHA-256 of nested tensors and plain values, the same before and after they are saved."""
    digest = hashlib.sha256()
    for part in _parts(value):
        digest.update(part)
    return digest.hexdigest()


def _parts(value: object) -> Iterator[bytes | memoryview]:
    """Spell a value so that different values differ; kinds that are not plain data count by their name."""
    if isinstance(value, Tensor) and _is_dense(value):
        yield f"{value.dtype} {list(value.shape)} ".encode()
        values = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        for start in range(0, len(values), BLOCK):
            yield values[start : start + BLOCK].numpy().data
    elif isinstance(value, Mapping):
        yield f"mapping {len(value)} ".encode()
        for key, item in value.items():
            yield from _parts(key)
            yield from _parts(item)
    elif isinstance(value, list | tuple):
        yield f"{'list' if isinstance(value, list) else 'tuple'} {len(value)} ".encode()
        for item in value:
            yield from _parts(item)
    elif value is None or isinstance(value, bool | int | float | complex | str | bytes | torch.dtype):
        text = repr(value).encode()
        yield f"{type(value).__name__} {len(text)} ".encode() + text
    else:
        yield f"{type(value).__name__} ".encode()


def _is_dense(value: Tensor) -> bool:
    return value.layout is torch.strided and not value.is_quantized and not value.is_nested


def _load(path: str | Path, *, mmap: bool) -> Any:
    """Read tensors and plain values; a file that declares more than it holds is refused.

    Raises:
        Exception: of any kind, as a file made to be odd fails anywhere in the reader.
    """
    if is_shared(path):
        return load_shared(path)
    size = Path(path).stat().st_size
    with Path(path).open("rb") as file:
        check_stored(file, size)
    content = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    for count, value in enumerate(_walk(content)):
        if count > size:
            raise ValueError("its entries would take more space than the file")
        if isinstance(value, Tensor) and (not _is_dense(value) or value.device.type != "cpu"):
            raise ValueError("it holds a tensor that is not plain")
        if isinstance(value, Tensor) and value.nbytes > size:
            raise ValueError(f"it declares a tensor of shape {list(value.shape)}, larger than the file")
    return content


def _reason(error: Exception) -> str:
    """Say why PyTorch cannot read a file, without its advice to run what is in it."""
    text = " ".join(str(error).split())
    if asked := re.search(r"GLOBAL ([\w.]+)", text):
        return f"it asks for {asked[1][:SHOWN]}, which is neither a tensor nor a plain value"
    if text.startswith("mmap can only be used"):
        return "it is not in the format of PyTorch"
    return text.rpartition("from a trusted source. ")[2][:SHOWN]


def check_stored(file: IO[bytes], size: int) -> None:
    """Compare what a file of PyTorch declares with its size, before anything of it is loaded.

    Packed entries, which could unpack to any size, arrays of zeros that are declared, and damaged entries are
    refused. Files of the format before PyTorch 1.6 are not archives, and pass.

    Args:
        file: open for reading; it is at its start afterwards.
        size: bytes.

    Raises:
        ValueError: if it declares more than it holds.
    """
    if not zipfile.is_zipfile(file):
        file.seek(0)
        return
    with zipfile.ZipFile(file) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > size:
            raise ValueError("its entries would take more space than the file")
        for name in archive.namelist():
            if name.endswith("/data.pkl") and b"bytearray\n" in archive.read(name):
                raise ValueError("it declares an array of bytes, which no checkpoint of ours has")
        if damaged := archive.testzip():
            raise ValueError(f"its part {damaged} is damaged")
    file.seek(0)


def _walk(content: object, depth: int = 0) -> Iterator[object]:
    """Go through nested mappings and sequences, which a file can make endless."""
    if depth > DEEPEST:
        raise ValueError(f"its entries are nested more than {DEEPEST} levels deep")
    yield content
    inside: Iterable[object] = ()
    if isinstance(content, Mapping):
        inside = chain(content.keys(), content.values())
    elif isinstance(content, list | tuple | set):
        inside = content
    for item in inside:
        yield from _walk(item, depth + 1)


def read_official(path: str | Path) -> dict[str, Tensor]:
    """Read the authors' state dict: tensors only, whatever else the file could execute.

    Args:
        path: a file written by ``torch.save``; an entry that is the state dict (:data:`WRAPPERS`) and
            ``module.`` prefixes are unwrapped.

    Raises:
        WSVADError: if the file is missing, holds anything but tensors, or is not a state dict.
    """
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):  # of the training's arguments: values
            state = _load(path, mmap=False)
    except FileNotFoundError:
        raise WSVADError("weights", path, "no such file", "Give the path of the authors' weights") from None
    except Exception as error:  # a file made to be odd fails anywhere in the reader
        problem = f"not a file of tensors ({_reason(error)})"
        raise WSVADError("weights", path, problem, "Give a state dict saved by torch.save") from None
    for key in WRAPPERS:
        state = state.get(key, state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WSVADError("weights", path, "not a state dict of tensors", "Save `model.state_dict()` alone")
    return {name.removeprefix("module."): value for name, value in state.items()}


def fits(value: object, hint: Any) -> bool:
    """Whether a value is of a type, given by a hint for plain values (see :func:`is_plain`) or tensors.

    Args:
        value: as read from a file.
        hint: ``object`` for anything.
    """
    origin, inside = get_origin(hint), get_args(hint)
    if origin is Literal:
        return any(value == one and type(value) is type(one) for one in inside)
    if origin in (Union, UnionType):
        return any(fits(value, one) for one in inside)
    if origin is None:
        kinds = (int, float) if hint is float else hint
        return isinstance(value, kinds) and (hint is object or not isinstance(value, bool) or hint is bool)
    if origin is tuple and isinstance(value, list):  # as YAML and JSON write one
        origin = list
    if not isinstance(value, origin) or isinstance(value, str):
        return False
    if isinstance(value, Mapping):
        key, held = inside
        return all(fits(name, key) and fits(item, held) for name, item in value.items())
    assert isinstance(value, Sequence), "hints of plain values name mappings and sequences"
    return all(fits(item, inside[0]) for item in value)


def is_plain(hint: Any) -> bool:
    """Whether all values of a type are data: texts, numbers, and lists and mappings of these.

    A class, a callable or ``Any`` is not: a parser takes a text for the name of something to import.
    """
    origin = get_origin(hint)
    if origin is Literal or hint is ...:
        return True
    if origin in (Union, UnionType, list, tuple, dict, Mapping, Sequence):
        return all(is_plain(one) for one in get_args(hint))
    return hint in (str, int, float, bool, NoneType)


def record_of(kind: type[Record], values: Mapping[str, Any]) -> Record:
    """Make a dataclass from values in a file; unknown ones are left out.

    Args:
        kind: with fields that hold plain values.
        values: by field.

    Raises:
        ValueError: if a value is missing or of another type than its field; names the field.
    """
    hints = get_type_hints(kind)
    known = {entry.name: values[entry.name] for entry in fields(kind) if entry.name in values}  # type: ignore[arg-type]
    for name, value in known.items():
        if not fits(value, hints[name]):
            raise ValueError(f"{name} is not of type {hints[name]}")
    try:
        return kind(**known)
    except TypeError:
        raise ValueError("a value is missing") from None
