"""Everything that methods need computed beforehand, for any store."""

from pathlib import Path
from typing import Any

from wsvad_lightning.data.datamodule import WSVADDataModule
from wsvad_lightning.prepare import PREPARATIONS


def prepare_all(path: Path, **data: Any) -> None:
    """Prepare every artefact for the store at ``path``, read with the settings ``data``."""
    for prepare in PREPARATIONS.values():
        prepare(WSVADDataModule(**{**data, "store": str(path)}))
