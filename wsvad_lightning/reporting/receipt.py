"""The receipt of a number: what produced it, from which data, on which machine."""

import os
import platform
from typing import Any

import lightning
import torch
from lightning.pytorch import Trainer

import wsvad_lightning


def receipt(trainer: Trainer) -> dict[str, Any]:
    """Describe a finished evaluation in plain values.

    Args:
        trainer: the trainer that ran it.
    """
    data: Any = trainer.datamodule  # type: ignore[attr-defined]  # Lightning types the trainer without it
    device = trainer.strategy.root_device
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "checkpoint": None if trainer.ckpt_path is None else str(trainer.ckpt_path),
        "seed": data.seed if data.seeded else None,
        "store": data.info.path,
        "store_checksum": data.store.checksum(),
        "annotations": data.catalogue.annotations_path,
        "split": data.catalogue.split_path,
        "split_index": data.catalogue.split_index,
        "gt_rule": data.gt_rule.name,
        "precision": str(trainer.precision),
        "processes": trainer.world_size,
        "versions": {
            "wsvad_lightning": wsvad_lightning.__version__,
            "torch": torch.__version__,
            "lightning": lightning.__version__,
            "python": platform.python_version(),
        },
        "hardware": {"machine": platform.machine(), "cpus": os.cpu_count(), "gpu": gpu},
    }
