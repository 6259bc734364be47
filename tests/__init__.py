"""Tests. Every process that imports one of them, such as a rank that a test starts, starts quickly."""

from wsvad_lightning.startup import import_torchmetrics

import_torchmetrics()
