"""Text towers small enough for tests: CLIP's architecture, random weights, an alphabet as vocabulary."""

import string
from pathlib import Path

import torch
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPTokenizer

from wsvad_lightning.layers import TextTower

LETTERS = [*string.ascii_lowercase, *(f"{letter}</w>" for letter in string.ascii_lowercase)]
VOCABULARY = {token: i for i, token in enumerate([*LETTERS, "<|startoftext|>", "<|endoftext|>"])}


def tiny_tokenizer() -> CLIPTokenizer:
    return CLIPTokenizer(vocab=VOCABULARY, merges=[])


def tiny_model(dim: int, width: int) -> CLIPTextModelWithProjection:
    torch.manual_seed(0)
    return CLIPTextModelWithProjection(
        CLIPTextConfig(
            vocab_size=len(VOCABULARY),
            hidden_size=width,
            intermediate_size=2 * width,
            projection_dim=dim,
            num_hidden_layers=2,
            num_attention_heads=2,
            bos_token_id=VOCABULARY["<|startoftext|>"],
            eos_token_id=VOCABULARY["<|endoftext|>"],
            pad_token_id=VOCABULARY["<|endoftext|>"],
        )
    )


def tiny_tower(dim: int, width: int | None = None) -> TextTower:
    tokenizer = tiny_tokenizer()
    return TextTower(tiny_model(dim, width or dim), lambda texts: tokenizer(list(texts))["input_ids"])


def save_tower(folder: Path, dim: int, width: int | None = None) -> Path:
    """Write a tower as a user has it."""
    tiny_model(dim, width or dim).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def openai_clip(dim: int) -> dict[str, torch.Tensor]:
    """Parameters of a CLIP by the names that OpenAI gave them, with their vocabulary."""
    torch.manual_seed(0)
    block = "transformer.resblocks.0"
    shapes = {
        "positional_embedding": (77, dim),
        "text_projection": (dim, dim),
        "logit_scale": (),
        "visual.proj": (dim, dim),
        "token_embedding.weight": (49408, dim),
        f"{block}.attn.in_proj_weight": (3 * dim, dim),
        f"{block}.attn.in_proj_bias": (3 * dim,),
        f"{block}.attn.out_proj.weight": (dim, dim),
        f"{block}.mlp.c_fc.weight": (4 * dim, dim),
        f"{block}.mlp.c_proj.weight": (dim, 4 * dim),
        f"{block}.mlp.c_fc.bias": (4 * dim,),
        **{
            f"{part}.{kind}": (dim,)
            for part in (f"{block}.ln_1", f"{block}.ln_2", "ln_final")
            for kind in ("weight", "bias")
        },
        **{f"{block}.{part}.bias": (dim,) for part in ("attn.out_proj", "mlp.c_proj")},
    }
    return {name: torch.randn(shape) for name, shape in shapes.items()}
