"""``wsvad fit --init_from``: a training that starts from weights of another one."""

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import FSDPStrategy, ModelParallelStrategy
from lightning.pytorch.utilities import rank_zero_info

from wsvad_lightning.errors import WSVADError
from wsvad_lightning.start import INIT_FROM, take_fitting


class StartFrom(Callback):
    """Take what fits of a checkpoint before the first step; a training that goes on has its own weights.

    Args:
        path: the checkpoint.
        part: of both methods; None for all.
    """

    def __init__(self, path: str, part: str | None) -> None:
        self.path, self.part = path, part

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the weights, once the method has what it prepares, and say what is new and what is left out.

        Raises:
            WSVADError: if the checkpoint does not fit, or layers are sharded.
        """
        if trainer.ckpt_path is not None:
            rank_zero_info(f"note: {INIT_FROM} is not read, as the training goes on from {trainer.ckpt_path}")
            return
        if isinstance(trainer.strategy, FSDPStrategy | ModelParallelStrategy):
            problem = f"cannot be taken into layers that {type(trainer.strategy).__name__} has sharded"
            raise WSVADError(INIT_FROM, self.path, problem, "Choose another trainer.strategy")
        compared = take_fitting(pl_module, self.path, method=type(pl_module).__name__, part=self.part)
        for line in compared.lines(self.path):
            rank_zero_info(line)
