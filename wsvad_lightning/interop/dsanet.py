"""Parameter names of the authors' DSANet (lessiYin/DSANet, ``DSANet``), most of them VadCLIP's."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from wsvad_lightning.interop.vadclip import CLIP, VISUAL, XD_CLASSES, of_ucf_crime, visual_sizes
from wsvad_lightning.interop.vadclip import complete as complete
from wsvad_lightning.interop.weights import KeyTable
from wsvad_lightning.methods import DSANet

METHOD = DSANet

ADAPTERS = "clip_adapter.text_adapter"
REFINER = "video_anomaly_refiner"
LAYER = (
    ("norm1", "attention_norm"),
    ("attn.q", "attention.to_query"),
    ("attn.kv", "attention.to_key_value"),
    ("attn.proj", "attention.project_out"),
    ("attn.learn_scale", "attention.factor"),
    ("norm2", "mlp_norm"),
    ("mlp.fc1", "mlp.0"),
    ("mlp.fc2", "mlp.3"),
)

TABLE = KeyTable(
    (
        *VISUAL,
        (f"{ADAPTERS}.*.fc.0", "prompt.adapters.*"),
        (f"{REFINER}.video_prototypes", "refiner.prototypes"),
        *((f"{REFINER}.dnp_extractor.0.{theirs}", f"refiner.gather.{ours}") for theirs, ours in LAYER),
        (f"{REFINER}.bottleneck.c_fc", "refiner.bottleneck.0"),
        (f"{REFINER}.bottleneck.c_proj", "refiner.bottleneck.2"),
        *((f"{REFINER}.decoder.*.{theirs}", f"refiner.decoder.*.{ours}") for theirs, ours in LAYER),
    ),
    dropped=("disAdj", CLIP, f"clip_adapter.{CLIP}"),
    spare=(REFINER,),
)


def init_args(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Read what ``DSANet`` is built with off the authors' parameters; their two models differ in depth.

    Raises:
        WSVADError: if they are of neither model.
    """
    layers = [name for name in state if name.startswith(f"{REFINER}.decoder.") and ".norm1.weight" in name]
    adapters = [name for name in state if name.startswith(ADAPTERS)]
    sizes = {
        **visual_sizes(state),
        "text_dim": state[f"{ADAPTERS}.0.fc.0.weight"].shape[1],
        "adapted_blocks": len(adapters) - 1,
        "num_prototypes": len(state[f"{REFINER}.video_prototypes"]),
        "decoder_depth": len(layers),
        "refiner_heads": len(state[f"{REFINER}.decoder.0.attn.learn_scale"]),
    }
    of_xd = {
        "prompts": XD_CLASSES,
        "adapter_share": 0.6,
        "score_temperature": 1.0,
        "loss_weights": {"align": 5.0},
    }
    return sizes if of_ucf_crime(state) else {**sizes, **of_xd}
