"""What the server that test processes are forked from imports once; see :mod:`tests.processes`."""

from wsvad_lightning.startup import import_torchmetrics

import_torchmetrics()

import pytest  # noqa: E402  # after that of torchmetrics: the order of a command
import torch  # noqa: E402
from matplotlib.backends import backend_agg  # noqa: E402  # imported for the first picture
from torch.utils import tensorboard  # noqa: E402  # and this for the first logged row

from wsvad_lightning import cli  # noqa: E402
from wsvad_lightning.bench import compare  # noqa: E402
from wsvad_lightning.data.store import lock  # noqa: E402
from wsvad_lightning.extraction import command  # noqa: E402

torch.set_num_threads(1)

__all__ = ["backend_agg", "cli", "command", "compare", "lock", "pytest", "tensorboard"]
