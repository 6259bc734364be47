"""Names of classes, read by a text tower that learnt layers adapt (DSANet)."""

from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.layers.class_texts import ClassTexts
from wsvad_lightning.layers.init import init_xavier
from wsvad_lightning.layers.text_tower import TextTower


class AdaptedTexts(ClassTexts):
    """Features of classes, read by a tower with learnt layers behind its first blocks.

        x <- w |x| a / |a| + (1 - w) x,   a = leaky_relu(x W)     behind such a block, for every token
        t = normalise(leaky_relu(x W))                            in place of the tower's projection

    Args:
        width: W, channels of token vectors.
        dim: D, channels of the features.
        blocks: of the tower that are adapted.
        share: w, of what is learnt behind them.
    """

    def __init__(self, width: int = 512, dim: int = 512, blocks: int = 3, share: float = 0.1) -> None:
        super().__init__(width)
        self.share = share
        sizes = [*[width] * blocks, dim]
        self.adapters = nn.ModuleList(nn.Linear(width, size, bias=False) for size in sizes)
        init_xavier(self)

    def take(self, tower: TextTower) -> None:
        """See :class:`ClassTexts`; the tower must have the blocks."""
        super().take(tower)
        blocks = len(self.adapters) - 1
        if tower.depth < blocks:
            problem = f"the text tower has {tower.depth} blocks"
            raise WSVADError("model.adapted_blocks", blocks, problem, "Adapt as many at most")

    def encode(self) -> Tensor:
        """Let the tower read all texts: ``[C, D]``, of unit length."""
        assert self.tower is not None, "learning adapters takes a text tower"
        *adapters, projection = self.adapters
        read = self.tower.read(self.given, self.ends, [partial(self.adapt, one) for one in adapters])
        return F.normalize(F.leaky_relu(projection(read)).float(), dim=-1).to(read)

    def adapt(self, adapter: nn.Module, x: Tensor) -> Tensor:
        """Mix ``[..., W]`` with what an adapter makes of it, at the same length."""
        learnt = F.leaky_relu(adapter(x)).float()
        scale = x.float().norm(dim=-1, keepdim=True) / (learnt.norm(dim=-1, keepdim=True) + 1e-6)
        mixed: Tensor = self.share * (learnt * scale).to(x) + (1 - self.share) * x
        return mixed
