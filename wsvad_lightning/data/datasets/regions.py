"""Where in the frame an anomaly is: boxes of SST-WSVADL, or masks, to which an annotations table refers.

The column ``regions`` of a table names a file or folder, relative to that of the table:

============== ============================================================================================
``*.json[.gz]`` events with boxes as SST-WSVADL publishes them, of many videos
``*.h5``       a data set ``[F, H, W]`` for each video, by its name; what is not 0 is anomalous
``*.npy``      ``[F, H, W]`` of the one video
a folder       a mask picture for each frame of the one video, in the order of their numbers
============== ============================================================================================

A box holds from its first to its last frame, both included. Its corners are the edges of its pixels: a right
corner of 320 is the edge of a frame of 320 pixels. The boxes of an event are one track. Boxes need the size
of the frames, the columns ``width`` and ``height`` of the table. A region of a mask is what touches, corners
included. Regions of successive frames that overlap are one track, as masks do not name any.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.data.datasets.components import Links, Masks, components
from wsvad_lightning.data.datasets.masks import absent, mask_shape, read_masks
from wsvad_lightning.data.datasets.names import canonical_id
from wsvad_lightning.data.datasets.reading import read_json
from wsvad_lightning.errors import WSVADError, counted
from wsvad_lightning.timeline import Interval
from wsvad_lightning.types import RegionSpan, VideoRegions

SLACK = 2  # pixels by which published boxes leave their frames


class Box(NamedTuple):
    """A rectangle in the frames ``[start, end)``; right and bottom are the first pixels outside.

    Attributes:
        track: number of its event among those of the video.
    """

    track: int
    start: int
    end: int
    left: int
    top: int
    right: int
    bottom: int


class BoxRegions:
    """Boxes of one video, inside its frames; see :class:`wsvad_lightning.types.VideoRegions`.

    Args:
        boxes: of the video.
        num_frames: F.
        height: of the frames in pixels.
        width: of the frames in pixels.
        unknown: anomalous frames ``[start, end)``; those of them without a box are of unknown regions.
    """

    def __init__(
        self,
        boxes: Sequence[Box],
        num_frames: int,
        height: int,
        width: int,
        unknown: Sequence[Interval] = (),
    ) -> None:
        self.boxes, self.unknown = boxes, unknown
        self.num_frames, self.height, self.width = num_frames, height, width

    def spans(self) -> Iterator[RegionSpan]:
        """Give the frames that hold boxes, a span for as long as none begins or ends."""
        ends = {frame for box in self.boxes for frame in (box.start, box.end)}
        ends |= {frame for interval in self.unknown for frame in interval}
        borders = [*sorted(frame for frame in ends if frame < self.num_frames), self.num_frames]
        for start, end in pairwise(borders):
            own = [box for box in self.boxes if box.start <= start < box.end]
            if own or any(first <= start < last for first, last in self.unknown):
                yield RegionSpan(start, end, tuple(box.track for box in own), self._draw(own))

    def _draw(self, boxes: Sequence[Box]) -> Masks:
        masks = np.zeros((len(boxes), self.height, self.width), dtype=bool)
        for mask, box in zip(masks, boxes, strict=True):
            mask[max(0, box.top) : box.bottom, max(0, box.left) : box.right] = True
        return masks


class MaskRegions:
    """Masks of one video, read when they are asked for; see :class:`wsvad_lightning.types.VideoRegions`.

    Args:
        path: what holds them.
        video_id: name of the video.
        num_frames: F.
        height: of the frames in pixels.
        width: of the frames in pixels.
        unknown: as for :class:`BoxRegions`.
    """

    def __init__(
        self,
        path: Path,
        video_id: str,
        num_frames: int,
        height: int,
        width: int,
        unknown: Sequence[Interval] = (),
    ) -> None:
        self.path, self.video_id, self.unknown = path, video_id, unknown
        self.num_frames, self.height, self.width = num_frames, height, width

    def spans(self) -> Iterator[RegionSpan]:
        """Give each frame that holds a region.

        Two regions that touch a common one in the frame before or after are of one track. Which ones do is
        known at the end of the video, so its frames are read twice.
        """
        links = Links()
        before: list[Masks] = []
        names: list[list[int]] = []
        for mask in self._frames():
            regions, own = components(mask), []
            for region in regions:
                own.append(links.new())
                for name, other in zip(names[-1] if names else [], before, strict=True):
                    if (region & other).any():
                        links.join(own[-1], name)
            names.append(own)
            before = regions
        numbers: dict[int, int] = {}
        for frame, mask in enumerate(self._frames()):
            if mask.any():
                roots = [links.root(name) for name in names[frame]]
                tracks = tuple(numbers.setdefault(root, len(numbers)) for root in roots)
                yield RegionSpan(frame, frame + 1, tracks, np.stack(components(mask)))
            elif any(first <= frame < last for first, last in self.unknown):
                yield RegionSpan(frame, frame + 1, (), np.zeros((0, self.height, self.width), dtype=bool))

    def _frames(self) -> Iterator[Masks]:
        for mask in read_masks(self.path, self.video_id):
            if mask.shape != (self.height, self.width):
                problem = f"a mask of {self.video_id} has {_size(mask.shape)} pixels, the first one "
                problem += _size((self.height, self.width))
                raise WSVADError("regions", self.path, problem, "Give masks of the size of the frames")
            yield mask


def regions_of(annotation: VideoAnnotation, num_frames: int) -> VideoRegions | None:
    """Get the regions of a video.

    Frames that the annotation calls anomalous, and for which no region is given, are ``unknown``.

    Args:
        annotation: of the video.
        num_frames: F of the video; boxes that pass the end are cut to it.

    Returns:
        The regions; none of them in a normal video. None if an abnormal video has no regions in the table.

    Raises:
        WSVADError: if they cannot be read, are of another size or length, or begin after the end, or if the
            size of the frames is needed and unknown.
    """
    if annotation.label == 0:
        return BoxRegions((), num_frames, *_known_size(annotation))
    if annotation.regions is None:
        return None
    path, video_id = Path(annotation.regions), annotation.video_id
    unknown = annotation.intervals or ()
    if not _holds_boxes(path):
        shape = mask_shape(path, video_id)
        if shape[0] != num_frames:
            problem = f"the masks of {video_id} have {counted(shape[0], 'frame')}, the video has {num_frames}"
            raise WSVADError("regions", path, problem, "Give a mask for each frame of this video")
        if annotation.frame_size not in (None, (shape[2], shape[1])):
            width, height = annotation.frame_size or (0, 0)
            problem = f"the masks of {video_id} have {_size(shape[1:])} pixels, its frames {width} x {height}"
            raise WSVADError("regions", path, problem, "Give masks of the size of the frames")
        return MaskRegions(path, video_id, *shape, unknown)
    boxes = read_boxes(path)
    if video_id not in boxes:
        raise absent(path, video_id)
    height, width = _known_size(annotation)
    for box in boxes[video_id]:
        named = f"the box {box.left},{box.top} to {box.right},{box.bottom} of {video_id}"
        if box.start >= num_frames:
            problem = f"{named} begins at frame {box.start}, the video has {num_frames}"
            raise WSVADError("regions", path, problem, "Correct the box or the frame count")
        outside = max(-box.left, -box.top, box.right - width, box.bottom - height)
        seen = box.left < width and box.top < height and box.right > 0 and box.bottom > 0
        if outside > SLACK or not seen:
            problem = f"{named} leaves its frames of {width} x {height} pixels"
            raise WSVADError("regions", path, problem, "Correct the box, or width and height in the table")
    cut = tuple(box._replace(end=min(box.end, num_frames)) for box in boxes[video_id])
    return BoxRegions(cut, num_frames, height, width, unknown)


def needs_size(annotation: VideoAnnotation) -> bool:
    """Whether the regions of a video depend on a size of its frames that is not known."""
    if annotation.frame_size is not None:
        return False
    boxes = annotation.regions is not None and _holds_boxes(Path(annotation.regions))
    return annotation.label == 0 or boxes


def read_boxes(path: Path) -> dict[str, tuple[Box, ...]]:
    """Read all boxes of a file of SST-WSVADL, by video, in the order of the file.

    Args:
        path: JSON file, gzipped or not.

    Raises:
        WSVADError: if it cannot be read, or a box is not an upright rectangle that stays where it is.
    """
    try:
        changed = path.stat().st_mtime_ns
    except OSError as error:
        raise WSVADError(
            "regions", path, f"cannot be read: {error.strerror}", "Correct the reference"
        ) from None
    return _read_boxes(path, changed)


@lru_cache(maxsize=8)
def _read_boxes(path: Path, _changed: int) -> dict[str, tuple[Box, ...]]:
    boxes: dict[str, list[Box]] = {}
    tracks: dict[str, int] = {}
    events = read_json(path, "regions")
    try:
        for event in events:
            video_id = canonical_id(event["file_name"])
            track = tracks[video_id] = tracks.get(video_id, -1) + 1
            own = boxes.setdefault(video_id, [])
            for given in event["bounding_boxes"]:
                start, end = int(given["start_frame"]), int(given["end_frame"]) + 1
                own.append(Box(track, start, end, *_rectangle(given["keyframes"])))
                if not 0 <= start < end:
                    raise ValueError(f"a box of {video_id} has the frames {start} to {end - 1}")
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        problem = f"holds no list of events with boxes ({type(error).__name__}: {error})"
        raise WSVADError(
            "regions", path, problem, "Give a file such as SST-WSVADL's merged_MSAD.json"
        ) from None
    except ValueError as error:
        raise WSVADError("regions", path, f"does not read: {error}", "Correct the file") from None
    return {video_id: tuple(own) for video_id, own in boxes.items()}


def _rectangle(keyframes: dict[str, Any]) -> tuple[int, int, int, int]:
    """The left, top, right and bottom of a box that is the same rectangle in all its keyframes."""
    polygons = [[(int(x), int(y)) for x, y in polygon] for polygon in keyframes.values()]
    if not polygons or any(polygon != polygons[0] for polygon in polygons):
        raise ValueError(f"the keyframes {sorted(keyframes)} of a box hold different polygons, or none")
    left, right = min(x for x, _ in polygons[0]), max(x for x, _ in polygons[0])
    top, bottom = min(y for _, y in polygons[0]), max(y for _, y in polygons[0])
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    if sorted(polygons[0]) != sorted(corners) or left == right or top == bottom:
        raise ValueError(f"the polygon {polygons[0]} is not an upright rectangle")
    return left, top, right, bottom


def _holds_boxes(path: Path) -> bool:
    return path.name.lower().endswith((".json", ".json.gz"))


def _known_size(annotation: VideoAnnotation) -> tuple[int, int]:
    if annotation.frame_size is None:
        problem = "the size of its frames is needed for regions, and unknown"
        remedy = "Give the columns width and height in the annotations"
        raise WSVADError("video", annotation.video_id, problem, remedy)
    width, height = annotation.frame_size
    return height, width


def _size(shape: Sequence[int]) -> str:
    return f"{shape[-1]} x {shape[-2]}"
