"""What a checkpoint of this project says of itself.

It is a Lightning checkpoint that also carries its configuration (method, data, seed, name) as YAML text, so
that ``wsvad test --ckpt_path X`` needs nothing else and ``torch.load(X, weights_only=True)`` works.
"""

from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from wsvad_lightning.errors import WSVADError

CONFIG_KEY = "wsvad_config"
WRAPPERS = ("state_dict", "model_state_dict")  # what checkpoints of a training call it


def read_checkpoint(path: str | Path, argument: str = "--ckpt_path") -> dict[str, Any]:
    """Read a checkpoint into memory-mapped tensors and plain values.

    Args:
        path: the file.
        argument: that names it, for messages.

    Raises:
        WSVADError: if the file is missing or no checkpoint.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except FileNotFoundError:
        raise WSVADError(argument, path, "there is no such file", "Give the path of a checkpoint") from None
    except (UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:100]
        raise WSVADError(
            argument, path, f"not a readable checkpoint ({reason})", "Give a file that `wsvad fit` wrote"
        ) from None
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise WSVADError(
            argument, path, "not a checkpoint", "Import the authors' weights by `wsvad import-weights`"
        )
    return checkpoint


def read_official(path: str | Path) -> dict[str, Tensor]:
    """Read the authors' state dict: tensors only, whatever else the file could execute.

    Args:
        path: a file written by ``torch.save``; an entry that is the state dict (:data:`WRAPPERS`) and
            ``module.`` prefixes are unwrapped.

    Raises:
        WSVADError: if the file is missing, holds anything but tensors, or is no state dict.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise WSVADError(
            "weights", path, "there is no such file", "Give the path of the authors' weights"
        ) from None
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
