"""The table that is being filled: read at the start, and written after every change."""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wsvad_lightning.checkpoint import fits
from wsvad_lightning.data.datasets.annotations import VideoAnnotation
from wsvad_lightning.data.datasets.footage import SourceVideo
from wsvad_lightning.data.datasets.table import read_annotations, unread_columns, write_annotations
from wsvad_lightning.errors import WSVADError
from wsvad_lightning.types import LABELS, UNKNOWN

FIELDS: dict[str, Any] = {  # what the page sends of a video
    "label": str,
    "classes": list[str],
    "intervals": list[list[int | str | None]],
    "glances": list[int],
    "split": str | None,
    "num_frames": int | None,  # None until the page has counted them
}
LABEL_OF = {name: label for label, name in LABELS.items()}


class Sheet:
    """What is known of videos, by a table that other commands read.

    Rows of videos that are not shown stay as they are. Videos of which nothing is known have no row.

    Args:
        path: of the table; it may be absent.
        videos: that are shown.

    Raises:
        WSVADError: if the table cannot be read, or has what would get lost when it is written.
    """

    def __init__(self, path: Path, videos: Sequence[SourceVideo]) -> None:
        self.path, self.videos, self._lock = path, list(videos), threading.Lock()
        known = {video.annotation.video_id: video.source for video in videos}
        self.annotations: dict[str, VideoAnnotation] = {}
        if path.exists():
            if lost := unread_columns(path):
                problem = f"has columns that would be lost: {', '.join(lost)}"
                raise WSVADError("--output", path, problem, "Give another file")
            self.annotations = read_annotations(path, known)

    def rows(self) -> list[dict[str, Any]]:
        """Describe all videos, as the page shows them."""
        return [self.row(place) for place in range(len(self.videos))]

    def row(self, place: int) -> dict[str, Any]:
        """Describe a video."""
        name = self.videos[place].annotation.video_id
        known = self.annotations.get(name, VideoAnnotation(name, UNKNOWN))
        spans = known.intervals or ()
        names = known.interval_classes or [None] * len(spans)
        return {
            "video": name,
            "label": LABELS[known.label],
            "classes": list(known.classes),
            "intervals": [[start, end, own] for (start, end), own in zip(spans, names, strict=True)],
            "glances": list(known.glances),
            "split": known.split,
        }

    def change(self, place: int, given: object) -> dict[str, Any]:
        """Take what the page says of a video, and write the table.

        Args:
            place: of the video.
            given: the ``FIELDS``.

        Returns:
            The video as it is now.

        Raises:
            WSVADError: if it contradicts itself or the video, or the table cannot be written.
        """
        name = self.videos[place].annotation.video_id
        with self._lock:
            known = self.annotations.get(name)
            changed = annotation_of(name, given, known)
            annotations = {**self.annotations, name: changed}
            if changed.label == UNKNOWN and changed.split is None:
                del annotations[name]
            write_annotations(self.path, annotations)
            self.annotations = annotations
        return self.row(place)


def annotation_of(name: str, given: object, known: VideoAnnotation | None) -> VideoAnnotation:
    """Make an annotation of what the page sends.

    Args:
        name: of the video.
        given: the ``FIELDS``.
        known: so far; what the page does not show is kept.

    Raises:
        WSVADError: if it contradicts itself or the video.
    """
    if not isinstance(given, Mapping) or given.keys() != FIELDS.keys():
        raise WSVADError("body", name, f"must have {', '.join(FIELDS)}", "Reload the page")
    for field, hint in FIELDS.items():
        if not fits(given[field], hint):
            raise WSVADError(field, str(given[field])[:40], "is of another type", "Reload the page")
    if given["label"] not in LABEL_OF:
        raise WSVADError("label", given["label"], "is not a label", f"Give one of {', '.join(LABEL_OF)}")
    spans = [span for span in given["intervals"] if fits(span[:2], list[int]) and len(span) == 3]
    if len(spans) < len(given["intervals"]) or not fits([span[2] for span in spans], list[str | None]):
        raise WSVADError(
            "intervals", str(given["intervals"])[:40], "must be start, end, class", "Reload the page"
        )
    spans.sort(key=lambda span: span[:2])
    num_frames = given["num_frames"] if given["num_frames"] is not None or known is None else known.num_frames
    label, own = LABEL_OF[given["label"]], [span[2] or None for span in spans]
    intervals = tuple((start, end) for start, end, _ in spans)
    annotation = VideoAnnotation(
        name,
        label,
        classes=tuple(dict.fromkeys([*given["classes"], *filter(None, own)])),
        num_frames=num_frames,
        intervals=intervals or (() if label == 0 else None),
        split=given["split"] or None,
        interval_classes=tuple(own) if any(own) else (),
        frame_size=known.frame_size if known else None,
        regions=known.regions if known and label == 1 else None,
        glances=tuple(sorted(given["glances"])),
    )
    if num_frames is not None:
        annotation.check_num_frames(num_frames)
    return annotation
