"""The receipt of a number: what produced it, from which data, on which machine."""

import os
import platform
import subprocess
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch import Trainer

import wsvad_lightning
from wsvad_lightning.types import LABELS


def receipt(trainer: Trainer) -> dict[str, Any]:
    """Describe a finished evaluation in plain values, with absolute paths.

    Args:
        trainer: the trainer that ran it.
    """
    data: Any = trainer.datamodule  # type: ignore[attr-defined]  # Lightning types the trainer without it
    method: Any = trainer.lightning_module
    return {
        "checkpoint": absolute(trainer.ckpt_path),
        "seed": data.seed if data.seeded else None,
        "store": absolute(data.info.path),
        "store_checksum": data.store.checksum(),
        "annotations": absolute(data.catalogue.annotations_path),
        "split": absolute(data.catalogue.split_path),
        "split_index": data.catalogue.split_index,
        "gt_rule": data.gt_rule.name,
        "gt_vector": absolute(data.gt_vector),
        "precision": str(trainer.precision),
        "smoothing": method.described_smoothing,
        **made_by(trainer),
    }


def origin_of(trainer: Trainer) -> dict[str, Any]:
    """Describe what a run has beyond its configuration: the videos, and what computes.

    Args:
        trainer: the trainer that runs it.
    """
    data: Any = trainer.datamodule  # type: ignore[attr-defined]  # as above
    store = getattr(data, "store", None)  # there is none where pixels are read
    parts = {} if trainer.predicting else data.parts  # a split of other videos is not read to score these
    videos = {
        part: dict(Counter(LABELS[data.annotations[name].label] for name in names))
        for part, names in parts.items()
        if names
    }
    return {
        "checkpoint": absolute(trainer.ckpt_path),
        "store_checksum": None if store is None else store.checksum(),
        "videos": videos,
        **made_by(trainer),
    }


def absolute(path: str | os.PathLike[str] | list[str] | None) -> str | list[str] | None:
    """Make paths and patterns hold from any folder."""
    if isinstance(path, list):
        return [os.path.abspath(one) for one in path]  # noqa: PTH100  # a pattern is not a path
    return None if path is None else os.path.abspath(path)  # noqa: PTH100


def made_by(trainer: Trainer) -> dict[str, Any]:
    """Name the processes, versions and hardware that compute, and the commit that runs from a repository."""
    device = trainer.strategy.root_device
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "processes": trainer.world_size,
        "versions": {
            "wsvad_lightning": wsvad_lightning.__version__,
            "commit": commit(),
            "torch": torch.__version__,
            "lightning": lightning.__version__,
            "python": platform.python_version(),
        },
        "hardware": {"machine": platform.machine(), "cpus": os.cpu_count(), "gpu": gpu},
    }


@cache
def commit() -> str | None:
    """Give the commit of the repository that the package runs from, ``-dirty`` if files differ from it.

    None for an installed package, and without git.
    """
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
