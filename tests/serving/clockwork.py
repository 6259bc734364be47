"""A method that names what happens by the clock."""

import torch
from torch import Tensor, nn
from torch.optim import SGD

from wsvad_lightning.methods.base.module import WSVADModule
from wsvad_lightning.types import WSVADBatch

CLASSES = ("Überfall \N{EN DASH} bewaffnet", "打架")
CALM, FIRST, SECOND = [0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.2, 0.2, 0.6]
ROUND = torch.tensor([CALM, FIRST, FIRST, CALM, SECOND, SECOND])


class Clockwork(WSVADModule):
    """Knows a calm snippet, two of the first class, a calm one and two of the second class, and so on."""

    def __init__(self, feature_dim: int, classes: list[str]) -> None:
        super().__init__(feature_dim, optimizer=lambda weights: SGD(weights, lr=0.1))
        self.save_hyperparameters("feature_dim", "classes")
        self.net, self.classes = nn.Linear(feature_dim, 1), tuple(classes)

    def compute_losses(self, batch: WSVADBatch) -> dict[str, Tensor]:
        return {"none": self.net(batch.features).mean()}

    def total_loss(self, losses: dict[str, Tensor]) -> Tensor:
        return losses["none"]

    def score(self, batch: WSVADBatch) -> Tensor:
        return 1 - self._rounds(batch)[..., 0]

    def classify(self, batch: WSVADBatch) -> Tensor | None:
        return self._rounds(batch) if self.classes else None

    def _rounds(self, batch: WSVADBatch) -> Tensor:
        snippets = torch.arange(batch.features.shape[2]).expand(len(batch.features), -1)
        return ROUND[snippets % len(ROUND)]
