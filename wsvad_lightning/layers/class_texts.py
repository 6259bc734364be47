"""Features of classes that are texts, read by a frozen text tower."""

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.layers.text_tower import TextTower

CONTEXT = 77  # slots: as many tokens as CLIP reads


class ClassTexts(nn.Module):
    """Base of what learns how a text tower reads the names of classes; a subclass gives ``encode``.

        start | prefix slots | words of the class | postfix slots | end

    While training, the tower reads the texts again in each step; elsewhere their features are constants,
    which need no tower.

    Args:
        width: W, channels of token vectors.
        prefix: slots before the words.
        postfix: slots after them.

    Attributes:
        texts: the classes in words.
        tower: reads them; None where only their features are known.
        features: ``[C, D]`` of all texts, as of the last :meth:`refresh`.
        given: ``[C, L, W]`` vectors of the slots whose tokens are given, 0 in the others.
        is_given: ``[C, L, 1]`` bool.
        ends: ``[C]`` slots of the end tokens.
    """

    features: Tensor
    given: Tensor
    is_given: Tensor
    ends: Tensor

    def __init__(self, width: int, prefix: int = 0, postfix: int = 0) -> None:
        super().__init__()
        self.width, self.prefix, self.postfix = width, prefix, postfix
        self.texts: tuple[str, ...] = ()
        self.tower: TextTower | None = None
        for name in ("features", "given", "is_given", "ends"):
            self.register_buffer(name, torch.empty(0), persistent=False)
        self.register_load_state_dict_post_hook(_refresh)  # type: ignore[no-untyped-call]

    def use(self, tower: TextTower, texts: Sequence[str]) -> None:
        """Take texts and the tower that reads them.

        Raises:
            WSVADError: if the tower does not fit what is learnt, or a text is too long.
        """
        self.take(tower)
        tokens = tower.tokenize(texts)
        ends = [self.prefix + len(one) - 1 + self.postfix for one in tokens]
        longest = min(CONTEXT, tower.context)
        for text, end in zip(texts, ends, strict=True):
            if end >= longest:
                problem = f"it takes {end + 1} tokens with what is learnt around it, CLIP reads {longest}"
                raise WSVADError("model.prompts", text, problem, "Give a shorter prompt")
        given = self.features.new_zeros(len(tokens), max(ends) + 1, tower.width)
        is_given = torch.zeros_like(given[..., :1], dtype=torch.bool)
        for row, (one, end) in enumerate(zip(tokens, ends, strict=True)):
            slots = [0, *range(self.prefix + 1, self.prefix + len(one) - 1), end]
            given[row, slots], is_given[row, slots] = tower.embed(one).to(given), True
        self.texts, self.tower = tuple(texts), tower
        self.given, self.is_given, self.ends = given, is_given, torch.tensor(ends, device=given.device)
        self.refresh()

    def take(self, tower: TextTower) -> None:
        """Make sure that a tower fits what is learnt, and start from it.

        Raises:
            WSVADError: if its token vectors are of another width.
        """
        if tower.width != self.width:
            problem = f"the text tower's token vectors have {tower.width} channels"
            raise WSVADError("model.text_dim", self.width, problem, f"Set model.text_dim to {tower.width}")

    def restore(self, texts: Sequence[str], features: Tensor) -> None:
        """Take texts whose features are known."""
        self.texts, self.tower = tuple(texts), None
        self.features = features.to(self.features)

    def encode(self) -> Tensor:
        """Let the tower read all texts: ``[C, D]``."""
        raise NotImplementedError(f"{type(self).__name__} must give encode")

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
        """Give the features of all texts: ``[C, D]``."""
        return self.encode() if self.training else self.features


def _refresh(texts: ClassTexts, _: object) -> None:
    """Read the texts again with what was just loaded."""
    texts.refresh()
