"""How the videos of a feature store lie in one HDF5 file.

    store.h5                   schema and every field of Provenance: backbone, snippet_length, …; checksum
    └── videos
        └── <video_id>         label, classes, split, num_frames, fps, width, height,
                               intervals [n, 2], interval_classes [n], glances [n], notes [n]; name;
                               codec, bits_per_pixel;
                               source, source_size, source_mtime_ns, source_sha256; checksum
            ├── features       [T, N, D] float16 or float32; checksum, mean_norm
            └── patches_2x3    [T, 6, D], and so on: one dataset a stream

``split``, ``width``, ``height``, ``intervals``, ``interval_classes``, ``glances``, ``codec`` with
``bits_per_pixel``, and ``source…`` are absent where they are unknown; ``views`` is JSON text. A group that
cannot be called by the name of its video, as that has a ``/``, is called by a digest, and its attribute
``name`` is the name.

Uncompressed datasets are contiguous and start at multiples of 64 bytes, so that any program can map them into
memory. What the checksums cover, and what is refused, is in :mod:`wsvad_lightning.data.store.contents`.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.data.datasets.names import LONGEST_PATH, digest_of, path_id
from wsvad_lightning.data.store.contents import (
    CHECKSUM,
    attributes,
    check_heaps,
    check_stream,
    members,
    seal,
    video_checksum,
)
from wsvad_lightning.data.store.disk import writing
from wsvad_lightning.data.store.records import (
    Compression,
    Features,
    Origin,
    Provenance,
    Rows,
    StreamLocation,
    VideoRecord,
)
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.files import replacing
from wsvad_lightning.types import Coding

SCHEMA = 1
ORIGIN = {"path": "source", "size": "source_size", "mtime_ns": "source_mtime_ns", "sha256": "source_sha256"}
SCANNED = 2**26  # bytes of a file whose heaps are checked whenever it is opened
BLOCK = 2**22  # bytes of features that are checked and written at once


def blocks(array: Rows) -> Iterator[tuple[slice, Features]]:
    """Go through features by a few snippets at a time, so that no more of them need be in memory."""
    num_snippets, *snippet = array.shape
    step = max(1, BLOCK // (array.dtype.itemsize * math.prod(snippet)))
    for start in range(0, num_snippets, step):
        rows = slice(start, min(start + step, num_snippets))
        yield rows, array[rows]


def checksum(array: Rows) -> str:
    """SHA-256 of type, shape and values; the same for a compressed and a contiguous dataset."""
    digest = hashlib.sha256(f"{array.dtype.str} {array.shape}".encode())
    for _, block in blocks(array):
        digest.update(np.ascontiguousarray(block).data)
    return digest.hexdigest()


@contextmanager
def new_file(path: Path, provenance: Provenance) -> Iterator[h5py.Group]:
    """Give the group of videos of a new file, which gets its name once it is complete.

    Args:
        path: the file to make or replace.
        provenance: where its features come from.

    Raises:
        WSVADError: if it cannot be written; nothing of it is left.
    """
    with replacing(path) as temporary, writing(temporary) as file:
        file.attrs["schema"] = SCHEMA
        for entry in fields(provenance):
            value = getattr(provenance, entry.name)
            file.attrs[entry.name] = json.dumps(value) if entry.name == "views" else value
        yield file.create_group("videos")
        seal(file)


def write_video(
    videos: h5py.Group,
    annotation: VideoAnnotation,
    streams: Mapping[str, Rows],
    num_frames: int,
    fps: float,
    compression: Compression | None,
    notes: Sequence[str] = (),
    coding: Coding | None = None,
    origin: Origin | None = None,
) -> None:
    """Add one video to the group of videos.

    Args:
        videos: from :func:`new_file`.
        annotation: what is known of the video.
        streams: ``[T, N, D]`` each.
        num_frames: exact number of frames.
        fps: frames a second.
        compression: filter of the datasets; None for contiguous ones.
        notes: what is odd about the file of the video.
        coding: how that file is encoded.
        origin: the file that the features come from.
    """
    group = videos.create_group(_group_name(annotation.video_id))
    _write_name(group, annotation.video_id)
    group.attrs["num_frames"] = num_frames
    group.attrs["fps"] = fps
    if annotation.frame_size is not None:  # of these frames: later annotations do not change it
        group.attrs["width"], group.attrs["height"] = annotation.frame_size
    if notes:
        group.attrs["notes"] = np.array(notes, dtype=h5py.string_dtype())
    if coding is not None:
        group.attrs["codec"], group.attrs["bits_per_pixel"] = coding
    _write_annotation(group, annotation)
    for entry in fields(Origin) if origin else ():
        group.attrs[ORIGIN[entry.name]] = getattr(origin, entry.name)
    for name, array in streams.items():
        filters = {"compression": compression, "shuffle": True} if compression else {}
        dataset = group.create_dataset(name, array.shape, array.dtype, **filters)
        squares = np.empty(array.shape[:2])
        for rows, block in blocks(array):
            dataset[rows] = block
            np.einsum("tnd,tnd->tn", block, block, dtype=np.float64, out=squares[rows])
        dataset.attrs["checksum"] = checksum(array)
        dataset.attrs["mean_norm"] = np.sqrt(squares).mean()
    seal(group)


def copy_video(group: h5py.Group, videos: h5py.Group, annotation: VideoAnnotation | None = None) -> None:
    """Copy one video with all of its bytes.

    Args:
        group: of the video.
        videos: group of videos of another file.
        annotation: what is known of the video now; None leaves it as it is.

    Raises:
        WSVADError: if what is to change is damaged: a new checksum would hide that.
    """
    video_id = video_name(group)
    group.file.copy(group, videos, name := _group_name(video_id))
    if annotation is None and name == group.name.rpartition("/")[2]:
        return
    if group.attrs.get(CHECKSUM, "") not in ("", video_checksum(group)):
        remedy = "`wsvad data verify` lists all damage; extract the video again"
        raise WSVADError("store", group.file.filename, f"{video_id} is damaged", remedy)
    _write_name(videos[name], video_id)
    if annotation is not None:
        _write_annotation(videos[name], annotation)
    seal(videos[name])


def video_name(group: h5py.Group, given: Mapping[str, Any] | None = None) -> str:
    """The name of a video, by its group, and by its attributes where they were read already.

    Raises:
        WSVADError: if it is none.
    """
    return path_id(str((group.attrs if given is None else given).get("name", group.name.rpartition("/")[2])))


def _group_name(video_id: str) -> str:
    usable = "/" not in video_id and len(video_id.encode()) <= LONGEST_PATH
    return video_id if usable else digest_of(video_id)


def _write_name(group: h5py.Group, video_id: str) -> None:
    group.attrs.pop("name", None)
    if _group_name(video_id) != video_id:
        group.attrs["name"] = video_id


def _write_annotation(group: h5py.Group, annotation: VideoAnnotation) -> None:
    """Write what is known of a video, in place of what was."""
    for name in ("split", "intervals", "interval_classes", "glances"):
        group.attrs.pop(name, None)
    group.attrs["label"] = annotation.label
    group.attrs["classes"] = np.array(annotation.classes, dtype=h5py.string_dtype())
    if annotation.split is not None:
        group.attrs["split"] = annotation.split
    if annotation.intervals is not None:
        group.attrs["intervals"] = np.array(annotation.intervals, dtype=np.int64).reshape(-1, 2)
    if annotation.interval_classes:
        names = [name or "" for name in annotation.interval_classes]
        group.attrs["interval_classes"] = np.array(names, dtype=h5py.string_dtype())
    if annotation.glances:
        group.attrs["glances"] = np.array(annotation.glances, dtype=np.int64)


def open_file(path: Path) -> h5py.File:
    """Open a file for reading, without a lock.

    Args:
        path: the file.

    Raises:
        WSVADError: if there is none, it is damaged or it is not a feature store of this schema.
    """
    try:
        file = h5py.File(path, "r", locking=False)
    except FileNotFoundError:
        raise WSVADError("store", path, "no such file", "Correct the path or extract features") from None
    except OSError as error:
        if "file signature not found" in str(error):
            raise WSVADError("store", path, "is not an HDF5 file", "Give a feature store") from None
        reason = re.search(r"\((.*)\)", str(error), re.DOTALL)
        raise damaged(path, reason[1] if reason else str(error)) from error
    schema = _schema_of(file, path)
    if schema != SCHEMA:
        file.close()
        problem = (
            f"has schema {schema}, not {SCHEMA}" if schema else "is an HDF5 file but not a feature store"
        )
        raise WSVADError("store", path, problem, "Give a store made by this version of `wsvad extract`")
    return file


def _schema_of(file: h5py.File, path: Path) -> Any:
    try:
        check_heaps(path, SCANNED)
        return attributes(file).get("schema")
    except Exception as error:  # a damaged file fails anywhere in HDF5
        file.close()
        raise damaged(path, reason_of(error)) from error


def damaged(path: Path, problem: str) -> WSVADError:
    """The error of a file that cannot be read."""
    remedy = "See what is left with `wsvad data verify`, then remove the file and write its videos again"
    return WSVADError("store", path, f"cannot be read: {' '.join(problem.split())[:200]}", remedy)


def reason_of(error: Exception) -> str:
    """What a damaged file is reported to lack, in words."""
    if isinstance(error, WSVADError):
        return error.problem
    return str(error) or type(error).__name__


def read_provenance(file: h5py.File) -> Provenance:
    """Read where the features of a file come from.

    Raises:
        ValueError: if a value is missing or not of its type.
    """
    given = {"decoder": "", **attributes(file)}  # stores of older versions have none
    values = {entry.name: _typed(given, entry.name, _KINDS[entry.name]) for entry in fields(Provenance)}
    views = json.loads(values.pop("views"))
    if not isinstance(views, dict) or not all(map(_is_list_of_texts, views.values())):
        raise ValueError("its views are not lists of names")
    return Provenance(**values, views=views)


def read_video(group: h5py.Group, path: Path) -> VideoRecord:
    """Read all of a video but its features.

    Args:
        group: of the video.
        path: of the file.

    Raises:
        ValueError: if anything of it is missing or not what is written.
    """
    given = attributes(group)
    video_id = video_name(group, given)
    label, num_frames = _typed(given, "label", int), _typed(given, "num_frames", int)
    fps = _typed(given, "fps", float)
    if not 0 < fps < math.inf:
        raise ValueError(f"it has {fps} frames a second")
    intervals = given.get("intervals")
    interval_classes, notes = given.get("interval_classes", []), given.get("notes", [])
    if intervals is not None and not _is_list_of_pairs(intervals):
        raise ValueError("its intervals are not pairs of frames")
    glances = given.get("glances", [])
    if not isinstance(glances, list) or any(type(frame) is not int for frame in glances):
        raise ValueError("its glances are not frames")
    lists = {"classes": given.get("classes"), "interval_classes": interval_classes, "notes": notes}
    for name, texts in lists.items():
        if not _is_list_of_texts(texts):
            raise ValueError(f"its {name} are not a list of names")
    annotation = VideoAnnotation(
        video_id=video_id,
        label=label,
        classes=tuple(given["classes"]),
        num_frames=num_frames,
        intervals=None if intervals is None else tuple((start, end) for start, end in intervals),
        split=_typed(given, "split", str) if "split" in given else None,
        interval_classes=tuple(name or None for name in interval_classes),
        frame_size=(_typed(given, "width", int), _typed(given, "height", int)) if "width" in given else None,
        glances=tuple(glances),
    )
    streams = {
        name: _locate_stream(name, dataset, path) for name, dataset in members(group, h5py.Dataset).items()
    }
    if not streams:
        raise ValueError("it has no features")
    own = _typed(given, CHECKSUM, str) if CHECKSUM in given else None
    num_snippets = next(iter(streams.values())).shape[0]
    origin = None
    if ORIGIN["path"] in given:
        kinds = (str, int, int, str)
        origin = Origin(*(_typed(given, key, kind) for key, kind in zip(ORIGIN.values(), kinds, strict=True)))
    coding = None
    if "codec" in given:
        coding = Coding(_typed(given, "codec", str), _typed(given, "bits_per_pixel", float))
    return VideoRecord(annotation, num_snippets, num_frames, fps, streams, tuple(notes), coding, origin, own)


def _locate_stream(name: str, dataset: h5py.Dataset, path: Path) -> StreamLocation:
    try:
        check_stream(dataset)
        given = attributes(dataset)
        return StreamLocation(
            file=path,
            dataset=dataset.name,
            offset=dataset.id.get_offset(),  # None if chunked
            shape=dataset.shape,
            dtype=dataset.dtype,
            checksum=_typed(given, CHECKSUM, str),
            mean_norm=_typed(given, "mean_norm", float),
        )
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


_KINDS = {entry.name: entry.type if entry.type in (int, bool) else str for entry in fields(Provenance)}


def _typed(given: Mapping[str, Any], name: str, kind: Any) -> Any:
    if name not in given:
        raise ValueError(f"its {name} is missing")
    value = given[name]
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise ValueError(f"its {name} is {str(value)[:40]!r}, not of type {kind.__name__}")
    return value


def _is_list_of_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_list_of_pairs(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(pair, list) and len(pair) == 2 and all(type(frame) is int for frame in pair)
        for pair in value
    )
