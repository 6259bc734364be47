"""Settings of the trainer that do not work, put into one line."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException

from wsvad_lightning.errors import WSVADError

PURE = ("16-true", "bf16-true", "64-true")  # precisions that change weights, where methods compute in float32
BUILT_IN = (RuntimeError, ValueError, TypeError, ImportError, ArithmeticError, AttributeError)
RAISED = (*BUILT_IN, MisconfigurationException, MemoryError)  # for settings that do not work
ALLOCATE = "can't allocate memory"  # PyTorch's words, by an error of no type of its own on a CPU
LIBRARIES = {  # that name what is wrong with a setting, and which they are of
    "lightning.": "--trainer",
    "jsonargparse.": "--trainer",
    "torch.optim.": "--model.optimizer",
}
DIVISORS = ("accumulate_grad_batches", "check_val_every_n_epoch", "val_check_interval")


def check_divisors(settings: Mapping[str, Any]) -> None:
    """Validate the settings of the trainer that Lightning divides by, unchecked.

    Raises:
        WSVADError: if one is not positive.
    """
    for name in DIVISORS:
        value = settings[name]
        if isinstance(value, int | float) and value <= 0:
            raise WSVADError(
                f"--trainer.{name}", value, "must be more than 0", "Give 1 or more, or leave it out"
            )


@contextmanager
def settings_explained(command: str, precision: object, method: str) -> Iterator[None]:
    """Put into one line what Lightning or PyTorch says of settings of the trainer that do not work.

    Args:
        command: of wsvad, such as ``fit``.
        precision: of the trainer.
        method: name of the method.

    Raises:
        WSVADError: in place of their errors.
    """
    try:
        yield
    except WSVADError:
        raise
    except RAISED as error:
        reason = " ".join(str(error).split())[:300]
        if isinstance(error, MemoryError | torch.OutOfMemoryError) or ALLOCATE in reason:
            problem = f"does not suffice for these settings{f' ({reason})' if reason else ''}"
            raise WSVADError(
                "memory", None, problem, "Lower data.batch_size, or what else is large"
            ) from error
        if isinstance(error, RuntimeError) and str(precision) in PURE:
            problem = f"{method} cannot be computed with it ({reason})"
            raise WSVADError(
                "--trainer.precision", precision, problem, "Use bf16-mixed or 32-true"
            ) from error
        if (argument := refused_by_library(error)) is None:
            raise
        problem = f"does not work: {reason.rstrip('.')}"
        raise WSVADError(argument, None, problem, f"See `wsvad {command} --help`") from error


def refused_by_library(error: Exception) -> str | None:
    """Name the settings that a library refuses by an error; None if none does, and code is wrong."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    module = "" if last is None else str(last.tb_frame.f_globals.get("__name__", ""))
    return next((argument for library, argument in LIBRARIES.items() if module.startswith(library)), None)
