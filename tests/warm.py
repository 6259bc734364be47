"""What the server that test processes are forked from imports once; see :mod:`tests.processes`."""

from wsvad_lightning.startup import import_torchmetrics

import_torchmetrics()

import pytest  # noqa: E402  # after that of torchmetrics: the order of a command
import torch  # noqa: E402

from wsvad_lightning import cli  # noqa: E402
from wsvad_lightning.bench import compare  # noqa: E402
from wsvad_lightning.data.store import lock  # noqa: E402
from wsvad_lightning.extraction import command  # noqa: E402

torch.set_num_threads(1)

__all__ = ["cli", "command", "compare", "lock", "pytest"]
