"""What a file of a store may hold: a stranger's file is data, and a damaged one is expected.

Groups, datasets and attributes lie in the file itself: links, virtual datasets and external storage are
refused, and so is any filter but those that :class:`StoreWriter` uses. What a file declares is compared with
its size before any memory is taken.

Checksums cover what is known of a video and where features come from. Files of older versions have them for
features alone.
"""

import hashlib
import json
import math
import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

CHECKSUM = "checksum"  # attribute of a file, of a video and of a stream
FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32, h5py.h5z.FILTER_LZF}
HEAP = b"GCOL\1\0\0\0"  # how a heap begins
IDENTIFIERS = {h5py.Group: h5py.h5g.GroupID, h5py.Dataset: h5py.h5d.DatasetID}
SMALL = 2**20  # bytes that are read without further question
TEXT = 16  # bytes that HDF5 stores of a text where the texts are listed
TYPES = (np.dtype(np.float16), np.dtype(np.float32))


def check_heaps(path: Path, most: int | None = None) -> None:
    """Make sure that HDF5 comes to an end in the heaps of a file, where texts lie: a damaged one is a circle.

    Args:
        path: the file.
        most: bytes of a file that is looked through; None for any number.

    Raises:
        ValueError: if a heap is damaged.
    """
    size = path.stat().st_size
    if size == 0 or (most is not None and size > most):
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        place = content.find(HEAP)
        while place >= 0:
            _check_heap(content, place)
            place = content.find(HEAP, place + 1)


def _check_heap(content: mmap.mmap, start: int) -> None:
    """Go through the objects of a heap: number, references, size; the one with the number 0 is free space."""
    place, end = start + 16, start + int.from_bytes(content[start + 8 : start + 16], "little")
    while place + 16 <= min(end, len(content)):
        number, length = int.from_bytes(content[place : place + 2], "little"), content[place + 8 : place + 16]
        step = int.from_bytes(length, "little")
        step = step if number == 0 else 16 + -(-step // 8) * 8
        if step < 16 or place + step > end:
            raise ValueError("a heap of texts is damaged")
        place += step
    if end > len(content):
        raise ValueError("a heap of texts passes the end of the file")


def members(group: h5py.Group, kind: type) -> dict[str, Any]:
    """Give what a group holds, by name.

    Raises:
        ValueError: if a member is a link, or neither a group nor a dataset, as ``kind`` says.
    """
    return {name: member(group, name, kind) for name in group}


def member(group: h5py.Group, name: str, kind: type) -> Any:
    """Give one thing that a group holds.

    Raises:
        KeyError: if there is none.
        ValueError: if it is a link or of another kind.
    """
    link = name.encode("utf-8", "surrogateescape")
    kind_of_link = group.id.links.get_info(link).type
    if kind_of_link != h5py.h5l.TYPE_HARD:
        elsewhere = " to another file" if kind_of_link == h5py.h5l.TYPE_EXTERNAL else ""
        raise ValueError(f"{name} is a link{elsewhere}")
    found = h5py.h5o.open(group.id, link)
    if not isinstance(found, IDENTIFIERS[kind]):
        raise ValueError(f"{name} is not a {kind.__name__.lower()}")
    return kind(found)


def attributes(thing: h5py.Group | h5py.Dataset) -> dict[str, Any]:
    """Read all attributes as plain values: texts, numbers and lists of these.

    Raises:
        ValueError: if one is of another kind, or declares more values than the file could hold.
    """
    size = max(h5py.h5i.get_file_id(thing.id).get_filesize(), SMALL)
    values = {}
    for number in range(h5py.h5a.get_num_attrs(thing.id)):
        declared = h5py.h5a.open(thing.id, index=number)
        name, shape, kind = declared.name.decode("utf-8", "surrogateescape"), declared.shape, declared.dtype
        if math.prod(shape or ()) * (TEXT if kind.hasobject else kind.itemsize) > size:
            raise ValueError(f"its {name} is declared larger than the file")
        plain = None if shape is None else _plain_value(declared, shape, kind)
        if not _is_plain(plain):
            raise ValueError(f"its {name} is neither text nor numbers")
        values[name] = plain
    return values


def _plain_value(attribute: h5py.h5a.AttrID, shape: tuple[int, ...], kind: np.dtype[Any]) -> Any:
    """Read an attribute as h5py does, without opening it once more."""
    array = np.empty(shape, kind)
    attribute.read(array)
    text = h5py.check_string_dtype(kind)
    if text is None or text.length is not None:
        return array.tolist()
    decoded = [value.decode("utf-8", "surrogateescape") for value in array.flat]
    return np.array(decoded, object).reshape(shape).tolist()


def _is_plain(value: object) -> bool:
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return isinstance(value, str | int | float)


def check_stream(dataset: h5py.Dataset) -> None:
    """Make sure that a dataset is features that lie in the file.

    Raises:
        ValueError: if it is not.
    """
    if len(dataset.shape or ()) != 3 or 0 in dataset.shape:
        raise ValueError(f"is of shape {dataset.shape}, not [T, N, D]")
    if dataset.dtype not in TYPES:
        raise ValueError(f"is of type {dataset.dtype}, not float16 or float32")
    check_inside(dataset)


def check_inside(dataset: h5py.Dataset) -> None:
    """Make sure that all values of a dataset lie in the file, packed as stores are.

    Raises:
        ValueError: if they do not.
    """
    layout, size = dataset.id.get_create_plist(), h5py.h5i.get_file_id(dataset.id).get_filesize()
    if layout.get_layout() == h5py.h5d.VIRTUAL or layout.get_external_count():
        raise ValueError("its values lie in another file")
    filters = [layout.get_filter(number) for number in range(layout.get_nfilters())]
    codes = [code for code, *_ in filters]
    if not FILTERS.issuperset(codes) or len(set(codes)) < len(codes):
        names = ", ".join(name.decode(errors="replace") or str(code) for code, _, _, name in filters)
        raise ValueError(f"is packed by {names}, which is not a way that stores are written in")
    offset, stored = dataset.id.get_offset(), dataset.id.get_storage_size()
    if layout.get_layout() == h5py.h5d.CHUNKED:
        steps = zip(dataset.shape, dataset.chunks, strict=True)
        chunks = math.prod(-(-length // step) for length, step in steps)
        whole = stored <= size and dataset.id.get_num_chunks() == chunks
    else:
        declared = math.prod(dataset.shape) * (TEXT if dataset.dtype.hasobject else dataset.dtype.itemsize)
        whole = stored == declared and offset is not None and offset + stored <= size
    if not whole:
        raise ValueError(f"is declared of shape {dataset.shape}, and the file does not hold as much")


def video_checksum(group: h5py.Group) -> str:
    """SHA-256 of all that is known of a video, and of the checksums of its streams."""
    streams = {name: attributes(dataset) for name, dataset in members(group, h5py.Dataset).items()}
    return _digest({"name": group.name.rpartition("/")[2], "streams": streams, **_without_checksum(group)})


def file_checksum(file: h5py.File) -> str:
    """SHA-256 of where features come from, and of the checksums of all videos."""
    videos = {
        name: attributes(group).get(CHECKSUM)
        for name, group in members(member(file, "videos", h5py.Group), h5py.Group).items()
    }
    return _digest({"videos": videos, **_without_checksum(file)})


def seal(thing: h5py.Group) -> None:
    """Add the checksum of a video or of a file, after the last change of it."""
    whole = video_checksum(thing) if thing.parent != thing else file_checksum(thing)
    thing.attrs[CHECKSUM] = whole


def _without_checksum(thing: h5py.Group) -> dict[str, Any]:
    return {name: value for name, value in attributes(thing).items() if name != CHECKSUM}


def _digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
