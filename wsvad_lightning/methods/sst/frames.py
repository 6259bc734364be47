"""From a snippet that SST looks at to the clip of its frames."""

import json
import math
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import torch
from torch import Tensor

from wsvad_lightning.data.datasets.footage import few, find_videos
from wsvad_lightning.data.datasets.names import match_videos
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.timeline import SnippetGrid
from wsvad_lightning.video.clips import ClipReaders
from wsvad_lightning.video.frames import Footage

OFFICIAL_SEGMENTS = 200  # of a training bag
OFFICIAL_SNIPPET = 16  # frames
OTHER_VIDEOS = "Give the folder of the videos that the store was extracted from"
MOST_THREADS = 8  # that decode; each keeps a few videos open
CACHE = 2**28  # bytes of clips that are kept, as training often looks at the same snippets


def official_start(segment: int, num_snippets: int, frames: int) -> int:
    """The frame from which on the authors read the clip of a segment of a training bag.

    The segment is one of 200, whatever the bag holds, and is taken for a snippet where the video has fewer.
    The snippet is the one before, and the fraction of snippets in a segment is dropped.

    Args:
        segment: its place in the bag.
        num_snippets: of the video, of 16 frames each.
        frames: of a clip.
    """
    if num_snippets < OFFICIAL_SEGMENTS and segment > num_snippets:
        return (num_snippets - 1) * frames
    start = segment * OFFICIAL_SNIPPET * max(1, num_snippets // OFFICIAL_SEGMENTS)
    return start - OFFICIAL_SNIPPET if start > OFFICIAL_SNIPPET else 0


def middle_snippet(segment: int, num_segments: int, num_snippets: int) -> int:
    """The snippet in the middle of those that a segment of a bag is the mean of.

    Args:
        segment: its place in the bag.
        num_segments: of the bag, between even borders.
        num_snippets: of the video.
    """
    first, after = (place * num_snippets // num_segments for place in (segment, segment + 1))
    return (first + max(first, after - 1)) // 2


def snippet_start(snippet: int, grid: SnippetGrid, frames: int) -> int:
    """The frame from which on a clip lies around the middle of a snippet.

    Args:
        snippet: its place in the video.
        grid: where snippets lie.
        frames: of a clip.
    """
    return max(0, grid.span(snippet)[0] + (grid.length - frames) // 2)


def played_at(recipe: str) -> float | None:
    """The frames a second that the videos of a store were played at; None for every frame of their files.

    Args:
        recipe: of the streams, as stores record it; an empty text or JSON.
    """
    try:
        fps = json.loads(recipe).get("fps")
    except (ValueError, AttributeError):  # none, or of another program
        return None
    return fps if isinstance(fps, int | float) and 0 < fps < math.inf else None


class SnippetClips:
    """Reads clips of the videos that a store was extracted from, some at a time.

    Args:
        folder: of the videos, with all its subfolders.
        lengths: frames of each video by its name, as the store has them.
        frames: of a clip.
        size: height and width of a clip.
        fps: frames a second that the videos are played at; None for every frame of the files.

    Raises:
        WSVADError: if there is no such folder, it holds no video, or a name may mean several of them.
    """

    def __init__(
        self,
        folder: str,
        lengths: Mapping[str, int],
        frames: int,
        size: tuple[int, int],
        fps: float | None = None,
    ) -> None:
        self.folder, self.lengths, self.frames, self.size = folder, lengths, frames, size
        found = {video.annotation.video_id: video for video in find_videos(folder)[0]}
        matched = match_videos([*lengths], {name: video.source for name, video in found.items()})
        self._videos: dict[str, Footage] = {
            video_id: found[name].path for video_id, name in zip(lengths, matched, strict=True) if name
        }
        self._places = {video_id: place for place, video_id in enumerate(self._videos)}
        self._readers = [ClipReaders(fps) for _ in range(min(MOST_THREADS, os.cpu_count() or 1))]
        self._pool = ThreadPoolExecutor(len(self._readers))
        of_clip = 4 * 3 * frames * size[0] * size[1]
        self._read_one = lru_cache(max(1, CACHE // of_clip))(self._decode)

    def require(self, video_ids: Sequence[str]) -> None:
        """Make sure that the folder has videos.

        Raises:
            WSVADError: if not; names the first ones that are missing.
        """
        if missing := [video_id for video_id in video_ids if video_id not in self._videos]:
            problem = f"lacks {len(missing)} of {len(video_ids)} videos of the store: {few(missing)}"
            raise WSVADError("model.videos", self.folder, problem, OTHER_VIDEOS)

    def read(self, video_ids: Sequence[str], starts: Iterable[int]) -> Tensor:
        """Read a clip of each video: ``[B, 3, F, H, W]`` in [0, 1].

        A clip that would pass the end of its video is moved to end with it; a video that is shorter than a
        clip has its last frame repeated.

        Args:
            video_ids: of the videos; one may occur several times.
            starts: first frame of each clip.

        Raises:
            WSVADError: if a video cannot be decoded, or is shorter than the store has it by a clip or more.
        """
        of_readers: dict[int, list[tuple[int, str, int]]] = defaultdict(list)
        for place, (video_id, start) in enumerate(zip(video_ids, starts, strict=True)):
            of_readers[self._places[video_id] % len(self._readers)].append((place, video_id, start))
        read = self._pool.map(self._read_some, of_readers, of_readers.values())
        clips = dict(clip for some in read for clip in some)
        return torch.stack([clips[place] for place in range(len(clips))])

    def _read_some(self, number: int, wanted: Sequence[tuple[int, str, int]]) -> list[tuple[int, Tensor]]:
        """Read clips by one of the readers, which is not for several threads."""
        return [
            (place, self._read_one(self._readers[number], video_id, start))
            for place, video_id, start in wanted
        ]

    def _decode(self, readers: ClipReaders, video_id: str, start: int) -> Tensor:
        video, stated = self._videos[video_id], self.lengths[video_id]
        length = readers.index(video).num_frames
        if length <= stated - self.frames:
            problem = f"has {length} frames, {video_id} of the store {stated}"
            raise WSVADError("model.videos", video, problem, OTHER_VIDEOS)
        start = max(0, min(start, length - self.frames))
        return readers.read_clip(video, start, self.frames, size=self.size, pad=True)

    def close(self) -> None:
        """Close all files."""
        self._read_one.cache_clear()
        self._pool.shutdown()
        for readers in self._readers:
            readers.close()
