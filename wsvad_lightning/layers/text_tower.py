"""The text tower of CLIP, frozen, from a local folder."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from wsvad_lightning.errors import WSVADError

if TYPE_CHECKING:
    from transformers import CLIPTextModelWithProjection

Tokenize = Callable[[Sequence[str]], list[list[int]]]
Between = Callable[[Tensor], Tensor]

TEXT_MODELS = ("clip", "clip_text_model")  # what a configuration may say of itself
PARTS = {  # files of which a folder must hold one set, each
    "configuration": (("config.json",),),
    "tokenizer": (("tokenizer.json",), ("vocab.json", "merges.txt")),
    "weights": (
        ("model.safetensors",),
        ("pytorch_model.bin",),
        ("model.safetensors.index.json",),
        ("pytorch_model.bin.index.json",),
    ),
}

REMEDY = "Give a folder that transformers saved of a CLIP, such as openai/clip-vit-base-patch16"


class TextTower:
    """Turns sequences of token vectors into features in the space of CLIP's images.

    Deliberately no module: whoever uses it has neither its parameters nor its weights in the checkpoint. It
    follows what it encodes to any device and type, and passes gradients on to it.

    Args:
        model: text tower with projection; it is frozen.
        tokenize: gives the tokens of texts, from the start to the end token.

    Attributes:
        width: W, channels of token vectors.
        dim: D, channels of features.
        context: most tokens of a text.
        depth: blocks of the tower.
    """

    def __init__(self, model: "CLIPTextModelWithProjection", tokenize: Tokenize) -> None:
        model.eval()
        model.set_attn_implementation("sdpa")  # which knows `is_causal`
        self.model: Any = model.requires_grad_(False)  # its methods are typed as also taking the class
        self.tokenize = tokenize
        self.width, self.dim = model.config.hidden_size, model.config.projection_dim
        self.context = model.config.max_position_embeddings
        self.depth = model.config.num_hidden_layers

    @classmethod
    def open(cls, folder: str | Path, argument: str = "model.text_tower") -> "TextTower":
        """Open a folder as the transformers package saves it, of a whole CLIP or of its text tower.

        Args:
            folder: with configuration, weights and tokenizer.
            argument: that names it, for messages.

        Raises:
            WSVADError: if transformers is not installed, or the folder lacks a part or is of another model.
        """
        try:
            from transformers import CLIPTextModelWithProjection, CLIPTokenizer
        except ImportError:
            remedy = 'Install it: pip install "wsvad-lightning[hf]"'
            raise WSVADError(argument, folder, "reading it needs transformers", remedy) from None
        config = _read_config(Path(folder), argument)
        # A complete CLIP states it for both towers; its entry for the text tower may differ and is not used.
        sizes = {"projection_dim": config["projection_dim"]} if "projection_dim" in config else {}
        try:
            with _quietly():
                loaded: Any = CLIPTextModelWithProjection.from_pretrained(
                    folder,
                    local_files_only=True,
                    dtype=torch.float32,
                    output_loading_info=True,
                    **sizes,
                )
                tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        except Exception as error:  # readers of four formats, each with errors of its own
            reason = " ".join(str(error).split())[:100]
            raise WSVADError(argument, folder, f"cannot be read ({reason})", REMEDY) from None
        model, report = loaded
        if report["missing_keys"]:
            problem = f"its weights lack {min(report['missing_keys'])}"
            raise WSVADError(argument, folder, problem, REMEDY)
        return cls(model, lambda texts: tokenizer(list(texts))["input_ids"])

    def embed(self, tokens: list[int]) -> Tensor:
        """Give the vectors of L tokens, ``[L, W]``, without position."""
        vectors: Tensor = self.model.get_input_embeddings()(torch.tensor(tokens, device=self.model.device))
        return vectors

    def read(self, vectors: Tensor, ends: Tensor, between: Iterable[Between] = ()) -> Tensor:
        """Read texts.

        Args:
            vectors: ``[C, L, W]`` of the tokens, without position.
            ends: ``[C]`` positions of the end tokens; nothing after one is seen.
            between: what ``[C, L, W]`` passes through behind the first block, the second and so on.

        Returns:
            ``[C, W]`` what the end tokens have become, before the projection.
        """
        text = self.model.to(vectors).text_model
        seen = text.embeddings(inputs_embeds=vectors)
        for block, behind in zip_longest(text.encoder.layers, between):
            seen = block(seen, None, is_causal=True)
            seen = seen if behind is None else behind(seen)
        last: Tensor = text.final_layer_norm(seen)[torch.arange(len(ends), device=ends.device), ends]
        return last

    def encode(self, vectors: Tensor, ends: Tensor) -> Tensor:
        """Read texts as :meth:`read` does, and project them: ``[C, D]``, not normalised."""
        features: Tensor = self.model.text_projection(self.read(vectors, ends))
        return features

    @torch.no_grad()
    def features_of(self, text: str) -> Tensor:
        """Give the features ``[D]`` of a text as it is, not normalised.

        Raises:
            WSVADError: if it has more tokens than the tower reads.
        """
        tokens = self.tokenize([text])[0]
        if len(tokens) > self.context:
            problem = f"it takes {len(tokens)} tokens, the text tower reads {self.context}"
            raise WSVADError("text", text, problem, "Give a shorter one")
        return self._features_of(tokens)

    @torch.no_grad()
    def features_of_parts(self, text: str) -> list[tuple[Tensor, int]]:
        """Give the features ``[D]`` of a text of any length, not normalised, and how many tokens each is of.

        A text that the tower reads at once is one part. A longer one is divided between tokens into as few
        parts as it takes; each is read as a text of its own.
        """
        start, *words, end = self.tokenize([text])[0]
        most = self.context - 2
        parts = [words[first : first + most] for first in range(0, max(1, len(words)), most)]
        return [(self._features_of([start, *part, end]), len(part)) for part in parts]

    def _features_of(self, tokens: list[int]) -> Tensor:
        return self.encode(self.embed(tokens)[None], torch.tensor([len(tokens) - 1]))[0]


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep transformers from listing what is left out on purpose, the vision tower, and from drawing bars."""
    from transformers import logging

    logs: Any = logging  # untyped
    verbosity, with_bars = logs.get_verbosity(), logs.is_progress_bar_enabled()
    logs.set_verbosity_error()
    logs.disable_progress_bar()
    try:
        yield
    finally:
        logs.set_verbosity(verbosity)
        if with_bars:
            logs.enable_progress_bar()


def _read_config(folder: Path, argument: str) -> dict[str, Any]:
    """Give a folder's configuration; refuse what transformers would look up by name, or fill at random."""
    if not folder.is_dir():
        raise WSVADError(argument, folder, "no such folder", REMEDY)
    for part, choices in PARTS.items():
        if not any(all((folder / name).is_file() for name in names) for names in choices):
            wanted = " or ".join(" and ".join(names) for names in choices[:2])
            raise WSVADError(argument, folder, f"holds no {part} ({wanted})", REMEDY)
    try:
        config = dict(json.loads((folder / "config.json").read_text()))
    except (ValueError, TypeError):
        raise WSVADError(argument, folder, "its config.json cannot be read", REMEDY) from None
    if config.get("model_type") not in TEXT_MODELS:
        problem = f"is a model of type {config.get('model_type')}, not CLIP"
        raise WSVADError(argument, folder, problem, REMEDY)
    return config
