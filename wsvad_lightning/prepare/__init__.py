"""What is computed from the features of the training videos before a method trains, one artefact a file.

:data:`PREPARATIONS` holds them by the names that methods ask for. Each takes a data module, and puts the
artefact beside its store unless it is there.
"""

from collections.abc import Callable
from pathlib import Path

from wsvad_lightning.prepare import c2fpl_labels, s3r_dictionary

PREPARATIONS: dict[str, Callable[..., Path]] = {
    preparation.NAME: preparation.prepare for preparation in (c2fpl_labels, s3r_dictionary)
}
