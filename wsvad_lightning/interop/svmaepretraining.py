"""Parameter names of VideoMAE: the authors' (MCG-NJU/VideoMAE), and those of the transformers package."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from wsvad_lightning.checkpoint import fits
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.interop.weights import KeyTable
from wsvad_lightning.layers.vit import COLOURS, MLP_RATIO
from wsvad_lightning.methods import SVMAEPretraining

METHOD = SVMAEPretraining
HEAD_DIM = 64  # of the authors' networks, except the two largest
HEADS = {1280: 16, 1408: 16}  # of ViT-H and ViT-g, by channels

Names = tuple[tuple[str, str], ...]


def layer_names(authors: str, ours: str) -> Names:
    """Pair the names of a transformer's layers, the authors' and ours, by what precedes both."""
    return (
        (f"{authors}.*.norm1", f"{ours}.*.attention_norm"),
        (f"{authors}.*.attn.q_bias", f"{ours}.*.attention.query_bias"),
        (f"{authors}.*.attn.v_bias", f"{ours}.*.attention.value_bias"),
        (f"{authors}.*.attn.qkv", f"{ours}.*.attention.project_in"),
        (f"{authors}.*.attn.proj", f"{ours}.*.attention.project_out"),
        (f"{authors}.*.norm2", f"{ours}.*.mlp_norm"),
        (f"{authors}.*.mlp.fc1", f"{ours}.*.mlp.0"),
        (f"{authors}.*.mlp.fc2", f"{ours}.*.mlp.3"),
    )


TABLE = KeyTable(
    (
        ("mask_token", "mask_token"),
        ("encoder.patch_embed.proj", "encoder.embedding"),
        *layer_names("encoder.blocks", "encoder.stack.layers"),
        ("encoder.norm", "encoder.norm"),
        ("encoder_to_decoder", "to_decoder"),
        *layer_names("decoder.blocks", "decoder.layers"),
        ("decoder.norm", "decoder_norm"),
        ("decoder.head", "head"),
    )
)


def _layers_of_transformers(theirs: str, authors: str) -> Names:
    return (
        (f"{theirs}.*.layernorm_before", f"{authors}.*.norm1"),
        (f"{theirs}.*.attention.attention", f"{authors}.*.attn"),  # joined below
        (f"{theirs}.*.attention.output.dense", f"{authors}.*.attn.proj"),
        (f"{theirs}.*.layernorm_after", f"{authors}.*.norm2"),
        (f"{theirs}.*.intermediate.dense", f"{authors}.*.mlp.fc1"),
        (f"{theirs}.*.output.dense", f"{authors}.*.mlp.fc2"),
    )


TRANSFORMERS = KeyTable(
    (
        ("mask_token", "mask_token"),
        ("videomae.embeddings.patch_embeddings.projection", "encoder.patch_embed.proj"),
        *_layers_of_transformers("videomae.encoder.layer", "encoder.blocks"),
        ("videomae.layernorm", "encoder.norm"),
        ("encoder_to_decoder", "encoder_to_decoder"),
        *_layers_of_transformers("decoder.decoder_layers", "decoder.blocks"),
        ("decoder.norm", "decoder.norm"),
        ("decoder.head", "decoder.head"),
    ),
    # Tables that the network computes, which some files hold.
    dropped=("position_embeddings", "videomae.embeddings.position_embeddings"),
)
BIASES = {"query.bias": "q_bias", "value.bias": "v_bias"}  # newer names of the same


def init_args(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Read what ``SVMAEPretraining`` is built with off the authors' parameters.

    Frames and size of the clips are not among them, and are the authors' 16 and 224.
    """
    dim, _, tube, patch, _ = state["encoder.patch_embed.proj.weight"].shape
    decoder_dim = len(state["decoder.norm.weight"])
    return {
        "tube": tube,
        "patch": patch,
        "dim": dim,
        "depth": _depth(state, "encoder.blocks."),
        "heads": HEADS.get(dim, max(1, dim // HEAD_DIM)),
        "decoder_dim": decoder_dim,
        "decoder_depth": _depth(state, "decoder.blocks."),
        "decoder_heads": max(1, decoder_dim // HEAD_DIM),
    }


def _depth(state: Mapping[str, Tensor], prefix: str) -> int:
    return len({name.removeprefix(prefix).split(".")[0] for name in state if name.startswith(prefix)})


def read_folder(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a ``VideoMAEForPreTraining`` as transformers saves it.

    Args:
        folder: with ``config.json`` and ``model.safetensors``.

    Returns:
        The parameters by the authors' names, and what ``SVMAEPretraining`` is built with.

    Raises:
        WSVADError: if a file is missing or damaged, or of another network.
    """
    config = _read_config(folder)
    try:
        from safetensors.torch import load_file
    except ImportError:
        remedy = 'Install it: pip install "wsvad-lightning[hf]"'
        raise WSVADError("weights", folder, "reading it needs safetensors", remedy) from None
    try:
        held: dict[str, Tensor] = load_file(folder / "model.safetensors")
    except Exception as error:  # a file made to be odd fails anywhere in the reader
        reason = " ".join(str(error).split())[:100]
        raise _unusable(folder, f"model.safetensors cannot be read ({reason})") from None
    args = {
        "size": (config["image_size"],) * 2,
        "frames": config["num_frames"],
        "tube": config["tubelet_size"],
        "patch": config["patch_size"],
        "dim": config["hidden_size"],
        "depth": config["num_hidden_layers"],
        "heads": config["num_attention_heads"],
        "decoder_dim": config["decoder_hidden_size"],
        "decoder_depth": config["decoder_num_hidden_layers"],
        "decoder_heads": config["decoder_num_attention_heads"],
        "normalise": bool(config["norm_pix_loss"]),
        "norm": not config["use_mean_pooling"],
    }
    return join_attention({_authors(name): value for name, value in held.items() if _authors(name)}), args


def _authors(name: str) -> str:
    """Translate a name of transformers; empty for what is left out."""
    try:
        return TRANSFORMERS.to_ours(name) or ""
    except KeyError:
        raise WSVADError(
            "weights", name, "VideoMAEForPreTraining has no such parameter", "Give a folder of it"
        ) from None


def join_attention(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Join query, key and value of every layer as the authors have them.

    Raises:
        KeyError: if one is missing.
    """
    joined: dict[str, Tensor] = {}
    for name, value in state.items():
        layer, dot, part = name.rpartition(".attn.")
        if not dot or part.startswith("proj."):
            joined[name] = value
        elif part == "query.weight":
            parts = [state[f"{layer}.attn.{kind}.weight"] for kind in ("query", "key", "value")]
            joined[f"{layer}.attn.qkv.weight"] = torch.cat(parts)
        elif part not in ("key.weight", "value.weight"):
            joined[f"{layer}.attn.{BIASES.get(part, part)}"] = value
    return joined


# Of the configuration: what is read, and the defaults of transformers, which its files may leave out.
DEFAULTS = {
    "image_size": 224,
    "num_frames": 16,
    "tubelet_size": 2,
    "patch_size": 16,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "decoder_hidden_size": 384,
    "decoder_num_hidden_layers": 4,
    "decoder_num_attention_heads": 6,
    "norm_pix_loss": True,
    "use_mean_pooling": True,
}
FIXED = {"model_type": "videomae", "num_channels": COLOURS, "hidden_act": "gelu", "qkv_bias": True}


def _read_config(folder: Path) -> dict[str, int]:
    for name in ("config.json", "model.safetensors"):
        if not (folder / name).is_file():
            raise _unusable(folder, f"holds no {name}")
    try:
        given = json.loads((folder / "config.json").read_text("utf-8"))
    except ValueError:
        raise _unusable(folder, "its config.json cannot be read") from None
    if not isinstance(given, dict):
        raise _unusable(folder, "its config.json is not a mapping")
    for name, value in FIXED.items():
        if given.get(name, value) != value:
            raise _unusable(folder, f"{name} is {given[name]!r}, not {value!r}")
    config = {name: given.get(name, value) for name, value in DEFAULTS.items()}
    if not fits(config, dict[str, int | bool]):
        raise _unusable(folder, "its config.json holds sizes that are not whole numbers")
    if given.get("intermediate_size", MLP_RATIO * config["hidden_size"]) != MLP_RATIO * config["hidden_size"]:
        raise _unusable(folder, f"its layers are not {MLP_RATIO} times as wide inside")
    return config


def _unusable(folder: Path, problem: str) -> WSVADError:
    remedy = "Give a folder that transformers saved of VideoMAEForPreTraining"
    return WSVADError("weights", folder, problem, remedy)
