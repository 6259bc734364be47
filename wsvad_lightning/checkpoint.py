"""Checkpoints of this project: what they hold, and how they are read.

They are Lightning checkpoints that also carry their configuration (method, data and seed) as YAML text, so
that ``wsvad test --ckpt_path X`` needs nothing else and ``torch.load(X, weights_only=True)`` works.

A checkpoint may come from a stranger. It is read as tensors and plain values, whose types are validated
before they are used.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from pickle import UnpicklingError
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import torch
from torch import Tensor, nn

from wsvad_lightning.errors import WSVADError

CONFIG_KEY = "wsvad_config"
WRAPPERS = ("state_dict", "model_state_dict")  # what checkpoints of a training call it
VERSION_KEY = "pytorch-lightning_version"

ENTRY_TYPES: dict[str, Any] = {  # of the entries that are read, where present
    "state_dict": Mapping[str, Tensor],
    "hyper_parameters": dict[str, object],
    "method": str,
    "classes": dict[str, list[str] | Tensor],
    "features": dict[str, str | int],
    "transform": dict[str, object],
    "provenance": dict[str, object],
    "WSVADDataModule": Mapping[str, Tensor],
    "callbacks": dict[str, dict[str, object]],
    "global_step": int,
    VERSION_KEY: str,
}

Record = TypeVar("Record")


def read_checkpoint(path: str | Path, argument: str = "--ckpt_path") -> dict[str, Any]:
    """Read a checkpoint into memory-mapped tensors and plain values.

    Args:
        path: the file.
        argument: that names it, for messages.

    Raises:
        WSVADError: if the file is missing or not a checkpoint, or an entry is not of its type.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except FileNotFoundError:
        raise WSVADError(argument, path, "no such file", "Give the path of a checkpoint") from None
    except Exception as error:  # a file made to be odd fails anywhere in the reader
        reason = " ".join(str(error).split())[:100]
        raise WSVADError(
            argument, path, f"not a readable checkpoint ({reason})", "Give a file that `wsvad fit` wrote"
        ) from None
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise WSVADError(
            argument, path, "not a checkpoint", "Import the authors' weights by `wsvad import-weights`"
        )
    for name, hint in ENTRY_TYPES.items():
        if name in checkpoint and not fits(checkpoint[name], hint):
            problem = f"its entry {name!r} is not what `wsvad fit` writes"
            raise WSVADError(argument, path, problem, "Give a file that `wsvad fit` wrote")
    return checkpoint


def read_official(path: str | Path) -> dict[str, Tensor]:
    """Read the authors' state dict: tensors only, whatever else the file could execute.

    Args:
        path: a file written by ``torch.save``; an entry that is the state dict (:data:`WRAPPERS`) and
            ``module.`` prefixes are unwrapped.

    Raises:
        WSVADError: if the file is missing, holds anything but tensors, or is not a state dict.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise WSVADError("weights", path, "no such file", "Give the path of the authors' weights") from None
    except (UnpicklingError, RuntimeError, EOFError, IsADirectoryError) as error:
        reason = str(error).splitlines()[0][:120]
        raise WSVADError(
            "weights", path, f"not a file of tensors ({reason})", "Give a state dict saved by torch.save"
        ) from None
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


def take_part(
    module: nn.Module, path: str | Path, part: str, argument: str, *, method: str, new: str | None = None
) -> None:
    """Load a part of the method in another checkpoint into a module: all of its weights, and no others.

    Args:
        module: that takes the weights.
        path: the checkpoint.
        part: name of the part, such as ``net.encoder``.
        argument: that names the checkpoint, for messages.
        method: class of the method that the checkpoint is to be of.
        new: prefix of weights that only ``module`` has, which keep their values.

    Raises:
        WSVADError: if the checkpoint cannot be read, is of another method, or weights are missing, unexpected
            or of another shape; names the first of these.
    """
    checkpoint = read_checkpoint(path, argument)
    if (found := checkpoint.get("method")) != method:
        raise WSVADError(argument, path, f"is of {found}, not {method}", f"Give a checkpoint of {method}")
    prefix = f"{part}."
    weights: dict[str, Tensor] = {
        name.removeprefix(prefix): value
        for name, value in checkpoint["state_dict"].items()
        if name.startswith(prefix)
    }
    own: dict[str, Tensor] = {
        name: value for name, value in module.state_dict().items() if new is None or not name.startswith(new)
    }
    problems = [
        *(f"lacks {prefix}{name}" for name in own if name not in weights),
        *(f"has {prefix}{name}, which does not belong there" for name in weights if name not in own),
        *(
            f"has {prefix}{name} of shape {list(weights[name].shape)}, not {list(value.shape)}"
            for name, value in own.items()
            if name in weights and weights[name].shape != value.shape
        ),
    ]
    if problems:
        more = f" ({len(problems) - 1} more differ)" if len(problems) > 1 else ""
        remedy = "Give one that was trained with the same features and settings"
        raise WSVADError(argument, path, problems[0] + more, remedy)
    module.load_state_dict(weights, strict=new is None)
