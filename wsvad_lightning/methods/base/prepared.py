"""What methods share that learn from artefacts, computed from the training videos before training."""

import shlex

from torch import Tensor

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.methods.base.module import WSVADModule


class PreparedModule(WSVADModule):
    """Base of the methods whose ``requires`` names prepared artefacts; they give ``take_prepared``."""

    def setup(self, stage: str) -> None:
        """Check as every method does; to train, take the artefacts.

        Raises:
            WSVADError: if store and method do not fit, or an artefact was not prepared.
        """
        super().setup(stage)
        if stage == "fit":
            self.load_prepared()

    def load_prepared(self) -> None:
        """Take the artefacts that were prepared from the store.

        Raises:
            WSVADError: if one was not; names the command that does.
        """
        for name in self.requires.prepared:
            values: Tensor | None = self.data.prepared(name)
            if values is None:
                store = self.data.info.path
                command = f"wsvad prepare {name.replace('_', '-')} --store {shlex.quote(store)}"
                raise WSVADError(
                    "data.store",
                    store,
                    f"{type(self).__name__} needs {name}, not yet prepared for these videos and settings",
                    f"Run `{command}` with the other --config and --data arguments of this run",
                )
            self.take_prepared(name, values)

    def take_prepared(self, name: str, values: Tensor) -> None:
        """Take an artefact that ``requires`` names."""
        raise NotImplementedError(f"{type(self).__name__} must give take_prepared")
