"""Artefacts computed from features before training, such as S3R's dictionary, and kept next to their store.

    store.h5.prepared/s3r_dictionary-4f1c09d2a7b35e68.h5
    ├── values             float32; settings, parameters and versions that made them, as JSON text
    └── videos             names of the videos that they were computed from

An artefact belongs to features as a method sees them: the key in its name is a digest of the videos in
order, their features and what is done to these. So an existing file of that name is valid, and a store has
one for every split and transform in use. The store itself is never rewritten.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from wsvad_lightning.data.store.contents import attributes, check_inside, member
from wsvad_lightning.data.store.disk import writing
from wsvad_lightning.data.store.layout import reason_of
from wsvad_lightning.data.store.reader import FeatureStore
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.files import replacing

DESCRIPTION = ("settings", "parameters", "versions")


@dataclass(frozen=True)
class Artefact:
    """What was computed, and how.

    Attributes:
        values: the result.
        videos: names of the videos that it was computed from.
        settings: what is done to the features before they are used.
        parameters: of the computation.
        versions: of the libraries that did it.
    """

    values: NDArray[np.float32]
    videos: Sequence[str]
    settings: Mapping[str, Any]
    parameters: Mapping[str, Any]
    versions: Mapping[str, str]


def artefact_path(
    store: FeatureStore,
    name: str,
    streams: Sequence[str],
    settings: Mapping[str, Any],
    video_ids: Sequence[str],
) -> Path:
    """Where an artefact lies, or will lie: next to the store, or the first of several.

    Args:
        store: where the features come from.
        name: of the artefact.
        streams: that the features consist of.
        settings: what is done to the features.
        video_ids: the videos that it is computed from, in order.
    """
    videos = [
        (video_id, [store[video_id].streams[stream].checksum for stream in streams]) for video_id in video_ids
    ]
    features = json.dumps({"videos": videos, **settings}, sort_keys=True)
    key = hashlib.sha256(features.encode()).hexdigest()[:16]
    return _folder(store.paths[0]) / f"{name}-{key}.h5"


def artefacts_of(store: FeatureStore) -> list[Path]:
    """The artefacts of a store."""
    return sorted(path for one in store.paths for path in _folder(one).glob("*.h5"))


def write_artefact(path: Path, artefact: Artefact) -> None:
    """Write an artefact, whole or not at all.

    Raises:
        WSVADError: if the folder cannot be written, or the disk is full.
    """
    with replacing(path) as temporary, writing(temporary) as file:
        file["values"] = artefact.values
        file["videos"] = np.array(artefact.videos, dtype=h5py.string_dtype())
        for name in DESCRIPTION:
            file["values"].attrs[name] = json.dumps(getattr(artefact, name))


def read_artefact(path: Path) -> Artefact:
    """Read an artefact.

    Raises:
        WSVADError: if it is damaged.
    """
    try:
        with h5py.File(path, "r", locking=False) as file:
            values, videos = (member(file, name, h5py.Dataset) for name in ("values", "videos"))
            for dataset in (values, videos):
                check_inside(dataset)
            if values.dtype.kind != "f":
                raise ValueError(f"its values are of type {values.dtype}")
            given = attributes(values)
            description = {name: dict(json.loads(given[name])) for name in DESCRIPTION}
            return Artefact(values[()], tuple(videos.asstr()[()]), **description)
    except Exception as error:  # a damaged file fails anywhere in HDF5
        reason = " ".join(reason_of(error).split())[:100]
        raise WSVADError(
            "artefact", path, f"cannot be read ({reason})", "Remove it and prepare it again"
        ) from error


def _folder(store: Path) -> Path:
    return Path(f"{store}.prepared")
