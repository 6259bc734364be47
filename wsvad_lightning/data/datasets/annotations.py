"""What is known of a video: label, classes, anomalous intervals and part.

Frames count from 0 and intervals are half-open: ``60-100`` covers the frames 60, 61, …, 99.
"""

import re
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from wsvad_lightning.data.datasets.labels import (
    RESERVED,
)
from wsvad_lightning.errors import WSVADError, counted
from wsvad_lightning.timeline import Event
from wsvad_lightning.types import UNKNOWN

PARTS = ("train", "val", "test", "predict")


@dataclass(frozen=True)
class VideoAnnotation:
    """What is known of one video.

    Attributes:
        video_id: name of the video, see :mod:`wsvad_lightning.data.datasets.names`.
        label: 0 normal, 1 abnormal, -1 unknown.
        classes: anomaly classes, the dominant one first; empty if only normal or abnormal is known.
        num_frames: frames of the video, None if unknown.
        intervals: anomalous frames ``[start, end)``; empty if there are none, as always in a normal video;
            None if they are unknown (weak label, or none).
        split: part of the data set, one of ``PARTS``; None if it is in none. What is only scored is in
            ``predict``.
        interval_classes: class of each interval, None for one that is of all classes of the video; empty if
            all are, as always in a video of one class.
        seconds: anomalous ``[start, end)`` by the clock, which :meth:`in_frames` turns into intervals; None
            if the intervals are given, or nothing is.
        frame_size: width and height of the frames in pixels; None if unknown.
        regions: file or folder that says where in the frames the anomalies are, see
            :mod:`wsvad_lightning.data.datasets.regions`; None if that is unknown.
        glances: frames that a person marked inside anomalies, in the order in which they are given.

    Raises:
        WSVADError: if the fields contradict each other, an interval is reversed or passes the end, a class
            has a reserved name, or the part does not exist.
    """

    video_id: str
    label: int
    classes: tuple[str, ...] = ()
    num_frames: int | None = None
    intervals: tuple[tuple[int, int], ...] | None = None
    split: str | None = None
    interval_classes: tuple[str | None, ...] = ()
    seconds: tuple[tuple[float, float], ...] | None = None
    frame_size: tuple[int, int] | None = None
    regions: str | None = None
    glances: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.label not in (0, 1, UNKNOWN):
            remedy = "Give 0 for a normal, 1 for an abnormal video, -1 where that is unknown"
            self._reject(f"the label is {self.label}", remedy)
        spans = self.seconds if self.intervals is None else self.intervals
        if self.label == UNKNOWN and (spans is not None or self.classes):
            self._reject("intervals or classes are given, and no label", "Give its label or leave them out")
        if self.label == 0 and self.intervals is None:
            object.__setattr__(self, "intervals", ())
        if self.label == 0 and spans:
            self._reject("a normal video has anomalous intervals", "Label it abnormal or drop the intervals")
        if self.label != 1 and self.regions is not None:
            self._reject("regions of anomalies are given of a video that is not abnormal", "Leave them out")
        if self.label != 1 and self.glances:
            self._reject("glances are given of a video that is not abnormal", "Leave them out")
        if self.glances and min(self.glances) < 0:
            self._reject(f"the glance {min(self.glances)} is not a frame", "Give frames, counted from 0")
        if self.frame_size is not None and min(self.frame_size) < 1:
            self._reject("its frames have no pixels", "Give width and height of at least 1, or none")
        if self.label == 0 and self.classes:
            self._reject("a normal video has anomaly classes", "Label it abnormal or drop the classes")
        for name in self.classes:
            if name.casefold() in RESERVED or not name or name != name.strip() or re.search("[;\n]", name):
                self._reject(
                    f"{name!r} is not a name of a class", "Choose another name; join several by ; in classes"
                )
        if self.split is not None and self.split not in PARTS:
            self._reject(
                f"{self.split!r} is not a part of a split", f"Give one of {', '.join(PARTS)}, or none"
            )
        for start, end in spans or ():
            if not 0 <= start < end:
                self._reject(f"the interval {start}-{end} is empty or reversed", "Give start < end")
        if self.num_frames is not None:
            self.check_num_frames(self.num_frames)
        if self.interval_classes:
            self._check_interval_classes()
            if len(self.classes) == 1 or not any(self.interval_classes):
                object.__setattr__(self, "interval_classes", ())

    @property
    def events(self) -> tuple[Event, ...] | None:
        """The anomalies with their classes; None if their frames or classes are unknown."""
        if self.intervals is None or (self.intervals and not self.classes):
            return None
        named = zip_longest(self.intervals, self.interval_classes)
        return tuple(
            Event(start, end, name)
            for (start, end), own in named
            for name in ([own] if own else self.classes)
        )

    def check_num_frames(self, num_frames: int) -> None:
        """Compare with a frame count, that of the decoded video for example.

        Args:
            num_frames: frames of the video.

        Raises:
            WSVADError: without frames, or if another number is annotated, or an interval or a glance passes
                the end.
        """
        if num_frames < 1:
            self._reject(
                f"the video has {counted(num_frames, 'frame')}", "Give the true number or leave it out"
            )
        if self.num_frames not in (None, num_frames):
            self._reject(
                f"{self.num_frames} frames are annotated and the video has {num_frames}",
                "Correct num_frames in the annotations or leave it out",
            )
        for start, end in self.intervals or ():
            if end > num_frames:
                self._reject(
                    f"the interval {start}-{end} passes the end of the video at frame {num_frames}",
                    "Correct the interval; frames count from 0 and the end is excluded",
                )
        if max(self.glances, default=0) >= num_frames:
            self._reject(
                f"the glance {max(self.glances)} is behind the end of the video at frame {num_frames}",
                "Correct the glance; frames count from 0",
            )

    def of_size(self, frame_size: tuple[int, int] | None) -> "VideoAnnotation":
        """Take this width and height of the frames, unless others are annotated."""
        return self if self.frame_size is not None else replace(self, frame_size=frame_size)

    def in_frames(self, fps: float, num_frames: int) -> "VideoAnnotation":
        """Give the annotation with its seconds as frames; unchanged if it has none.

        A second ``t`` is the frame ``t * fps``, rounded. An end less than a second after the end of the video
        is the end: people write whole seconds.

        Args:
            fps: frames a second.
            num_frames: frames of the video.

        Raises:
            WSVADError: if an interval is later than that.
        """
        if self.seconds is None:
            return self
        intervals = []
        for start, end in self.seconds:
            first, last = round(start * fps), round(end * fps)
            if num_frames < last < num_frames + fps:
                last = num_frames
            if last > num_frames or first >= num_frames:
                problem = f"the interval from {start:g} to {end:g} seconds passes the end of the video"
                length = f"{num_frames} frames at {fps:g} a second are {num_frames / fps:.3f} seconds"
                self._reject(f"{problem}: {length}", "Correct the times, or give frames")
            intervals.append((first, max(last, first + 1)))
        return replace(self, intervals=tuple(intervals), seconds=None)

    def frame_labels(self, num_frames: int) -> NDArray[np.uint8]:
        """Ground truth of each frame.

        Args:
            num_frames: F, frames of the video.

        Returns:
            ``[F]``, 0 normal and 1 anomalous.

        Raises:
            WSVADError: if the intervals of an abnormal video are unknown, or ``num_frames`` does not fit.
        """
        if self.intervals is None:
            self._reject("the anomalous frames are unknown", "Add its intervals to the annotations")
        self.check_num_frames(num_frames)
        labels = np.zeros(num_frames, dtype=np.uint8)
        for start, end in self.intervals:
            labels[start:end] = 1
        return labels

    def _check_interval_classes(self) -> None:
        count = len(self.intervals or self.seconds or ())
        if len(self.interval_classes) != count:
            problem = f"{len(self.interval_classes)} classes of {count} intervals"
            self._reject(problem, "Give one for each, or none")
        for name in self.interval_classes:
            if name is not None and name not in self.classes:
                self._reject(f"an interval is {name!r}, the video is not", "Add it to the classes")

    def _reject(self, problem: str, remedy: str) -> NoReturn:
        raise WSVADError("video", self.video_id, problem, remedy)
