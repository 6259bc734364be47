"""Writing a feature store: video by video, each complete or absent.

Each video first becomes a complete store of its own in ``store.h5.parts``, in a file called by a digest of
its name, and :meth:`StoreWriter.close` joins the parts into ``store.h5``. Every file appears in one step,
after its last byte is on the disk: a writer that is killed leaves a readable store, and the next one goes on
where it stopped. A part takes the place of the same video in ``store.h5``. Any number of processes may add to
a store at once, and the last to finish joins the parts; a shared lock shows which one is the last, see
:mod:`wsvad_lightning.data.store.lock`.
"""

import glob
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.data.datasets.names import digest_of, path_id
from wsvad_lightning.data.store.layout import (
    blocks,
    copy_video,
    new_file,
    open_file,
    read_provenance,
    video_name,
    write_video,
)
from wsvad_lightning.data.store.reader import FeatureStore, files_of, parts_folder
from wsvad_lightning.data.store.records import (
    Compression,
    Origin,
    Provenance,
    Rows,
    VideoRecord,
    describe_streams,
    join_decoders,
)
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.files import remove_leftovers
from wsvad_lightning.types import Coding, StreamInfo


class StoreWriter:
    """Writes a store video by video, each complete or absent, and resumes what a killed writer left.

    Use it as a context manager. If it is left by an error the parts stay; they read as a store, and the next
    writer joins them. Joining needs as much free space as the store takes.

    Args:
        path: the store to make or to add to.
        provenance: where the features come from.
        compression: HDF5 filter that makes the file smaller and reading slower.

    Raises:
        WSVADError: if it is a folder or cannot be written, or holds features of another provenance.
    """

    def __init__(
        self, path: str | Path, provenance: Provenance, *, compression: Compression | None = None
    ) -> None:
        from wsvad_lightning.data.store.lock import WriterLock  # on use: readers start without it

        self.path, self.provenance, self.compression = Path(path), provenance, compression
        if self.path.is_dir():
            raise WSVADError("store", path, "is a folder", "Name a file, such as features.h5 in it")
        self._parts = parts_folder(self.path)
        self._lock = WriterLock(self._parts)
        self._before: FeatureStore | None = None
        self._present: set[str] = set()
        self._removed: set[str] = set()
        self._streams: Mapping[str, StreamInfo] | None = None
        try:
            self._resume()
        except BaseException:
            self._leave(join=False)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._leave(join=kind is None)

    def __contains__(self, video_id: str) -> bool:
        return video_id in self._present or self._part(video_id).exists()

    def add(
        self,
        annotation: VideoAnnotation,
        streams: Mapping[str, Rows],
        *,
        num_frames: int,
        fps: float,
        notes: Sequence[str] = (),
        coding: Coding | None = None,
        origin: Origin | None = None,
        replace: bool = False,
    ) -> None:
        """Write one video; once this returns, no crash loses it.

        Args:
            annotation: what is known of the video.
            streams: ``[T, N, D]`` float16 or float32 each, of the same T.
            num_frames: frames of the video, counted by decoding.
            fps: frames a second.
            notes: what is odd about the file of the video.
            coding: how that file is encoded.
            origin: the file that it was extracted from.
            replace: whether it takes the place of a video of this name, if there is one.

        Raises:
            WSVADError: if the video is in the store and must not be replaced, contradicts its annotation,
                differs in streams from the other videos, is empty or not finite, or the disk is full. Nothing
                of it is written then.
        """
        video_id = annotation.video_id
        if video_id != path_id(video_id):
            raise WSVADError("video", video_id, "is not a canonical name", f"Name it {path_id(video_id)}")
        if video_id in self._present and not replace:
            raise WSVADError("video", video_id, f"is in {self.path} already", "Write each video once")
        if not 0 < fps < np.inf:
            raise WSVADError("video", video_id, f"has {fps} frames a second", "Give its true fps")
        annotation = annotation.in_frames(fps, num_frames)
        annotation.check_num_frames(num_frames)
        _check_values(video_id, streams)
        shapes = {name: array.shape for name, array in streams.items()}
        described = describe_streams(video_id, shapes, self.provenance, self._streams)
        with new_file(self._part(video_id), self.provenance) as videos:
            recorded = num_frames, fps, self.compression, notes, coding, origin
            write_video(videos, annotation, streams, *recorded)
        self._streams = described
        self._present.add(video_id)

    def before(self, video_id: str) -> VideoRecord | None:
        """What was there of a video before this writer; None if nothing was."""
        if self._before is None or video_id not in self._before:
            return None
        return self._before[video_id]

    def annotate(self, annotation: VideoAnnotation) -> None:
        """Write what is known now of a video that was there before; its features stay as they are.

        Args:
            annotation: takes the place of all that was known.

        Raises:
            WSVADError: if the video was not there, has another number of frames, or the disk is full. It
                stays as it was then.
        """
        record = self._required(annotation.video_id)
        annotation = annotation.in_frames(record.fps, record.num_frames)
        annotation.check_num_frames(record.num_frames)
        location = next(iter(record.streams.values()))
        with (
            new_file(self._part(annotation.video_id), self.provenance) as videos,
            open_file(location.file) as file,
        ):
            copy_video(file[location.dataset].parent, videos, annotation)

    def remove(self, video_ids: Collection[str]) -> None:
        """Take videos out of the store when it is closed, all in one step.

        Closing the writer then fails if another one is at work.

        Args:
            video_ids: names of videos that were there before.

        Raises:
            WSVADError: if one was not there, or none would be left.
        """
        for video_id in video_ids:
            self._required(video_id)
        if self._present == set(video_ids):
            raise WSVADError("store", self.path, "would have no videos left", "Remove the file itself")
        self._removed |= set(video_ids)

    def close(self) -> None:
        """Join the parts into one file, unless other writers are at work: then the last of them does.

        Raises:
            WSVADError: if the disk is full. The parts stay, and read as a store.
        """
        self._leave(join=True)

    def _resume(self) -> None:
        """Take over what was written before."""
        if files_of(self.path):
            before = FeatureStore([self.path])
            there = self.path if self.path.exists() else self._parts
            self.provenance.check_same(before.provenance, there)
            self._before, self._present, self._streams = before, set(before), before.streams

    def _required(self, video_id: str) -> VideoRecord:
        record = self.before(video_id)
        if record is None:
            raise WSVADError("video", video_id, f"is not in {self.path}", "Extract it or correct the name")
        return record

    def _part(self, video_id: str) -> Path:
        """The part of a video: the one that there is already, which may be called by its name."""
        record = self.before(video_id)
        there = self.path if record is None else next(iter(record.streams.values())).file
        return self._parts / f"{digest_of(video_id)}.h5" if there == self.path else there

    def _leave(self, *, join: bool) -> None:
        """Give the lock up; the last writer tidies."""
        if self._lock.released:
            return
        try:
            if self._lock.is_last():
                self._tidy(join)
            elif self._removed:
                problem = "another command writes into it"
                raise WSVADError("store", self.path, problem, "Wait until that has ended")
        finally:
            self._lock.release()

    def _tidy(self, join: bool) -> None:
        """Remove what killed writers left, and join the parts if asked to; no other writer is at work."""
        remove_leftovers(self._parts)
        remove_leftovers(self.path.parent, glob.escape(self.path.name))
        parts = sorted(self._parts.glob("*.h5"))
        if parts and join:
            self._join(parts)
        if self._removed and join:
            self._join([])
        if join or not parts:
            self._lock.remove()

    def _join(self, parts: Sequence[Path]) -> None:
        """Join the whole and the parts; without parts, leave out what is to be removed."""
        whole = [self.path] if self.path.exists() else []
        done = set[str]() if parts else set(self._removed)  # no part must be left that has a removed video
        with new_file(self.path, self._whole([*whole, *parts])) as videos:
            for source in [*parts, *whole]:
                with open_file(source) as file:
                    self.provenance.check_same(read_provenance(file), source)
                    for group in file["videos"].values():
                        if (video_id := video_name(group)) not in done:
                            copy_video(group, videos)
                            done.add(video_id)
        for part in parts:
            part.unlink()

    def _whole(self, sources: Sequence[Path]) -> Provenance:
        """The provenance of all that is joined."""
        recipes = []
        for source in sources:
            with open_file(source) as file:
                recipes.append(read_provenance(file))
        return replace(self.provenance, decoder=join_decoders(recipes))


def _check_values(video_id: str, streams: Mapping[str, Rows]) -> None:
    if not streams:
        raise WSVADError("video", video_id, "has no streams", "Give at least the stream 'features'")
    num_snippets = next(iter(streams.values())).shape[:1]
    for name, array in streams.items():
        problem = _problem_of(name, array)
        if not problem and array.shape[:1] != num_snippets:
            problem = f"has {array.shape[0]} snippets where another stream has {num_snippets[0]}"
        if problem:
            raise WSVADError("video", video_id, f"stream {name!r} {problem}", "Extract the video again")


def _problem_of(name: str, array: Rows) -> str:
    if not name.isidentifier():
        return "has a name that is not of letters, digits and underscores"
    if len(array.shape) != 3 or array.dtype not in (np.float16, np.float32):
        return f"is {array.dtype} of shape {array.shape}, not float16 or float32 [T, N, D]"
    if 0 in array.shape:
        return f"is empty, of shape {array.shape}"
    finite = all(np.isfinite(block).all() for _, block in blocks(array))
    return "" if finite else "holds NaN or infinite values"
