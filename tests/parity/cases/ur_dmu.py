"""UR-DMU as the golden cases see it."""

from typing import Any

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray

from tests.parity.case import MethodCase, adam
from wsvad_lightning.interop.urdmu import TABLE
from wsvad_lightning.methods import URDMU
from wsvad_lightning.methods.base.dual_memory import DualMemoryNet
from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.types import WSVADBatch

WEIGHTS = {  # names in the manifest's configuration -> terms
    "video_bce": ("video_bce",),
    "memory_bce": ("A_mem_abnormal", "N_mem_abnormal", "N_mem_normal", "A_mem_normal"),
    "triplet": ("triplet",),
    "kl": ("kl",),
    "distance": ("distance",),
}


def build(config: dict[str, Any], inputs: dict[str, torch.Tensor]) -> WSVADModule:
    """Build the method that the configuration describes, without dropout."""
    assert config["memory_topk"] == config["a_nums"] // 16 + 1 == config["n_nums"] // 16 + 1
    assert config["triplet_margin"] == 1.0
    module = URDMU(
        distance_margin=config["distance_margin"],
        loss_weights={term: config["weights"][name] for name, terms in WEIGHTS.items() for term in terms},
    )
    module.net = make_net(config)
    return module


def make_net(config: dict[str, Any]) -> DualMemoryNet:
    """Make the network that the configuration describes, without dropout."""
    transformer = config["transformer"]
    return DualMemoryNet(
        feature_dim=config["input_size"],
        hidden_dim=config["hidden"],
        abnormal_slots=config["a_nums"],
        normal_slots=config["n_nums"],
        depth=transformer["depth"],
        heads=transformer["heads"],
        head_dim=transformer["dim_head"],
        mlp_dim=transformer["ffn"],
        score_dim=config["cls_hidden"],
        dropout=0.0,
    )


def evaluate(module: WSVADModule, batch: WSVADBatch) -> dict[str, NDArray[Any]]:
    """Score a video, and give what the network computes on the way."""
    assert isinstance(module, URDMU)
    encoded = module.net.encoder(batch.features)
    abnormal, normal = module.net.abnormal_memory, module.net.normal_memory
    crops = rearrange(batch.features, "b n t d -> (b n) 1 t d")
    return {
        "scores": module.score(batch).squeeze(0).numpy(),
        "crop_scores": module.net(crops).numpy(),
        "A_att": abnormal.activation(abnormal(encoded))[0].numpy(),
        "N_att": normal.activation(normal(encoded))[0].numpy(),
        "hidden_sub": encoded[0, 0, ::4, ::16].numpy(),
    }


def train_outputs(module: WSVADModule, batch: WSVADBatch) -> dict[str, NDArray[Any]]:
    """Give scores and crop-averaged memory activations of a training pass."""
    assert isinstance(module, URDMU)
    with torch.no_grad():
        out = module.net.forward_pairs(batch.features)
    activations = {
        "A_att": out.abnormal_of_abnormal,
        "N_att": out.normal_of_normal,
        "A_Natt": out.abnormal_of_normal,
        "N_Aatt": out.normal_of_abnormal,
    }
    averaged = {key: value.mean(dim=1).numpy() for key, value in activations.items()}
    return {"frame": np.asarray(out.scores), **averaged}


CASE = MethodCase(
    table=TABLE,
    build=build,
    optimizer=adam,
    evaluate=evaluate,
    train_outputs=train_outputs,
)
