"""What the processes of a comparison share: the server that they are forked from imports it once."""

from wsvad_lightning.startup import import_torchmetrics

import_torchmetrics()

from wsvad_lightning.bench import measure  # noqa: E402  # imports torchmetrics itself, whole

__all__ = ["measure"]
