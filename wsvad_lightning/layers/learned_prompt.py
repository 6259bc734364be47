"""Names of classes among learnt vectors, read by a frozen text tower."""

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.layers.text_tower import TextTower

CONTEXT = 77  # slots: as many tokens as CLIP reads


class LearnedPrompt(nn.Module):
    """Features of classes, of which the words are given and what surrounds them is learnt (CoOp; VadCLIP).

        start | prefix learnt vectors | words of the class | postfix learnt vectors | end

    All classes share one table of vectors, one a slot. While training, the tower reads the prompts again in
    each step; elsewhere their features are constants, which need no tower.

    Args:
        width: W, channels of token vectors.
        prefix: learnt vectors before the words.
        postfix: learnt vectors after them.
        projected_dim: D where the projection of the tower is learnt too (TPWNG), from CLIP's on; None keeps
            it frozen like the rest.

    Attributes:
        texts: the classes in words.
        tower: reads them; None where only their features are known.
        features: ``[C, D]`` of all texts, as of the last :meth:`refresh`.
    """

    features: Tensor
    given: Tensor
    is_given: Tensor
    ends: Tensor

    def __init__(
        self, width: int = 512, prefix: int = 10, postfix: int = 10, projected_dim: int | None = None
    ) -> None:
        super().__init__()
        self.prefix, self.postfix = prefix, postfix
        self.vectors = nn.Parameter(0.01 * torch.randn(CONTEXT, width))
        self.projection = nn.Linear(width, projected_dim, bias=False) if projected_dim else None
        self.texts: tuple[str, ...] = ()
        self.tower: TextTower | None = None
        for name in ("features", "given", "is_given", "ends"):
            self.register_buffer(name, torch.empty(0), persistent=False)
        self.register_load_state_dict_post_hook(_refresh)  # type: ignore[no-untyped-call]

    def use(self, tower: TextTower, texts: Sequence[str]) -> None:
        """Take texts and the tower that reads them.

        Raises:
            WSVADError: if the tower's token vectors are of another width, or a text too long.
        """
        if tower.width != self.vectors.shape[1]:
            problem = f"the text tower's token vectors have {tower.width} channels"
            raise WSVADError(
                "model.text_dim", self.vectors.shape[1], problem, f"Set model.text_dim to {tower.width}"
            )
        tokens = tower.tokenize(texts)
        ends = [self.prefix + len(one) - 1 + self.postfix for one in tokens]
        longest = min(CONTEXT, tower.context)
        for text, end in zip(texts, ends, strict=True):
            if end >= longest:
                problem = f"it takes {end + 1} tokens with what is learnt around it, CLIP reads {longest}"
                raise WSVADError("model.prompts", text, problem, "Give a shorter prompt")
        given = self.vectors.new_zeros(len(tokens), max(ends) + 1, tower.width)
        is_given = torch.zeros_like(given[..., :1], dtype=torch.bool)
        for row, (one, end) in enumerate(zip(tokens, ends, strict=True)):
            slots = [0, *range(self.prefix + 1, self.prefix + len(one) - 1), end]
            given[row, slots], is_given[row, slots] = tower.embed(one).to(given), True
        self.texts, self.tower = tuple(texts), tower
        self.given, self.is_given, self.ends = given, is_given, torch.tensor(ends, device=given.device)
        if self.projection is not None:
            self.projection.load_state_dict(tower.model.text_projection.state_dict())
        self.refresh()

    def restore(self, texts: Sequence[str], features: Tensor) -> None:
        """Take texts whose features are known."""
        self.texts, self.tower = tuple(texts), None
        self.features = features.to(self.vectors)

    def encode(self) -> Tensor:
        """Let the tower read all texts: ``[C, D]``, not normalised."""
        assert self.tower is not None, "learning prompts takes a text tower"
        learnt = self.vectors[: self.given.shape[1]]  # the tower sees nothing after the last end token
        vectors = torch.where(self.is_given, self.given, learnt)
        if self.projection is None:
            return self.tower.encode(vectors, self.ends)
        features: Tensor = self.projection(self.tower.read(vectors, self.ends))
        return features

    def refresh(self) -> None:
        """Bring ``features`` up to date with what was learnt; nothing is learnt without a tower."""
        if self.tower is not None:
            with torch.no_grad():
                self.features = self.encode()

    def train(self, mode: bool = True) -> Self:
        """Switch between training and scoring, which starts from what was learnt."""
        super().train(mode)
        if not mode:
            self.refresh()
        return self

    def forward(self) -> Tensor:
        """Give the features of all texts: ``[C, D]``, not normalised."""
        return self.encode() if self.training else self.features


def _refresh(prompt: LearnedPrompt, _: object) -> None:
    """Read the texts again with the vectors that were just loaded."""
    prompt.refresh()
