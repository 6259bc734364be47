"""Every method in a size for tests."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.methods.towers import save_tower, tiny_tower
from tests.videos import save_videos
from wsvad_lightning import methods
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.methods.base.prompted import PromptedModule

SMALLER: dict[str, dict[str, Any]] = {  # for methods whose width does not follow the features
    "ADPLG": {"hidden_dim": 16, "attention_dim": 8, "positions": 64},
    "BNWVAD": {"hidden_dim": 32},
    "C2FPL": {"hidden_dims": [16, 8]},
    "DSANet": {"layers": 1, "window": 64, "adapted_blocks": 1, "decoder_depth": 1},
    "FRDUVAD": {"tokens": 2, "depth": 1, "hidden_dims": [16, 8]},
    "GSMoE": {"hidden_dim": 16, "experts_by": "clusters", "num_experts": 3, "warm_up": 0, "prominence": 0.0},
    "GlanceVAD": {"hidden_dim": 16, "abnormal_slots": 20, "normal_slots": 18, "mine_from": 1},
    "MACILSD": {"audio_dim": 3, "hidden_dim": 8, "heads": 4, "mlp_dim": 8, "epoch_steps": 2},
    "MGFN": {"dims": [64, 64, 64], "depths": [1, 1, 1]},
    "PEL4VAD": {"prompt_dim": 16},
    "S3R": {"attention_dim": 8},
    "SST": {
        "hidden_dim": 16,
        "abnormal_slots": 20,
        "normal_slots": 18,
        "size": [8, 8],
        "tube": 8,
        "patch": 4,
        "dim": 12,
        "depth": 4,
        "heads": 1,
        "token_ratio": [0.8, 0.5, 0.3],
    },
    "SVMAE": {"inputs": "vis"},
    "Sultani": {"hidden_dim": 16},
    "VadCLIP": {"layers": 1, "window": 64},
    "URDMU": {"hidden_dim": 16, "abnormal_slots": 20, "normal_slots": 18},
}

CLASSES = ("fall", "fight", "car accident")  # of methods that know classes
STORED = ("fall", "fight", "B1", "G")  # of stores that tests make


def smaller(name: str, folder: Path, feature_dim: int) -> list[str]:
    """Give the arguments that make a method small on the command line; what it reads is put into a folder."""
    arguments = [f"--model.{key}={value}" for key, value in SMALLER.get(name, {}).items()]
    if issubclass(getattr(methods, name), PromptedModule):
        arguments.append(f"--model.text_tower={save_tower(folder / 'text_tower', feature_dim)}")
    if name == "PEL4VAD":
        np.save(folder / "prompts.npy", np.random.default_rng(0).standard_normal((1 + len(STORED), 16)))
        arguments.append(f"--model.prompt_file={folder / 'prompts.npy'}")
        arguments.append(f"--model.prompt_classes=[{', '.join(STORED)}]")
    if name == "SST":
        arguments.append(f"--model.videos={save_videos(folder / 'videos')}")
    return arguments


def small(name: str, feature_dim: int = 8) -> WSVADModule:
    """Make a method, the same weights every time."""
    torch.manual_seed(0)
    method: WSVADModule = getattr(methods, name)(feature_dim=feature_dim, **SMALLER.get(name, {}))
    if isinstance(method, methods.C2FPL):
        method.take_prepared("c2fpl_labels", torch.arange(1000) % 3 == 0)
    if isinstance(method, methods.S3R):
        method.net.use_dictionary(torch.randn(5, feature_dim))
    if isinstance(method, methods.PEL4VAD):
        method.use_prompts(torch.randn(1 + len(CLASSES), 16))
    if isinstance(method, methods.GSMoE):
        method.centres.normal_()
    if isinstance(method, methods.SST):
        method.clips = lambda batch, chosen: torch.rand(len(chosen), 3, 16, 8, 8, device=chosen.device)  # type: ignore[method-assign]
    if isinstance(method, PromptedModule):
        method.classes = CLASSES
        method.net.prompt.use(tiny_tower(feature_dim), ["normal", *CLASSES])
    return method
