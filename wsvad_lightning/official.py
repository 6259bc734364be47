"""The authors' weight files, read safely."""

from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor

from wsvad_lightning.errors import WSVADError

WRAPPERS = ("state_dict", "model_state_dict")  # what checkpoints of a training call it


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
