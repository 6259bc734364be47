"""What a checkpoint of this project says of itself.

It is a Lightning checkpoint that also carries its configuration (method, data, seed, name) as YAML text, so
that ``wsvad test --ckpt_path X`` needs nothing else and ``torch.load(X, weights_only=True)`` works.
"""

from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from wsvad_lightning.errors import WSVADError

CONFIG_KEY = "wsvad_config"


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
