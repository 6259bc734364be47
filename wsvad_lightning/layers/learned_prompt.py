"""Names of classes among learnt vectors."""

import torch
from torch import Tensor, nn

from wsvad_lightning.layers.class_texts import CONTEXT, ClassTexts
from wsvad_lightning.layers.text_tower import TextTower


class LearnedPrompt(ClassTexts):
    """Features of classes, of which the words are given and what surrounds them is learnt (CoOp; VadCLIP).

    All classes share one table of vectors, one a slot. The features are not normalised.

    Args:
        width: W, channels of token vectors.
        prefix: learnt vectors before the words.
        postfix: learnt vectors after them.
        projected_dim: D where the projection of the tower is learnt too (TPWNG), from CLIP's on; None keeps
            it frozen like the rest.
    """

    def __init__(
        self, width: int = 512, prefix: int = 10, postfix: int = 10, projected_dim: int | None = None
    ) -> None:
        super().__init__(width, prefix, postfix)
        self.vectors = nn.Parameter(0.01 * torch.randn(CONTEXT, width))
        self.projection = nn.Linear(width, projected_dim, bias=False) if projected_dim else None

    def take(self, tower: TextTower) -> None:
        """See :class:`ClassTexts`; a learnt projection starts from the tower's."""
        super().take(tower)
        if self.projection is not None:
            self.projection.load_state_dict(tower.model.text_projection.state_dict())

    def encode(self) -> Tensor:
        """Let the tower read all texts: ``[C, D]``, not normalised."""
        assert self.tower is not None, "learning prompts takes a text tower"
        learnt = self.vectors[: self.given.shape[1]]  # the tower sees nothing after the last end token
        vectors = torch.where(self.is_given, self.given, learnt)
        if self.projection is None:
            return self.tower.encode(vectors, self.ends)
        features: Tensor = self.projection(self.tower.read(vectors, self.ends))
        return features
