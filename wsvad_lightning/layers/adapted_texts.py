"""Names of classes, read by a text tower that learnt layers adapt (DSANet)."""

import torch.nn.functional as F
from torch import Tensor, nn

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.layers.class_texts import ClassTexts
from wsvad_lightning.layers.text_tower import TextTower


class TextAdapter(nn.Module):
    """Mixes vectors with learnt ones of the same lengths.

        x <- w |x| a / |a| + (1 - w) x,   a = leaky_relu(x W)

    Args:
        dim: channels.
        share: w, of the learnt ones.
    """

    def __init__(self, dim: int, share: float) -> None:
        super().__init__()
        self.share = share
        self.linear = nn.Linear(dim, dim, bias=False)
        nn.init.xavier_uniform_(self.linear.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Mix ``[..., dim]``."""
        learnt = F.leaky_relu(self.linear(x)).float()
        scale = x.float().norm(dim=-1, keepdim=True) / (learnt.norm(dim=-1, keepdim=True) + 1e-6)
        mixed: Tensor = self.share * learnt * scale + (1 - self.share) * x
        return mixed.to(x)


class AdaptedTexts(ClassTexts):
    """Features of classes, read by a tower with a :class:`TextAdapter` behind each of its first blocks.

    A learnt projection replaces the tower's, and a leaky ReLU follows it. The features have unit length.

    Args:
        width: W, channels of token vectors.
        dim: D, channels of the features.
        blocks: of the tower that are adapted.
        share: of what the adapters learn.
    """

    def __init__(self, width: int = 512, dim: int = 512, blocks: int = 3, share: float = 0.1) -> None:
        super().__init__(width)
        self.adapters = nn.ModuleList(TextAdapter(width, share) for _ in range(blocks))
        self.projection = nn.Linear(width, dim, bias=False)
        nn.init.xavier_uniform_(self.projection.weight)

    def take(self, tower: TextTower) -> None:
        """See :class:`ClassTexts`; the tower must have the blocks."""
        super().take(tower)
        if tower.depth < len(self.adapters):
            problem = f"the text tower has {tower.depth} blocks"
            raise WSVADError("model.adapted_blocks", len(self.adapters), problem, "Adapt as many at most")

    def encode(self) -> Tensor:
        """Let the tower read all texts: ``[C, D]``, of unit length."""
        assert self.tower is not None, "learning adapters takes a text tower"
        read = self.tower.read(self.given, self.ends, self.adapters)
        features = F.normalize(F.leaky_relu(self.projection(read)).float(), dim=-1)
        return features.to(read)
