"""What each process holds of a sharded network; apart from the tests to be quick to import."""

import json
import sys

from lightning.pytorch import Callback, LightningModule, Trainer
from torch.distributed.tensor import DTensor


class Shards(Callback):
    """Prints how many values of the parameters, and of the optimizer's moments, are here and in all."""

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count them."""
        moments = [
            value
            for state in trainer.optimizers[0].state.values()
            for value in state.values()
            if isinstance(value, DTensor)
        ]
        counts = []
        for held in (list(pl_module.parameters()), moments):
            local = sum(value.to_local().numel() for value in held if isinstance(value, DTensor))
            counts.append((local, sum(value.numel() for value in held)))
        sys.stdout.write(f"shards {json.dumps(counts)}\n")
