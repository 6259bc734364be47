"""What differs between a store and the files and labels that are given now."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.data.datasets.footage import SourceVideo
from wsvad_lightning.data.datasets.names import base_of
from wsvad_lightning.data.store import FeatureStore, Origin, VideoRecord
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.types import LABELS
from wsvad_lightning.video.frames import Footage, FrameFolder

BLOCK = 2**20  # bytes that are read at once


class Changes(NamedTuple):
    """Videos of a store that are given otherwise now, by name and what is different.

    Attributes:
        files: those of another content.
        annotations: those of another label, split or the like.
    """

    files: Mapping[str, str]
    annotations: Mapping[str, str]

    @property
    def names(self) -> list[str]:
        """All of them."""
        return sorted({*self.files, *self.annotations})

    def lines(self) -> Iterator[str]:
        """A line for each."""
        for name in self.names:
            found = [changes[name] for changes in (self.files, self.annotations) if name in changes]
            yield f"{name}: {'; '.join(found)}"


UNCHANGED = Changes({}, {})


def compare(todo: Sequence[SourceVideo], store: FeatureStore, *, labelled: bool) -> Changes:
    """Find what differs. Files of the same size and time are taken for the same.

    Args:
        todo: the videos that are given.
        store: what was extracted before.
        labelled: whether labels are given too; else they are not compared.
    """
    files, annotations = dict[str, str](), dict[str, str]()
    for video in todo:
        video_id = video.annotation.video_id
        if video_id not in store:
            continue
        record = store[video_id]
        if record.origin is not None and is_other_file(video.path, record.origin):
            was = f", {video.source} in place of {record.origin.path}"
            files[video_id] = f"another file{was if record.origin.path != video.source else ''}"
        if labelled and (found := _differences(video.annotation, record)):
            annotations[video_id] = "; ".join(found)
    return Changes(files, annotations)


def origin_of(video: SourceVideo) -> Origin | None:
    """Describe the file of a video as it is now; None if it cannot be read, which decoding it reports."""
    with suppress(OSError):
        return Origin(video.source, *_stamp(video.path), _sha256(video.path))
    return None


def is_other_file(path: Footage, origin: Origin) -> bool:
    """Whether a file is not the one that was extracted; its bytes count where its time alone differs.

    A file that cannot be read is none.
    """
    with suppress(OSError):
        size, mtime_ns = _stamp(path)
        return size != origin.size or (mtime_ns != origin.mtime_ns and _sha256(path) != origin.sha256)
    return False


def names_in(store: FeatureStore, paths: Mapping[str, Footage]) -> dict[str, str]:
    """The names that files have in a store: by path, or by content for one that was moved to another folder.

    Args:
        store: what was extracted before.
        paths: the files, by their paths below the source that is given now.
    """
    held = {origin.path: name for name in store if (origin := store[name].origin)}
    names = {source: held.pop(source) for source in paths if source in held}
    moved = {
        (base_of(origin.path), origin.size, origin.mtime_ns, origin.sha256): name
        for name in held.values()
        if (origin := store[name].origin)
    }
    stamps = {mark[:3] for mark in moved}
    for source in paths.keys() - names.keys() if moved else ():
        with suppress(OSError):
            stamp = base_of(source), *_stamp(paths[source])
            mark = (*stamp, _sha256(paths[source]) if stamp in stamps else "")
            if mark in moved:
                names[source] = moved.pop(mark)
    return names


def with_known_labels(todo: Sequence[SourceVideo], store: FeatureStore) -> list[SourceVideo]:
    """The videos with the labels of the store, for those that it holds."""
    return [
        video._replace(annotation=replace(store[video.annotation.video_id].annotation, num_frames=None))
        if video.annotation.video_id in store
        else video
        for video in todo
    ]


def _differences(given: VideoAnnotation, record: VideoRecord) -> list[str]:
    try:
        now = given.in_frames(record.fps, record.num_frames)
    except WSVADError as error:
        return [error.problem]
    return list(_compared(now, record.annotation))


def _compared(now: VideoAnnotation, then: VideoAnnotation) -> Iterator[str]:
    for name in ("label", "classes", "intervals", "interval_classes", "glances", "split", "num_frames"):
        given, stored = getattr(now, name), getattr(then, name)
        implied = name == "intervals" and now.label != then.label and not given and not stored
        if given != stored and not (name == "num_frames" and given is None) and not implied:
            yield f"{name} {_spell(name, given)} in the table, {_spell(name, stored)} in the store"


def _spell(name: str, value: object) -> str:
    if name == "label":
        return LABELS[value]  # type: ignore[index]
    if isinstance(value, tuple):
        return ";".join("-".join(map(str, v)) if isinstance(v, tuple) else str(v) for v in value) or "none"
    return "unknown" if value is None and name == "intervals" else str(value or "none")


def _files(video: Footage) -> Sequence[Path]:
    """The file of a video, or the images of a folder of frames."""
    return video.images if isinstance(video, FrameFolder) else [video]


def _stamp(path: Footage) -> tuple[int, int]:
    """Bytes, and the time of the last change in nanoseconds."""
    stats = [file.stat() for file in _files(path)]
    return sum(stat.st_size for stat in stats), max((stat.st_mtime_ns for stat in stats), default=0)


def _sha256(path: Footage) -> str:
    digest = hashlib.sha256()
    for file in _files(path):
        with file.open("rb") as opened:
            while block := opened.read(BLOCK):
                digest.update(block)
    return digest.hexdigest()
