"""What methods share that learn from artefacts, computed from the training videos before training."""

from torch import Tensor

from wsvad_lightning.data.loading.datamodule import WSVADDataModule
from wsvad_lightning.methods.base.module import WSVADModule


class PreparedModule(WSVADModule):
    """Base of the methods that require prepared artefacts; they give ``prepare`` and ``take_prepared``."""

    def setup(self, stage: str) -> None:
        """Check as every method does; to train, take the artefacts.

        Raises:
            WSVADError: if store and method do not fit, or an artefact cannot be prepared.
        """
        super().setup(stage)
        if stage == "fit":
            self.load_prepared()

    def load_prepared(self) -> None:
        """Take the artefacts; the first process of each machine prepares those that are not there yet.

        Raises:
            WSVADError: if one cannot be prepared.
        """
        if self.trainer.local_rank == 0:
            self.prepare(self.data)
        self.trainer.strategy.barrier("prepared artefacts")
        for name in self.requires.prepared:
            values = self.data.prepared(name)
            assert values is not None, f"{name} was prepared"
            self.take_prepared(name, values)

    def prepare(self, data: WSVADDataModule) -> None:
        """Put what ``requires`` names next to the store, unless it is there."""
        raise NotImplementedError(f"{type(self).__name__} must give prepare")

    def take_prepared(self, name: str, values: Tensor) -> None:
        """Take an artefact that ``requires`` names."""
        raise NotImplementedError(f"{type(self).__name__} must give take_prepared")
