"""What all preparations share: an artefact is computed once, and never taken for another."""

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import rich
from numpy.typing import NDArray
from rich.markup import escape

from wsvad_lightning.data.loading.datamodule import WSVADDataModule
from wsvad_lightning.data.store.artefacts import Artefact, read_artefact, write_artefact
from wsvad_lightning.errors import WSVADError


def prepare_once(
    data: WSVADDataModule,
    name: str,
    parameters: Mapping[str, Any],
    libraries: Sequence[str],
    compute: Callable[[], NDArray[np.float32]],
) -> Path:
    """Put an artefact next to the store, unless it is there, and say so.

    Args:
        data: gives the videos, and what is done to their features.
        name: of the artefact.
        parameters: of the computation.
        libraries: whose versions to note.
        compute: gives the values.

    Returns:
        The file.

    Raises:
        WSVADError: if it was prepared with other parameters, or the folder cannot be written.
    """
    path = data.prepared_path(name)
    if path.exists():
        made = read_artefact(path).parameters
        if made != parameters:
            problem = f"was prepared with {made}, not with {dict(parameters)}"
            remedy = "Give the same settings, or remove the file to prepare it again"
            raise WSVADError(name, path, problem, remedy)
        rich.print(f"{name}: {escape(str(path))} is used")
        return path
    rich.print(f"preparing {name} from {len(data.reference_videos)} training videos")
    values = compute()
    versions = {library: version(library) for library in libraries}
    settings = data.transform.settings
    write_artefact(path, Artefact(values, data.reference_videos, settings, parameters, versions))
    shape = " x ".join(map(str, values.shape))
    rich.print(f"{name}: {shape} values written to {escape(str(path))}")
    return path
