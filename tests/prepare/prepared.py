"""Everything that methods need computed beforehand, for any store."""

from pathlib import Path
from typing import Any

from wsvad_lightning.data.loading.datamodule import WSVADDataModule
from wsvad_lightning.prepare import PREPARATIONS, c2fpl_labels


def prepare_all(path: Path, **data: Any) -> None:
    """Prepare every artefact for the store at ``path``, read with the settings ``data``."""
    for name, prepare in PREPARATIONS.items():
        if (name == c2fpl_labels.NAME) == (data.get("bags") == "windows"):
            prepare(WSVADDataModule(**{**data, "store": str(path)}))
