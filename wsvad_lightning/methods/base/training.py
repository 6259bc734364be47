"""What everything that is trained shares: loss terms and weights, optimizers, checkpoints."""

from collections.abc import Iterable, Mapping
from io import BytesIO
from pathlib import Path
from typing import IO, Any, ClassVar, Self

import torch
from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from wsvad_lightning.checkpoint import read_checkpoint
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.shared import is_shared


class TrainingModule(LightningModule):
    """Base of what is trained, on features or on pixels.

    The constructor of a subclass names its own arguments and passes the others on as ``**kwargs``. All of
    them, whoever names them, become the ``hyper_parameters`` of checkpoints.

    Class attributes:
        default_loss_weights: the paper's weight of every loss term; its keys are the terms.
        not_saved: arguments of a training, not of the network; hyper-parameters lack them.

    Attributes:
        net: the network that the authors' weights belong to.

    Args:
        loss_weights: weights by which terms enter the total, where they differ from the defaults.
        optimizer: makes the optimizer from the parameters.
        lr_scheduler: makes a scheduler from the optimizer, stepped after every batch.

    Raises:
        WSVADError: if ``loss_weights`` names a term that the method does not have, ``optimizer`` is None, or
            a subclass names ``optimizer`` or ``lr_scheduler`` without a type.
    """

    default_loss_weights: ClassVar[dict[str, float]] = {}
    not_saved: ClassVar[tuple[str, ...]] = ("optimizer", "lr_scheduler")
    net: nn.Module

    def __init__(
        self,
        loss_weights: dict[str, float] | None = None,
        optimizer: OptimizerCallable = torch.optim.Adam,
        lr_scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__()
        # Those of this constructor and all that called it; loggers get the configuration of the run.
        self.save_hyperparameters(ignore=self.not_saved, logger=False)
        unknown = sorted(set(loss_weights or {}) - set(self.default_loss_weights))
        if unknown:
            raise WSVADError(
                "model.loss_weights",
                ", ".join(unknown),
                f"{type(self).__name__} has no such loss term",
                f"Its terms are {', '.join(self.default_loss_weights)}",
            )
        if optimizer is None:  # the parser takes null
            raise WSVADError("model.optimizer", None, "is none", "Name one, such as torch.optim.Adam")
        for name, make in (("optimizer", optimizer), ("lr_scheduler", lr_scheduler)):
            if make is not None and not callable(make):
                problem = f"the constructor of {type(self).__name__} names it without a type"
                remedy = "Leave it to **kwargs there, or annotate it as the constructor of its base does"
                raise WSVADError(f"model.{name}", make, problem, remedy)
        self.loss_weights = {**self.default_loss_weights, **(loss_weights or {})}
        self.optimizer = optimizer
        self.lr_scheduler = lr_scheduler

    @classmethod
    def data_class(cls) -> type[LightningDataModule]:
        """Give the class of the data that it is trained on."""
        raise NotImplementedError(f"{cls.__name__} must give data_class")

    def next_command(self) -> str:
        """Give the command that takes the checkpoint of a finished training, up to the checkpoint's path."""
        raise NotImplementedError(f"{type(self).__name__} must give next_command")

    def compute_losses(self, batch: Any) -> dict[str, Tensor]:
        """Give the raw loss terms of a training batch, the keys of ``default_loss_weights``."""
        raise NotImplementedError(f"{type(self).__name__} must give compute_losses")

    def total_loss(self, losses: dict[str, Tensor]) -> Tensor:
        """Sum the terms by weight."""
        return torch.stack([self.loss_weights[term] * value for term, value in losses.items()]).sum()

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """One optimisation step."""
        losses = self.compute_losses(batch)
        total = self.total_loss(losses)
        logged = {f"train/loss/{term}": value.detach() for term, value in losses.items()}
        self.log_dict({**logged, "train/loss/total": total.detach()}, batch_size=len(batch.labels))
        self.log("loss", total.detach(), prog_bar=True, logger=False, batch_size=len(batch.labels))
        return total

    def step_uncounted(self, optimizer: Any) -> None:
        """Step a second optimizer, in a ``training_step`` that steps optimizers by itself.

        The trainer would count that step as one more of its own.
        """
        self.trainer.strategy.optimizer_step(optimizer.optimizer, lambda: None, self)

    def trained_parameters(self) -> Iterable[Any]:
        """Give what the optimizer takes: parameters, or groups of them."""
        return self.parameters()

    def configure_optimizers(self) -> torch.optim.Optimizer | OptimizerLRSchedulerConfig:
        """Build what the recipe names."""
        optimizer = self.optimizer(self.trained_parameters())
        if self.lr_scheduler is None:
            return optimizer
        scheduler: Any = self.lr_scheduler(optimizer)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    # --------------------------------------------------------------------------------------- checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Record the method."""
        checkpoint["method"] = type(self).__name__

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Compare with what the weights were trained for, before any is loaded.

        Raises:
            WSVADError: if they are of another method.
        """
        method, own = checkpoint.get("method"), type(self).__name__
        if method != own:
            problem = f"is of {str(method)[:60]!r}, not {own}"
            raise WSVADError("--ckpt_path", None, problem, f"Give a checkpoint of {own}")

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Load the weights.

        Raises:
            WSVADError: if they are of other names or sizes.
        """
        try:
            return super().load_state_dict(state_dict, strict, assign)
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:200]
            problem = f"the weights do not fit ({reason})"
            remedy = "Give the checkpoint with the settings that it was trained with"
            raise WSVADError("--ckpt_path", type(self).__name__, problem, remedy) from None

    @classmethod
    def load_from_checkpoint(
        cls,
        checkpoint_path: str | Path | IO[Any],
        map_location: Any = None,
        hparams_file: str | Path | None = None,
        strict: bool | None = None,
        weights_only: bool | None = True,
        **kwargs: Any,
    ) -> Self:
        """Make the method that a checkpoint holds, of plain values only.

        Args:
            checkpoint_path: the file, or a model as :mod:`wsvad_lightning.shared` has it.
            map_location: where its tensors go.
            hparams_file: settings that replace those of the checkpoint.
            strict: whether all weights must be there, and no others.
            weights_only: whether the file is read as tensors and plain values; False runs any code in it.
            kwargs: settings that replace those of the checkpoint.

        Raises:
            WSVADError: if the file records a setting that the method does not have.
        """
        own: dict[str, Any] = {
            "weights_only": weights_only is not False,
            "_instantiator": None,  # one named in the file would make the classes that its settings name
        }
        source = checkpoint_path
        if isinstance(source, str | Path) and is_shared(source):
            torch.save(read_checkpoint(source, "checkpoint_path"), buffer := BytesIO())
            buffer.seek(0)
            source = buffer
        try:
            return super().load_from_checkpoint(
                source, map_location, hparams_file, strict, **{**kwargs, **own}
            )
        except TypeError as error:  # of the constructor
            problem = f"its hyper-parameters do not fit {cls.__name__} ({error})"
            raise WSVADError(
                "checkpoint_path", checkpoint_path, problem, "Give a file that `wsvad fit` wrote"
            ) from None
